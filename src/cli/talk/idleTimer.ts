// Limits the time without data in a conversation. After `--idle` the conversation fails. After `limit()` it ends
// without an error.

export class IdleTimer {
  readonly #idle: number | undefined;
  readonly #onIdle: (fatal: boolean) => void;
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** The number of writes that run. */
  #busy = 0;

  /** @param onIdle called once; `fatal` is true after the time of --idle */
  constructor(idle: number | undefined, onIdle: (fatal: boolean) => void) {
    this.#idle = idle;
    this.#onIdle = onIdle;
    this.#arm();
  }

  /** Sets the second limit: after this time without data the conversation ends without an error. */
  setLinger(milliseconds: number): void {
    this.#limit = milliseconds;
    this.#arm();
  }

  /** Called when data was sent or received. */
  restart(): void {
    this.#timer?.refresh();
  }

  /** Called at the start of a write, which may wait for the peer. Call the returned function at its end. */
  beginWrite(): () => void {
    this.#busy++;
    this.restart();
    return () => {
      this.#busy--;
      this.restart();
    };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    this.end();
    const limit = this.#limit ?? Infinity;
    const idle = this.#idle ?? Infinity;
    const time = Math.min(limit, idle);
    if (time === Infinity) return;
    this.#timer = setTimeout(() => {
      if (idle <= limit) this.#onIdle(true);
      // While a write waits for a slow peer, the conversation does not end.
      else if (this.#busy > 0) this.#arm();
      else this.#onIdle(false);
    }, time);
  }
}
