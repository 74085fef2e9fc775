// A cache of Address objects: the same bytes of a sockaddr give the same object, without an allocation.
//
// The key is a seeded hash of the words of the sockaddr, so a peer that chooses its addresses cannot choose their
// hashes. A chain of addresses with one hash has a bounded length. The cache has two generations: when the current one
// is full it becomes the previous one, and the cache drops the older one. A hit in the previous generation enters the
// current one.

import { type Address, type AddressLike, HostPort, toAddress } from "../addr/index.js";
import { brand, integer, quote } from "../check/index.js";
import { decodeAddressAt, encodeAddress } from "../sys/sockaddr.js";

interface Entry {
  readonly words: Int32Array;
  readonly length: number;
  readonly address: Address;
  next: Entry | undefined;
}

/** Most cached addresses with the same hash. Further ones are decoded each time. */
const MAX_CHAIN = 8;
const DEFAULT_ADDRESSES = 4096;

/** The sockaddr of each address that this file decoded. These addresses are frozen, so both stay equal. */
const sockaddrs = new WeakMap<object, Uint8Array>();

/**
 * The bytes of the sockaddr of an address. For an address from a cache they are not encoded again.
 *
 * @throws TypeError for a host name, because only the resolver has its address
 */
export function sockaddrOf(value: AddressLike, action: string): Uint8Array {
  const bytes = typeof value === "object" && value !== null ? sockaddrs.get(value) : undefined;
  if (bytes !== undefined) return bytes;
  const address = toAddress(value);
  if (!(address instanceof HostPort)) return encodeAddress(address);
  throw new TypeError(
    `Cannot ${action}: host is ${quote(address.host)}, required a numeric address: resolve the name first`,
  );
}

/**
 * A cache of the addresses of peers. The same peer has the same object for as long as its address is in the cache,
 * which has at least the last `maxAddresses` peers.
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
  #current = new Map<number, Entry>();
  #previous = new Map<number, Entry>();
  #count = 0;

  /** @param maxAddresses least number of addresses that are kept; at most twice as many are */
  constructor(maxAddresses: number = DEFAULT_ADDRESSES) {
    this.#max = integer(maxAddresses, "make an AddressCache", "maxAddresses", 1, 1 << 24);
  }

  /**
   * The address in the `length` bytes from word `at` of a table on. The unused bytes of the last word are 0.
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
    const chain = this.#current.get(hash);
    const found = findEntry(chain, words, at, end, length);
    if (found !== undefined) return found.address;
    const entry = findEntry(this.#previous.get(hash), words, at, end, length) ?? decodeEntry(words, at, end, length);
    this.#remember(hash, entry, chain);
    return entry.address;
  }

  #remember(hash: number, entry: Entry, chain: Entry | undefined): void {
    let length = 0;
    for (let other = chain; other !== undefined; other = other.next) length++;
    if (length >= MAX_CHAIN) return;
    if (this.#count >= this.#max) {
      this.#previous = this.#current;
      this.#current = new Map();
      this.#count = 0;
      chain = undefined;
    }
    // A new entry, because an entry of the previous generation is still part of a chain there.
    this.#current.set(hash, { words: entry.words, length: entry.length, address: entry.address, next: chain });
    this.#count++;
  }
}

function findEntry(
  chain: Entry | undefined,
  words: Int32Array,
  at: number,
  end: number,
  length: number,
): Entry | undefined {
  search: for (let entry = chain; entry !== undefined; entry = entry.next) {
    if (entry.length !== length) continue;
    for (let i = at; i < end; i++) if (entry.words[i - at] !== words[i]) continue search;
    return entry;
  }
  return undefined;
}

function decodeEntry(words: Int32Array, at: number, end: number, length: number): Entry {
  const copy = words.slice(at, end);
  const bytes = new Uint8Array(copy.buffer, 0, length);
  const address = decodeAddressAt(bytes, 0, length);
  // Frozen, because all callers share the object.
  sockaddrs.set(Object.freeze(address), bytes);
  return { words: copy, length, address, next: undefined };
}

/** The cache of all batches that are made without the option `addresses`. */
export const sharedAddresses: AddressCache = new AddressCache();
