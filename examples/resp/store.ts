// The keys and values, with their time to live.
//
// Keys and values are strings of one character per byte: what a Map looks up best, compact, and never changed.
//
// A key whose time has come is gone for whoever asks for it. Those that nobody asks for are looked for by sweep(), which a
// timer calls: it looks at some of the keys that have a time, and goes on at once as long as many of them were due.

/** How the store is bounded, and its clock. */
export interface StoreOptions {
  /** Most bytes of all keys and values, each with its overhead. Default 256 MiB. */
  readonly maxMemory?: number | undefined;
  /** The time in ms since the epoch. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** About what the engine needs for an entry beside its characters. */
const OVERHEAD = 96;
/** Keys that a step of the sweep looks at. */
const SAMPLE = 20;
/** Steps of one sweep at most, so that it never keeps clients waiting. */
const STEPS = 500;

interface Entry {
  value: string;
  /** Since the epoch in ms; 0 for ever. */
  expires: number;
}

export class Store {
  readonly #entries = new Map<string, Entry>();
  /** Those of the entries that have a time. */
  readonly #mortal = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #maxMemory: number;
  #memory = 0;
  #cursor: Iterator<[string, Entry]> | undefined;

  constructor(opts: StoreOptions = {}) {
    this.#now = opts.now ?? Date.now;
    this.#maxMemory = opts.maxMemory ?? 256 << 20;
  }

  /** Keys that there are, among them those that are due and have not been found. */
  get size(): number {
    return this.#entries.size;
  }

  /** Keys that have a time to live. */
  get mortal(): number {
    return this.#mortal.size;
  }

  get memory(): number {
    return this.#memory;
  }

  get(key: string): string | undefined {
    return this.#find(key)?.value;
  }

  /** False when there is no memory for it; then nothing has changed. The key keeps its time to live only if told to. */
  set(key: string, value: string, keepTime: boolean): boolean {
    const entry = this.#find(key);
    const more = entry === undefined ? key.length + value.length + OVERHEAD : value.length - entry.value.length;
    if (more > 0 && this.#memory + more > this.#maxMemory) return false;
    this.#memory += more;
    if (entry === undefined) this.#entries.set(key, { value, expires: 0 });
    else {
      entry.value = value;
      if (entry.expires !== 0 && !keepTime) this.#makeImmortal(key, entry);
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
    this.#mortal.clear();
    this.#cursor = undefined;
    this.#memory = 0;
  }

  /** Ends a key in so many ms, at once if that is not in the future. False when there is no such key. */
  expire(key: string, ms: number): boolean {
    const entry = this.#find(key);
    if (entry === undefined) return false;
    if (ms <= 0) this.#remove(key, entry);
    else {
      entry.expires = this.#now() + ms;
      this.#mortal.set(key, entry);
    }
    return true;
  }

  /** The ms that a key has left: -1 for ever, -2 when there is none. */
  left(key: string): number {
    const entry = this.#find(key);
    if (entry === undefined) return -2;
    return entry.expires === 0 ? -1 : entry.expires - this.#now();
  }

  /** Takes its time from a key; false when it has none. */
  persist(key: string): boolean {
    const entry = this.#find(key);
    if (entry === undefined || entry.expires === 0) return false;
    this.#makeImmortal(key, entry);
    return true;
  }

  /** Removes keys that are due; returns how many. */
  sweep(): number {
    let removed = 0;
    for (let step = 0; step < STEPS; step++) {
      const due = this.#sweepSome();
      removed += due;
      if (due * 4 < SAMPLE) break;
    }
    return removed;
  }

  #sweepSome(): number {
    const now = this.#now();
    let due = 0;
    for (let seen = 0; seen < SAMPLE; seen++) {
      const { done, value } = (this.#cursor ??= this.#mortal.entries()).next();
      if (done === true) {
        this.#cursor = undefined;
        break;
      }
      const [key, entry] = value;
      if (entry.expires > now) continue;
      this.#remove(key, entry);
      due++;
    }
    return due;
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expires === 0 || entry.expires > this.#now()) return entry;
    this.#remove(key, entry);
    return undefined;
  }

  #makeImmortal(key: string, entry: Entry): void {
    entry.expires = 0;
    this.#mortal.delete(key);
  }

  #remove(key: string, entry: Entry): void {
    this.#memory -= key.length + entry.value.length + OVERHEAD;
    this.#entries.delete(key);
    if (entry.expires !== 0) this.#mortal.delete(key);
  }
}
