// The slot of a worker: the thread or process that runs now, and its connections. When a worker has ended, the slot
// starts another one.

import type { WorkerRecords } from "./workerRecords.js";
import { clock } from "../builtins.js";
import { type AcceptedConnection, ConnectionChannel, type ForeignDescriptor } from "../net/serverAccess.js";
import { type HostEnd, inheritedDescriptor, startProcess, startThread, type WorkerHost } from "./workerHost.js";
import {
  errorOfCopy,
  type FromWorker,
  NO_COUNTS,
  type ToWorker,
  type WorkerCounts,
  type WorkerStart,
} from "./workerMessages.js";
import type { CheckedWorkers } from "./workerOptions.js";

/**
 * - `starting`: the worker loads the module
 * - `ready`: it takes connections
 * - `ending`: the server has requested the end of the worker
 * - `down`: the worker has ended; a timer may be set for the next one
 */
export type WorkerState = "starting" | "ready" | "ending" | "down";

/** How a worker has ended. */
export interface WorkerEnd extends HostEnd {
  readonly id: number;
  /** Whether the server has requested the end, and the worker has not failed. */
  readonly expected: boolean;
  /** The number of connections that have ended with it. */
  readonly lost: number;
  /** Connections that were sent to the worker, and that it had not taken. */
  readonly untaken: readonly AcceptedConnection[];
}

/** The server of the workers. */
export interface WorkerOwner {
  readonly opts: CheckedWorkers;
  /** The module that exports `serveWorkers`. */
  readonly url: string;
  /** The fields of the first message that are the same for all workers. */
  readonly common: Pick<WorkerStart, "module" | "idStep" | "copy">;
  /** Whether the workers keep the process alive. */
  readonly keepsAlive: boolean;
  /** Whether another worker takes the place of one that has ended. */
  readonly restarts: boolean;
  onReady(slot: WorkerSlot): void;
  /** The worker of a slot can take connections again. */
  onAvailable(): void;
  /** The key under which a connection is counted. */
  keyOf(connection: AcceptedConnection): string | undefined;
  /** Connections of a worker have ended. If connections are counted by client, `keys` has the key of each. */
  onConnectionsEnded(count: number, keys: readonly string[]): void;
  readonly records: WorkerRecords;
  onMessage(slot: WorkerSlot, message: FromWorker): void;
  /** `restartIn` is the pause before the next worker. */
  onWorkerEnded(slot: WorkerSlot, end: WorkerEnd, restartIn: number | undefined): void;
}

/** Milliseconds from the message "abort" to the end by force. */
const ABORT_GRACE = 500;
/** Milliseconds from "abort" to the end by force for a worker that is still loading its module. */
const START_GRACE = 5000;
/** The pause before a restart is the shortest again if the ended worker has run for this many milliseconds. */
const STABLE_AFTER = 10_000;
/** With `reusePort`: the number of connection ids for each thread or process that a slot starts. */
const ID_RANGE = 1_000_000_000;
/** Milliseconds before another attempt after the kernel has refused to put a descriptor into a channel. */
const REFUSED_PAUSE = 20;

export class WorkerSlot {
  /** From 1 on. */
  readonly number: number;
  state: WorkerState = "down";
  /** How often the slot has started another worker. */
  restarted = 0;
  /** The counters of earlier workers in this slot, and those of the running one. */
  readonly #earlierCounts: { -readonly [K in keyof WorkerCounts]: WorkerCounts[K] } = { ...NO_COUNTS };
  #counts: WorkerCounts = NO_COUNTS;
  /** The number of connections that the worker has, or that are in its channel. */
  #openCount = 0;
  /** For the limits by client: the number of these connections for each key of a client. */
  readonly #countsByKey = new Map<string, number>();
  /** How many connections were sent to the workers of this slot, and how many of these no worker has taken. */
  #sent = 0;
  #untaken = 0;
  readonly #owner: WorkerOwner;
  /** The descriptor of the worker's listening socket, with `reusePort`. */
  readonly #listening: number | undefined;
  #host: WorkerHost | undefined;
  #channel: ConnectionChannel | undefined;
  /** Whether the channel takes no connection now: its buffer is full, or the kernel has refused a descriptor. */
  #blocked = false;
  #startedAt = 0;
  /** The number of restarts since a worker has run for `STABLE_AFTER`. The next pause depends on it. */
  #failures = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  /** The timer that ends the worker by force. */
  #killTimer: NodeJS.Timeout | undefined;
  /** The error with which the worker has failed to start, or the reason why the server ends it. */
  #reason: { readonly error: unknown } | undefined;
  /** The time of a ping that is not answered yet. */
  #pingedAt: number | undefined;
  /** Whether the worker has ended, and the slot still takes back the connections that it had not taken. */
  #takingBack = false;

  constructor(owner: WorkerOwner, number: number, listening: number | undefined) {
    this.#owner = owner;
    this.number = number;
    this.#listening = listening;
  }

  /** The id of the thread or the process; undefined if none runs. */
  get id(): number | undefined {
    return this.#host?.id;
  }

  get connections(): number {
    return this.#listening === undefined ? this.#openCount : this.#counts.connections;
  }

  get available(): boolean {
    return this.state === "ready" && !this.#blocked;
  }

  /** Whether a worker runs, or the slot still takes back the connections of an ended one. */
  get active(): boolean {
    return this.state !== "down" || this.#takingBack;
  }

  /** Whether another worker will start. */
  get restarting(): boolean {
    return this.#restartTimer !== undefined;
  }

  get counts(): WorkerCounts {
    const counts = { ...this.#earlierCounts };
    for (const name of Object.keys(counts) as (keyof WorkerCounts)[]) counts[name] += this.#counts[name];
    // A worker that crashes can't report its latest connections, so the slot counts the connections itself.
    if (this.#listening === undefined) counts.accepted = this.#sent - this.#untaken;
    return counts;
  }

  start(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
    this.state = "starting";
    this.#reason = undefined;
    this.#pingedAt = undefined;
    this.#startedAt = clock();
    try {
      this.#channel = new ConnectionChannel();
      this.#host = this.#startHost(this.#channel);
      this.setKeepsAlive(this.#owner.keepsAlive);
    } catch (error) {
      // No descriptor or thread is free. The owner expects no call during start(), so it gets the end in a microtask.
      queueMicrotask(() => void this.#ended({ code: null, signal: null, error }));
    }
  }

  #startHost(channel: ConnectionChannel): WorkerHost {
    const { opts, url, common } = this.#owner;
    const { limits, streams, tls, data, onError, onHandshakeError } = opts;
    const listening = this.#listening;
    const descriptors = [channel.descriptor, ...(listening === undefined ? [] : [listening])];
    // How the worker gets the descriptor at this index.
    const foreignDescriptor = (index: number): ForeignDescriptor =>
      opts.processes ? inheritedDescriptor(index) : { fd: descriptors[index]!, shared: true };
    const start: WorkerStart = {
      ...common,
      worker: this.number,
      // With a listening socket of the worker, the slot does not know how many ids the earlier workers have used.
      firstId: this.number + (listening === undefined ? this.#sent : this.restarted * ID_RANGE) * common.idStep,
      channel: foreignDescriptor(0),
      listening: listening === undefined ? undefined : foreignDescriptor(1),
      limits,
      streams,
      tls,
      data,
      reportsErrors: onError !== undefined || opts.serve.log !== undefined,
      reportsHandshakes: onHandshakeError !== undefined,
      reportsClosed: this.#owner.records.wanted,
    };
    const owner = {
      onMessage: (message: FromWorker): void => this.#received(message),
      onEnded: (end: HostEnd): void => void this.#ended(end),
    };
    if (opts.processes) return startProcess(url, start, descriptors, owner);
    return startThread(url, start, opts.resourceLimits, owner);
  }

  #received(message: FromWorker): void {
    switch (message.type) {
      case "ready":
        if (this.state !== "starting") return;
        this.state = "ready";
        // The worker could not answer while it loaded its module.
        this.#pingedAt = undefined;
        this.#owner.onReady(this);
        return;
      case "failed":
        this.#reason = { error: errorOfCopy(message.error) };
        return;
      case "pong":
        this.#pingedAt = undefined;
        return;
      case "report":
        this.#counts = message.counts;
        this.#owner.records.report(this.number, message.closed);
        if (this.#listening !== undefined || message.ended === 0) return;
        this.#connectionsEnded(message.ended, message.keys);
        return;
      default:
        this.#owner.onMessage(this, message);
    }
  }

  #connectionsEnded(count: number, keys: readonly string[]): void {
    this.#openCount -= count;
    for (const key of keys) this.#uncount(key);
    this.#owner.onConnectionsEnded(count, keys);
  }

  #uncount(key: string): void {
    const count = this.#countsByKey.get(key) ?? 0;
    if (count > 1) this.#countsByKey.set(key, count - 1);
    else this.#countsByKey.delete(key);
  }

  /** Hands a connection over. Returns false if the worker takes none now. */
  give(connection: AcceptedConnection, key: string | undefined): boolean {
    const channel = this.#channel!;
    try {
      if (channel.send(connection)) {
        this.#openCount++;
        this.#sent++;
        if (key !== undefined) this.#countsByKey.set(key, (this.#countsByKey.get(key) ?? 0) + 1);
        return true;
      }
      this.#blockUntil(channel.whenWritable(), channel);
    } catch {
      // ETOOMANYREFS or another shortage. The kernel sends no event at its end, so a timer retries.
      this.#blockUntil(new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE)), channel);
    }
    return false;
  }

  /** Makes the worker unavailable until `unblocked` is settled. */
  #blockUntil(unblocked: Promise<void>, channel: ConnectionChannel): void {
    this.#blocked = true;
    const proceed = (): void => {
      // The worker may have ended in the meantime.
      if (channel !== this.#channel) return;
      this.#blocked = false;
      this.#owner.onAvailable();
    };
    unblocked.then(proceed, proceed);
  }

  /** Ends the channel: the worker serves the connections that it has, and ends. Aborts a worker that still starts. */
  finish(): void {
    if (this.state === "starting") return this.abort();
    if (this.state !== "ready") return;
    this.state = "ending";
    this.#channel!.finish();
  }

  /** Resets all connections of the worker. Ends it by force if it does not end. */
  abort(): void {
    this.cancelRestart();
    if (this.state === "down" || this.#killTimer !== undefined) return;
    // A thread that is terminated while it loads modules leaves their files open.
    const grace = this.state === "starting" ? START_GRACE : ABORT_GRACE;
    this.state = "ending";
    this.#send({ type: "abort" });
    this.#killTimer = setTimeout(() => this.#host?.kill(), grace);
  }

  /** Ends the worker by force. `error` is the reason that the owner gets. */
  fail(error: unknown): void {
    this.#reason = { error };
    this.#host?.kill();
  }

  cancelRestart(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
  }

  /** Makes the worker begin or stop making records of ended connections. */
  observe(closed: boolean): void {
    this.#send({ type: "observe", closed });
  }

  #send(message: ToWorker): void {
    this.#host?.send(message);
  }

  /** Sends a ping if none is pending. Returns the time of the pending ping, or `now` if no worker runs. */
  ping(now: number): number {
    if (this.state === "down") return now;
    if (this.#pingedAt === undefined) {
      this.#pingedAt = now;
      this.#send({ type: "ping" });
    }
    return this.#pingedAt;
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.#host?.setKeepsAlive(keepsAlive);
    if (keepsAlive) {
      this.#channel?.ref();
      this.#restartTimer?.ref();
    } else {
      this.#channel?.unref();
      this.#restartTimer?.unref();
    }
  }

  async #ended(end: HostEnd): Promise<void> {
    // After finish(), another status than 0 is a crash. After abort(), every end is requested.
    const requested = this.state === "ending" && (end.code === 0 || this.#killTimer !== undefined);
    const channel = this.#channel;
    const id = this.#host?.id ?? -1;
    clearTimeout(this.#killTimer);
    this.#killTimer = undefined;
    this.#host = undefined;
    this.#blocked = false;
    this.state = "down";
    this.#takingBack = true;
    const untaken = channel === undefined ? [] : await channel.takeBack();
    this.#channel = undefined;
    channel?.close();
    this.#takingBack = false;
    // Untaken connections are not lost: the server gives them to another worker.
    this.#openCount -= untaken.length;
    this.#untaken += untaken.length;
    for (const connection of untaken) this.#uncount(this.#owner.keyOf(connection) ?? "");
    const lost = this.connections;
    this.#addCounts();
    if (this.#listening === undefined) {
      this.#connectionsEnded(
        lost,
        [...this.#countsByKey].flatMap(([key, count]) => Array<string>(count).fill(key)),
      );
    }
    const expected = requested && this.#reason === undefined;
    const error = this.#reason === undefined ? end.error : this.#reason.error;
    const restartIn = expected || !this.#owner.restarts ? undefined : this.restart();
    this.#owner.onWorkerEnded(this, { ...end, id, error, expected, lost, untaken }, restartIn);
  }

  /** Adds the counters of the ended worker to those of earlier workers. */
  #addCounts(): void {
    const { connections: _, ...counts } = this.#counts;
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) this.#earlierCounts[name] += counts[name];
    this.#counts = NO_COUNTS;
  }

  /** Starts another worker after a pause. Returns the pause in milliseconds. */
  restart(): number {
    const { minRestartDelay, maxRestartDelay } = this.#owner.opts;
    if (clock() - this.#startedAt >= STABLE_AFTER) this.#failures = 0;
    const delay = Math.min(maxRestartDelay, minRestartDelay * 2 ** this.#failures++);
    this.#restartTimer = setTimeout(() => {
      this.restarted++;
      this.start();
    }, delay);
    if (!this.#owner.keepsAlive) this.#restartTimer.unref();
    return delay;
  }
}

/**
 * The available worker with the fewest connections. If several have equally few, the first one from index `from` on;
 * index 0 follows the highest index.
 */
export function leastLoaded(slots: readonly WorkerSlot[], from: number): WorkerSlot | undefined {
  let best: WorkerSlot | undefined;
  for (let step = 0; step < slots.length; step++) {
    const slot = slots[(from + step) % slots.length]!;
    if (slot.available && (best === undefined || slot.connections < best.connections)) best = slot;
  }
  return best;
}
