// A server that sends each message to all its clients. Some clients never read.
//
//   node out/examples/broadcast.js [clients] [silent] [messages]        default 200 20 1000
//
// The server sends with broadcast(). A client that does not read costs the server at most MAX_OUTBOX bytes, and misses
// the messages that do not fit. The other clients get every message. The program connects the clients itself. It prints
// the messages that each kind of client got, the largest outbox, and the memory of the process.

import { setImmediate as turn } from "node:timers/promises";
import {
  broadcast,
  connect,
  lengthPrefixed,
  listen,
  type ListenAddress,
  type SocketListener,
  type Stream,
} from "berkeley";
import { isProgram } from "./lib/program.js";

/** `maxOutbox` of each client's stream, in bytes. */
const MAX_OUTBOX = 1_048_576;
const codec = lengthPrefixed({ bytes: 4 });

/** A server that sends messages to all its clients. */
export class Feed implements AsyncDisposable {
  readonly #listener: SocketListener;
  readonly #clients = new Set<Stream>();
  readonly #accepting: Promise<void>;
  /** Messages that a slow client has missed. */
  missed = 0;

  private constructor(listener: SocketListener) {
    this.#listener = listener;
    this.#accepting = this.#accept();
  }

  static async start(): Promise<Feed> {
    return new Feed(await listen("tcp://127.0.0.1:0", { maxOutbox: MAX_OUTBOX }));
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** The number of bytes in the largest outbox. */
  get longestOutbox(): number {
    return Math.max(0, ...[...this.#clients].map(({ outbox }) => outbox.bytes));
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) this.#clients.add(client);
  }

  async send(message: Uint8Array): Promise<void> {
    const { slow, failed } = await broadcast(this.#clients, codec.encode(message), { slow: "drop" });
    this.missed += slow.length;
    for (const { stream } of failed) {
      this.#clients.delete(stream);
      await stream.close();
    }
  }

  /** Ends every connection. Messages that wait still go to clients that read. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
    await this.#accepting;
    await Promise.all([...this.#clients].map((client) => client.end({ timeout: 1000 })));
  }
}

/** The result of a run. */
export interface Run {
  /** For each client that reads: the number of messages that it got, whole and in order. */
  readonly received: readonly number[];
  /** The sum of the messages that the silent clients have missed. */
  readonly missed: number;
  readonly longestOutbox: number;
}

/** Reads messages, and counts them. */
async function count(client: Stream, size: number): Promise<number> {
  let received = 0;
  for await (const frame of client.frames(codec)) {
    if (frame.length !== size || frame.readUInt32BE() !== received) throw new Error(`message ${received} is missing`);
    received++;
  }
  return received;
}

/** Sends messages to clients, of which some never read. */
export async function run(clients: number, silent: number, messages: number, size: number): Promise<Run> {
  const all: Stream[] = [];
  try {
    let received: Promise<number>[];
    let missed: number;
    let longestOutbox = 0;
    {
      await using feed = await Feed.start();
      while (all.length < clients) all.push(await connect(feed.address));
      while (feed.clients < clients) await turn();
      received = all.slice(silent).map((client) => count(client, size));
      for (let number = 0; number < messages; number++) {
        const message = Buffer.alloc(size);
        message.writeUInt32BE(number);
        await feed.send(message);
        longestOutbox = Math.max(longestOutbox, feed.longestOutbox);
        // Waits for a turn of the event loop, because the clients are in this process and must read.
        await turn();
      }
      missed = feed.missed;
    }
    return { received: await Promise.all(received), missed, longestOutbox };
  } finally {
    for (const client of all) await client.close();
  }
}

if (isProgram(import.meta.url)) {
  const [clients = 200, silent = 20, messages = 1000] = process.argv.slice(2).map(Number);
  const before = process.memoryUsage.rss();
  const { received, missed, longestOutbox } = await run(clients, silent, messages, 10_000);
  const complete = received.filter((number) => number === messages).length;
  console.log(`${clients} clients, of which ${silent} never read; ${messages} messages of 10,000 bytes`);
  console.log(`clients that got every message: ${complete} of ${received.length} that read`);
  console.log(`messages that the silent clients missed: ${missed}`);
  console.log(`longest outbox: ${longestOutbox} bytes, limit ${MAX_OUTBOX}`);
  console.log(`memory of the process: ${Math.round((process.memoryUsage.rss() - before) / 1_048_576)} MiB more`);
}
