// Decides which datagrams of a batch a UDP server accepts: by the rate of their source, their size, and the address
// lists.

import { clientKey, isListed, SourceLimiter } from "../admission/index.js";
import { type DatagramBatch, memoryOf, senderHash } from "../batch/index.js";
import type { CheckedServeUdp, DatagramRefusalReason } from "./udpOptions.js";

export class DatagramAdmission {
  readonly #opts: CheckedServeUdp;
  readonly #limiter: SourceLimiter | undefined;
  /** The seed of the hash, a random 32-bit number. It is secret, so a sender can't choose its hash. */
  readonly #seed = (Math.random() * 0x1_0000_0000) | 0;

  constructor(opts: CheckedServeUdp) {
    this.#opts = opts;
    this.#limiter = opts.ratePerAddress === Infinity ? undefined : new SourceLimiter(opts.ratePerAddress);
  }

  /**
   * Decides about the datagram at this place of the batch. Returns why it is refused; undefined if it is accepted. Must
   * be called once for a datagram, because each call takes a token of the rate of the source.
   *
   * @param now the time in ms
   */
  decide(batch: DatagramBatch, place: number, now: number): DatagramRefusalReason | undefined {
    const { allow, deny, maxSize } = this.#opts;
    if (this.#limiter !== undefined) {
      const hash = senderHash(memoryOf(batch), place, this.#seed);
      // The hash is 0 for a source without an IP address.
      if (hash !== 0 && !this.#limiter.take(hash, now)) return "ratePerAddress";
    }
    if (batch.length(place) > maxSize || batch.truncated(place)) return "maxSize";
    if (deny === undefined && allow === undefined) return undefined;
    const peer = batch.address(place);
    if (deny !== undefined && isListed(deny, peer)) return "deny";
    // `allow` has only internet addresses. A client without one has no key, and is allowed.
    if (allow !== undefined && clientKey(peer) !== undefined && !isListed(allow, peer)) return "allow";
    return undefined;
  }
}
