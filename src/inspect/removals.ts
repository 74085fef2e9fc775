// The ids of removed rows, for updates. The list is bounded. If it lacks removals since the last update of a receiver,
// the receiver gets the whole table.

const MAX_REMOVALS = 10_000;
/** This many removals are dropped at once, so that the list is not moved for each of them. */
const CHUNK = 1000;

export class Removals {
  readonly #list: { readonly id: string; readonly version: number }[] = [];
  /** The version of the newest removal that was dropped. */
  #lost = 0;

  /** @param version the version of the next update; it never decreases */
  add(id: string, version: number): void {
    this.#list.push({ id, version });
    if (this.#list.length < MAX_REMOVALS + CHUNK) return;
    this.#lost = this.#list[CHUNK - 1]!.version;
    this.#list.splice(0, CHUNK);
  }

  /** The ids that were removed after a version; undefined if the list lacks some of them. */
  since(version: number): string[] | undefined {
    if (version < this.#lost) return undefined;
    const found: string[] = [];
    for (let index = this.#list.length - 1; index >= 0; index--) {
      const one = this.#list[index]!;
      if (one.version <= version) break;
      found.push(one.id);
    }
    return found;
  }

  clear(): void {
    this.#list.length = 0;
  }
}
