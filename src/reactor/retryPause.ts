// The pause before a call is tried again, where no event reports that it could succeed.
//
// After some refusals no event comes, although the kernel returns EAGAIN: a UDP socket finds no free port; the receive
// queue of a UNIX or netlink receiver is full; the accept queue of a UNIX listener is full. poll(2) then reports the
// socket as writable, so waiting for the event would never end or would spin. So the descriptor calls poll(2) after an
// EAGAIN. Such a call is tried once more, because room may have come between the two system calls, and after a pause
// from then on. An error that ends with time (EMFILE in accept) has a pause after each attempt.

/** The first pause, in ms. The next ones are twice as long each, up to the longest. */
export const FIRST_PAUSE = 5;
export const LONGEST_PAUSE = 100;

export class RetryPause {
  #timer: NodeJS.Timeout | undefined;
  #length = 0;
  /** Refusals in a row after which no event comes. */
  #refusals = 0;
  /** The bytes that the call had transferred when the last pause began. */
  #transferred = 0;

  /** Whether a pause is under way. */
  get active(): boolean {
    return this.#timer !== undefined;
  }

  /** Starts a pause, which is longer than the last one unless the call has moved bytes since. */
  start(transferred: number, resume: () => void): void {
    if (transferred !== this.#transferred) this.#length = 0;
    this.#transferred = transferred;
    this.#length = Math.min(this.#length === 0 ? FIRST_PAUSE : this.#length * 2, LONGEST_PAUSE);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      resume();
    }, this.#length).unref();
  }

  /** Counts a refusal after which no event comes. Returns the number of such refusals in a row. */
  refused(): number {
    return ++this.#refusals;
  }

  /** The kernel has refused a call, and an event will come. */
  forgetRefusals(): void {
    this.#refusals = 0;
  }

  /** A call has succeeded: the next pause is a short one again. */
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
