// A connection that forward() forwards. It is one object with two sockets. Its states are accepted, waiting for a
// descriptor, connecting, pumping and over. It uses callbacks and no promises: for a short connection, promises for a dozen
// steps would cost as much as the system calls.

import { type CheckedAdmission, pressure, shortageOf, type TrackedConnection } from "../admission/index.js";
import { type Address, HostPort } from "../addr/index.js";
import { clock } from "../builtins.js";
import { report } from "../callbacks.js";
import type { PipePool } from "../ops/pipes.js";
import type { ProxyHeader } from "../proxyProtocol/index.js";
import {
  type CompletionHandler,
  type LastActivity,
  Pump,
  type PumpCounts,
  resetOnClose,
  type Socket,
} from "../socket/index.js";
import { calls } from "../sys/calls.js";
import { socketError } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import { type AttemptListener, ConnectAttempt } from "./connectAttempt.js";
import { connectHost, type CheckedConnect } from "./connectHost.js";
import { Deadline } from "./endpointOptions.js";
import type { ForwardServer } from "./forwardServer.js";

/** A forwarded connection that has ended. */
export interface Forwarded {
  /** The address of the client. With `proxyProtocol`, the one in the header, if there is one. */
  readonly client: Address;
  /** Bytes that were sent to the target. */
  readonly toTarget: number;
  /** Bytes that were sent to the client. */
  readonly toClient: number;
  /** The error that ended the connection; absent if both sides finished in order. */
  readonly error?: unknown;
}

/** The options of forward(), checked. */
export interface CheckedForward extends CheckedAdmission {
  /** Milliseconds; null for no limit. */
  readonly connectTimeout: number | null;
  readonly pipes: PipePool;
  /** The address of the target, or its name if a lookup is necessary. */
  readonly target: Address | HostPort;
  readonly way: CheckedConnect;
  /** Makes the header for the target; undefined to send none. */
  readonly sendHeader: MakeHeader | undefined;
  readonly onEnd: ((forwarded: Forwarded) => void) | undefined;
}

/** Makes the header of the PROXY protocol for the target. `header` is the one that the client's proxy has sent. */
export type MakeHeader = (client: Address, socket: Socket, header: ProxyHeader | undefined) => Buffer;

/** Lookups of a connection that are made again because they have failed during a shortage. */
const REPEATED_LOOKUPS = 5;

/** One forwarded connection. */
export class ForwardedConnection implements TrackedConnection, AttemptListener, CompletionHandler<PumpCounts> {
  place: number = -1;
  /** The number of the connection: 1 for the first one of the server. */
  readonly id: number;
  readonly #server: ForwardServer;
  readonly #client: Socket;
  readonly #address: Address | undefined;
  readonly #key: string | undefined;
  readonly #header: ProxyHeader | undefined;
  readonly #since: number = clock();
  /** The deadline of connecting, as of `clock()`; Infinity if connectHost() has the deadline. */
  #deadline = Infinity;
  #dial: ConnectAttempt | undefined;
  #unneeded: AbortController | undefined;
  #failedLookups = 0;
  #target: Socket | undefined;
  #pump: Pump | undefined;
  #activity: LastActivity | undefined;
  /** Whether it is counted as a user of the pipes, so that one is there when the pump starts. */
  #usesPipes = false;
  #over = false;

  constructor(
    server: ForwardServer,
    id: number,
    client: Socket,
    address: Address | undefined,
    key: string | undefined,
    header: ProxyHeader | undefined,
  ) {
    this.#server = server;
    this.id = id;
    this.#header = header;
    this.#client = client;
    this.#address = address;
    this.#key = key;
  }

  /** Connects to the target. Called again after a shortage of descriptors or memory. */
  start(): void {
    const { connectTimeout, idleTimeout, pipes, target, way } = this.#server.checked;
    if (!this.#server.held) this.#client.unref();
    if (!this.#usesPipes) {
      const opened = pipes.addUser(calls);
      if (opened < 0) {
        this.#deadline = after(this.#since, idleTimeout);
        this.#failedToConnect(socketError(opened, "pipe"));
        return;
      }
      this.#usesPipes = true;
    }
    // connectHost() has a deadline of its own, whose error lists the attempts.
    this.#deadline = target instanceof HostPort ? Infinity : after(clock(), connectTimeout);
    this.#server.arm(this.dueAt());
    if (target instanceof HostPort) {
      this.#server.owed++;
      // Deferred, because the resolver may be code of users.
      queueMicrotask(() => this.#connectName(target));
      return;
    }
    this.#dial = new ConnectAttempt(target, way, this);
    this.#dial.start(null);
    if (!this.#server.held) this.#dial?.keepAlive(false);
  }

  #connectName(target: HostPort): void {
    if (this.#over) {
      this.#server.owed--;
      return;
    }
    const { connectTimeout, way } = this.#server.checked;
    const { signal } = (this.#unneeded = new AbortController());
    connectHost(target, { ...way, deadline: new Deadline(connectTimeout), signal }).then(
      ({ socket }) => {
        this.#server.owed--;
        this.#startPump(socket);
      },
      (error: unknown) => {
        this.#server.owed--;
        this.#failedToConnect(error);
      },
    );
  }

  /** Waits if the cause is a shortage that ends with time; otherwise the connection ends. */
  #failedToConnect(error: unknown): void {
    const code = shortageOf(error) ?? this.#lookupShortage(error);
    if (code === undefined || this.#over) {
      this.cut(error);
      return;
    }
    this.#dial = this.#unneeded = undefined;
    // While it waits, the connection is idle.
    this.#deadline = after(this.#since, this.#server.checked.idleTimeout);
    this.#server.arm(this.dueAt());
    this.#server.wait(this, code);
  }

  /**
   * The resolver may have found no descriptor, and another thread has closed one before the resolver checked. So during a
   * shortage an error of the resolver is taken for one of descriptors, a few times.
   */
  #lookupShortage(error: unknown): string | undefined {
    const { code, syscall } = (error ?? {}) as { readonly code?: unknown; readonly syscall?: unknown };
    if (!pressure.active || syscall !== "getaddrinfo" || code === "ETIMEDOUT") return undefined;
    return this.#failedLookups++ < REPEATED_LOOKUPS ? "EMFILE" : undefined;
  }

  connected({ socket }: ConnectAttempt): void {
    this.#startPump(socket);
  }

  refused(_dial: ConnectAttempt, error: unknown): void {
    this.#failedToConnect(error);
  }

  #startPump(target: Socket): void {
    if (this.#over) {
      target.close();
      return;
    }
    const { sendHeader } = this.#server.checked;
    this.#dial = this.#unneeded = undefined;
    this.#target = target;
    if (!this.#server.held) target.unref();
    if (sendHeader === undefined) this.#pumpTo(target);
    else this.#sendHeader(target, sendHeader);
  }

  /** Sends the header before all bytes of the client. Until then, the deadline of connecting applies. */
  #sendHeader(target: Socket, make: MakeHeader): void {
    let header: Buffer;
    try {
      header = make(this.#address!, this.#client, this.#header);
    } catch (error) {
      this.cut(error);
      return;
    }
    const { connectTimeout, target: to } = this.#server.checked;
    if (to instanceof HostPort) this.#deadline = after(clock(), connectTimeout);
    this.#server.arm(this.dueAt());
    target.sendAll(header).then(
      () => this.#pumpTo(target),
      (error: unknown) => this.cut(error),
    );
  }

  #pumpTo(target: Socket): void {
    if (this.#over) return;
    const { pipes } = this.#server.checked;
    this.#activity = { last: clock() };
    this.#pump = new Pump(this.#client, target, pipes, this.#activity, true, this);
    this.#server.arm(this.dueAt());
    this.#pump.start();
    this.#leavePipes();
  }

  #leavePipes(): void {
    if (!this.#usesPipes) return;
    this.#usesPipes = false;
    this.#server.checked.pipes.removeUser(calls);
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
    const { idleTimeout, maxLifetime } = this.#server.checked;
    const pump = this.#pump;
    const end = after(this.#since, maxLifetime);
    if (pump === undefined) return Math.min(this.#deadline, end);
    const relayed = Math.max(pump.aToB.lastRelayed() ?? 0, pump.bToA.lastRelayed() ?? 0);
    return Math.min(after(Math.max(this.#activity!.last, relayed), idleTimeout), end);
  }

  /** The deadline has passed. */
  expire(now: number): void {
    const { maxLifetime } = this.#server.checked;
    const old = now >= after(this.#since, maxLifetime);
    this.cut(timeoutError(old ? "forward" : this.#pump === undefined ? "connect" : "splice"));
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
    this.#leavePipes();
    const reason = cut === undefined ? "ended" : "failed";
    const { events } = this.#server;
    // Behind a proxy, the address is the one in the header.
    const peer = this.#header === undefined ? this.#address : undefined;
    events.closed(this.id, this.#address, peer, this.#since, toTarget, toClient, reason, cut);
    this.#server.remove(this, this.#key, toTarget, toClient, cut !== undefined);
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

export function holdSocket(socket: Socket, yes: boolean): void {
  if (yes) socket.ref();
  else socket.unref();
}

/** The descriptor is closed even if close(2) fails. */
export function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // No caller could handle this error.
  }
}
