// The pause before the next attempt of a call, where no event reports that the call can succeed.
//
// There are two such cases. In the first case the kernel returns EAGAIN, but poll(2) reports the socket as writable: a
// UDP socket finds no free port, the receive queue of a UNIX or netlink receiver is full, or the accept queue of a UNIX
// listener is full. No event would come for the socket. So the queue calls poll(2) after each EAGAIN of a write, except
// on TCP. If poll(2) reports the socket as writable, the queue makes one more attempt without a pause, because the
// socket may have become writable between the two system calls. Each further attempt follows a pause.
//
// In the second case an error is transient: its cause ends without an event (EMFILE in accept). Then each attempt
// follows a pause.

/** The first pause, in ms. Each pause is twice as long as the pause before. */
export const FIRST_PAUSE = 5;
/** The longest pause, in ms. So a call that always fails makes at most ten attempts a second in the end. */
export const MAX_PAUSE = 100;

export class RetryPause {
  #timer: NodeJS.Timeout | undefined;
  /** The length of the latest pause in ms. 0: the next pause is FIRST_PAUSE. */
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
   * Starts a pause, twice as long as the pause before. If the call has moved bytes since that pause, the new one is
   * FIRST_PAUSE.
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

  /** Called when a call has succeeded or has moved bytes: the next pause is FIRST_PAUSE. */
  reset(): void {
    this.#length = 0;
    this.#refusals = 0;
  }

  /** Ends a pause without calling `resume`. */
  cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#length = 0;
  }
}
