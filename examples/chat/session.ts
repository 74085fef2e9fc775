// Serves one client of the chat, over any transport: runs its commands one after the other, and sends the answers.

import { setTimeout as pause } from "node:timers/promises";
import { randomBytes } from "node:crypto";
import { line, parseCommand, Refusal, type Command } from "./protocol.js";
import type { Member, Rooms } from "./rooms.js";
import type { Store } from "./store.js";

/** A connection with commands and lines. */
export interface Transport extends Member {
  /** The commands of the client. `signal` ends the wait for one. */
  commands(signal: AbortSignal): AsyncIterable<Buffer>;
}

/** The limits of a client. */
export interface SessionLimits {
  /** Rooms that a client can be in. Default 20. */
  readonly maxRooms?: number | undefined;
  /** Commands per second; the node reads no more from a faster client for a while. Default 100. */
  readonly rate?: number | undefined;
}

/** The parts of a node that its sessions share. */
export interface SessionHost {
  /** The name of the node. */
  readonly name: string;
  readonly rooms: Rooms;
  readonly store: Store;
  readonly limits: SessionLimits;
  readonly counts: { messages: number; duplicates: number; refused: number };
  readonly sessions: Set<Session>;
}

export class Session {
  readonly #host: SessionHost;
  readonly #transport: Transport;
  readonly #joined = new Set<string>();
  readonly #rate: number;
  #nick: string | undefined;
  #key = "";
  /** A token bucket: how many commands the client could send at once at the time `#updatedAt`. */
  #tokens: number;
  #updatedAt = performance.now();

  constructor(host: SessionHost, transport: Transport) {
    this.#host = host;
    this.#transport = transport;
    this.#rate = this.#tokens = host.limits.rate ?? 100;
  }

  get nick(): string | undefined {
    return this.#nick;
  }

  /** Sends a notice. */
  notify(code: string, text: string): void {
    this.#transport.post(line(`* ${code} ${text}`));
  }

  /**
   * Serves the client until it leaves or the node drains.
   *
   * @param stop aborted when the connection is ended by the server, or when the node drains
   */
  async run(stop: AbortSignal, draining: AbortSignal): Promise<void> {
    const { name, rooms, sessions } = this.#host;
    sessions.add(this);
    try {
      this.notify("welcome", name);
      for await (const bytes of this.#transport.commands(stop)) {
        if (!(await this.#handle(bytes, stop))) return;
        // The node finishes a command that is running, and does not begin another one.
        stop.throwIfAborted();
      }
    } catch (error) {
      // The line is too long, so its end was not found.
      if (error instanceof Refusal) return await this.#refuse(error);
      if (!draining.aborted) throw error;
      this.notify("goaway", "the server is going away, reconnect with the last number of each room");
    } finally {
      sessions.delete(this);
      for (const room of this.#joined) rooms.leave(room, this.#transport);
    }
  }

  /** Runs a command and sends its answer. Resolves with false if the session ends. */
  async #handle(bytes: Buffer, stop: AbortSignal): Promise<boolean> {
    await this.#limitRate(stop);
    try {
      const command = parseCommand(bytes);
      if (command.verb === "QUIT") return false;
      await this.#execute(command, stop);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await this.#refuse(error);
      // The rest of such a line was not read.
      return error.code !== "too-long";
    }
  }

  #refuse({ code, message }: Refusal): Promise<void> {
    this.#host.counts.refused++;
    return this.#transport.send(line(`ERR ${code} ${message}`));
  }

  async #execute(command: Exclude<Command, { verb: "QUIT" }>, stop: AbortSignal): Promise<void> {
    const { limits, rooms } = this.#host;
    if (command.verb === "PING") return this.#answer(pong(command.text));
    if (command.verb === "NICK") {
      if (this.#nick !== undefined) throw new Refusal("nick-known", "a connection has one nickname");
      const session = command.session ?? randomBytes(12).toString("hex");
      this.#nick = command.nick;
      this.#key = `${command.nick}.${session}`;
      return this.#answer(line(`NICK ${command.nick} ${session}`));
    }
    if (this.#nick === undefined) throw new Refusal("no-nick", "required NICK first");
    const { room } = command;
    const joined = this.#joined.has(room);
    if (command.verb === "JOIN") {
      if (joined) throw new Refusal("joined", "the client is in this room already");
      const { maxRooms = 20 } = limits;
      if (this.#joined.size >= maxRooms)
        throw new Refusal("too-many-rooms", `a client is in at most ${maxRooms} rooms`);
      const starts = (number: number): Promise<void> => this.#answer(line(`JOIN ${room} ${number}`));
      await rooms.join(room, this.#transport, command.after, starts, stop);
      this.#joined.add(room);
      return;
    }
    if (!joined) throw new Refusal("not-joined", "required JOIN of this room first");
    if (command.verb === "LEAVE") {
      this.#joined.delete(room);
      rooms.leave(room, this.#transport);
      return this.#answer(line(`LEAVE ${room}`));
    }
    await this.#store(room, command.id, command.text, stop);
  }

  /** Stores a message. The next command is read after that, so the messages of a client keep their order. */
  async #store(room: string, id: string, text: Buffer, stop: AbortSignal): Promise<void> {
    const { counts, store } = this.#host;
    const { duplicate, number } = await store.append(room, `${room}.${this.#key}.${id}`, this.#nick!, text, stop);
    counts[duplicate ? "duplicates" : "messages"]++;
    await this.#answer(line(`ACK ${room} ${id} ${number}`));
  }

  #answer(bytes: Uint8Array): Promise<void> {
    return this.#transport.send(bytes);
  }

  /** Waits until the client may send a command again. */
  async #limitRate(stop: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#tokens = Math.min(this.#rate, this.#tokens + ((now - this.#updatedAt) * this.#rate) / 1000);
    this.#updatedAt = now;
    if (--this.#tokens < 0) await pause(Math.ceil((-this.#tokens * 1000) / this.#rate), undefined, { signal: stop });
  }
}

const pong = (text: Buffer): Buffer =>
  Buffer.concat([Buffer.from(text.length === 0 ? "PONG" : "PONG "), text, Buffer.from("\n")]);
