// The pause before the next attempt of a call, where no event reports that the call can succeed.
//
// There are two such cases. In the first the kernel returns EAGAIN, but poll(2) reports the socket as writable: a UDP
// socket finds no free port, the receive queue of a UNIX or netlink receiver is full, or the accept queue of a UNIX
// listener is full. No event would come for the socket. So the queue calls poll(2) after each EAGAIN of a write, except
// on TCP. If poll(2) reports the socket as writable, the queue tries one more time without a pause, because the socket
// may have become writable between the two system calls. Each further attempt follows a pause.
//
// In the second case the cause of an error is temporary (EMFILE in accept). Then each attempt follows a pause.

/**
 * The first and the longest pause, in ms. Each pause is twice as long as the pause before. A shortage that lasts costs
 * at most ten attempts a second.
 */
export const FIRST_PAUSE = 5;
export const MAX_PAUSE = 100;

export class RetryPause {
  #timer: NodeJS.Timeout | undefined;
  #length = 0;
  /** The number of refusals in a row. A refusal is an EAGAIN that no event will follow. */
  #refusals = 0;
  /** The bytes that the call had transferred when the latest pause began. */
  #transferred = 0;

  /** Whether a pause is under way. */
  get active(): boolean {
    return this.#timer !== undefined;
  }

  /**
   * Starts a pause, twice as long as the pause before. If the call has moved bytes since, the pause is FIRST_PAUSE.
   *
   * @param transferred the bytes that the call has moved so far
   * @param resume called after the pause
   */
  start(transferred: number, resume: () => void): void {
    if (transferred !== this.#transferred) this.#length = 0;
    this.#transferred = transferred;
    this.#length = Math.min(this.#length === 0 ? FIRST_PAUSE : this.#length * 2, MAX_PAUSE);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      resume();
    }, this.#length).unref();
  }

  /** Counts a refusal. Returns the number of refusals in a row. */
  countRefusal(): number {
    return ++this.#refusals;
  }

  /** Called after an EAGAIN that an event will follow. */
  resetRefusals(): void {
    this.#refusals = 0;
  }

  /** Called when a call has succeeded: the next pause is FIRST_PAUSE. */
  reset(): void {
    this.#length = 0;
    this.#refusals = 0;
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#length = 0;
  }
}
