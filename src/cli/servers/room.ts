// The clients of a chat. The server sends each line of a client to all other clients. Bytes for a client that does not
// read wait in the outbox of its stream. If the outbox is full, the server resets the client.

import { broadcast, type Stream } from "berkeley";
import { escapeLine } from "../frame/escape.js";
import { Failure } from "../frame/failure.js";
import type { Client } from "./serve.js";

/** Maximum number of bytes of a line. */
const MAX_LINE = 16 << 10;
/** Maximum length of a chosen name. */
const MAX_NAME = 32;

/** A client and its name, which the client can change. */
interface Member {
  readonly client: Client;
  name: string;
  /** The error for which the server has reset the client; otherwise undefined. */
  failure: Error | undefined;
}

export class Room {
  readonly #members = new Set<Member>();
  /** Whether received bytes are sent unchanged, instead of lines with names (--raw). */
  readonly #raw: boolean;

  constructor(raw: boolean) {
    this.#raw = raw;
  }

  /** Serves a client until it leaves. */
  async join(client: Client): Promise<void> {
    const member: Member = { client, name: client.name, failure: undefined };
    if (!this.#raw) this.#sendLine(member, `* ${member.name} joins`);
    this.#members.add(member);
    try {
      await (this.#raw ? this.#sendBytesOf(member) : this.#sendLinesOf(member));
    } catch (error) {
      // After a reset by the server, `error` is only a consequence of the reset.
      throw member.failure ?? error;
    } finally {
      this.#members.delete(member);
      if (!this.#raw) this.#sendLine(member, `* ${member.name} leaves`);
    }
  }

  /** Sends the received bytes to all other members, until the member leaves. */
  async #sendBytesOf(member: Member): Promise<void> {
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const length = await member.client.read(buffer);
      if (length === 0) return;
      this.#sendToOthers(member, Buffer.from(buffer.subarray(0, length)));
    }
  }

  /** Sends each line to all other members, until the member leaves. The line `/name NAME` sets the name. */
  async #sendLinesOf(member: Member): Promise<void> {
    const { client } = member;
    for (;;) {
      const line = await client.readLine(MAX_LINE);
      if (line === null) return;
      const [, name] = /^\/name\s+(\S.*)$/.exec(line) ?? [];
      if (name === undefined) this.#sendLine(member, `${member.name}: ${escapeLine(line)}`);
      else {
        const chosen = escapeLine(name).slice(0, MAX_NAME);
        this.#sendLine(member, `* ${member.name} is now ${chosen}`);
        member.name = chosen;
      }
    }
  }

  #sendLine(from: Member, line: string): void {
    this.#sendToOthers(from, Buffer.from(`${line}\n`));
  }

  /**
   * Sends the data to all members except the sender, without waiting. Resets a member whose outbox is full or whose
   * connection has failed.
   */
  #sendToOthers(sender: Member, data: Buffer): void {
    const others = [...this.#members].filter((member) => member !== sender);
    const receivers = new Map(others.map((member) => [member.client.stream, member]));
    const reset = (stream: Stream, error: Error): void => {
      const member = receivers.get(stream)!;
      member.failure ??= error;
      receivers.delete(stream);
      stream.abort();
    };
    void broadcast([...receivers.keys()], data, { slow: "drop" }).then(({ slow, failed }) => {
      for (const stream of slow)
        reset(stream, new Failure(`the client does not read: ${stream.outbox.bytes} bytes wait for it`));
      for (const { stream, error } of failed) reset(stream, error as Error);
      // For the members that were not reset, the data was written or is in the outbox.
      for (const { client } of receivers.values()) client.sent += data.length;
    });
  }
}
