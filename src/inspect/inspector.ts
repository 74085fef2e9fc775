// The inspector of a thread: it starts the recording, refreshes the table once a second, and sends the changes to
// pages, to a file, or from a worker to the main thread.

import { clock, workerThreads } from "../builtins.js";
import { runGuarded } from "./guard.js";
import { HeadlessWriter } from "./headless.js";
import { type InspectorOptions, type InspectorSettings, readSettings } from "./inspectOptions.js";
import { InspectServer, type InspectSource } from "./inspectServer.js";
import type { SocketDetail, SocketReport, TableUpdate } from "./protocol.js";
import { Recording } from "./recording.js";
import { makeHandlers } from "./routes.js";
import { DetailReader } from "./socketDetail.js";
import { dateOf, parseId } from "./socketRow.js";
import { SocketTable } from "./socketTable.js";
import { capturePath, TrafficCapture } from "./trafficCapture.js";
import { TableSender, WorkerTables } from "./threads.js";

/** Milliseconds between two refreshes of the table. */
const REFRESH_PERIOD = 1000;
/**
 * How long, in ms, the detail for a page waits for the thread of the other end of the connection. After that, the page
 * shows the calls of its socket alone. The time is short, because the page gets the detail again twice a second.
 */
const PAGE_TIMEOUT = 250;

// Functions that use private members of Inspector, for startInspector().
let createInspector: (settings: InspectorSettings) => Inspector;
let startServer: (inspector: Inspector) => Promise<void>;

/** The inspector that {@link startInspector} has started. */
export class Inspector implements AsyncDisposable {
  readonly #recording: Recording;
  readonly #table: SocketTable;
  readonly #details: DetailReader;
  readonly #timer: NodeJS.Timeout;
  /** In the main thread: the sockets of the workers. */
  readonly #workers: WorkerTables | undefined;
  /** In a worker: sends the sockets to the main thread. */
  readonly #sender: TableSender | undefined;
  readonly #settings: InspectorSettings;
  readonly #onExit = (): void => runGuarded(() => this.#finish());
  #server: InspectServer | undefined;
  #writer: HeadlessWriter | undefined;
  readonly #capture: TrafficCapture | undefined;
  #closed = false;

  private constructor(settings: InspectorSettings) {
    const { isMainThread, threadId } = workerThreads();
    this.#settings = settings;
    if (isMainThread && settings.headless !== undefined) this.#writer = new HeadlessWriter(settings.headless);
    this.#recording = new Recording(settings);
    if (settings.record !== undefined) {
      try {
        const path = capturePath(settings.record, isMainThread ? 0 : threadId, process.env);
        this.#capture = this.#recording.observer = new TrafficCapture(path, this.#recording.kernel);
      } catch (error) {
        this.#recording.stop();
        this.#writer?.close();
        throw error;
      }
    }
    this.#table = new SocketTable(isMainThread ? 0 : threadId, this.#recording, settings);
    this.#details = new DetailReader(this.#table, this.#recording, settings.redact);
    if (isMainThread) this.#workers = new WorkerTables(() => this.#table.version + 1);
    else this.#sender = new TableSender(this.#table, this.#recording, this.#details);
    this.#timer = setInterval(() => runGuarded(() => this.#refresh()), REFRESH_PERIOD);
    this.#timer.unref();
    process.on("exit", this.#onExit);
  }

  static {
    createInspector = (settings) => new Inspector(settings);
    startServer = (inspector) => inspector.#startServer();
  }

  /** Starts the server of the page, unless the inspector is headless or in a worker. */
  async #startServer(): Promise<void> {
    if (this.#workers === undefined || this.#writer !== undefined) return;
    const server = new InspectServer(this.#source(), makeHandlers());
    await server.listen(this.#settings.port);
    this.#server = server;
  }

  /** The address of the page, with the token. Undefined without a page: headless, or in a worker thread. */
  get url(): string | undefined {
    return this.#closed ? undefined : this.#server?.url;
  }

  /** The number of call records that were overwritten. */
  get dropped(): number {
    return this.#recording.ring.dropped + (this.#workers?.dropped ?? 0);
  }

  /**
   * The sockets of this thread. In the main thread also the sockets of workers with an inspector, as of their last
   * update.
   */
  sockets(): SocketReport[] {
    if (this.#closed) return [];
    this.#table.refreshAll();
    return [...this.#table.reports(), ...(this.#workers?.reports() ?? [])];
  }

  /**
   * Samples, calls and options of a socket, by the id of its report; null if the socket is gone. A worker thread that
   * blocks for more than 5 seconds counts as gone: the result for its sockets is null, and its end of a connection has
   * no calls.
   */
  socket(id: string): Promise<SocketDetail | null> {
    return this.#readBothEnds(id);
  }

  /** @param timeout how long, in ms, to wait for the thread of the other end. Default: 5 seconds */
  async #readBothEnds(id: string, timeout?: number): Promise<SocketDetail | null> {
    if (this.#closed) return null;
    const detail = await this.#readDetail(id);
    if (detail === null || detail.other !== null || this.#closed) return detail;
    // The thread of this socket has found no other end among its own sockets.
    const { socket } = detail;
    const localEnd = socket.thread === this.#table.thread ? undefined : this.#table.otherEnd(socket);
    const other = localEnd ?? this.#workers?.otherEnd(socket);
    return other === undefined ? detail : withOther(detail, other, await this.#readDetail(other.id, timeout));
  }

  /** Reads the detail of a socket of this thread, or requests it from the worker that has the socket. */
  async #readDetail(id: string, timeout?: number): Promise<SocketDetail | null> {
    const [thread, number] = parseId(id);
    if (thread !== this.#table.thread) return (await this.#workers?.requestDetail(id, timeout)) ?? null;
    const row = this.#table.find(number);
    if (row === undefined) return null;
    this.#table.read(row);
    return this.#details.read(row);
  }

  /** Stops recording, closes the server of the page, and clears all records. */
  async close(): Promise<void> {
    if (this.#closed) return;
    runGuarded(() => this.#finish());
    this.#closed = true;
    clearInterval(this.#timer);
    process.off("exit", this.#onExit);
    // The server is closed first, because it sends messages to the workers when it closes its pages.
    const serverClosed = this.#server?.close();
    this.#server = undefined;
    for (const part of [this.#workers, this.#sender, this.#writer, this.#capture]) runGuarded(() => part?.close());
    this.#recording.stop();
    this.#table.clear();
    await serverClosed;
    if (running === this) running = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #source(): InspectSource {
    const table = this.#table;
    return {
      get version(): number {
        return table.version;
      },
      updateSince: (version) => this.#updateSince(version),
      sockets: () => this.sockets(),
      detail: (id) => this.socket(id),
      pageDetail: (id) => this.#readBothEnds(id, PAGE_TIMEOUT),
      changeWatchers: (id, change) => this.#changeWatchers(id, change),
    };
  }

  /** Refreshes the table, and sends the changes. */
  #refresh(): void {
    // The first JSON line has the whole table, so all rows are read from the kernel.
    if (this.#writer !== undefined && this.#table.version === 0) this.#table.refreshAll();
    else this.#table.refresh();
    this.#sender?.update();
    this.#server?.sendTable();
    this.#writer?.update(this.#table.version, (version) => this.#updateSince(version));
  }

  /** Writes the last data of the capture and the last JSON line, when the inspector is closed or the process exits. */
  #finish(): void {
    if (this.#closed) return;
    runGuarded(() => this.#capture?.flush());
    this.#table.refreshAll();
    this.#writer?.finish(this.#table.version, (version) => this.#updateSince(version));
  }

  /** The changes of the sockets of all threads since a version of the table. */
  #updateSince(version: number): TableUpdate {
    const own = this.#table.changesSince(version);
    const ofWorkers = this.#workers?.changesSince(own.whole ? 0 : version);
    // The receiver removes all rows before it adds those of a whole update. So the update has all rows of both tables,
    // or only the changes of both.
    if (ofWorkers?.whole === true && !own.whole) return this.#updateSince(0);
    const { whole, changed, removed } = own;
    const { pid, title, version: node } = process;
    return {
      time: dateOf(clock()),
      whole,
      changed: ofWorkers === undefined ? changed : [...changed, ...ofWorkers.changed],
      removed: ofWorkers === undefined || whole ? removed : [...removed, ...ofWorkers.removed],
      dropped: this.dropped,
      process: { pid, title, node, threads: 1 + (this.#workers?.threadCount ?? 0) },
    };
  }

  #changeWatchers(id: string, change: 1 | -1): void {
    const [thread, number] = parseId(id);
    if (thread === this.#table.thread) this.#table.changeWatchers(number, change);
    else this.#workers?.changeWatchers(id, change);
  }
}

/**
 * Adds the other end of a connection, and its calls, to the detail of a socket. `otherDetail` is null if the thread of
 * the other end did not answer.
 */
function withOther(detail: SocketDetail, other: SocketReport, otherDetail: SocketDetail | null): SocketDetail {
  const known = new Set(detail.calls.map(({ socket, sequence }) => `${socket} ${sequence}`));
  const more = otherDetail?.calls.filter(({ socket, sequence }) => !known.has(`${socket} ${sequence}`)) ?? [];
  const calls = [...detail.calls, ...more].sort((one, next) => one.start - next.start);
  return { ...detail, other: otherDetail?.socket ?? other, calls };
}

/** The inspector of this thread; undefined before the start and after close(). */
let running: Inspector | undefined;

/**
 * Starts the inspector of this process: it records the calls of sockets from now on, and serves a page on 127.0.0.1
 * that shows the sockets. The inspector does not keep the process alive, and does not change the behaviour of the
 * program. In a worker thread, the inspector serves no page, and sends the sockets of the thread to the inspector of
 * the main thread.
 *
 * `node --import berkeley/inspect app.js` starts the inspector without a change of the program, in worker threads too.
 * This function starts it only in the calling thread. A worker thread must also call this function, or have
 * `--import berkeley/inspect` in its `execArgv`.
 *
 * @throws TypeError or RangeError for a wrong option; Error if an inspector runs in this thread already
 * @throws the error of Node.js if the port is taken or a file can't be opened
 * @example
 * ```ts
 * import { socketpair } from "berkeley";
 * import { startInspector } from "berkeley/inspect";
 *
 * await using inspector = await startInspector();
 * console.log(inspector.url?.startsWith("http://127.0.0.1:")); // prints: true
 * const [left, right] = socketpair();
 * await left.sendAll("hello");
 * for (const { family, sent } of inspector.sockets()) console.log(family, sent.bytes);
 * // prints: AF_UNIX 5
 * left.close();
 * right.close();
 * ```
 */
export async function startInspector(opts: InspectorOptions = {}): Promise<Inspector> {
  const settings = readSettings(opts);
  if (running !== undefined) {
    throw new Error(
      "Cannot start the inspector: it runs in this thread already, call close() of the running one first",
    );
  }
  const inspector = createInspector(settings);
  running = inspector;
  try {
    await startServer(inspector);
  } catch (error) {
    await inspector.close();
    throw error;
  }
  return inspector;
}

/**
 * The sockets of this process, as the page shows them: {@link Inspector.sockets} of the inspector that runs.
 *
 * @throws Error if no inspector runs in this thread
 */
export function sockets(): SocketReport[] {
  if (running === undefined) {
    throw new Error(
      "Cannot list the sockets: the inspector does not run, required startInspector() or --import berkeley/inspect",
    );
  }
  return running.sockets();
}
