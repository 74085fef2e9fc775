// The interface of a store of messages, and a store in memory. natsStore.ts has a store in NATS.

/** A message of a room. */
export interface StoredMessage {
  /** Each message of a room has a greater number than the one before. */
  readonly number: number;
  readonly nick: string;
  readonly text: Uint8Array;
}

/** The result of storing a message. */
export interface Receipt {
  readonly number: number;
  /** Whether a message with this key was stored before. `number` is then that of the first one. */
  readonly duplicate: boolean;
}

/** A subscription to the new messages of a room. */
export interface Feed {
  /** The number of the last message before the feed. */
  readonly after: number;
  close(): void;
}

export interface Store {
  /** Whether messages can be stored now. */
  readonly ready: boolean;
  /**
   * Stores a message, and resolves when it is stored. Waits while the store is lost.
   *
   * @param key of two messages of a room with the same key, only the first is stored
   */
  append(room: string, key: string, nick: string, text: Uint8Array, signal: AbortSignal): Promise<Receipt>;
  /** Calls `deliver` for each message of a room that is stored from now on, in the order of the numbers. */
  follow(room: string, deliver: (message: StoredMessage) => void, signal: AbortSignal): Promise<Feed>;
  /** The messages after a number that the store has now. */
  read(room: string, after: number, signal: AbortSignal): AsyncIterable<StoredMessage>;
  /**
   * The number after which a client continues that has the messages up to `after`. It is `after` if the store has all
   * messages that follow. Otherwise it is the number before the oldest message.
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
  /** Maximum number of rooms. The store removes the room whose last use is the oldest. Default 1,000. */
  readonly maxRooms?: number | undefined;
}

interface KeyedMessage extends StoredMessage {
  readonly key: string;
}

interface MemoryRoom {
  last: number;
  bytes: number;
  readonly messages: KeyedMessage[];
  /** The numbers of the messages by their keys. */
  readonly numbers: Map<string, number>;
  readonly followers: Set<(message: StoredMessage) => void>;
}

export class MemoryStore implements Store {
  readonly ready: boolean = true;
  readonly #limits: { readonly maxMessages: number; readonly maxBytes: number; readonly maxRooms: number };
  /** The rooms in the order of their last use. */
  readonly #rooms = new Map<string, MemoryRoom>();

  constructor({ maxMessages = 1000, maxBytes = 256 << 10, maxRooms = 1000 }: MemoryLimits = {}) {
    this.#limits = { maxMessages, maxBytes, maxRooms };
  }

  append(name: string, key: string, nick: string, text: Uint8Array): Promise<Receipt> {
    const room = this.#use(name);
    const before = room.numbers.get(key);
    if (before !== undefined) return Promise.resolve({ number: before, duplicate: true });
    // The text is copied, because it is a part of the read buffer of a connection.
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
    // The list is copied by filter(), because it may change while the reader waits between two messages.
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
      if (this.#rooms.size >= this.#limits.maxRooms) this.#removeOldest();
      room = { last: 0, bytes: 0, messages: [], numbers: new Map(), followers: new Set() };
    } else this.#rooms.delete(name);
    this.#rooms.set(name, room);
    return room;
  }

  #removeOldest(): void {
    for (const [name, { followers }] of this.#rooms) {
      if (followers.size > 0) continue;
      this.#rooms.delete(name);
      return;
    }
  }
}
