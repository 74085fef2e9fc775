// Accepts connections for forward(), connects each to the target, and starts a pump between the two sockets.
//
// A forwarded connection is one object with two sockets. Its states are accepted, connecting, pumping and over. It uses
// callbacks and no promises: for a short connection, promises for a dozen steps would cost as much as the system calls.

import { clock } from "../builtins.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, HostPort } from "../addr/index.js";
import { report } from "../callbacks.js";
import {
  acceptFrom,
  type LastActivity,
  resetOnClose,
  Pump,
  type PumpCounts,
  type CompletionHandler,
  type Socket,
  PENDING,
} from "../socket/index.js";
import { localError, timeoutError } from "../wait/localError.js";
import type { PipePool } from "../ops/pipes.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";
import { ConnectAttempt, type AttemptListener } from "./connectAttempt.js";
import { connectHost, type CheckedConnect } from "./connectHost.js";
import { Deadline } from "./endpointOptions.js";
import type { Fields } from "../registry/index.js";
import { describeListener, type ListenerDescription } from "./listenerStats.js";
import { LONGEST_TIMER } from "../wait/waitOptions.js";
import { rejection } from "../wait/rejection.js";
import type { ListenAddress, SocketListener } from "./socketListener.js";

/** Deadlines are looked at again after so many ms at the earliest. */
const PRECISION = 5;

/** A forwarded connection that has ended. */
export interface Forwarded {
  /** The address of the client. */
  readonly client: Address;
  /** Bytes that were sent to the target. */
  readonly toTarget: number;
  /** Bytes that were sent to the client. */
  readonly toClient: number;
  /** The error that ended the connection; absent if both sides finished in order. */
  readonly error?: unknown;
}

/** The counters of a {@link Forwarder}. */
export interface ForwarderStats {
  /** Connections that were accepted. */
  readonly accepted: number;
  /** Connections now, including those that are not connected to the target yet. */
  readonly connections: number;
  /** Connections that have ended with an error, among them those that `close()` has cut. */
  readonly failed: number;
  /** Bytes that were sent to the target, of the connections that have ended. */
  readonly toTarget: number;
  /** Bytes that were sent to the client, of the connections that have ended. */
  readonly toClient: number;
}

/** The options of forward(), checked. */
export interface CheckedForward {
  readonly maxConnections: number;
  /** Milliseconds; null for no limit, as for `idleTimeout`. */
  readonly connectTimeout: number | null;
  readonly idleTimeout: number | null;
  readonly pipes: PipePool;
  /** The address of the target, or its name if a lookup is necessary. */
  readonly target: Address | HostPort;
  readonly way: CheckedConnect;
  readonly onEnd: ((forwarded: Forwarded) => void) | undefined;
}

/** Accepts connections and checks their deadlines. */
export class ForwardServer implements CompletionHandler<Socket> {
  readonly checked: CheckedForward;
  readonly closed: Promise<void>;
  readonly #listener: SocketListener;
  /** In no order. */
  readonly #connections: ForwardedConnection[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #onSignal = { aborted: (): void => this.end() };
  /** Whether the server and its connections keep the process alive. */
  held = true;
  readonly #totals = { accepted: 0, failed: 0, toTarget: 0, toClient: 0 };
  #accepting = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #resolve!: (outcome?: Promise<never>) => void;

  constructor(listener: SocketListener, checked: CheckedForward, signal: AbortSignal | undefined) {
    this.checked = checked;
    this.#listener = listener;
    this.#signal = signal;
    this.closed = new Promise((resolve) => (this.#resolve = resolve));
    if (signal !== undefined) onAbort(signal, this.#onSignal);
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  stats(): ForwarderStats {
    return { ...this.#totals, connections: this.#connections.length };
  }

  describe(): Fields<ListenerDescription> {
    return describeListener(this.#listener.socket, this.address, this.stats());
  }

  /** Sets whether the server and all its connections keep the process alive. */
  keepAlive(yes: boolean): void {
    this.held = yes;
    holdSocket(this.#listener.socket, yes);
    for (const connection of this.#connections) connection.keepAlive(yes);
  }

  /** Accepts connections until the accept queue is empty or there are `maxConnections`. */
  accept(): void {
    while (!this.#over && !this.#accepting && this.#connections.length < this.checked.maxConnections) {
      let socket: Socket | typeof PENDING;
      try {
        socket = acceptFrom(this, this.#listener.socket);
      } catch (error) {
        this.failed(error);
        return;
      }
      if (socket === PENDING) this.#accepting = true;
      else this.#begin(socket);
    }
  }

  completed(socket: Socket): void {
    this.#accepting = false;
    this.#begin(socket);
    this.accept();
  }

  /** The listener accepts no more. */
  failed(error: unknown): void {
    this.#accepting = false;
    // If the signal of `listen` has closed the listener, that is no error.
    this.end(this.#listener.socket.closed ? undefined : error);
  }

  #begin(socket: Socket): void {
    const { connectTimeout, onEnd, target } = this.checked;
    const client = onEnd === undefined ? undefined : decodeAddressBuffer();
    // connectHost() has a deadline of its own, whose error lists the attempts.
    const deadline = target instanceof HostPort ? Infinity : after(clock(), connectTimeout);
    const connection = new ForwardedConnection(this, socket, client, deadline);
    this.#totals.accepted++;
    connection.place = this.#connections.length;
    this.#connections.push(connection);
    this.arm(connection.deadline);
    connection.start();
  }

  /** A connection has ended, with an error if `failed`. */
  remove(connection: ForwardedConnection, toTarget: number, toClient: number, failed: boolean): void {
    const totals = this.#totals;
    totals.toTarget += toTarget;
    totals.toClient += toClient;
    if (failed) totals.failed++;
    const last = this.#connections.pop()!;
    if (last !== connection) this.#connections[(last.place = connection.place)] = last;
    // Deferred, because a descriptor of the connection may be in the middle of a callback.
    if (!this.#accepting && this.#connections.length + 1 === this.checked.maxConnections)
      queueMicrotask(() => this.accept());
  }

  /**
   * Makes sure that the deadlines are checked at `due`. One timer serves all connections; only an earlier `due` resets
   * it.
   */
  arm(due: number): void {
    if (due >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = due;
    const delay = Math.min(Math.max(Math.ceil(due - clock()), PRECISION), LONGEST_TIMER);
    // The waiting calls keep the process alive, and not this timer.
    this.#timer = setTimeout(() => this.#expire(), delay).unref();
  }

  #expire(): void {
    this.#armedFor = Infinity;
    const now = clock();
    let earliest = Infinity;
    // Backwards, because the last connection moves to the place of one that is removed.
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
    // cut() removes the connection from the array.
    for (let last = this.#connections.at(-1); last !== undefined; last = this.#connections.at(-1)) last.cut(reason);
    if (error === undefined) this.#resolve();
    else this.#resolve(rejection(error));
  }
}

/** One forwarded connection. */
class ForwardedConnection implements AttemptListener, CompletionHandler<PumpCounts> {
  /** Its index in the array of the server. */
  place: number = -1;
  /** The deadline of connecting, as of `clock()`; Infinity if connectHost() has the deadline. */
  readonly deadline: number;
  readonly #server: ForwardServer;
  readonly #client: Socket;
  readonly #address: Address | undefined;
  #dial: ConnectAttempt | undefined;
  #unneeded: AbortController | undefined;
  #target: Socket | undefined;
  #pump: Pump | undefined;
  #activity: LastActivity | undefined;
  #over = false;

  constructor(server: ForwardServer, client: Socket, address: Address | undefined, deadline: number) {
    this.#server = server;
    this.#client = client;
    this.#address = address;
    this.deadline = deadline;
  }

  start(): void {
    const { target, way } = this.#server.checked;
    if (!this.#server.held) this.#client.unref();
    if (target instanceof HostPort) {
      // Deferred, because the resolver may be code of users.
      queueMicrotask(() => this.#connectName(target));
      return;
    }
    this.#dial = new ConnectAttempt(target, way, this);
    this.#dial.start(null);
    if (!this.#server.held) this.#dial?.keepAlive(false);
  }

  #connectName(target: HostPort): void {
    if (this.#over) return;
    const { connectTimeout, way } = this.#server.checked;
    const { signal } = (this.#unneeded = new AbortController());
    connectHost(target, { ...way, deadline: new Deadline(connectTimeout), signal }).then(
      ({ socket }) => this.#startPump(socket),
      (error: unknown) => this.cut(error),
    );
  }

  connected({ socket }: ConnectAttempt): void {
    this.#startPump(socket);
  }

  refused(_dial: ConnectAttempt, error: unknown): void {
    this.cut(error);
  }

  #startPump(target: Socket): void {
    if (this.#over) {
      target.close();
      return;
    }
    const { idleTimeout, pipes } = this.#server.checked;
    this.#dial = this.#unneeded = undefined;
    this.#target = target;
    if (!this.#server.held) target.unref();
    this.#activity = { last: clock() };
    this.#pump = new Pump(this.#client, target, pipes, this.#activity, true, this);
    this.#server.arm(after(this.#activity.last, idleTimeout));
    this.#pump.start();
  }

  keepAlive(yes: boolean): void {
    holdSocket(this.#client, yes);
    this.#dial?.keepAlive(yes);
    if (this.#target !== undefined) holdSocket(this.#target, yes);
  }

  /** Both directions have finished. */
  completed({ aToB, bToA }: PumpCounts): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave(aToB, bToA, undefined);
  }

  failed(error: unknown): void {
    this.cut(error);
  }

  /** The moment at which the connection expires if no byte moves before. */
  dueAt(): number {
    const pump = this.#pump;
    if (pump === undefined) return this.deadline;
    const relayed = Math.max(pump.there.lastRelayed() ?? 0, pump.back.lastRelayed() ?? 0);
    return after(Math.max(this.#activity!.last, relayed), this.#server.checked.idleTimeout);
  }

  /** The deadline has passed. */
  expire(): void {
    this.cut(timeoutError(this.#pump === undefined ? "connect" : "splice"));
  }

  /** Resets both sides. */
  cut(error: unknown): void {
    if (this.#over) return;
    // Callbacks of the attempt and of the pump do nothing from here on.
    this.#over = true;
    this.#dial?.cancel();
    this.#unneeded?.abort();
    this.#pump?.cancel(error);
    const progress = this.#pump?.progress();
    resetOnClose(this.#client);
    if (this.#target !== undefined) resetOnClose(this.#target);
    this.#leave(progress?.aToB.transferred ?? 0, progress?.bToA.transferred ?? 0, { error });
  }

  #leave(toTarget: number, toClient: number, cut: { error: unknown } | undefined): void {
    closeQuietly(this.#client);
    if (this.#target !== undefined) closeQuietly(this.#target);
    this.#server.remove(this, toTarget, toClient, cut !== undefined);
    const { onEnd } = this.#server.checked;
    if (onEnd === undefined) return;
    const forwarded: Forwarded = { client: this.#address!, toTarget, toClient, ...cut };
    queueMicrotask(() => report("onEnd", onEnd, forwarded));
  }
}

/** The moment `timeout` ms after `start`; Infinity if there is no limit. */
function after(start: number, timeout: number | null): number {
  return timeout === null ? Infinity : start + timeout;
}

function holdSocket(socket: Socket, yes: boolean): void {
  if (yes) socket.ref();
  else socket.unref();
}

/** The descriptor is closed even if close(2) fails. */
function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // No caller could handle this error.
  }
}
