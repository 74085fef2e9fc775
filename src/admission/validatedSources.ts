// The sources of datagrams that have proved that their address is not forged. The table keeps at least the last 16,384
// of them, and at most twice as many.

const MAX_SOURCES = 16_384;

export class ValidatedSources {
  readonly #lifetime: number;
  /** The end of each validation, by source. A full current map replaces the previous map. */
  #current = new Map<string, number>();
  #previous = new Map<string, number>();

  /** @param lifetime milliseconds that a validation lasts */
  constructor(lifetime: number) {
    this.#lifetime = lifetime;
  }

  add(source: string, now: number): void {
    if (this.#current.size >= MAX_SOURCES) {
      this.#previous = this.#current;
      this.#current = new Map();
    }
    this.#current.set(source, now + this.#lifetime);
  }

  has(source: string, now: number): boolean {
    return (this.#current.get(source) ?? this.#previous.get(source) ?? -Infinity) > now;
  }
}
