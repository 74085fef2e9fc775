// The keys and values, with their time to live.
//
// Keys and values are strings with one character per byte. They are compact and immutable, and a Map finds them fast.
//
// A lookup treats an expired key as absent. sweep() removes expired keys that are not looked up. A timer calls it: it
// tests some of the keys that have a time to live, and continues at once while many of these were expired.

/** The limit of the store, and its clock. */
export interface StoreOptions {
  /** Maximum number of bytes of all keys and values, with their overhead. Default 256 MiB. */
  readonly maxMemory?: number | undefined;
  /** The time in milliseconds since the epoch. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** The approximate number of bytes that an entry uses besides its characters. */
const OVERHEAD = 96;
/** Number of keys that one step of the sweep tests. */
const SAMPLE = 20;
/** Maximum number of steps in one sweep, so that it does not delay clients. */
const STEPS = 500;

interface Entry {
  value: string;
  /** Milliseconds since the epoch, or 0 for no expiry. */
  expires: number;
}

export class Store {
  readonly #entries = new Map<string, Entry>();
  /** The entries that have a time to live. */
  readonly #expiring = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #maxMemory: number;
  #memory = 0;
  #cursor: Iterator<[string, Entry]> | undefined;

  constructor(opts: StoreOptions = {}) {
    this.#now = opts.now ?? Date.now;
    this.#maxMemory = opts.maxMemory ?? 256 << 20;
  }

  /** Number of keys, expired keys that were not yet removed included. */
  get size(): number {
    return this.#entries.size;
  }

  /** Number of keys with a time to live. */
  get mortal(): number {
    return this.#expiring.size;
  }

  get memory(): number {
    return this.#memory;
  }

  get(key: string): string | undefined {
    return this.#find(key)?.value;
  }

  /** Returns false and changes nothing if there is no memory. The key keeps its time to live only with `keepTime`. */
  set(key: string, value: string, keepTime: boolean): boolean {
    const entry = this.#find(key);
    const more = entry === undefined ? key.length + value.length + OVERHEAD : value.length - entry.value.length;
    if (more > 0 && this.#memory + more > this.#maxMemory) return false;
    this.#memory += more;
    if (entry === undefined) this.#entries.set(key, { value, expires: 0 });
    else {
      entry.value = value;
      if (entry.expires !== 0 && !keepTime) this.#removeExpiry(key, entry);
    }
    return true;
  }

  delete(key: string): boolean {
    const entry = this.#find(key);
    if (entry === undefined) return false;
    this.#remove(key, entry);
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#expiring.clear();
    this.#cursor = undefined;
    this.#memory = 0;
  }

  /** Sets the expiry of a key, and removes the key if that time has passed. Returns false if there is no such key. */
  expire(key: string, ms: number): boolean {
    const entry = this.#find(key);
    if (entry === undefined) return false;
    if (ms <= 0) this.#remove(key, entry);
    else {
      entry.expires = this.#now() + ms;
      this.#expiring.set(key, entry);
    }
    return true;
  }

  /** The time to live of a key in milliseconds: -1 without expiry, -2 if there is no such key. */
  left(key: string): number {
    const entry = this.#find(key);
    if (entry === undefined) return -2;
    return entry.expires === 0 ? -1 : entry.expires - this.#now();
  }

  /** Removes the expiry of a key. Returns false if it has none. */
  persist(key: string): boolean {
    const entry = this.#find(key);
    if (entry === undefined || entry.expires === 0) return false;
    this.#removeExpiry(key, entry);
    return true;
  }

  /** Removes expired keys, and returns their number. */
  sweep(): number {
    let removed = 0;
    for (let step = 0; step < STEPS; step++) {
      const expired = this.#sweepSome();
      removed += expired;
      if (expired * 4 < SAMPLE) break;
    }
    return removed;
  }

  #sweepSome(): number {
    const now = this.#now();
    let expired = 0;
    for (let seen = 0; seen < SAMPLE; seen++) {
      const { done, value } = (this.#cursor ??= this.#expiring.entries()).next();
      if (done === true) {
        this.#cursor = undefined;
        break;
      }
      const [key, entry] = value;
      if (entry.expires > now) continue;
      this.#remove(key, entry);
      expired++;
    }
    return expired;
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expires === 0 || entry.expires > this.#now()) return entry;
    this.#remove(key, entry);
    return undefined;
  }

  #removeExpiry(key: string, entry: Entry): void {
    entry.expires = 0;
    this.#expiring.delete(key);
  }

  #remove(key: string, entry: Entry): void {
    this.#memory -= key.length + entry.value.length + OVERHEAD;
    this.#entries.delete(key);
    if (entry.expires !== 0) this.#expiring.delete(key);
  }
}
