// A rate with bursts: a bucket that gets `rate` tokens per second, and holds those of one second.

export class TokenBucket {
  readonly #rate: number;
  #tokens: number;
  #at: number;

  /** @param now the time in ms, as for the other calls */
  constructor(rate: number, now: number) {
    this.#rate = rate;
    this.#tokens = rate;
    this.#at = now;
  }

  /** Takes a token and returns 0, or returns the milliseconds until there is one. */
  take(now: number): number {
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#at) * this.#rate) / 1000);
    this.#at = now;
    // Sums of fractions may miss a whole token by rounding.
    if (this.#tokens < 1 - 1e-6) return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / this.#rate));
    this.#tokens--;
    return 0;
  }
}
