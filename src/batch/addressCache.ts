// Addresses interned: the bytes of a sockaddr that were seen before give the same Address object, without an allocation.
//
// The key is a hash of the words of the sockaddr, seeded, so that a peer who chooses its addresses cannot choose their
// places; a chain that grows long all the same is not made longer. What is bounded is done so in two generations: when
// the young one is full it becomes the old one, and the old one is forgotten, except for what is asked for again.

import { type Address, type AddressLike, HostPort, toAddress } from "../addr/index.js";
import { brand, integer, quote } from "../check/index.js";
import { decodeAt, encodeAddress } from "../sys/sockaddr.js";

interface Known {
  readonly words: Int32Array;
  readonly length: number;
  readonly address: Address;
  next: Known | undefined;
}

/** Addresses with the same hash. More are decoded each time. */
const LONGEST_CHAIN = 8;
const DEFAULT_ADDRESSES = 4096;

/** The sockaddr of each address that was decoded here. Those are frozen. */
const encoded = new WeakMap<object, Uint8Array>();

/**
 * The bytes of the sockaddr for what a user calls an address. One that came out of a cache costs a look.
 *
 * @throws TypeError for a host name, which takes the resolver
 */
export function sockaddrOf(value: AddressLike, action: string): Uint8Array {
  const bytes = typeof value === "object" && value !== null ? encoded.get(value) : undefined;
  if (bytes !== undefined) return bytes;
  const address = toAddress(value);
  if (!(address instanceof HostPort)) return encodeAddress(address);
  throw new TypeError(
    `Cannot ${action}: the host ${quote(address.host)} is a name, required a numeric address: resolve it first`,
  );
}

/**
 * Remembers the addresses of peers: the same peer gives the same object for as long as it is remembered, which holds for
 * at least the last `maxAddresses` peers.
 *
 * @example
 * ```ts
 * import { AddressCache, DatagramBatch } from "berkeley";
 *
 * const addresses = new AddressCache(100);
 * const batch = new DatagramBatch({ addresses });
 * batch.add("hello", "127.0.0.1:9000");
 * batch.add("again", "127.0.0.1:9000");
 * console.log(batch.address(0) === batch.address(1)); // prints: true
 * ```
 */
export class AddressCache {
  static {
    brand(AddressCache.prototype, "AddressCache");
  }

  readonly #max: number;
  readonly #seed: number = (Math.random() * 0x1_0000_0000) | 0;
  #young = new Map<number, Known>();
  #old = new Map<number, Known>();
  #count = 0;

  /** @param maxAddresses how many to remember at least; at most twice as many are kept */
  constructor(maxAddresses: number = DEFAULT_ADDRESSES) {
    this.#max = integer(maxAddresses, "make an AddressCache", "maxAddresses", 1, 1 << 24);
  }

  /**
   * The address in `length` bytes from word `at` of a table on, whose last word is filled up with zeros.
   *
   * @internal
   */
  lookup(words: Int32Array, at: number, length: number): Address {
    const end = at + ((length + 3) >> 2);
    let hash = this.#seed ^ length;
    for (let i = at; i < end; i++) {
      hash = Math.imul(hash ^ words[i]!, 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    hash &= 0x3fff_ffff;
    const young = this.#young.get(hash);
    const found = find(young, words, at, end, length);
    if (found !== undefined) return found.address;
    const known = find(this.#old.get(hash), words, at, end, length) ?? decode(words, at, end, length);
    this.#remember(hash, known, young);
    return known.address;
  }

  #remember(hash: number, known: Known, chain: Known | undefined): void {
    let length = 0;
    for (let other = chain; other !== undefined; other = other.next) length++;
    if (length >= LONGEST_CHAIN) return;
    if (this.#count >= this.#max) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#count = 0;
      chain = undefined;
    }
    // A copy, because the old generation's chain goes on over the one that it is found in.
    this.#young.set(hash, { words: known.words, length: known.length, address: known.address, next: chain });
    this.#count++;
  }
}

function find(chain: Known | undefined, words: Int32Array, at: number, end: number, length: number): Known | undefined {
  search: for (let known = chain; known !== undefined; known = known.next) {
    if (known.length !== length) continue;
    for (let i = at; i < end; i++) if (known.words[i - at] !== words[i]) continue search;
    return known;
  }
  return undefined;
}

function decode(words: Int32Array, at: number, end: number, length: number): Known {
  const copy = words.slice(at, end);
  const bytes = new Uint8Array(copy.buffer, 0, length);
  const address = decodeAt(bytes, 0, length);
  // Everybody who knows this peer has the same object.
  encoded.set(Object.freeze(address), bytes);
  return { words: copy, length, address, next: undefined };
}

/** What batches use that are given no other. */
export const sharedAddresses: AddressCache = new AddressCache();
