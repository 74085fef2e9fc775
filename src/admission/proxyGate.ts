// Reads the headers of the PROXY protocol of accepted connections, with limits: which peers may send a header, how long
// it may take, and how many connections may be without their header at a time.
//
// A connection is pending until its header is complete. The number of pending connections has a limit (`maxPending`).
// At this limit, the oldest pending connection is reset to make place for the next one, so silent clients can't block
// others. A proxy sends its header at once, so this rule rarely resets a connection of a proxy. But the header of a new
// connection needs some time to arrive and to be read. So no pending connection is reset during its first MIN_WAIT.
// Meanwhile further connections wait for a place.

import type { BlockList } from "node:net";
import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import { checkOptions, integer } from "../check/index.js";
import {
  checkMaxBytes,
  type HeaderSource,
  PROXY_HEADER_TIMEOUT,
  type ProxyHeader,
  readHeader,
} from "../proxyProtocol/index.js";
import { localError } from "../wait/localError.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import { checkAddressList, type AddressList, clientKey, isListed } from "./clientKey.js";

/** How a server reads headers of the PROXY protocol. */
export interface ProxyProtocolOptions {
  /**
   * The proxies, as an array of networks or a `net.BlockList`. Connections from other addresses are reset. A peer of a
   * UNIX socket or of vsock has no internet address, so each one counts as a proxy. The option `mode` of `listen()`
   * restricts which users can connect to a UNIX socket.
   */
  readonly from: AddressList;
  /** Milliseconds for the whole header; null for no limit. Default 3,000. */
  readonly timeout?: number | null | undefined;
  /** Maximum length of a header of version 2, from 232 to 65551. Default 4,096. Version 1 has at most 107 bytes. */
  readonly maxBytes?: number | undefined;
  /**
   * Maximum number of connections at a time whose header is not complete. At the maximum, the next connection replaces
   * the oldest of them when the oldest is 100 ms old. The maximum is lower while `maxConnections` allows fewer further
   * connections. Default 256.
   */
  readonly maxPending?: number | undefined;
}

/** `ProxyProtocolOptions`, checked. */
export interface CheckedProxyProtocol {
  readonly from: BlockList;
  readonly timeout: number | null;
  readonly maxBytes: number;
  readonly maxPending: number;
}

/** Checks the option `proxyProtocol`. */
export function checkProxyProtocol(value: unknown, action: string): CheckedProxyProtocol | undefined {
  if (value === undefined) return undefined;
  checkOptions(value, `${action}, proxyProtocol`, ["from", "timeout", "maxBytes", "maxPending"]);
  const { from, timeout, maxBytes, maxPending = 256 } = value as ProxyProtocolOptions;
  const list = checkAddressList(from, action, "proxyProtocol.from");
  if (list === undefined) {
    throw new TypeError(`Cannot ${action}: proxyProtocol.from is undefined, required the addresses of the proxies`);
  }
  return {
    from: list,
    timeout: millisecondsOr(timeout, PROXY_HEADER_TIMEOUT, action, "proxyProtocol.timeout"),
    maxBytes: checkMaxBytes(maxBytes, action, "proxyProtocol.maxBytes"),
    maxPending: integer(maxPending, action, "proxyProtocol.maxPending", 1, 1_000_000),
  };
}

/** Milliseconds for which a pending connection is not reset for another one. */
const MIN_WAIT = 100;

/** A connection whose header is being read. */
class PendingConnection {
  readonly startedAt: number = clock();
  /** Aborts the read of the header. */
  readonly controller: AbortController = new AbortController();
}

/** Reads the headers of the connections of one server. */
export class ProxyGate {
  readonly #opts: CheckedProxyProtocol;
  readonly #onPlaceFree: () => void;
  /** The pending connections, in the order of their arrival. */
  readonly #pending = new Set<PendingConnection>();
  /** The resolve functions of `whenEmpty()`. */
  #emptyWaiters: (() => void)[] = [];
  /** The resolve functions of connections that wait for a place. */
  #placeWaiters: (() => void)[] = [];
  /** Expires when the oldest connection can be reset for another one. */
  #timer: NodeJS.Timeout | undefined;

  /** @param onPlaceFree called when it may be possible to read another header */
  constructor(opts: CheckedProxyProtocol, onPlaceFree: () => void) {
    this.#opts = opts;
    this.#onPlaceFree = onPlaceFree;
  }

  /** Whether headers of this peer are read. A peer without an internet address, which has no key, is trusted. */
  trusts(peer: Address | undefined): boolean {
    return clientKey(peer) === undefined || isListed(this.#opts.from, peer);
  }

  /**
   * Whether the header of another connection can be read. If not, `onPlaceFree` is called when it may be possible.
   *
   * @param limit a second maximum for pending connections, besides `maxPending`; at least 1
   */
  canReadAnother(limit: number): boolean {
    const free = Math.min(limit, this.#opts.maxPending) - this.#pending.size;
    if (free > 0) return true;
    // Above the maximum, a connection waits for a place already.
    if (free < 0) return false;
    // At the maximum, one more connection may be accepted, and replaces the oldest.
    const [oldest] = this.#pending;
    const delay = this.#timeLeft(oldest!);
    if (delay === 0) return true;
    this.#retryAfter(delay);
    return false;
  }

  /** Milliseconds until a connection can be reset for another one; 0 for now. */
  #timeLeft({ startedAt }: PendingConnection): number {
    return Math.max(0, Math.ceil(startedAt + MIN_WAIT - clock()));
  }

  #retryAfter(delay: number): void {
    // Unreferenced, because the pending connections keep the process alive, and may end before the timer expires.
    this.#timer ??= setTimeout(() => this.#retryWaiters(), delay).unref();
  }

  /**
   * Makes connections that wait for a place try again. Called when fewer connections are pending, or one can be reset
   * for another one.
   */
  #retryWaiters(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#placeWaiters.splice(0)) resolve();
    this.#onPlaceFree();
  }

  /**
   * Reads the header of a connection, and then calls `onHeader` or `onError`. Does not close the connection.
   *
   * @param limit a second maximum for pending connections, besides `maxPending`; this connection counts
   */
  async read(
    stream: HeaderSource,
    limit: number,
    onHeader: (header: ProxyHeader) => void,
    onError: (error: unknown) => void,
  ): Promise<void> {
    const { maxBytes, maxPending, timeout } = this.#opts;
    const maxCount = Math.min(limit, maxPending);
    const pending = new PendingConnection();
    const { signal } = pending.controller;
    this.#pending.add(pending);
    try {
      let header: ProxyHeader;
      try {
        if (this.#pending.size > maxCount) await this.#waitForPlace(pending, maxCount);
        header = await readHeader(stream, { maxBytes, timeout, signal });
      } catch (error) {
        onError(error);
        return;
      }
      onHeader(header);
    } finally {
      // Removed after `onHeader`, so that the connection always counts: here, or as a connection of the server.
      this.#pending.delete(pending);
      this.#retryWaiters();
      if (this.#pending.size === 0) for (const resolve of this.#emptyWaiters.splice(0)) resolve();
    }
  }

  /** Waits until fewer than `maxCount` older connections are pending. Makes place by resetting the oldest ones. */
  async #waitForPlace(pending: PendingConnection, maxCount: number): Promise<void> {
    for (;;) {
      // An immediate runs after the events of this turn, so headers that have arrived are read first.
      await new Promise((resolve) => setImmediate(resolve));
      pending.controller.signal.throwIfAborted();
      const all = [...this.#pending];
      const older = all.slice(0, all.indexOf(pending));
      // One place is for this connection.
      let excess = older.length - (maxCount - 1);
      for (const oldest of older) {
        if (excess <= 0) break;
        const delay = this.#timeLeft(oldest);
        if (delay > 0) {
          this.#retryAfter(delay);
          break;
        }
        this.#pending.delete(oldest);
        const cause = new Error("another connection took the place of this one: see proxyProtocol.maxPending");
        oldest.controller.abort(localError("ECANCELED", "proxy_header", { cause }));
        excess--;
      }
      if (excess <= 0) return;
      await new Promise<void>((resolve) => this.#placeWaiters.push(resolve));
    }
  }

  /** The number of pending connections. */
  get size(): number {
    return this.#pending.size;
  }

  /** Resolves when no connection is pending. */
  whenEmpty(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  /** Aborts all reads with an error. */
  abortAll(error: unknown): void {
    for (const { controller } of this.#pending) controller.abort(error);
    this.#retryWaiters();
  }
}
