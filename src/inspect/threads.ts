// The sockets of worker threads. Each thread with an inspector has a table of its own sockets, because a thread records
// only its own system calls. A worker sends the changes of its table to the main thread once a second.

import type { Worker } from "node:worker_threads";

import { workerThreads } from "../builtins.js";
import { runGuarded } from "./guard.js";
import type { SocketDetail, SocketReport } from "./protocol.js";
import { Removals } from "./removals.js";
import type { DetailReader } from "./socketDetail.js";
import type { Recording } from "./recording.js";
import { areEnds, parseId } from "./socketRow.js";
import type { SocketTable, TableChanges } from "./socketTable.js";

const CHANNEL = "berkeley.inspect";
/** How long, in ms, the main thread waits for the detail of a socket from a worker, which may be busy or blocked. */
const DETAIL_TIMEOUT = 5_000;
/**
 * Maximum number of ended workers whose late messages are ignored. A new worker never gets the id of an ended one, so
 * the messages of a new worker are not ignored.
 */
const MAX_ENDED = 1000;

/** All other threads with an inspector get each message. The threads that `to` names handle it. */
type Message =
  /** The main thread has an inspector now, and requests the whole table of each worker. */
  | { readonly to: "workers"; readonly type: "sendTable" }
  /** The number of pages that show this socket changes by `change`. */
  | { readonly to: "workers"; readonly type: "watch"; readonly id: string; readonly change: 1 | -1 }
  /** Requests the detail of a socket. The answer has the same number `request`. */
  | { readonly to: "workers"; readonly type: "detail"; readonly id: string; readonly request: number }
  | { readonly to: "main"; readonly type: "detail"; readonly request: number; readonly detail: SocketDetail | null }
  /** The inspector of a worker is closed. `ended` is true if the worker itself has ended. */
  | { readonly to: "main"; readonly type: "closed"; readonly thread: number; readonly ended: boolean }
  /** The changes of the table of a worker, and the number of records that the worker's ring has overwritten. */
  | {
      readonly to: "main";
      readonly type: "table";
      readonly thread: number;
      readonly whole: boolean;
      readonly changed: readonly SocketReport[];
      readonly removed: readonly string[];
      readonly dropped: number;
    };

const isThread = (value: unknown): boolean => Number.isInteger(value) && (value as number) > 0;

const isReport = (value: unknown, thread: number): boolean =>
  typeof value === "object" && value !== null && isIdOf((value as { readonly id?: unknown }).id, thread);

const isIdOf = (value: unknown, thread: number): boolean => typeof value === "string" && value.startsWith(`${thread}:`);

const isDetail = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "socket" in value && "calls" in value && Array.isArray(value.calls);

/** Whether a message is one of the inspector. The program may use a channel of the same name. */
function isMessage(value: unknown): value is Message {
  if (typeof value !== "object" || value === null) return false;
  const { to, type, thread, id, change, changed, removed, dropped, request, detail } = value as Readonly<
    Record<string, unknown>
  >;
  if (to === "workers") {
    if (type === "sendTable") return true;
    return typeof id === "string" && (type === "detail" || (type === "watch" && (change === 1 || change === -1)));
  }
  if (to !== "main") return false;
  if (type === "detail") return typeof request === "number" && (detail === null || isDetail(detail));
  if (!isThread(thread)) return false;
  return (
    type === "closed" ||
    (type === "table" &&
      typeof dropped === "number" &&
      Array.isArray(changed) &&
      Array.isArray(removed) &&
      changed.every((report) => isReport(report, thread as number)) &&
      removed.every((removedId) => isIdOf(removedId, thread as number)))
  );
}

/** The channel of all threads of the process. post() after close() does nothing. */
class Channel {
  readonly #channel = new (workerThreads().BroadcastChannel)(CHANNEL);
  #open = true;

  constructor(onMessage: (message: Message) => void) {
    // The types of Node.js 20 lack addEventListener().
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- see above
    this.#channel.onmessage = (event: unknown): void => {
      const { data } = event as { readonly data?: unknown };
      if (this.#open && isMessage(data)) runGuarded(() => onMessage(data));
    };
    (this.#channel as unknown as { unref(): void }).unref();
  }

  post(message: Message): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- only a window has an origin
    if (this.#open) this.#channel.postMessage(message);
  }

  close(): void {
    this.#open = false;
    this.#channel.close();
  }
}

/**
 * For each worker that this thread starts from now on, calls `callback` with the thread id when the worker ends. The
 * returned function excludes the workers that are started after it was called.
 */
function onWorkerEnd(callback: (thread: number) => void): () => void {
  const onWorker = (worker: Worker): void => {
    const { threadId } = worker;
    worker.once("exit", () => runGuarded(() => callback(threadId)));
  };
  process.on("worker", onWorker);
  return () => void process.off("worker", onWorker);
}

/** Sends the table of a worker thread to the main thread, and answers the requests of the main thread. */
export class TableSender {
  readonly #table: SocketTable;
  readonly #recording: Recording;
  readonly #details: DetailReader;
  readonly #channel: Channel;
  readonly #stopWorkerEvents: () => void;
  readonly #onExit = (): void => runGuarded(() => this.close());
  /** The version of the table at the last update. */
  #sentVersion = 0;
  #open = true;

  constructor(table: SocketTable, recording: Recording, details: DetailReader) {
    this.#table = table;
    this.#recording = recording;
    this.#details = details;
    this.#channel = new Channel((message) => this.#receive(message));
    // A worker may start workers too, and the main thread gets no event when those end.
    this.#stopWorkerEvents = onWorkerEnd((thread) =>
      this.#channel.post({ to: "main", type: "closed", thread, ended: true }),
    );
    process.on("exit", this.#onExit);
  }

  /** Sends the changes since the last update. */
  update(): void {
    const { thread, version } = this.#table;
    const { whole, changed, removed } = this.#table.changesSince(this.#sentVersion);
    this.#sentVersion = version;
    if (!whole && changed.length === 0 && removed.length === 0) return;
    const { dropped } = this.#recording.ring;
    this.#channel.post({ to: "main", type: "table", thread, whole, changed, removed, dropped });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#channel.post({ to: "main", type: "closed", thread: this.#table.thread, ended: false });
    this.#stopWorkerEvents();
    process.off("exit", this.#onExit);
    this.#channel.close();
  }

  #receive(message: Message): void {
    if (message.to !== "workers") return;
    if (message.type === "sendTable") {
      // With version 0, the update has all rows.
      this.#sentVersion = 0;
      this.#table.refreshAll();
      this.update();
      return;
    }
    const [thread, number] = parseId(message.id);
    if (thread !== this.#table.thread) return;
    if (message.type === "watch") {
      this.#table.changeWatchers(number, message.change);
    } else {
      const row = this.#table.find(number);
      if (row !== undefined) this.#table.read(row);
      const detail = row === undefined ? null : this.#details.read(row);
      this.#channel.post({ to: "main", type: "detail", request: message.request, detail });
    }
  }
}

/** The rows of all workers, in the main thread. */
export class WorkerTables {
  readonly #rows = new Map<string, { readonly report: SocketReport; readonly version: number }>();
  readonly #removed = new Removals();
  /** From the thread id of each worker with an inspector to the number of records that its ring has overwritten. */
  readonly #dropped = new Map<number, number>();
  /** From the number of each request that waits for a detail to the function that settles the request. */
  readonly #requests = new Map<number, (detail: SocketDetail | null) => void>();
  /** The thread ids of workers that have ended, in the order in which they ended. */
  readonly #ended = new Set<number>();
  readonly #channel: Channel;
  readonly #stopWorkerEvents: () => void;
  readonly #nextVersion: () => number;
  #requestCount = 0;

  /** @param nextVersion returns the version of the next update */
  constructor(nextVersion: () => number) {
    this.#nextVersion = nextVersion;
    this.#channel = new Channel((message) => this.#receive(message));
    this.#stopWorkerEvents = onWorkerEnd((thread) => this.#workerEnded(thread));
    this.#channel.post({ to: "workers", type: "sendTable" });
  }

  /** The number of records that the rings of the workers have overwritten. */
  get dropped(): number {
    return [...this.#dropped.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The number of worker threads with an inspector. */
  get threadCount(): number {
    return this.#dropped.size;
  }

  reports(): SocketReport[] {
    return [...this.#rows.values()].map(({ report }) => report);
  }

  /** See {@link SocketTable.changesSince}. */
  changesSince(version: number): TableChanges {
    const removed = version === 0 ? undefined : this.#removed.idsSince(version);
    const whole = removed === undefined;
    const changed: SocketReport[] = [];
    for (const row of this.#rows.values()) if (whole || row.version > version) changed.push(row.report);
    // When a worker sends its whole table again, its rows are removed and then added again. So `removed` may have the
    // ids of rows that exist.
    return { whole, changed, removed: removed?.filter((id) => !this.#rows.has(id)) ?? [] };
  }

  /** The other end of the connection of `socket`; undefined if it is not a socket of a worker. */
  otherEnd(socket: SocketReport): SocketReport | undefined {
    for (const { report } of this.#rows.values()) {
      if (report.id !== socket.id && areEnds(socket, report)) return report;
    }
    return undefined;
  }

  /** See {@link SocketTable.changeWatchers}. */
  changeWatchers(id: string, change: 1 | -1): void {
    this.#channel.post({ to: "workers", type: "watch", id, change });
  }

  /** Resolves with null if the worker has no such socket, or does not answer within `timeout` (ms). */
  requestDetail(id: string, timeout: number = DETAIL_TIMEOUT): Promise<SocketDetail | null> {
    const request = ++this.#requestCount;
    return new Promise((resolve) => {
      const settle = (detail: SocketDetail | null): void => {
        clearTimeout(timer);
        this.#requests.delete(request);
        resolve(detail);
      };
      const timer = setTimeout(settle, timeout, null);
      timer.unref();
      this.#requests.set(request, settle);
      this.#channel.post({ to: "workers", type: "detail", id, request });
    });
  }

  /** Closes the channel, and clears all rows. */
  close(): void {
    this.#stopWorkerEvents();
    this.#channel.close();
    for (const settle of this.#requests.values()) settle(null);
    this.#rows.clear();
    this.#removed.clear();
    this.#dropped.clear();
    this.#ended.clear();
  }

  #receive(message: Message): void {
    if (message.to !== "main") return;
    if (message.type === "detail") {
      const settle = this.#requests.get(message.request);
      settle?.(message.detail);
    } else if (message.type === "closed") {
      if (message.ended) this.#workerEnded(message.thread);
      else this.#removeRows(message.thread);
    } else if (!this.#ended.has(message.thread)) {
      const version = this.#nextVersion();
      if (message.whole) this.#removeRows(message.thread);
      this.#dropped.set(message.thread, message.dropped);
      for (const id of message.removed) this.#remove(id, version);
      for (const report of message.changed) this.#rows.set(report.id, { report, version });
    }
  }

  /** Removes the rows of a worker that has ended. Its last messages may arrive later, and must not add rows again. */
  #workerEnded(thread: number): void {
    this.#removeRows(thread);
    this.#ended.add(thread);
    if (this.#ended.size <= MAX_ENDED) return;
    const [oldest] = this.#ended;
    this.#ended.delete(oldest!);
  }

  #removeRows(thread: number): void {
    const version = this.#nextVersion();
    for (const id of this.#rows.keys()) if (id.startsWith(`${thread}:`)) this.#remove(id, version);
    this.#dropped.delete(thread);
  }

  #remove(id: string, version: number): void {
    if (this.#rows.delete(id)) this.#removed.add(id, version);
  }
}
