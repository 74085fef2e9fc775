// The clients of a chat. Each line of a client is sent to all other clients. Each client has a limited outbox.

import { broadcast, type Stream } from "berkeley";
import { escapeLine } from "../frame/escape.js";
import { Failure } from "../frame/failure.js";
import type { Client } from "./serve.js";

/** Maximum number of bytes of a line. */
const MAX_LINE = 16 << 10;
/** Maximum length of a chosen name. */
const MAX_NAME = 32;

/** A client and its chosen name. */
interface Member {
  readonly client: Client;
  name: string;
  /** The reason why the server has reset the client; undefined if it has not. */
  failure: Error | undefined;
}

export class Room {
  readonly #members = new Set<Member>();
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
      await (this.#raw ? this.#relay(member) : this.#talk(member));
    } catch (error) {
      throw member.failure ?? error;
    } finally {
      this.#members.delete(member);
      if (!this.#raw) this.#sendLine(member, `* ${member.name} leaves`);
    }
  }

  /** With --raw: sends received bytes to all other members. */
  async #relay(member: Member): Promise<void> {
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const length = await member.client.read(buffer);
      if (length === 0) return;
      this.#toOthers(member, Buffer.from(buffer.subarray(0, length)));
    }
  }

  /** Sends each line to all other members. */
  async #talk(member: Member): Promise<void> {
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
    this.#toOthers(from, Buffer.from(`${line}\n`));
  }

  #toOthers(from: Member, data: Buffer): void {
    const others = new Map([...this.#members].filter((one) => one !== from).map((one) => [one.client.stream, one]));
    const reset = (stream: Stream, error: Error): void => {
      const member = others.get(stream)!;
      member.failure ??= error;
      others.delete(stream);
      stream.abort();
    };
    void broadcast([...others.keys()], data, { slow: "drop" }).then(({ slow, failed }) => {
      for (const stream of slow)
        reset(stream, new Failure(`it does not read: ${stream.outbox.bytes} bytes wait for it`));
      for (const { stream, error } of failed) reset(stream, error as Error);
      for (const { client } of others.values()) client.sent += data.length;
    });
  }
}
