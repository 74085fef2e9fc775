// The rooms of a node: the members of a room on this node, and its last messages.
//
// A member that joins with a number first gets the messages after that number. Those that the room does not keep come
// from the store, the others from the room. While the client is slow to receive them, new messages are added to the
// room. When the member has all of them, it becomes one of the members that get each new message at once.

import { messageLine, Refusal } from "./protocol.js";
import type { Feed, Store, StoredMessage } from "./store.js";

/** Messages, and bytes of messages, that a room keeps for members that join. */
const RECENT = 500;
const RECENT_BYTES = 256 << 10;
/** Bytes of messages that are sent to a joining member at a time. */
const CHUNK = 64 << 10;

/** A connection, with the methods that a room uses. */
export interface Member {
  /** Sends a line without waiting. If too many bytes wait for the client already, it is disconnected. */
  post(line: Uint8Array): void;
  /** Sends lines, and resolves when the client can get more. */
  send(line: Uint8Array): Promise<void>;
}

interface Line {
  readonly number: number;
  readonly bytes: Buffer;
}

class Room {
  readonly name: string;
  /** Resolves when the room receives messages from the store. */
  readonly following: Promise<void>;
  readonly members = new Map<Member, number>();
  /** How many connections use the room, including members that are joining. */
  users = 0;
  /** Each message of the room after number `base` and up to `last` is in `recent`. */
  base = 0;
  last = 0;
  readonly recent: Line[] = [];
  #bytes = 0;
  /** Messages that the members get at the end of this turn of the event loop. */
  #outgoing: Line[] = [];
  readonly #store: Store;
  readonly #end = new AbortController();
  #feed: Feed | undefined;

  constructor(name: string, store: Store) {
    this.name = name;
    this.#store = store;
    this.following = this.#follow();
    this.following.catch(() => undefined);
  }

  async #follow(): Promise<void> {
    const early: StoredMessage[] = [];
    let started = false;
    const deliver = (message: StoredMessage): void => {
      if (started) this.#deliver(message);
      else early.push(message);
    };
    this.#feed = await this.#store.follow(this.name, deliver, this.#end.signal);
    this.base = this.last = this.#feed.after;
    started = true;
    for (const message of early) this.#deliver(message);
  }

  #deliver({ nick, number, text }: StoredMessage): void {
    if (number <= this.last) return;
    this.last = number;
    const bytes = messageLine(this.name, number, nick, text);
    this.recent.push({ number, bytes });
    this.#bytes += bytes.length;
    while (this.recent.length > RECENT || this.#bytes > RECENT_BYTES) {
      const oldest = this.recent.shift()!;
      this.base = oldest.number;
      this.#bytes -= oldest.bytes.length;
    }
    if (this.#outgoing.push({ number, bytes }) === 1) setImmediate(() => this.#flush());
  }

  /** Sends the new messages to the members: one write for all that came in a turn of the event loop. */
  #flush(): void {
    const lines = this.#outgoing;
    if (lines.length === 0) return;
    this.#outgoing = [];
    const first = lines[0]!.number;
    const bytes = joined(lines);
    for (const [member, after] of this.members) {
      if (after < first) member.post(bytes);
      // This member was ahead of the room.
      else for (const line of lines) if (line.number > after) member.post(line.bytes);
    }
  }

  /** Sends a member the messages after the number `after`, and adds it. */
  async add(member: Member, after: number, signal: AbortSignal): Promise<void> {
    let at = after;
    for (;;) {
      while (at < this.base) at = await this.#sendStored(member, at, signal);
      const lines = this.recent.filter(({ number }) => number > at);
      if (lines.length === 0) break;
      for (const chunk of chunks(lines)) {
        await member.send(chunk.bytes);
        signal.throwIfAborted();
        at = chunk.number;
      }
    }
    // The outgoing messages are for the other members, because the new member has them already.
    this.#flush();
    this.members.set(member, at);
  }

  remove(member: Member): boolean {
    this.#flush();
    return this.members.delete(member);
  }

  /** Sends the messages that are only in the store. Resolves with the number of the last one. */
  async #sendStored(member: Member, after: number, signal: AbortSignal): Promise<number> {
    let at = after;
    for await (const { nick, number, text } of this.#store.read(this.name, after, signal)) {
      await member.send(messageLine(this.name, number, nick, text));
      signal.throwIfAborted();
      at = number;
      if (at >= this.base) return at;
    }
    // The store has nothing between these numbers.
    return Math.max(at, this.base);
  }

  close(): void {
    this.#end.abort(new Error("the room has no members"));
    this.#feed?.close();
    // Closes a feed that the store returns only now.
    this.following.then(
      () => this.#feed?.close(),
      () => undefined,
    );
  }
}

const joined = (lines: readonly Line[]): Buffer =>
  lines.length === 1 ? lines[0]!.bytes : Buffer.concat(lines.map(({ bytes }) => bytes));

function* chunks(lines: readonly Line[]): Generator<Line> {
  for (let from = 0; from < lines.length;) {
    let to = from;
    for (let size = 0; to < lines.length && size < CHUNK; to++) size += lines[to]!.bytes.length;
    yield { number: lines[to - 1]!.number, bytes: joined(lines.slice(from, to)) };
    from = to;
  }
}

export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #store: Store;
  readonly #max: number;

  /** @param max maximum number of rooms with members */
  constructor(store: Store, max: number) {
    this.#store = store;
    this.#max = max;
  }

  get count(): number {
    return this.#rooms.size;
  }

  /**
   * Adds a member to a room. With a number it gets the messages after that number, otherwise those from now on.
   *
   * @param starts called with the number after which the messages of the member begin, before the first of them
   */
  async join(
    name: string,
    member: Member,
    after: number | undefined,
    starts: (number: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let room = this.#rooms.get(name);
    if (room === undefined) {
      if (this.#rooms.size >= this.#max) throw new Refusal("full", `this node has ${this.#max} rooms already`);
      room = new Room(name, this.#store);
      this.#rooms.set(name, room);
    }
    room.users++;
    try {
      await unlessAborted(room.following, signal);
      const known = after === undefined || (after >= room.base && after <= room.last);
      const from = known ? (after ?? room.last) : await this.#store.resume(name, after, signal);
      await starts(from);
      signal.throwIfAborted();
      await room.add(member, from, signal);
    } catch (error) {
      this.#release(room);
      throw error;
    }
  }

  leave(name: string, member: Member): void {
    const room = this.#rooms.get(name);
    if (room?.remove(member) === true) this.#release(room);
  }

  #release(room: Room): void {
    if (--room.users > 0) return;
    this.#rooms.delete(room.name);
    room.close();
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason);
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}
