// Limits a rate, and allows bursts. The bucket gets `rate` tokens per second, and holds at most `rate` tokens.

export class TokenBucket {
  readonly #rate: number;
  #tokens: number;
  #updatedAt: number;

  /** @param now the time in ms, from the same clock as in `take()` */
  constructor(rate: number, now: number) {
    this.#rate = rate;
    this.#tokens = rate;
    this.#updatedAt = now;
  }

  /** Takes a token and returns 0. If there is none, returns the milliseconds until there is one. */
  take(now: number): number {
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#updatedAt) * this.#rate) / 1000);
    this.#updatedAt = now;
    // Because of rounding, a sum of fractions may be slightly less than a whole token.
    if (this.#tokens < 1 - 1e-6) return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / this.#rate));
    this.#tokens--;
    return 0;
  }
}
