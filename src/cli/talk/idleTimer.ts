// Limits the time in which a conversation transfers no data. After `--idle` it has failed, after another limit it has ended.

export class IdleTimer {
  readonly #idle: number | undefined;
  readonly #onIdle: (fatal: boolean) => void;
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #busy = 0;

  /** @param onIdle called once; `fatal` for the limit of --idle */
  constructor(idle: number | undefined, onIdle: (fatal: boolean) => void) {
    this.#idle = idle;
    this.#onIdle = onIdle;
    this.#arm();
  }

  /** From now on, the conversation ends after this time without data. */
  limit(milliseconds: number): void {
    this.#limit = milliseconds;
    this.#arm();
  }

  /** Data was sent or received. */
  touch(): void {
    this.#timer?.refresh();
  }

  /** A write has begun, which may wait for the peer. The returned function reports its end. */
  busy(): () => void {
    this.#busy++;
    this.touch();
    return () => {
      this.#busy--;
      this.touch();
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
      // A write waits for a slow peer.
      else if (this.#busy > 0) this.#arm();
      else this.#onIdle(false);
    }, time);
  }
}
