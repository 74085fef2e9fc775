// The sources of datagrams that have proved that their address is not forged. Two maps keep at least the last 16,384 of
// these sources, and at most twice as many.

/** Maximum number of sources in one of the two maps. */
const MAX_SOURCES = 16_384;

export class ValidatedSources {
  readonly #lifetime: number;
  /** By source, the time in ms at which its validation ends. When `#current` is full, it replaces `#previous`. */
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
