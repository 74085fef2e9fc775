// The ids of removed rows, for updates. The list of them is bounded. If the list lacks removals since the last update
// of a receiver, the receiver gets the whole table.

const MAX_REMOVALS = 10_000;
/** This many of the oldest removals are dropped at once, so that the list is not moved for each of them. */
const DROPPED_AT_ONCE = 1000;

export class Removals {
  readonly #list: { readonly id: string; readonly version: number }[] = [];
  /** The version of the newest removal that was dropped. */
  #droppedVersion = 0;

  /** @param version the version of the next update; it never decreases */
  add(id: string, version: number): void {
    this.#list.push({ id, version });
    if (this.#list.length < MAX_REMOVALS + DROPPED_AT_ONCE) return;
    this.#droppedVersion = this.#list[DROPPED_AT_ONCE - 1]!.version;
    this.#list.splice(0, DROPPED_AT_ONCE);
  }

  /** The ids that were removed after a version; undefined if the list lacks some of them. */
  idsSince(version: number): string[] | undefined {
    if (version < this.#droppedVersion) return undefined;
    const ids: string[] = [];
    for (let index = this.#list.length - 1; index >= 0; index--) {
      const removal = this.#list[index]!;
      if (removal.version <= version) break;
      ids.push(removal.id);
    }
    return ids;
  }

  clear(): void {
    this.#list.length = 0;
  }
}
