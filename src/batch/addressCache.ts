// A cache of Address objects: the same bytes of a sockaddr give the same object, without an allocation.
//
// The key is a seeded hash of the sockaddr, so a peer that can choose its addresses cannot choose their
// hashes. Addresses with the same hash form a chain of bounded length.
//
// The cache is two maps. New addresses enter the current map. When it is full, it becomes the previous map, and the
// addresses of the old previous map are dropped. An address that is found in the previous map enters the current one.

import { type Address, type AddressLike, HostPort, toAddress } from "../addr/index.js";
import { brand, integer, quote } from "../check/index.js";
import { decodeAddressAt, encodeAddress } from "../sys/sockaddr.js";

interface Entry {
  /** The sockaddr as 32-bit words. */
  readonly words: Int32Array;
  /** The length of the sockaddr in bytes. */
  readonly length: number;
  readonly address: Address;
  /** The next entry of the chain. */
  next: Entry | undefined;
}

/** The maximum number of cached addresses with the same hash. Further addresses are decoded each time. */
const MAX_CHAIN = 8;
/** The default `maxAddresses`. */
const DEFAULT_ADDRESSES = 4096;

/** The sockaddr of each Address that a cache has made. The Address is frozen, so its sockaddr does not change. */
const sockaddrs = new WeakMap<object, Uint8Array>();

/**
 * The bytes of the sockaddr of an address. For an address of a cache they are stored and need no encoding.
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
 * A cache of the addresses of peers. While the address of a peer is in the cache, it is the same object each time. The
 * cache has at least the addresses of the latest `maxAddresses` peers.
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

  /** The maximum number of entries in a map. */
  readonly #maxEntries: number;
  readonly #seed: number = (Math.random() * 0x1_0000_0000) | 0;
  /** From a hash to the first entry of its chain. */
  #current = new Map<number, Entry>();
  #previous = new Map<number, Entry>();
  /** The number of entries in `#current`. */
  #count = 0;

  /** @param maxAddresses the number of addresses that are always kept; the cache has at most twice as many */
  constructor(maxAddresses: number = DEFAULT_ADDRESSES) {
    this.#maxEntries = integer(maxAddresses, "make an AddressCache", "maxAddresses", 1, 1 << 24);
  }

  /**
   * Returns the address of the sockaddr that begins at word `at` and has `length` bytes. The unused bytes of its last
   * word must be 0.
   *
   * @internal
   */
  lookup(words: Int32Array, at: number, length: number): Address {
    // The index after the last word. The sockaddr may fill only a part of that word.
    const end = at + ((length + 3) >> 2);
    let hash = this.#seed ^ length;
    for (let i = at; i < end; i++) {
      // One round of the hash, as in mix() of sources.ts.
      hash = Math.imul(hash ^ words[i]!, 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    // 30 bits, because V8 allocates memory for a larger number.
    hash &= 0x3fff_ffff;
    const chain = this.#current.get(hash);
    const found = findEntry(chain, words, at, end, length);
    if (found !== undefined) return found.address;
    const entry = findEntry(this.#previous.get(hash), words, at, end, length) ?? decodeEntry(words, at, end, length);
    this.#addToCurrent(hash, entry, chain);
    return entry.address;
  }

  /** @param chain the chain of this hash in the current map */
  #addToCurrent(hash: number, entry: Entry, chain: Entry | undefined): void {
    let chainLength = 0;
    for (let other = chain; other !== undefined; other = other.next) chainLength++;
    if (chainLength >= MAX_CHAIN) return;
    if (this.#count >= this.#maxEntries) {
      this.#previous = this.#current;
      this.#current = new Map();
      this.#count = 0;
      chain = undefined;
    }
    // A copy, because an entry of the previous map is still part of a chain there.
    this.#current.set(hash, { words: entry.words, length: entry.length, address: entry.address, next: chain });
    this.#count++;
  }
}

/** The entry of a chain with the same bytes as the words from `at` to `end - 1`. */
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
