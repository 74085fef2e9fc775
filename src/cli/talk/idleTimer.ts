// Limits the time without data in a conversation. After the time of `--idle` the conversation fails. After the time of
// `--linger` it ends without an error.

export class IdleTimer {
  readonly #idle: number | undefined;
  readonly #onIdle: (fatal: boolean) => void;
  #linger: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #runningWrites = 0;

  /** @param onIdle called once; `fatal` is true after the time of --idle */
  constructor(idle: number | undefined, onIdle: (fatal: boolean) => void) {
    this.#idle = idle;
    this.#onIdle = onIdle;
    this.#arm();
  }

  /** From now on, the conversation ends without an error after this time without data. */
  setLinger(milliseconds: number): void {
    this.#linger = milliseconds;
    this.#arm();
  }

  /** Starts the time again. Called when data was sent or received. */
  restart(): void {
    this.#timer?.refresh();
  }

  /** Called before a write, which may wait for the peer. Returns a function to call after the write. */
  beginWrite(): () => void {
    this.#runningWrites++;
    this.restart();
    return () => {
      this.#runningWrites--;
      this.restart();
    };
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    this.end();
    const linger = this.#linger ?? Infinity;
    const idle = this.#idle ?? Infinity;
    const time = Math.min(linger, idle);
    if (time === Infinity) return;
    this.#timer = setTimeout(() => {
      if (idle <= linger) this.#onIdle(true);
      // While a write waits for a slow peer, --linger does not end the conversation.
      else if (this.#runningWrites > 0) this.#arm();
      else this.#onIdle(false);
    }, time);
  }
}
