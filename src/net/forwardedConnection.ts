// A connection that forward() forwards: one object with two sockets, that of the client and that of the target. It
// connects to the target, waits for a free descriptor if there is none, pumps bytes in both directions, and ends. Its
// steps use callbacks: for a short connection the promises of a dozen steps would cost as much as the system calls.

import { type CheckedAdmission, pressure, shortageOf, type DeadlineMember } from "../admission/index.js";
import { type Address, HostPort } from "../addr/index.js";
import { clock } from "../builtins.js";
import { runCallback } from "../callbacks.js";
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
import { type AttemptHandler, ConnectAttempt } from "./connectAttempt.js";
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
  /** Milliseconds since the connection was accepted. */
  readonly duration: number;
  /** The error that ended the connection; absent if both sides have ended their direction. */
  readonly error?: unknown;
}

/** The options of forward(), checked. */
export interface CheckedForward extends CheckedAdmission {
  /** Milliseconds; null for no limit. */
  readonly connectTimeout: number | null;
  readonly pipes: PipePool;
  /** The address of the target, or its name if a lookup is necessary. */
  readonly target: Address | HostPort;
  /** The options of connect() for the target. */
  readonly checkedConnect: CheckedConnect;
  /** Makes the header for the target; undefined to send none. */
  readonly sendHeader: MakeHeader | undefined;
  readonly onEnd: ((forwarded: Forwarded) => void) | undefined;
}

/** Makes the header of the PROXY protocol for the target. `header` is the header that came from the client's proxy. */
export type MakeHeader = (client: Address, socket: Socket, header: ProxyHeader | undefined) => Buffer;

/**
 * Maximum number of failed lookups of a connection that are repeated because of a shortage. Limited, because the reason
 * may be that the name has no address.
 */
const MAX_REPEATED_LOOKUPS = 5;

/** One forwarded connection. */
export class ForwardedConnection implements DeadlineMember, AttemptHandler, CompletionHandler<PumpCounts> {
  /** The index in the DeadlineSet of the server, which writes it. */
  place: number = -1;
  /** The number of the connection: 1 for the first connection of the server. */
  readonly id: number;
  readonly #server: ForwardServer;
  readonly #clientSocket: Socket;
  readonly #clientAddress: Address | undefined;
  /** The key under which the server counts the connections of the client's address. */
  readonly #key: string | undefined;
  /** The header of the PROXY protocol that came from the client's proxy. */
  readonly #header: ProxyHeader | undefined;
  readonly #startedAt: number = clock();
  /** The deadline of connecting or of the wait for a descriptor, as of `clock()`; Infinity if connectHost() has it. */
  #deadline = Infinity;
  #attempt: ConnectAttempt | undefined;
  #lookupAborter: AbortController | undefined;
  /** The number of lookups that have failed during a shortage. */
  #failedLookups = 0;
  #targetSocket: Socket | undefined;
  #pump: Pump | undefined;
  #activity: LastActivity | undefined;
  /** Whether the connection counts as a user of the pipes, so that there is a pipe for its pump. */
  #usesPipes = false;
  #ended = false;

  constructor(
    server: ForwardServer,
    id: number,
    clientSocket: Socket,
    clientAddress: Address | undefined,
    key: string | undefined,
    header: ProxyHeader | undefined,
  ) {
    this.#server = server;
    this.id = id;
    this.#header = header;
    this.#clientSocket = clientSocket;
    this.#clientAddress = clientAddress;
    this.#key = key;
  }

  /** Connects to the target. Called again after a shortage of descriptors or memory. */
  start(): void {
    const { connectTimeout, pipes, target, checkedConnect } = this.#server.checked;
    if (!this.#server.keepsAlive) this.#clientSocket.unref();
    if (!this.#usesPipes) {
      const result = pipes.addUser(calls);
      if (result < 0) {
        this.#onConnectFailed(socketError(result, "pipe"));
        return;
      }
      this.#usesPipes = true;
    }
    // For a name, connectHost() has the deadline, because its error lists the attempts.
    this.#deadline = target instanceof HostPort ? Infinity : timeAfter(clock(), connectTimeout);
    this.#server.arm(this.dueAt());
    if (target instanceof HostPort) {
      this.#server.pendingDescriptors++;
      // Deferred, because the resolver may be code of users, which must not run in the accept loop.
      queueMicrotask(() => this.#connectName(target));
      return;
    }
    this.#attempt = new ConnectAttempt(target, checkedConnect, this);
    // No timeout, because the DeadlineSet of the server checks the deadline.
    this.#attempt.start(null);
    // start() may have called the handler, which can remove the attempt.
    if (!this.#server.keepsAlive) this.#attempt?.setRef(false);
  }

  #connectName(target: HostPort): void {
    if (this.#ended) {
      this.#server.pendingDescriptors--;
      return;
    }
    const { connectTimeout, checkedConnect } = this.#server.checked;
    const { signal } = (this.#lookupAborter = new AbortController());
    connectHost(target, { ...checkedConnect, deadline: new Deadline(connectTimeout), signal }).then(
      ({ socket }) => {
        this.#server.pendingDescriptors--;
        this.#startPump(socket);
      },
      (error: unknown) => {
        this.#server.pendingDescriptors--;
        this.#onConnectFailed(error);
      },
    );
  }

  /** Makes the connection wait if the error is a shortage of descriptors or memory. Otherwise ends the connection. */
  #onConnectFailed(error: unknown): void {
    const code = shortageOf(error) ?? this.#countAsShortage(error);
    if (code === undefined || this.#ended) {
      this.abort(error);
      return;
    }
    this.#attempt = this.#lookupAborter = undefined;
    // No byte moves while the connection waits, so the idle timeout limits the wait.
    this.#deadline = timeAfter(this.#startedAt, this.#server.checked.idleTimeout);
    this.#server.arm(this.dueAt());
    this.#server.waitForDescriptor(this, code);
  }

  /**
   * Returns EMFILE for the first lookups that fail during a shortage, and undefined for further ones. Such a lookup may
   * have failed because another thread had the last free descriptor. The C library does not report EMFILE then, and
   * when the lookup has failed, that descriptor may be free again.
   */
  #countAsShortage(error: unknown): string | undefined {
    const { code, syscall } = (error ?? {}) as { readonly code?: unknown; readonly syscall?: unknown };
    if (!pressure.active || syscall !== "getaddrinfo" || code === "ETIMEDOUT") return undefined;
    return this.#failedLookups++ < MAX_REPEATED_LOOKUPS ? "EMFILE" : undefined;
  }

  onConnected({ socket }: ConnectAttempt): void {
    this.#startPump(socket);
  }

  onAttemptFailed(_attempt: ConnectAttempt, error: unknown): void {
    this.#onConnectFailed(error);
  }

  #startPump(target: Socket): void {
    if (this.#ended) {
      target.close();
      return;
    }
    const { sendHeader } = this.#server.checked;
    this.#attempt = this.#lookupAborter = undefined;
    this.#targetSocket = target;
    if (!this.#server.keepsAlive) target.unref();
    if (sendHeader === undefined) this.#pumpTo(target);
    else this.#sendHeader(target, sendHeader);
  }

  /** Sends the header, and then starts the pump. Until then, the deadline of connecting applies. */
  #sendHeader(target: Socket, make: MakeHeader): void {
    let header: Buffer;
    try {
      header = make(this.#clientAddress!, this.#clientSocket, this.#header);
    } catch (error) {
      this.abort(error);
      return;
    }
    const { connectTimeout, target: address } = this.#server.checked;
    // connectHost() had the deadline until now.
    if (address instanceof HostPort) this.#deadline = timeAfter(clock(), connectTimeout);
    this.#server.arm(this.dueAt());
    target.sendAll(header).then(
      () => this.#pumpTo(target),
      (error: unknown) => this.abort(error),
    );
  }

  #pumpTo(target: Socket): void {
    if (this.#ended) return;
    const { pipes } = this.#server.checked;
    this.#activity = { last: clock() };
    const ownerCloses = true;
    this.#pump = new Pump(this.#clientSocket, target, pipes, this.#activity, ownerCloses, this);
    this.#server.arm(this.dueAt());
    this.#pump.start();
    // Each direction of the pump is a user of the pipes now.
    this.#releasePipes();
  }

  #releasePipes(): void {
    if (!this.#usesPipes) return;
    this.#usesPipes = false;
    this.#server.checked.pipes.removeUser(calls);
  }

  setRef(referenced: boolean): void {
    setSocketRef(this.#clientSocket, referenced);
    this.#attempt?.setRef(referenced);
    if (this.#targetSocket !== undefined) setSocketRef(this.#targetSocket, referenced);
  }

  /** Both directions have finished. */
  onCompleted({ aToB, bToA }: PumpCounts): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#finish(aToB, bToA, undefined);
  }

  onFailed(error: unknown): void {
    this.abort(error);
  }

  /** The time at which the connection expires. Each byte that moves delays it, but not beyond `maxLifetime`. */
  dueAt(): number {
    const { idleTimeout, maxLifetime } = this.#server.checked;
    const pump = this.#pump;
    const end = timeAfter(this.#startedAt, maxLifetime);
    if (pump === undefined) return Math.min(this.#deadline, end);
    const relayed = Math.max(pump.aToB.lastRelayTime() ?? 0, pump.bToA.lastRelayTime() ?? 0);
    return Math.min(timeAfter(Math.max(this.#activity!.last, relayed), idleTimeout), end);
  }

  /** Called when the time of `dueAt()` has passed. */
  expire(now: number): void {
    const { maxLifetime } = this.#server.checked;
    const lifetimeIsOver = now >= timeAfter(this.#startedAt, maxLifetime);
    const syscall = this.#pump === undefined ? "connect" : "splice";
    this.abort(timeoutError(lifetimeIsOver ? "forward" : syscall));
  }

  /** Ends the connection with an error, and resets both sides. */
  abort(error: unknown): void {
    if (this.#ended) return;
    // From now on, the callbacks of the attempt and of the pump do nothing.
    this.#ended = true;
    this.#attempt?.cancel();
    this.#lookupAborter?.abort();
    this.#pump?.cancel(error);
    const progress = this.#pump?.progress();
    resetOnClose(this.#clientSocket);
    if (this.#targetSocket !== undefined) resetOnClose(this.#targetSocket);
    this.#finish(progress?.aToB.transferred ?? 0, progress?.bToA.transferred ?? 0, { error });
  }

  /** Closes both sockets, reports the end, and removes the connection from the server. */
  #finish(toTarget: number, toClient: number, failure: { error: unknown } | undefined): void {
    closeQuietly(this.#clientSocket);
    if (this.#targetSocket !== undefined) closeQuietly(this.#targetSocket);
    this.#releasePipes();
    const reason = failure === undefined ? "ended" : "failed";
    const { events } = this.#server;
    // Behind a proxy, `#clientAddress` is the address in the header, and the address of the peer is not stored.
    const peer = this.#header === undefined ? this.#clientAddress : undefined;
    events.reportClosed(this.id, this.#clientAddress, peer, this.#startedAt, toTarget, toClient, reason, failure);
    this.#server.remove(this, this.#key, toTarget, toClient, failure !== undefined);
    const { onEnd } = this.#server.checked;
    if (onEnd === undefined) return;
    // Rounded to microseconds.
    const duration = Math.round((clock() - this.#startedAt) * 1000) / 1000;
    const forwarded: Forwarded = { client: this.#clientAddress!, toTarget, toClient, duration, ...failure };
    queueMicrotask(() => runCallback("onEnd", onEnd, forwarded));
  }
}

/** The time `timeout` ms after `start`; Infinity if `timeout` is null. */
function timeAfter(start: number, timeout: number | null): number {
  return timeout === null ? Infinity : start + timeout;
}

/** Sets whether the waiting calls of a socket keep the process alive. */
export function setSocketRef(socket: Socket, referenced: boolean): void {
  if (referenced) socket.ref();
  else socket.unref();
}

/** Closes a socket, and ignores an error of close(2): the descriptor is closed in any case. */
export function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // No caller could handle this error.
  }
}
