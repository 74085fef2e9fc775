// The slot of a worker: the thread or process that runs now, and its connections. When a worker has ended, the slot
// starts another one.

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
import type { WorkerOwner, WorkerState } from "./workerOwner.js";

/** Milliseconds from the message "abort" to the end by force. */
const ABORT_GRACE = 500;
/** Milliseconds from "abort" to the end by force for a worker that is still loading its module. */
const START_GRACE = 5000;
/** The pause before a restart is the shortest again if the ended worker has run for this many milliseconds. */
const STABLE_AFTER = 10_000;
/** With `reusePort`: the number of connection ids that each thread or process of a slot may use. */
const ID_RANGE = 1_000_000_000;
/** Milliseconds before another attempt after the kernel has refused to put a descriptor into a channel. */
const REFUSED_PAUSE = 20;

export class WorkerSlot {
  /** From 1 on. */
  readonly number: number;
  state: WorkerState = "down";
  /** How often the slot has started another worker. */
  restartCount = 0;
  /** The sums of the counters of earlier workers in this slot. */
  readonly #earlierCounts: { -readonly [K in keyof WorkerCounts]: WorkerCounts[K] } = { ...NO_COUNTS };
  /** The counters that the running worker has reported. */
  #counts: WorkerCounts = NO_COUNTS;
  /** The number of connections that the worker has, or that are in its channel. */
  #openCount = 0;
  /** The number of these connections by client key. Empty if clients are not counted. */
  readonly #openCountByKey = new Map<string, number>();
  /** The number of connections that were sent to the workers of this slot. */
  #sentCount = 0;
  /** How many of them were taken back, because their worker ended before it took them. */
  #untakenCount = 0;
  readonly #owner: WorkerOwner;
  /** The descriptor of the worker's listening socket. Undefined exactly without `reusePort`. */
  readonly #listeningFd: number | undefined;
  #host: WorkerHost | undefined;
  #channel: ConnectionChannel | undefined;
  /** Whether the channel takes no connection now: its buffer is full, or the kernel has refused a descriptor. */
  #blocked = false;
  #startedAt = 0;
  /** The number of restarts since a worker has run for `STABLE_AFTER`. Each of them doubles the next pause. */
  #quickRestarts = 0;
  #restartTimer: NodeJS.Timeout | undefined;
  /** The timer that ends the worker by force. */
  #killTimer: NodeJS.Timeout | undefined;
  /** The error with which the worker has failed to start, or the reason why the server ends it. */
  #failure: { readonly error: unknown } | undefined;
  /** The time of a ping that is not answered yet. */
  #pingedAt: number | undefined;
  /** Whether the worker has ended, and the slot still takes back the connections that the worker had not taken. */
  #takingBack = false;

  constructor(owner: WorkerOwner, number: number, listeningFd: number | undefined) {
    this.#owner = owner;
    this.number = number;
    this.#listeningFd = listeningFd;
  }

  /** The id of the thread or the process; undefined if none runs. */
  get id(): number | undefined {
    return this.#host?.id;
  }

  /** The number of open connections. */
  get connections(): number {
    return this.#listeningFd === undefined ? this.#openCount : this.#counts.connections;
  }

  /** Whether the worker takes connections now. */
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

  /** The sums of the counters of all workers in this slot. */
  get counts(): WorkerCounts {
    const counts = { ...this.#earlierCounts };
    for (const name of Object.keys(counts) as (keyof WorkerCounts)[]) counts[name] += this.#counts[name];
    // A worker that crashes can't report its latest connections, so the slot counts the connections itself.
    if (this.#listeningFd === undefined) counts.accepted = this.#sentCount - this.#untakenCount;
    return counts;
  }

  start(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
    this.state = "starting";
    this.#failure = undefined;
    this.#pingedAt = undefined;
    this.#startedAt = clock();
    try {
      this.#channel = new ConnectionChannel();
      this.#host = this.#startHost(this.#channel);
      this.setKeepsAlive(this.#owner.keepsAlive());
    } catch (error) {
      // No descriptor or thread is free. The owner expects no call during start(), so a microtask reports the end.
      queueMicrotask(() => void this.#onHostEnded({ code: null, signal: null, error }));
    }
  }

  #startHost(channel: ConnectionChannel): WorkerHost {
    const { opts, packageUrl, common } = this.#owner;
    const { limits, streams, tls, data, onError, onHandshakeError } = opts;
    const listeningFd = this.#listeningFd;
    const descriptors = [channel.descriptor, ...(listeningFd === undefined ? [] : [listeningFd])];
    // A process inherits the descriptor at this index. A thread shares it with this thread.
    const foreignDescriptor = (index: number): ForeignDescriptor =>
      opts.processes ? inheritedDescriptor(index) : { fd: descriptors[index]!, shared: true };
    // With `reusePort`, the slot does not know how many ids the earlier workers have used. So each worker gets a range.
    const earlierIds = listeningFd === undefined ? this.#sentCount : this.restartCount * ID_RANGE;
    const start: WorkerStart = {
      ...common,
      worker: this.number,
      firstId: this.number + earlierIds * common.idStep,
      channel: foreignDescriptor(0),
      listening: listeningFd === undefined ? undefined : foreignDescriptor(1),
      limits,
      streams,
      tls,
      data,
      reportsErrors: onError !== undefined || opts.serve.log !== undefined,
      reportsHandshakes: onHandshakeError !== undefined,
      recordsClosed: this.#owner.records.enabled,
    };
    const hostOwner = {
      onMessage: (message: FromWorker): void => this.#onMessage(message),
      onEnded: (end: HostEnd): void => void this.#onHostEnded(end),
    };
    if (opts.processes) return startProcess(packageUrl, start, descriptors, hostOwner);
    return startThread(packageUrl, start, opts.resourceLimits, hostOwner);
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case "ready":
        if (this.state !== "starting") return;
        this.state = "ready";
        // The worker could not answer a ping while it loaded its module, so that time does not count.
        this.#pingedAt = undefined;
        this.#owner.onReady(this);
        return;
      case "failed":
        this.#failure = { error: errorOfCopy(message.error) };
        return;
      case "pong":
        this.#pingedAt = undefined;
        return;
      case "report":
        this.#counts = message.counts;
        this.#owner.records.report(this.number, message.closed);
        // With `reusePort`, the worker counts its connections itself.
        if (this.#listeningFd !== undefined || message.ended === 0) return;
        this.#countEnded(message.ended, message.keys);
        return;
      default:
        this.#owner.onError(this, message);
    }
  }

  /** Counts connections that have ended, here and at the owner. */
  #countEnded(count: number, keys: readonly string[]): void {
    this.#openCount -= count;
    for (const key of keys) this.#uncountKey(key);
    this.#owner.onConnectionsEnded(count, keys);
  }

  #uncountKey(key: string): void {
    const count = this.#openCountByKey.get(key) ?? 0;
    if (count > 1) this.#openCountByKey.set(key, count - 1);
    else this.#openCountByKey.delete(key);
  }

  /** Hands a connection over to the worker. Returns false if the worker takes none now. */
  give(connection: AcceptedConnection, key: string | undefined): boolean {
    const channel = this.#channel!;
    try {
      if (channel.send(connection)) {
        this.#openCount++;
        this.#sentCount++;
        if (key !== undefined) this.#openCountByKey.set(key, (this.#openCountByKey.get(key) ?? 0) + 1);
        return true;
      }
      this.#blockUntil(channel.whenWritable(), channel);
    } catch {
      // ETOOMANYREFS or another shortage. The kernel does not report the end of a shortage, so a timer retries.
      this.#blockUntil(new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE)), channel);
    }
    return false;
  }

  /** Makes the worker unavailable until `unblocked` is settled. */
  #blockUntil(unblocked: Promise<void>, channel: ConnectionChannel): void {
    this.#blocked = true;
    const unblock = (): void => {
      // The worker may have ended in the meantime.
      if (channel !== this.#channel) return;
      this.#blocked = false;
      this.#owner.onAvailable();
    };
    unblocked.then(unblock, unblock);
  }

  /** Lets the worker serve its connections and then end. Aborts a worker that still loads its module. */
  finish(): void {
    if (this.state === "starting") return this.abort();
    if (this.state !== "ready") return;
    this.state = "ending";
    // The end of the channel makes the worker drain.
    this.#channel!.finish();
  }

  /** Makes the worker reset its connections and end. After a time, ends the worker by force. */
  abort(): void {
    this.cancelRestart();
    if (this.state === "down" || this.#killTimer !== undefined) return;
    // A thread that is terminated while it loads modules leaves their files open. So it gets more time.
    const grace = this.state === "starting" ? START_GRACE : ABORT_GRACE;
    this.state = "ending";
    this.#send({ type: "abort" });
    this.#killTimer = setTimeout(() => this.#host?.kill(), grace);
  }

  /** Ends the worker by force. The owner gets `error` as the reason. */
  kill(error: unknown): void {
    this.#failure = { error };
    this.#host?.kill();
  }

  cancelRestart(): void {
    clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
  }

  /** Makes the worker begin or stop making records of ended connections. */
  setRecording(enabled: boolean): void {
    this.#send({ type: "record", enabled });
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

  /** Takes back the connections that the ended worker had not taken, and reports the end to the owner. */
  async #onHostEnded(end: HostEnd): Promise<void> {
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
    this.#untakenCount += untaken.length;
    for (const connection of untaken) {
      const key = this.#owner.clientKeyOf(connection);
      if (key !== undefined) this.#uncountKey(key);
    }
    // Read before `#addToEarlierCounts()`, which resets the counters.
    const lost = this.connections;
    this.#addToEarlierCounts();
    if (this.#listeningFd === undefined) {
      // The client key of each lost connection.
      const keys = [...this.#openCountByKey].flatMap(([key, count]) => Array<string>(count).fill(key));
      this.#countEnded(lost, keys);
    }
    const expected = requested && this.#failure === undefined;
    const error = this.#failure === undefined ? end.error : this.#failure.error;
    const restartIn = expected || !this.#owner.restartsWorkers() ? undefined : this.scheduleRestart();
    this.#owner.onWorkerEnded(this, { ...end, id, error, expected, lost, untaken }, restartIn);
  }

  /** Adds the counters of the ended worker to those of earlier workers. */
  #addToEarlierCounts(): void {
    const { connections: _, ...counts } = this.#counts;
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) this.#earlierCounts[name] += counts[name];
    this.#counts = NO_COUNTS;
  }

  /** Starts another worker after a pause. Returns the pause in milliseconds. */
  scheduleRestart(): number {
    const { minRestartDelay, maxRestartDelay } = this.#owner.opts;
    if (clock() - this.#startedAt >= STABLE_AFTER) this.#quickRestarts = 0;
    const delay = Math.min(maxRestartDelay, minRestartDelay * 2 ** this.#quickRestarts++);
    this.#restartTimer = setTimeout(() => {
      this.restartCount++;
      this.start();
    }, delay);
    if (!this.#owner.keepsAlive()) this.#restartTimer.unref();
    return delay;
  }
}

/**
 * The available worker with the fewest connections; undefined if none is available. The search begins at index `first`.
 * If several workers have equally few connections, it finds the first of them.
 */
export function leastLoaded(slots: readonly WorkerSlot[], first: number): WorkerSlot | undefined {
  let best: WorkerSlot | undefined;
  for (let step = 0; step < slots.length; step++) {
    const slot = slots[(first + step) % slots.length]!;
    if (slot.available && (best === undefined || slot.connections < best.connections)) best = slot;
  }
  return best;
}
