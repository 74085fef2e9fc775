// The clients of a chat: what one of them sends goes to all others, each of which has a bounded queue.

import { escapeLine } from "../frame/escape.js";
import { Failure } from "../frame/failure.js";
import type { Client } from "./serve.js";

/** The longest line. */
const MAX_LINE = 16 << 10;
const MAX_NAME = 32;

class Member {
  readonly client: Client;
  name: string;
  readonly #most: number;
  #queue: Buffer[] = [];
  #waiting = 0;
  #writing = false;
  /** Set when the client was cut. */
  failure: Error | undefined;

  constructor(client: Client, most: number) {
    this.client = client;
    this.name = client.name;
    this.#most = most;
  }

  /** Queues bytes for the client; cuts it when too much waits. */
  send(data: Buffer): void {
    if (this.failure !== undefined) return;
    this.#waiting += data.length;
    if (this.#waiting > this.#most) {
      this.failure = new Failure(`it does not read: ${this.#waiting} bytes wait for it`);
      this.client.stream.abort();
      return;
    }
    this.#queue.push(data);
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      while (this.#queue.length > 0) {
        const data = Buffer.concat(this.#queue);
        this.#queue = [];
        await this.client.write(data);
        this.#waiting -= data.length;
      }
    } catch (error) {
      this.failure ??= error as Error;
      this.client.stream.abort();
    }
    this.#writing = false;
  }
}

export class Room {
  readonly #members = new Set<Member>();
  readonly #most: number;
  readonly #raw: boolean;

  constructor(most: number, raw: boolean) {
    this.#most = most;
    this.#raw = raw;
  }

  /** Serves a client until it leaves. */
  async join(client: Client): Promise<void> {
    const member = new Member(client, this.#most);
    if (!this.#raw) this.#tell(member, `* ${member.name} joins`);
    this.#members.add(member);
    try {
      await (this.#raw ? this.#relay(member) : this.#talk(member));
    } catch (error) {
      throw member.failure ?? error;
    } finally {
      this.#members.delete(member);
      if (!this.#raw) this.#tell(member, `* ${member.name} leaves`);
    }
  }

  async #relay(member: Member): Promise<void> {
    const buffer = Buffer.allocUnsafe(64 << 10);
    for (;;) {
      const length = await member.client.read(buffer);
      if (length === 0) return;
      this.#toOthers(member, Buffer.from(buffer.subarray(0, length)));
    }
  }

  async #talk(member: Member): Promise<void> {
    const { client } = member;
    for (;;) {
      const line = await client.readLine(MAX_LINE);
      if (line === null) return;
      const [, name] = /^\/name\s+(\S.*)$/.exec(line) ?? [];
      if (name === undefined) this.#tell(member, `${member.name}: ${escapeLine(line)}`);
      else {
        const chosen = escapeLine(name).slice(0, MAX_NAME);
        this.#tell(member, `* ${member.name} is now ${chosen}`);
        member.name = chosen;
      }
    }
  }

  #tell(from: Member, line: string): void {
    this.#toOthers(from, Buffer.from(`${line}\n`));
  }

  #toOthers(from: Member, data: Buffer): void {
    for (const member of this.#members) if (member !== from) member.send(data);
  }
}
