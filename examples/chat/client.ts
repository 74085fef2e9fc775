// A client of the chat that connects again when its node ends. Then it joins each room after the last message that it
// has, and sends the messages without acknowledgement again. The node drops messages that it has stored already.

import { randomBytes } from "node:crypto";
import { delimited, type EndpointLike, isRetryable, Reconnector, type ReconnectorOptions, type Stream } from "berkeley";
import { line, MAX_LINE, parseEvent, type Event } from "./protocol.js";

export interface ChatMessage {
  readonly room: string;
  readonly number: number;
  readonly nick: string;
  readonly text: Buffer;
}

export interface ChatClientOptions extends Omit<ReconnectorOptions, "prepare" | "onConnect" | "onDisconnect"> {
  readonly nick: string;
  /** Called for each message of the rooms, also for the own ones. */
  readonly onMessage?: ((message: ChatMessage) => void) | undefined;
  /** Called for each notice of the server: `welcome`, `goaway`, `store-lost`, `store-back`. */
  readonly onNotice?: ((code: string, text: string) => void) | undefined;
  /** Called if messages of a room are lost for this client, because the room keeps only the last ones. */
  readonly onGap?: ((room: string, after: number, next: number) => void) | undefined;
  /** Messages that wait for their acknowledgement. `send()` rejects if there are more. Default 500. */
  readonly maxPending?: number | undefined;
}

/** A command that waits for its answer. */
interface Command {
  readonly bytes: Buffer;
  readonly resolve: (words: readonly string[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Room {
  /** The number of the last message; undefined before the first answer, if the room is joined without a number. */
  last: number | undefined;
  /** Ends the call of join(). */
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const LINES = delimited("\n", { max: MAX_LINE + 200 });
/** Milliseconds between two PINGs. */
const PING_INTERVAL = 20_000;
/** Milliseconds without a line after which the client makes another connection. */
const SILENCE_TIMEOUT = 60_000;

export class ChatClient implements AsyncDisposable {
  readonly #opts: ChatClientOptions;
  readonly #session = randomBytes(12).toString("hex");
  readonly #reconnector: Reconnector;
  readonly #rooms = new Map<string, Room>();
  /** Messages without acknowledgement, in their order. */
  readonly #messages = new Set<Command>();
  /** Commands that were sent on this connection and have no answer yet. The answers come in the same order. */
  #unanswered: Command[] = [];
  #stream: Stream | undefined;
  /** Whether this side has ended the connection. */
  #leaving = false;
  /** The error if the server has refused NICK. */
  #refused: { readonly error: unknown } | undefined;
  /** The error that ended the client. It connects no more. */
  #ended: { readonly error: unknown } | undefined;
  #node = "";
  #sent = 0;
  #duplicates = 0;
  readonly #running: Promise<void>;

  constructor(endpoint: EndpointLike, opts: ChatClientOptions) {
    const { maxPending: _1, nick: _2, onGap: _3, onMessage: _4, onNotice: _5, ...rest } = opts;
    this.#opts = opts;
    this.#reconnector = new Reconnector(endpoint, rest);
    this.#running = this.#run();
    // close() rejects with this error. Before that it must not become an unhandled rejection.
    this.#running.catch(() => undefined);
  }

  /** The name of the node that serves this client. */
  get node(): string {
    return this.#node;
  }

  /** Connections so far, messages that arrived twice (0 is expected), and messages without acknowledgement. */
  stats(): { readonly connections: number; readonly duplicates: number; readonly pending: number } {
    const { connections } = this.#reconnector.stats();
    return { connections, duplicates: this.#duplicates, pending: this.#messages.size };
  }

  /**
   * Joins a room, and resolves when the server has answered. After a reconnect the client joins it again by itself.
   *
   * @param last the number of the last message that the program has; 0 for all messages that the room keeps
   */
  join(name: string, last?: number): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended.error);
    if (this.#rooms.has(name)) return Promise.reject(new Error(`the client has joined ${name} already`));
    return new Promise((resolve, reject) => {
      const room = { last, resolve, reject };
      this.#rooms.set(name, room);
      this.#command(this.#joinCommand(name, room));
    });
  }

  /** Sends a message, and resolves with its number when it is stored. */
  send(room: string, text: string | Uint8Array): Promise<number> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended.error);
    const { maxPending = 500 } = this.#opts;
    if (this.#messages.size >= maxPending) {
      return Promise.reject(new Error(`${maxPending} messages wait for their acknowledgement`));
    }
    const bytes = Buffer.concat([Buffer.from(`SEND ${room} ${++this.#sent} `), Buffer.from(text), Buffer.from("\n")]);
    if (bytes.length - 1 > MAX_LINE || bytes.indexOf(10) < bytes.length - 1) {
      return Promise.reject(new RangeError(`a message is one line of at most ${MAX_LINE} bytes with its command`));
    }
    return new Promise((resolve, reject) => {
      const message: Command = {
        bytes,
        resolve: ([, , number]) => {
          this.#messages.delete(message);
          resolve(Number(number));
        },
        reject: (error) => {
          this.#messages.delete(message);
          reject(error);
        },
      };
      this.#messages.add(message);
      this.#command(message);
    });
  }

  /** Disconnects. Messages without acknowledgement reject. */
  async close(): Promise<void> {
    this.#leaving = true;
    await this.#reconnector.close();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Sends a command if there is a connection. Otherwise `#begin()` sends JOIN and messages on the next connection. */
  #command(command: Command): void {
    if (this.#stream === undefined) return;
    this.#unanswered.push(command);
    const stream = this.#stream;
    // If a write fails, answers can't be assigned to commands any more. So the client makes another connection.
    stream.write(command.bytes).catch(() => this.#leave(stream));
  }

  /** Ends a connection. The Reconnector makes another one. */
  #leave(stream: Stream): void {
    if (this.#stream !== stream) return;
    this.#leaving = true;
    stream.abort();
  }

  #joinCommand(name: string, room: Room): Command {
    return {
      bytes: line(`JOIN ${name}${room.last === undefined ? "" : ` ${room.last}`}`),
      resolve: ([, word]) => {
        const from = Number(word);
        if (room.last !== undefined && room.last !== from) this.#opts.onGap?.(name, room.last, from);
        room.last = from;
        room.resolve();
      },
      reject: (error) => {
        this.#rooms.delete(name);
        room.reject(error);
      },
    };
  }

  async #run(): Promise<void> {
    const ignore = { resolve: () => undefined, reject: () => undefined };
    const ping = setInterval(() => this.#command({ bytes: line("PING"), ...ignore }), PING_INTERVAL);
    let error: unknown = new Error("the client is closed");
    try {
      for await (const stream of this.#reconnector) {
        this.#begin(stream);
        try {
          for await (const bytes of stream.frames(LINES, { timeout: SILENCE_TIMEOUT })) {
            this.#handle(parseEvent(bytes), stream);
          }
        } catch (failure) {
          if (!this.#leaving && !isRetryable(failure)) throw failure;
        } finally {
          this.#stream = undefined;
          this.#leaving = false;
        }
        if (this.#refused !== undefined) throw this.#refused.error;
      }
    } catch (failure) {
      error = failure;
      throw failure;
    } finally {
      clearInterval(ping);
      this.#ended = { error };
      for (const { reject } of [...this.#messages, ...this.#rooms.values()]) reject(error);
    }
  }

  /** Sends NICK, a JOIN for each room, and the messages without acknowledgement on a new connection. */
  #begin(stream: Stream): void {
    this.#unanswered = [];
    this.#stream = stream;
    this.#command({
      bytes: line(`NICK ${this.#opts.nick} ${this.#session}`),
      resolve: () => undefined,
      // The server would refuse it on another connection too, so the client ends.
      reject: (error) => {
        this.#refused = { error };
        this.#leave(stream);
      },
    });
    for (const [name, room] of this.#rooms) this.#command(this.#joinCommand(name, room));
    for (const message of this.#messages) this.#command(message);
  }

  #handle(event: Event, stream: Stream): void {
    switch (event.kind) {
      case "message":
        this.#deliver(event);
        return;
      case "notice":
        if (event.code === "welcome") this.#node = event.text;
        this.#opts.onNotice?.(event.code, event.text);
        // This is the last line of the server. The Reconnector connects again.
        if (event.code === "goaway") {
          this.#leaving = true;
          void stream.close();
        }
        return;
      case "answer":
        this.#unanswered.shift()?.resolve(event.words);
        return;
      case "refusal":
        this.#unanswered.shift()?.reject(new Error(`the server refuses: ${event.text} (${event.code})`));
    }
  }

  #deliver(message: ChatMessage): void {
    const room = this.#rooms.get(message.room);
    if (room === undefined) return;
    if (room.last !== undefined && message.number <= room.last) {
      this.#duplicates++;
      return;
    }
    room.last = message.number;
    // The text is copied, because it is a part of the read buffer.
    this.#opts.onMessage?.({ ...message, text: Buffer.from(message.text) });
  }
}
