// The sources that have shown that their address is theirs. The table is bounded: it keeps at least the last 16,384.

const MOST = 16_384;

export class ValidatedSources {
  readonly #lifetime: number;
  /** The end of each validation. When the current map is full, it becomes the previous one. */
  #current = new Map<string, number>();
  #previous = new Map<string, number>();

  /** @param lifetime milliseconds that a validation lasts */
  constructor(lifetime: number) {
    this.#lifetime = lifetime;
  }

  add(source: string, now: number): void {
    if (this.#current.size >= MOST) {
      this.#previous = this.#current;
      this.#current = new Map();
    }
    this.#current.set(source, now + this.#lifetime);
  }

  has(source: string, now: number): boolean {
    return (this.#current.get(source) ?? this.#previous.get(source) ?? -Infinity) > now;
  }
}
