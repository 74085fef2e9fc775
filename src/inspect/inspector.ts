// The inspector of a process: it starts the recording, looks at the table once a second, and sends it to pages, to a file
// and between threads.

import { clock, workerThreads } from "../builtins.js";
import { guarded } from "./guard.js";
import { HeadlessWriter } from "./headless.js";
import { type InspectorOptions, type InspectorSettings, readSettings } from "./inspectOptions.js";
import { InspectServer, type InspectSource } from "./inspectServer.js";
import type { SocketDetail, SocketReport, TableUpdate } from "./protocol.js";
import { Recording } from "./recording.js";
import { makeHandlers } from "./routes.js";
import { DetailReader } from "./socketDetail.js";
import { dateOf } from "./socketRow.js";
import { SocketTable } from "./socketTable.js";
import { captureName, TrafficCapture } from "./trafficCapture.js";
import { MainSide, WorkerSide } from "./threads.js";

const PERIOD = 1000;
/**
 * How long, in ms, a page waits for the calls that a worker thread made on the other end. A page asks each second: it shows
 * the calls of its own socket meanwhile.
 */
const PAGE_PATIENCE = 250;

// Members that users must not reach.
let create: (settings: InspectorSettings) => Inspector;
let listen: (inspector: Inspector) => Promise<void>;

/** The inspector that {@link startInspector} has started. */
export class Inspector implements AsyncDisposable {
  readonly #recording: Recording;
  readonly #table: SocketTable;
  readonly #details: DetailReader;
  readonly #timer: NodeJS.Timeout;
  readonly #workers: MainSide | undefined;
  readonly #main: WorkerSide | undefined;
  readonly #settings: InspectorSettings;
  readonly #onExit = (): void => guarded(() => this.#finish());
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
        const path = captureName(settings.record, isMainThread ? 0 : threadId, process.env);
        this.#capture = this.#recording.observer = new TrafficCapture(path, this.#recording.kernel);
      } catch (error) {
        this.#recording.stop();
        this.#writer?.close();
        throw error;
      }
    }
    this.#table = new SocketTable(isMainThread ? 0 : threadId, this.#recording, settings);
    this.#details = new DetailReader(this.#table, this.#recording, settings.redact);
    if (isMainThread) this.#workers = new MainSide(() => this.#table.version + 1);
    else this.#main = new WorkerSide(this.#table, this.#recording, this.#details);
    this.#timer = setInterval(() => guarded(() => this.#tick()), PERIOD);
    this.#timer.unref();
    process.on("exit", this.#onExit);
  }

  static {
    create = (settings) => new Inspector(settings);
    listen = (inspector) => inspector.#listen();
  }

  /** Opens the page. */
  async #listen(): Promise<void> {
    if (this.#workers === undefined || this.#writer !== undefined) return;
    const server = new InspectServer(this.#source(), makeHandlers());
    await server.listen(this.#settings.port);
    this.#server = server;
  }

  /** The address of the page, with the token. Undefined without a page: headless, or in a worker thread. */
  get url(): string | undefined {
    return this.#closed ? undefined : this.#server?.url;
  }

  /** Records of calls that the ring had no room for. */
  get dropped(): number {
    return this.#recording.ring.dropped + (this.#workers?.dropped ?? 0);
  }

  /**
   * The sockets of this thread, and in the main thread those of the workers that have the inspector, as they were at
   * their last update.
   */
  sockets(): SocketReport[] {
    if (this.#closed) return [];
    this.#table.look(true);
    return [...this.#table.reports(), ...(this.#workers?.reports() ?? [])];
  }

  /**
   * Samples, calls and options of a socket, by the id of its report; null if it is gone. A worker thread that is blocked for
   * more than 5 seconds counts as gone: its socket is null, and its end of a connection has no calls.
   */
  socket(id: string): Promise<SocketDetail | null> {
    return this.#bothEnds(id);
  }

  /** @param patience how long, in ms, to wait for the thread of the other end; undefined: as long as for the first one */
  async #bothEnds(id: string, patience?: number): Promise<SocketDetail | null> {
    if (this.#closed) return null;
    const detail = await this.#detail(id);
    if (detail === null || detail.other !== null || this.#closed) return detail;
    // The thread of the socket has looked among its own sockets.
    const { socket } = detail;
    const own = socket.thread === this.#table.thread ? undefined : this.#table.otherEnd(socket);
    const other = own ?? this.#workers?.otherEnd(socket);
    return other === undefined ? detail : withOther(detail, other, await this.#detail(other.id, patience));
  }

  async #detail(id: string, patience?: number): Promise<SocketDetail | null> {
    const [thread, number] = id.split(":").map(Number);
    if (thread !== this.#table.thread) return (await this.#workers?.detail(id, patience)) ?? null;
    const row = this.#table.find(number ?? 0);
    if (row === undefined) return null;
    this.#table.read(row);
    return this.#details.read(row);
  }

  /** Stops recording, closes the page, and forgets everything. */
  async close(): Promise<void> {
    if (this.#closed) return;
    guarded(() => this.#finish());
    this.#closed = true;
    clearInterval(this.#timer);
    process.off("exit", this.#onExit);
    // First the server: the end of its pages is told to the workers.
    const server = this.#server?.close();
    this.#server = undefined;
    for (const part of [this.#workers, this.#main, this.#writer, this.#capture]) guarded(() => part?.close());
    this.#recording.stop();
    this.#table.clear();
    await server;
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
      update: (since) => this.#update(since),
      sockets: () => this.sockets(),
      detail: (id) => this.socket(id),
      pageDetail: (id) => this.#bothEnds(id, PAGE_PATIENCE),
      watch: (id, on) => this.#watch(id, on),
    };
  }

  #tick(): void {
    // JSON lines begin with a whole table, and all of it is read.
    this.#table.look(this.#writer !== undefined && this.#table.version === 0);
    this.#main?.update();
    this.#server?.sendTable();
    this.#writer?.update(this.#table.version, (since) => this.#update(since));
  }

  #finish(): void {
    if (this.#closed) return;
    guarded(() => this.#capture?.flush());
    this.#table.look(true);
    this.#writer?.finish(this.#table.version, (since) => this.#update(since));
  }

  #update(since: number): TableUpdate {
    const own = this.#table.since(since);
    const remote = this.#workers?.since(own.whole ? 0 : since);
    // A receiver that is too far behind for one of the two gets all of both.
    if (remote?.whole === true && !own.whole) return this.#update(0);
    const { whole, changed, removed } = own;
    const { pid, title, version: node } = process;
    return {
      time: dateOf(clock()),
      whole,
      changed: remote === undefined ? changed : [...changed, ...remote.changed],
      removed: remote === undefined || whole ? removed : [...removed, ...remote.removed],
      dropped: this.dropped,
      process: { pid, title, node, threads: 1 + (this.#workers?.threads ?? 0) },
    };
  }

  #watch(id: string, on: boolean): void {
    const [thread, number] = id.split(":").map(Number);
    if (thread === this.#table.thread) this.#table.watch(number ?? 0, on);
    else this.#workers?.watch(id, on);
  }
}

/** The detail of a socket with that of its other end, from another thread; null if that thread does not answer. */
function withOther(detail: SocketDetail, other: SocketReport, its: SocketDetail | null): SocketDetail {
  const known = new Set(detail.calls.map(({ socket, sequence }) => `${socket} ${sequence}`));
  const more = its?.calls.filter(({ socket, sequence }) => !known.has(`${socket} ${sequence}`)) ?? [];
  const calls = [...detail.calls, ...more].sort((one, next) => one.start - next.start);
  return { ...detail, other: its?.socket ?? other, calls };
}

let running: Inspector | undefined;

/**
 * Starts the inspector of this process: it records the calls of sockets from now on, and serves a page on 127.0.0.1 that
 * shows them. It keeps nothing alive, and changes nothing of what the program does. In a worker thread it serves no page:
 * it sends the sockets of the thread to the inspector of the main thread.
 *
 * `node --import berkeley/inspect app.js` starts it without a change of the program, in worker threads too. A call of this
 * function starts it in its own thread alone: a worker thread has it if it calls this function too, or if its `execArgv` has
 * `--import berkeley/inspect`.
 *
 * @throws TypeError or RangeError for a wrong option; Error if it runs already
 * @throws the error of Node if the port is taken or a file can't be opened
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
    throw new Error("Cannot start the inspector: it runs in this thread, required one that is closed");
  }
  const inspector = create(settings);
  running = inspector;
  try {
    await listen(inspector);
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
