// A rate for each source of datagrams, in constant memory.
//
// The address of a datagram may be forged, so a table of sources must not grow with them. This one has a fixed number of
// entries in sets of four. A new source takes the entry of its set that was used longest ago, and begins with a full
// bucket. So forged sources never exhaust the memory, and never the rate of another source. A source that floods is used
// all the time, so its entry stays, and it stays limited. Which set a source has depends on a seed that is not known to
// it.

const WAYS = 4;
const SETS = 1 << 14;

export class SourceLimiter {
  readonly #rate: number;
  /** The hash of the source of each entry; 0 for an unused entry. */
  readonly #hashes = new Int32Array(SETS * WAYS);
  /** The tokens of each entry, as of its time. */
  readonly #tokens = new Float32Array(SETS * WAYS);
  readonly #times = new Float64Array(SETS * WAYS);

  /** @param rate datagrams per second, with bursts of one second */
  constructor(rate: number) {
    this.#rate = rate;
  }

  /**
   * Whether a source may send another datagram.
   *
   * @param hash a hash of the source that is not 0
   * @param now the time in ms
   */
  take(hash: number, now: number): boolean {
    const first = (hash & (SETS - 1)) * WAYS;
    let entry = first;
    for (let at = first; at < first + WAYS; at++) {
      if (this.#hashes[at] === hash) return this.#takeFrom(at, now);
      if (this.#times[at]! < this.#times[entry]!) entry = at;
    }
    this.#hashes[entry] = hash;
    this.#times[entry] = now;
    this.#tokens[entry] = this.#rate - 1;
    return true;
  }

  #takeFrom(entry: number, now: number): boolean {
    const rate = this.#rate;
    const tokens = Math.min(rate, this.#tokens[entry]! + ((now - this.#times[entry]!) * rate) / 1000);
    this.#times[entry] = now;
    // Sums of fractions may miss a whole token by rounding.
    const enough = tokens >= 1 - 1e-4;
    this.#tokens[entry] = enough ? tokens - 1 : tokens;
    return enough;
  }
}
