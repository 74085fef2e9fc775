// What forward() does: it accepts connections, and leads each to the target and back, inside the kernel.
//
// A connection here is one object with two sockets, which goes from accepted to connecting to pumping to over. Nobody awaits
// anything on the way: a short connection is little work for the kernel, and promises for its dozen steps would be as much again.

// By name, for the global one is looked up by a getter each time.
import { performance } from "node:perf_hooks";
import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, HostPort } from "../addr/index.js";
import { report } from "../callbacks.js";
import {
  acceptFrom,
  type Activity,
  cutOnClose,
  Pump,
  type PumpCounts,
  type Settler,
  type Socket,
  WAITS,
} from "../socket/index.js";
import { localError, timeoutError } from "../wait/localError.js";
import type { PipePool } from "../ops/pipes.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";
import { Dial, type DialOwner } from "./attempt.js";
import { dial, type DialPlan } from "./dial.js";
import { Deadline } from "./endpointOptions.js";
import { LONGEST_TIMER } from "../wait/waitOptions.js";
import type { ListenAddress, SocketListener } from "./socketListener.js";

/** Deadlines are looked at again after so many ms at the earliest. */
const PRECISION = 5;

/** What became of a connection that `forward()` led on. */
export interface Forwarded {
  /** Where it came from. */
  readonly client: Address;
  /** Bytes that the target has taken. */
  readonly toTarget: number;
  /** Bytes that the client has taken. */
  readonly toClient: number;
  /** Why it was cut; absent when both sides have ended it. */
  readonly error?: unknown;
}

/** How to forward; checked. */
export interface ForwardPlan {
  readonly maxConnections: number;
  readonly connectTimeout: number;
  readonly idleTimeout: number;
  readonly pipes: PipePool;
  /** The target: its address, or its name where a resolver has to be asked. */
  readonly target: Address | HostPort;
  readonly way: DialPlan;
  readonly onEnd: ((forwarded: Forwarded) => void) | undefined;
}

/** Accepts connections and looks after their deadlines. */
export class Engine implements Settler<Socket> {
  readonly plan: ForwardPlan;
  readonly closed: Promise<void>;
  readonly #listener: SocketListener;
  /** In no order. */
  readonly #connections: Forwarding[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #onSignal = { aborted: (): void => this.end() };
  /** Whether it keeps the process alive. */
  held = true;
  #accepting = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(listener: SocketListener, plan: ForwardPlan, signal: AbortSignal | undefined) {
    this.plan = plan;
    this.#listener = listener;
    this.#signal = signal;
    this.closed = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal !== undefined) onAbort(signal, this.#onSignal);
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  get count(): number {
    return this.#connections.length;
  }

  /** Has it and all its connections keep the process alive, or not. */
  keepAlive(yes: boolean): void {
    this.held = yes;
    holdSocket(this.#listener.socket, yes);
    for (const connection of this.#connections) connection.keepAlive(yes);
  }

  /** Takes connections for as long as there are some, and room for them. */
  accept(): void {
    while (!this.#over && !this.#accepting && this.#connections.length < this.plan.maxConnections) {
      let socket: Socket | typeof WAITS;
      try {
        socket = acceptFrom(this, this.#listener.socket);
      } catch (error) {
        this.failed(error);
        return;
      }
      if (socket === WAITS) this.#accepting = true;
      else this.#begin(socket);
    }
  }

  settled(socket: Socket): void {
    this.#accepting = false;
    this.#begin(socket);
    this.accept();
  }

  /** The listener accepts no more. */
  failed(error: unknown): void {
    this.#accepting = false;
    // The signal of the listener closes it: that is an end, and no failure.
    this.end(this.#listener.socket.closed ? undefined : error);
  }

  #begin(socket: Socket): void {
    const { connectTimeout, onEnd, target } = this.plan;
    const client = onEnd === undefined ? undefined : decodeAddressBuffer();
    // Where a name is dialled, that has a deadline of its own, which can tell what was tried.
    const deadline = target instanceof HostPort ? Infinity : performance.now() + connectTimeout;
    const connection = new Forwarding(this, socket, client, deadline);
    connection.place = this.#connections.length;
    this.#connections.push(connection);
    this.arm(connection.deadline);
    connection.start();
  }

  /** A connection is over. */
  left(connection: Forwarding): void {
    const last = this.#connections.pop()!;
    if (last !== connection) this.#connections[(last.place = connection.place)] = last;
    // Not from here, where one of its descriptors may still be at work.
    if (!this.#accepting && this.#connections.length + 1 === this.plan.maxConnections)
      queueMicrotask(() => this.accept());
  }

  /** Looks at the deadlines when `due` has come: one timer for all, which is left alone by those that come later. */
  arm(due: number): void {
    if (due >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = due;
    const delay = Math.min(Math.max(Math.ceil(due - performance.now()), PRECISION), LONGEST_TIMER);
    // Not what keeps the process alive: the waiting calls do.
    this.#timer = setTimeout(() => this.#expire(), delay).unref();
  }

  #expire(): void {
    this.#armedFor = Infinity;
    const now = performance.now();
    let earliest = Infinity;
    // From the end, for the last one takes the place of one that leaves.
    for (let place = this.#connections.length - 1; place >= 0; place--) {
      const connection = this.#connections[place]!;
      const due = connection.dueAt();
      if (due <= now) connection.expire();
      else if (due < earliest) earliest = due;
    }
    this.arm(earliest);
  }

  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#signal !== undefined) offAbort(this.#signal, this.#onSignal);
    void this.#listener.close();
    const reason = error ?? localError("ECANCELED", "forward");
    // Each takes itself out.
    for (let last = this.#connections.at(-1); last !== undefined; last = this.#connections.at(-1)) last.cut(reason);
    if (error === undefined) this.#resolve();
    else this.#reject(error);
  }
}

/** One connection. */
class Forwarding implements DialOwner, Settler<PumpCounts> {
  /** Its place among the engine's. */
  place: number = -1;
  /** When it has to be connected to the target, by `performance.now()`; Infinity where another deadline looks after that. */
  readonly deadline: number;
  readonly #engine: Engine;
  readonly #client: Socket;
  readonly #address: Address | undefined;
  #dial: Dial | undefined;
  #unneeded: AbortController | undefined;
  #target: Socket | undefined;
  #pump: Pump | undefined;
  #activity: Activity | undefined;
  #over = false;

  constructor(engine: Engine, client: Socket, address: Address | undefined, deadline: number) {
    this.#engine = engine;
    this.#client = client;
    this.#address = address;
    this.deadline = deadline;
  }

  start(): void {
    const { target, way } = this.#engine.plan;
    if (!this.#engine.held) this.#client.unref();
    if (target instanceof HostPort) {
      // Not from here: the resolver may be code of users.
      queueMicrotask(() => this.#dialName(target));
      return;
    }
    this.#dial = new Dial(target, way, this);
    this.#dial.start(null);
    if (!this.#engine.held) this.#dial?.keepAlive(false);
  }

  #dialName(target: HostPort): void {
    if (this.#over) return;
    const { connectTimeout, way } = this.#engine.plan;
    const { signal } = (this.#unneeded = new AbortController());
    dial(target, { ...way, deadline: new Deadline(connectTimeout), signal }).then(
      ({ socket }) => this.#lead(socket),
      (error: unknown) => this.cut(error),
    );
  }

  connected({ socket }: Dial): void {
    this.#lead(socket);
  }

  refused(_dial: Dial, error: unknown): void {
    this.cut(error);
  }

  #lead(target: Socket): void {
    if (this.#over) {
      target.close();
      return;
    }
    const { idleTimeout, pipes } = this.#engine.plan;
    this.#dial = this.#unneeded = undefined;
    this.#target = target;
    if (!this.#engine.held) target.unref();
    this.#activity = { last: performance.now() };
    this.#pump = new Pump(this.#client, target, pipes, this.#activity, true, this);
    this.#engine.arm(this.#activity.last + idleTimeout);
    this.#pump.start();
  }

  keepAlive(yes: boolean): void {
    holdSocket(this.#client, yes);
    this.#dial?.keepAlive(yes);
    if (this.#target !== undefined) holdSocket(this.#target, yes);
  }

  /** Both sides have ended. */
  settled({ aToB, bToA }: PumpCounts): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave(aToB, bToA, undefined);
  }

  failed(error: unknown): void {
    this.cut(error);
  }

  /** When it is to be cut unless bytes move before. */
  dueAt(): number {
    const pump = this.#pump;
    if (pump === undefined) return this.deadline;
    const relayed = Math.max(pump.there.lastRelayed() ?? 0, pump.back.lastRelayed() ?? 0);
    return Math.max(this.#activity!.last, relayed) + this.#engine.plan.idleTimeout;
  }

  /** The time is over. */
  expire(): void {
    this.cut(timeoutError(this.#pump === undefined ? "connect" : "splice"));
  }

  /** Ends it with a reset on both sides. */
  cut(error: unknown): void {
    if (this.#over) return;
    // From here on those who are still under way tell nobody.
    this.#over = true;
    this.#dial?.cancel();
    this.#unneeded?.abort();
    this.#pump?.cancel(error);
    const progress = this.#pump?.progress();
    cutOnClose(this.#client);
    if (this.#target !== undefined) cutOnClose(this.#target);
    this.#leave(progress?.aToB.transferred ?? 0, progress?.bToA.transferred ?? 0, { error });
  }

  #leave(toTarget: number, toClient: number, cut: { error: unknown } | undefined): void {
    closeQuietly(this.#client);
    if (this.#target !== undefined) closeQuietly(this.#target);
    this.#engine.left(this);
    const { onEnd } = this.#engine.plan;
    if (onEnd === undefined) return;
    const forwarded: Forwarded = { client: this.#address!, toTarget, toClient, ...cut };
    queueMicrotask(() => report("onEnd", onEnd, forwarded));
  }
}

function holdSocket(socket: Socket, yes: boolean): void {
  if (yes) socket.ref();
  else socket.unref();
}

/** The descriptor is gone whatever close(2) says. */
function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // Nobody can do anything about it.
  }
}
