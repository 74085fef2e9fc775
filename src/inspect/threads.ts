// The sockets of worker threads. Each thread that has the inspector looks at its own sockets, because system calls are
// recorded in the thread that makes them. A worker sends its changes to the main thread, once a second.

import type { Worker } from "node:worker_threads";

import { workerThreads } from "../builtins.js";
import type { SocketDetail, SocketReport } from "./protocol.js";
import type { DetailReader } from "./socketDetail.js";
import type { Recording } from "./recording.js";
import type { SocketTable } from "./socketTable.js";

const CHANNEL = "berkeley.inspect";
/** How long, in ms, the main thread waits for a worker that is asked for a socket. A worker may be busy or blocked. */
const PATIENCE = 2_000;

/** Every message goes to all threads; `to` says which kind of thread it is for. */
type Message =
  | { readonly to: "workers"; readonly type: "who" }
  | { readonly to: "workers"; readonly type: "watch"; readonly id: string; readonly on: boolean }
  | { readonly to: "workers"; readonly type: "detail"; readonly id: string; readonly request: number }
  | { readonly to: "main"; readonly type: "bye"; readonly thread: number }
  | { readonly to: "main"; readonly type: "detail"; readonly request: number; readonly detail: SocketDetail | null }
  | {
      readonly to: "main";
      readonly type: "table";
      readonly thread: number;
      readonly whole: boolean;
      readonly changed: readonly SocketReport[];
      readonly removed: readonly string[];
      readonly dropped: number;
    };

type Channel = InstanceType<ReturnType<typeof workerThreads>["BroadcastChannel"]>;

function open(onMessage: (message: Message) => void): Channel {
  const { BroadcastChannel } = workerThreads();
  const channel = new BroadcastChannel(CHANNEL);
  // The types of Node 20 lack addEventListener().
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- see above
  channel.onmessage = (event: unknown): void => {
    const { data } = event as { readonly data?: unknown };
    // A program may use a channel of this name.
    if (typeof data === "object" && data !== null && "to" in data && "type" in data) onMessage(data as Message);
  };
  (channel as unknown as { unref(): void }).unref();
  return channel;
}

/** Calls `onEnd` with the number of each worker of this thread that ends. Returns a function that stops that. */
function watchWorkers(onEnd: (thread: number) => void): () => void {
  const onWorker = (worker: Worker): void => {
    const { threadId } = worker;
    worker.once("exit", () => onEnd(threadId));
  };
  process.on("worker", onWorker);
  return () => void process.off("worker", onWorker);
}

/** The side of a worker thread. */
export class WorkerSide {
  readonly #table: SocketTable;
  readonly #recording: Recording;
  readonly #details: DetailReader;
  readonly #channel: Channel;
  readonly #stopWatching: () => void;
  readonly #onExit = (): void => this.close();
  #sent = 0;
  #open = true;

  constructor(table: SocketTable, recording: Recording, details: DetailReader) {
    this.#table = table;
    this.#recording = recording;
    this.#details = details;
    this.#channel = open((message) => this.#receive(message));
    this.#stopWatching = watchWorkers((thread) => this.#post({ to: "main", type: "bye", thread }));
    process.on("exit", this.#onExit);
  }

  /** Sends what has changed. */
  update(): void {
    const { thread, version } = this.#table;
    const { whole, changed, removed } = this.#table.since(this.#sent);
    const first = this.#sent === 0;
    this.#sent = version;
    if (!first && changed.length === 0 && removed.length === 0) return;
    this.#post({ to: "main", type: "table", thread, whole, changed, removed, dropped: this.#recording.ring.dropped });
  }

  close(): void {
    if (!this.#open) return;
    this.#post({ to: "main", type: "bye", thread: this.#table.thread });
    this.#open = false;
    this.#stopWatching();
    process.off("exit", this.#onExit);
    this.#channel.close();
  }

  #post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that of windows has an origin
    if (this.#open) this.#channel.postMessage(message);
  }

  #receive(message: Message): void {
    if (message.to !== "workers") return;
    if (message.type === "who") {
      this.#sent = 0;
      this.#table.look(true);
      this.update();
      return;
    }
    const [thread, number] = message.id.split(":").map(Number);
    if (thread !== this.#table.thread) return;
    if (message.type === "watch") {
      this.#table.watch(number ?? 0, message.on);
    } else {
      const row = this.#table.find(number ?? 0);
      if (row !== undefined) this.#table.read(row);
      const detail = row === undefined ? null : this.#details.read(row);
      this.#post({ to: "main", type: "detail", request: message.request, detail });
    }
  }
}

/** The side of the main thread: the rows of all workers. */
export class MainSide {
  readonly #rows = new Map<string, { readonly report: SocketReport; readonly version: number }>();
  readonly #removed: { readonly id: string; readonly version: number }[] = [];
  readonly #dropped = new Map<number, number>();
  readonly #waiting = new Map<number, (detail: SocketDetail | null) => void>();
  readonly #channel: Channel;
  readonly #stopWatching: () => void;
  readonly #version: () => number;
  #requests = 0;

  /** @param version the version that the next update has */
  constructor(version: () => number) {
    this.#version = version;
    this.#channel = open((message) => this.#receive(message));
    this.#stopWatching = watchWorkers((thread) => this.#forget(thread));
    this.#post({ to: "workers", type: "who" });
  }

  get dropped(): number {
    return [...this.#dropped.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Worker threads that have the inspector. */
  get threads(): number {
    return this.#dropped.size;
  }

  reports(): SocketReport[] {
    return [...this.#rows.values()].map(({ report }) => report);
  }

  /** What has changed since a version; all rows for 0. */
  since(version: number): { readonly changed: SocketReport[]; readonly removed: string[] } {
    const changed = [...this.#rows.values()].filter((row) => row.version > version).map(({ report }) => report);
    const removed = version === 0 ? [] : this.#removed.filter((one) => one.version > version).map(({ id }) => id);
    return { changed, removed };
  }

  has(id: string): boolean {
    return this.#rows.has(id);
  }

  watch(id: string, on: boolean): void {
    this.#post({ to: "workers", type: "watch", id, on });
  }

  /** Resolves with null if the worker has no such socket, or does not answer. */
  detail(id: string): Promise<SocketDetail | null> {
    const request = ++this.#requests;
    return new Promise((resolve) => {
      const settle = (detail: SocketDetail | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(request);
        resolve(detail);
      };
      const timer = setTimeout(settle, PATIENCE, null);
      timer.unref();
      this.#waiting.set(request, settle);
      this.#post({ to: "workers", type: "detail", id, request });
    });
  }

  close(): void {
    this.#stopWatching();
    for (const settle of this.#waiting.values()) settle(null);
    this.#channel.close();
  }

  #post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that of windows has an origin
    this.#channel.postMessage(message);
  }

  #receive(message: Message): void {
    if (message.to !== "main") return;
    if (message.type === "detail") {
      this.#waiting.get(message.request)?.(message.detail);
    } else if (message.type === "bye") {
      this.#forget(message.thread);
    } else {
      const version = this.#version();
      if (message.whole) this.#forget(message.thread);
      this.#dropped.set(message.thread, message.dropped);
      for (const report of message.changed) this.#rows.set(report.id, { report, version });
      for (const id of message.removed) this.#remove(id, version);
    }
  }

  #forget(thread: number): void {
    const version = this.#version();
    for (const id of this.#rows.keys()) if (id.startsWith(`${thread}:`)) this.#remove(id, version);
    this.#dropped.delete(thread);
  }

  #remove(id: string, version: number): void {
    if (!this.#rows.delete(id)) return;
    this.#removed.push({ id, version });
    if (this.#removed.length > 10_000) this.#removed.splice(0, 1000);
  }
}
