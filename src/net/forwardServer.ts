// Accepts connections for forward(), and checks their deadlines. forwardedConnection.ts connects each to the target.

import { AcceptLoop, type AcceptHandler, type AcceptOwner, ConnectionSet, pressure } from "../admission/index.js";
import { type Address, HostPort } from "../addr/index.js";
import type { Fields } from "../registry/index.js";
import { acceptFrom, PENDING, resetOnClose, type Socket } from "../socket/index.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { localError } from "../wait/localError.js";
import { type CheckedForward, closeQuietly, ForwardedConnection, holdSocket } from "./forwardedConnection.js";
import { describeListener, type ListenerDescription } from "./listenerStats.js";
import { rejection } from "../wait/rejection.js";
import { gateOf, type ListenAddress, type SocketListener } from "./socketListener.js";

/** Connections to a target by name that are tried again at a time, after a shortage of descriptors. */
const RETRIED_NAMES = 4;

/** The counters of a {@link Forwarder}. */
export interface ForwarderStats {
  /** Connections that were accepted and not refused. */
  readonly accepted: number;
  /** Connections that were refused: the lists of addresses, or a limit. */
  readonly refused: number;
  /** Shortages of descriptors or memory that have begun. */
  readonly shortages: number;
  /** Connections now, including those that are not connected to the target yet. */
  readonly connections: number;
  /** Connections that have ended with an error, among them those that `close()` has cut. */
  readonly failed: number;
  /** Bytes that were sent to the target, of the connections that have ended. */
  readonly toTarget: number;
  /** Bytes that were sent to the client, of the connections that have ended. */
  readonly toClient: number;
}

/** Accepts connections and checks their deadlines. */
export class ForwardServer implements AcceptOwner<Socket> {
  readonly checked: CheckedForward;
  readonly closed: Promise<void>;
  readonly #listener: SocketListener;
  readonly #connections = new ConnectionSet<ForwardedConnection>();
  readonly #loop: AcceptLoop<Socket>;
  readonly #signal: AbortSignal | undefined;
  readonly #onSignal = { aborted: (): void => this.end() };
  /** Whether the server and its connections keep the process alive. */
  held = true;
  /** The lookups of names that run: each will open a descriptor for the target. */
  owed = 0;
  /** Connections that wait for a descriptor, in the order of their requests. */
  readonly #waiting = new Set<ForwardedConnection>();
  readonly #totals = { failed: 0, toTarget: 0, toClient: 0 };
  #over = false;
  #resolve!: (outcome?: Promise<never>) => void;

  constructor(listener: SocketListener, checked: CheckedForward, signal: AbortSignal | undefined) {
    this.checked = checked;
    this.#listener = listener;
    this.#signal = signal;
    this.closed = new Promise((resolve) => (this.#resolve = resolve));
    this.#loop = new AcceptLoop(this, checked, checked.onEnd !== undefined);
    if (signal !== undefined) onAbort(signal, this.#onSignal);
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  stats(): ForwarderStats {
    const { accepted, connections, refused, shortages } = this.#loop.counts;
    return { accepted, refused, ...this.#totals, shortages, connections };
  }

  describe(): Fields<ListenerDescription> {
    return describeListener(this.#listener.socket, this.address, this.stats());
  }

  /** Sets whether the server and all its connections keep the process alive. */
  keepAlive(yes: boolean): void {
    this.held = yes;
    this.#loop.keepAlive(yes);
    holdSocket(this.#listener.socket, yes);
    for (const connection of this.#connections) connection.keepAlive(yes);
  }

  accept(): void {
    const gate = gateOf(this.#listener);
    if (gate === undefined) this.#loop.start();
    else {
      gate.then(
        () => {
          if (!this.#over) this.#loop.start();
        },
        (error: unknown) => this.end(error),
      );
    }
  }

  next(handler: AcceptHandler<Socket>): Socket | undefined {
    const socket = acceptFrom(handler, this.#listener.socket);
    return socket === PENDING ? undefined : socket;
  }

  peerOf(): Address {
    return decodeAddressBuffer();
  }

  refuse(socket: Socket): void {
    resetOnClose(socket);
    closeQuietly(socket);
  }

  acceptFailed(error: unknown): void {
    // If the signal of `listen` has closed the listener, that is no error.
    this.end(this.#listener.socket.closed ? undefined : error);
  }

  begin(socket: Socket, peer: Address | undefined, key: string | undefined): void {
    const connection = new ForwardedConnection(this, socket, peer, key);
    this.#connections.add(connection);
    connection.start();
  }

  /** A connection waits for a descriptor or for memory. */
  wait(connection: ForwardedConnection, code: string): void {
    this.#waiting.add(connection);
    pressure.report(code);
  }

  retryWork(): boolean {
    const batch = this.checked.target instanceof HostPort ? RETRIED_NAMES : Infinity;
    let tried = 0;
    for (const connection of this.#waiting) {
      if (++tried > batch) break;
      this.#waiting.delete(connection);
      connection.start();
      // It waits again, and so would the others.
      if (this.#waiting.has(connection)) break;
    }
    return this.#waiting.size > 0;
  }

  arm(due: number): void {
    this.#connections.arm(due);
  }

  /** A connection has ended, with an error if `failed`. */
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
    this.#loop.left(key);
  }

  /** Accepts no more, and waits for the connections. After `timeout` ms it cuts those that are left. */
  async drain(timeout: number | null): Promise<void> {
    if (this.#over) return;
    this.#loop.stop();
    void this.#listener.close();
    const timer = timeout === null ? undefined : setTimeout(() => this.end(), timeout);
    await this.#connections.empty();
    clearTimeout(timer);
    this.end();
  }

  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#loop.end();
    if (this.#signal !== undefined) offAbort(this.#signal, this.#onSignal);
    void this.#listener.close();
    this.#connections.cutAll(error ?? localError("ECANCELED", "forward"));
    if (error === undefined) this.#resolve();
    else this.#resolve(rejection(error));
  }
}
