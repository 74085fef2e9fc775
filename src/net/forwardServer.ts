// Accepts connections for forward(), and checks their deadlines. forwardedConnection.ts connects each connection to the
// target.

import {
  AcceptLoop,
  checkAdmission,
  type AcceptHandler,
  type AcceptOwner,
  DeadlineSet,
  type DrainOptions,
  checkDrainTimeout,
  Lifecycle,
  type LifecycleOwner,
  pressure,
  type ServerEvents,
} from "../admission/index.js";
import { type Address, HostPort } from "../addr/index.js";
import { isEndedByClose } from "../errors/index.js";
import { pipesOf } from "../ops/spliceOptions.js";
import type { ProxyHeader } from "../proxyProtocol/index.js";
import type { Fields } from "../registry/index.js";
import { acceptFrom, PENDING, resetOnClose, type Socket } from "../socket/index.js";
import type { Stream } from "../stream/index.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import type { ForwardOptions } from "./forward.js";
import { type CheckedForward, closeQuietly, ForwardedConnection, setSocketRef } from "./forwardedConnection.js";
import { forwardHeader } from "./forwardHeader.js";
import { describeListener, type ListenerDescription } from "./listenerStats.js";
import { gateOf, type ListenAddress, type SocketListener } from "./socketListener.js";

/**
 * Maximum number of waiting connections that `retryWork()` starts at a time if the target is a name. Their lookups fail
 * only after `retryWork()` has returned, so it can't stop at the first failure.
 */
const MAX_RETRIED_LOOKUPS = 4;

/** The counters of a {@link Forwarder}. */
export interface ForwarderStats {
  /** Connections that were accepted and not refused. */
  readonly accepted: number;
  /** Connections that were refused by the lists of addresses, by a limit, or by `proxyProtocol`. */
  readonly refused: number;
  /** The part of `refused` whose reason is `proxyProtocol`. */
  readonly proxyRefused: number;
  /** Shortages of descriptors or memory that have begun. */
  readonly shortages: number;
  /** Connections now, including those that are not connected to the target yet. */
  readonly connections: number;
  /** Connections that have ended with an error, including those that `close()` has reset. */
  readonly failed: number;
  /** Bytes that were sent to the target, of the connections that have ended. */
  readonly toTarget: number;
  /** Bytes that were sent to the client, of the connections that have ended. */
  readonly toClient: number;
  readonly state: "listening" | "draining" | "closed";
}

const ADMISSION_DEFAULTS = { maxConnections: 1000, maxConnectionsPerAddress: null };

/** Checks the options that concern connections: limits, timeouts, pipes, and the header for the target. */
export function checkServerOptions(
  opts: ForwardOptions,
  action: string,
): Omit<CheckedForward, "target" | "checkedConnect" | "onEnd"> {
  return {
    ...checkAdmission(opts, action, ADMISSION_DEFAULTS),
    connectTimeout: millisecondsOr(opts.connectTimeout, 10_000, action, "connectTimeout"),
    pipes: pipesOf(opts.pipeSize, action),
    sendHeader: forwardHeader(opts.sendProxyProtocol, action),
  };
}

/** Accepts connections and checks their deadlines. */
export class ForwardServer implements AcceptOwner<Socket>, LifecycleOwner {
  readonly call = "forward";
  /** The descriptor of the socket for the target. */
  readonly descriptorsPerConnection = 1;
  readonly checked: CheckedForward;
  readonly life: Lifecycle;
  readonly #listener: SocketListener;
  readonly #connections = new DeadlineSet<ForwardedConnection>();
  readonly #loop: AcceptLoop<Socket>;
  /** Whether the server and its connections keep the process alive. */
  keepsAlive = true;
  /** The number of running lookups. Each will be followed by a socket for the target. */
  pendingDescriptors = 0;
  /** Connections that wait for a descriptor or for memory, the oldest first. */
  readonly #waiting = new Set<ForwardedConnection>();
  readonly #totals = { failed: 0, toTarget: 0, toClient: 0 };
  #nextId = 1;

  constructor(listener: SocketListener, checked: CheckedForward, signal: AbortSignal | undefined) {
    this.checked = checked;
    this.#listener = listener;
    const needsPeer = checked.onEnd !== undefined || checked.sendHeader !== undefined;
    this.#loop = new AcceptLoop(this, checked, { needsPeer });
    this.life = new Lifecycle(this, "forward", signal);
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  get events(): ServerEvents {
    return this.#loop.events;
  }

  stats(): ForwarderStats {
    const { accepted, connections, proxyRefused, refused, shortages } = this.#loop.counts;
    const { state } = this.life;
    return { accepted, refused, proxyRefused, ...this.#totals, shortages, connections, state };
  }

  describe(): Fields<ListenerDescription> {
    const { state: _, ...counters } = this.stats();
    return describeListener(this.#listener.socket, this.address, counters);
  }

  drain(opts: DrainOptions): Promise<void> {
    return this.life.drain(checkDrainTimeout(opts));
  }

  /** Sets whether the server and all its connections keep the process alive. */
  setRef(referenced: boolean): void {
    this.keepsAlive = referenced;
    this.#loop.setRef(referenced);
    setSocketRef(this.#listener.socket, referenced);
    for (const connection of this.#connections) connection.setRef(referenced);
  }

  accept(): void {
    this.#loop.start(gateOf(this.#listener));
  }

  acceptNext(handler: AcceptHandler<Socket>): Socket | undefined {
    const socket = acceptFrom(handler, this.#listener.socket);
    return socket === PENDING ? undefined : socket;
  }

  /** accept4(2) has stored the address of the peer in the address buffer. */
  peerOf(): Address {
    return decodeAddressBuffer();
  }

  refuse(socket: Socket): void {
    resetOnClose(socket);
    closeQuietly(socket);
  }

  onAcceptFailed(error: unknown): void {
    // The signal of the option `listen` may have closed the listener. That is no error.
    const listenerWasClosed = this.#listener.socket.closed && isEndedByClose(error);
    if (!listenerWasClosed) this.events.reportListenerError(error);
    this.life.end(listenerWasClosed ? undefined : { error });
  }

  /**
   * Makes the stream from which the header of the PROXY protocol is read. If the stream reads bytes after the header,
   * the pump moves these bytes first.
   */
  streamOf(socket: Socket): Stream {
    return socket.stream();
  }

  handle(socket: Socket, client: Address | undefined, key: string | undefined, header: ProxyHeader | undefined): void {
    const connection = new ForwardedConnection(this, this.#nextId++, socket, client, key, header);
    this.#connections.add(connection);
    this.events.reportConnection(connection.id, client, header === undefined ? client : undefined);
    connection.start();
  }

  /** Makes a connection wait for a descriptor or for memory. @param code the code of the shortage */
  waitForDescriptor(connection: ForwardedConnection, code: string): void {
    this.#waiting.add(connection);
    pressure.report(code);
  }

  /** Starts connections that wait, until one waits again. Returns whether one still waits. */
  retryWork(): boolean {
    const maxStarts = this.checked.target instanceof HostPort ? MAX_RETRIED_LOOKUPS : Infinity;
    let starts = 0;
    for (const connection of this.#waiting) {
      if (++starts > maxStarts) break;
      this.#waiting.delete(connection);
      connection.start();
      // If this connection waits again, the others would too.
      if (this.#waiting.has(connection)) break;
    }
    return this.#waiting.size > 0;
  }

  /** Makes the timer of the deadlines fire at `due` at the latest. */
  arm(due: number): void {
    this.#connections.arm(due);
  }

  /** Removes a connection that has ended, and counts its bytes. @param failed whether it has ended with an error */
  remove(
    connection: ForwardedConnection,
    key: string | undefined,
    toTarget: number,
    toClient: number,
    failed: boolean,
  ): void {
    const totals = this.#totals;
    totals.toTarget += toTarget;
    totals.toClient += toClient;
    if (failed) totals.failed++;
    this.#waiting.delete(connection);
    this.#connections.delete(connection);
    this.#loop.onConnectionEnded(key);
  }

  stop(): void {
    this.#loop.reportDrain();
    this.#loop.stop();
    void this.#listener.close();
  }

  async whenEmpty(): Promise<void> {
    await this.#loop.whenHeadersRead();
    await this.#connections.whenEmpty();
  }

  abort(error: unknown): void {
    this.#loop.end();
    this.#connections.abortAll(error);
  }

  release(error: unknown): undefined {
    void this.#listener.close();
    this.abort(error);
  }
}
