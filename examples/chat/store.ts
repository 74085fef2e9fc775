// Where the messages of the rooms are: in the memory of this node, or in NATS (natsStore.ts).

/** A message of a room. */
export interface StoredMessage {
  /** Grows from message to message of a room. */
  readonly number: number;
  readonly nick: string;
  readonly text: Uint8Array;
}

export interface Receipt {
  readonly number: number;
  /** Whether a message with this key was there already. Its number is that of the first one. */
  readonly duplicate: boolean;
}

/** The messages of a room from now on. */
export interface Feed {
  /** The number of the last message before the feed. */
  readonly after: number;
  close(): void;
}

export interface Store {
  /** Whether messages can be stored now. */
  readonly ready: boolean;
  /**
   * Stores a message, and resolves when it is stored. Waits while that is impossible.
   *
   * @param key of two messages of a room with the same key, only the first is stored
   */
  append(room: string, key: string, nick: string, text: Uint8Array, signal: AbortSignal): Promise<Receipt>;
  /** Calls `deliver` for each message of a room that is stored from now on, in the order of the numbers. */
  follow(room: string, deliver: (message: StoredMessage) => void, signal: AbortSignal): Promise<Feed>;
  /** The messages after a number that the store has now. */
  read(room: string, after: number, signal: AbortSignal): AsyncIterable<StoredMessage>;
  /**
   * Where a client goes on that has the messages up to `after`. The result is `after` if the store has everything that
   * follows, and otherwise the number before the oldest message.
   */
  resume(room: string, after: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

/** The limits of the store in memory. */
export interface MemoryLimits {
  /** Messages kept of a room. Default 1,000. */
  readonly maxMessages?: number | undefined;
  /** Bytes of text kept of a room. Default 256 KiB. */
  readonly maxBytes?: number | undefined;
  /** Rooms. The store forgets the room that nobody has used for the longest time. Default 1,000. */
  readonly maxRooms?: number | undefined;
}

interface Kept extends StoredMessage {
  readonly key: string;
}

interface MemoryRoom {
  last: number;
  bytes: number;
  readonly messages: Kept[];
  /** The numbers of the messages by their keys. */
  readonly numbers: Map<string, number>;
  readonly followers: Set<(message: StoredMessage) => void>;
}

export class MemoryStore implements Store {
  readonly ready: boolean = true;
  readonly #limits: { readonly maxMessages: number; readonly maxBytes: number; readonly maxRooms: number };
  /** The room that was used last is the last one. */
  readonly #rooms = new Map<string, MemoryRoom>();

  constructor({ maxMessages = 1000, maxBytes = 256 << 10, maxRooms = 1000 }: MemoryLimits = {}) {
    this.#limits = { maxMessages, maxBytes, maxRooms };
  }

  append(name: string, key: string, nick: string, text: Uint8Array): Promise<Receipt> {
    const room = this.#use(name);
    const before = room.numbers.get(key);
    if (before !== undefined) return Promise.resolve({ number: before, duplicate: true });
    // A copy: `text` is a part of the read buffer of a connection.
    const message = { number: ++room.last, nick, text: Buffer.from(text), key };
    room.messages.push(message);
    room.numbers.set(key, message.number);
    room.bytes += text.length;
    while (room.messages.length > this.#limits.maxMessages || room.bytes > this.#limits.maxBytes) {
      const oldest = room.messages.shift()!;
      room.bytes -= oldest.text.length;
      room.numbers.delete(oldest.key);
    }
    for (const deliver of room.followers) deliver(message);
    return Promise.resolve({ number: message.number, duplicate: false });
  }

  follow(name: string, deliver: (message: StoredMessage) => void): Promise<Feed> {
    const { followers, last } = this.#use(name);
    followers.add(deliver);
    return Promise.resolve({ after: last, close: () => void followers.delete(deliver) });
  }

  async *read(name: string, after: number): AsyncGenerator<StoredMessage> {
    // A copy: the reader may wait between two messages.
    const messages = this.#use(name).messages.filter((message) => message.number > after);
    yield* messages;
  }

  resume(name: string, after: number): Promise<number> {
    const { last, messages } = this.#use(name);
    const oldest = messages[0]?.number ?? last + 1;
    return Promise.resolve(after >= oldest - 1 && after <= last ? after : oldest - 1);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #use(name: string): MemoryRoom {
    let room = this.#rooms.get(name);
    if (room === undefined) {
      if (this.#rooms.size >= this.#limits.maxRooms) this.#forget();
      room = { last: 0, bytes: 0, messages: [], numbers: new Map(), followers: new Set() };
    } else this.#rooms.delete(name);
    this.#rooms.set(name, room);
    return room;
  }

  #forget(): void {
    for (const [name, { followers }] of this.#rooms) {
      if (followers.size > 0) continue;
      this.#rooms.delete(name);
      return;
    }
  }
}
