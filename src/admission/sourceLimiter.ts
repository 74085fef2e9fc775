// Limits the rate of each source of datagrams, in constant memory.
//
// The address of a datagram may be forged, so the table must not grow with the number of sources. It has a fixed number
// of entries, in sets of four. The hash of a source determines its set. A new source takes the entry of its set that
// was used longest ago, and begins with all its tokens.
//
// So forged sources can't fill the memory, and can't use up the tokens of another source. The entry of a source that
// sends many datagrams is used all the time, so it stays, and the source stays limited. The hash depends on a secret
// seed, so a source can't choose its set.

const ENTRIES_PER_SET = 4;
/** A power of two, so that the low bits of a hash are the index of a set. */
const SETS = 1 << 14;

export class SourceLimiter {
  readonly #rate: number;
  /** The hash of the source of each entry; 0 for an unused entry. */
  readonly #hashes = new Int32Array(SETS * ENTRIES_PER_SET);
  /** The tokens of each entry, as of the time in `#times`. */
  readonly #tokens = new Float32Array(SETS * ENTRIES_PER_SET);
  /** The time of the most recent datagram of each entry, in ms. */
  readonly #times = new Float64Array(SETS * ENTRIES_PER_SET);

  /** @param rate datagrams per second. A burst of this number is allowed */
  constructor(rate: number) {
    this.#rate = rate;
  }

  /**
   * Whether another datagram of a source is within the rate. If so, takes a token.
   *
   * @param hash a hash of the source that is not 0
   * @param now the time in ms
   */
  take(hash: number, now: number): boolean {
    const first = (hash & (SETS - 1)) * ENTRIES_PER_SET;
    let oldest = first;
    for (let entry = first; entry < first + ENTRIES_PER_SET; entry++) {
      if (this.#hashes[entry] === hash) return this.#takeFrom(entry, now);
      if (this.#times[entry]! < this.#times[oldest]!) oldest = entry;
    }
    this.#hashes[oldest] = hash;
    this.#times[oldest] = now;
    this.#tokens[oldest] = this.#rate - 1;
    return true;
  }

  #takeFrom(entry: number, now: number): boolean {
    const rate = this.#rate;
    const tokens = Math.min(rate, this.#tokens[entry]! + ((now - this.#times[entry]!) * rate) / 1000);
    this.#times[entry] = now;
    // Because a Float32Array rounds, a sum of fractions may be slightly less than a whole token.
    const enough = tokens >= 1 - 1e-4;
    this.#tokens[entry] = enough ? tokens - 1 : tokens;
    return enough;
  }
}
