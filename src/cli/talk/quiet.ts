// How long a conversation may be silent: the limit of --idle, after which it has failed, and a limit after which it has ended.

export class Quiet {
  readonly #idle: number | undefined;
  readonly #onQuiet: (fatal: boolean) => void;
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #busy = 0;

  /** @param onQuiet called once; `fatal` for the limit of --idle */
  constructor(idle: number | undefined, onQuiet: (fatal: boolean) => void) {
    this.#idle = idle;
    this.#onQuiet = onQuiet;
    this.#arm();
  }

  /** From now on, silence of this time is the end. */
  limit(milliseconds: number): void {
    this.#limit = milliseconds;
    this.#arm();
  }

  /** Something came or went. */
  touch(): void {
    this.#timer?.refresh();
  }

  /** A write has begun, during which silence is the peer's doing; the result ends that. */
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
      if (idle <= limit) this.#onQuiet(true);
      // Bytes that wait for a slow peer are not silence.
      else if (this.#busy > 0) this.#arm();
      else this.#onQuiet(false);
    }, time);
  }
}
