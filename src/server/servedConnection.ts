// A connection of a server: its handler, its end, and its deadlines.

import type { DeadlineMember, EndReason } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import type { Stream } from "../stream/index.js";
import type { ProxyHeader } from "../proxyProtocol/index.js";
import { localError } from "../wait/localError.js";

/** The second argument of a handler: facts about the connection, and its signals. */
export interface ConnectionContext {
  /** The number of the connection, from 1 on. The server uses each number once. */
  readonly id: number;
  /**
   * Aborted when the server resets the connection, because of a limit, the timeout of `drain()`, or `close()`. The
   * `reason` of the signal is the error. If the connection ends otherwise, the signal is not aborted.
   */
  readonly signal: AbortSignal;
  /**
   * Aborted when the server begins to drain. The handler should then finish the current request and return. All
   * handlers share this signal.
   */
  readonly draining: AbortSignal;
  /** The address of the client. With `proxyProtocol`, the one in the header; otherwise that of the peer. */
  readonly client: Address | undefined;
  /** The address of the other end of the connection, which may be a proxy: `stream.remoteAddress`. */
  readonly peer: Address | undefined;
  /** The header of the PROXY protocol, with its TLVs; undefined without `proxyProtocol`. */
  readonly proxyHeader: ProxyHeader | undefined;
  /** The address of this end. */
  readonly local: Address | undefined;
}

/** The addresses of the client and the peer of a connection, and its PROXY header. */
export type ConnectionOrigin = Pick<ConnectionContext, "client" | "peer" | "proxyHeader">;

/** Handles a connection. When it has returned, or its promise is fulfilled, the server ends the connection. */
export type ConnectionHandler = (stream: Stream, context: ConnectionContext) => unknown;

/** A limit that ends connections. */
export type ConnectionLimit = "idleTimeout" | "maxLifetime" | "minReadRate";

/** The limits of each connection. */
export interface ConnectionLimits {
  /** Milliseconds between two checks; Infinity if there is no limit. */
  readonly interval: number;
  readonly idleTimeout: number | null;
  readonly maxLifetime: number | null;
  /** Bytes per second; 0 for no limit. */
  readonly minReadRate: number;
}

/** The part of the server that a connection uses. */
export interface ConnectionOwner {
  readonly limits: ConnectionLimits;
  readonly draining: AbortSignal;
  /** The handler of the connection has failed. */
  onHandlerError(error: unknown, context: ConnectionContext): void;
  /** Called once: when the connection has ended, or when the server aborts it. */
  onEnded(connection: ServedConnection, reason: EndReason): void;
}

/**
 * Milliseconds after the first byte of a request in which `minReadRate` is not checked, because one delay would distort
 * the rate.
 */
const READ_RATE_GRACE = 20_000;
/** Bytes that arrive more than this many ms after the first byte of a request did not come with it in one burst. */
const MAX_BURST_TIME = READ_RATE_GRACE / 4;

export class ServedConnection implements DeadlineMember {
  place: number = -1;
  readonly stream: Stream;
  readonly context: ServedContext;
  /** The key under which the client is counted; undefined if it is not counted. */
  readonly key: string | undefined;
  readonly startedAt: number = clock();
  readonly #owner: ConnectionOwner;
  /** The time of the next check. */
  #checkAt: number;
  #hasEnded = false;
  #handlerHasFailed = false;
  /** The counters of the stream at the previous check. */
  #received = 0;
  #sent = 0;
  /** The time of the latest check that found a change of a counter. */
  #activeAt: number;
  /** The time of the latest check that found received bytes. */
  #receivedAt: number;
  /**
   * The request that the handler has not answered yet: the time of the check that found its first bytes, and the number
   * of bytes that were received before them. Undefined if there is no such request.
   */
  #request: { readonly foundAt: number; readonly receivedBefore: number } | undefined;

  constructor(owner: ConnectionOwner, id: number, stream: Stream, origin: ConnectionOrigin, key: string | undefined) {
    this.#owner = owner;
    this.stream = stream;
    this.key = key;
    this.context = new ServedContext(id, stream, origin, owner.draining);
    // The bytes of the PROXY header do not belong to a request.
    if (origin.proxyHeader !== undefined) this.#received = stream.stats().bytesReceived;
    this.#activeAt = this.#receivedAt = this.startedAt;
    this.#checkAt = nextCheck(this.startedAt, owner.limits.interval);
  }

  start(handler: ConnectionHandler): void {
    let result: unknown;
    try {
      result = handler(this.stream, this.context);
      // Reading `then` may run code of the program, too.
      if (typeof (result as PromiseLike<unknown> | null | undefined)?.then !== "function") {
        this.#handlerReturned();
        return;
      }
    } catch (error) {
      this.#handlerFailed(error);
      return;
    }
    Promise.resolve(result).then(
      () => this.#handlerReturned(),
      (error: unknown) => this.#handlerFailed(error),
    );
  }

  /** Ends the connection, because the handler has returned. */
  #handlerReturned(): void {
    if (this.#hasEnded) return;
    const { stream } = this;
    stream.end().then(
      () => this.#reportEnd(),
      () => {
        // end() rejects, for example if the handler has left a read pending.
        stream.abort();
        this.#reportEnd();
      },
    );
  }

  #handlerFailed(error: unknown): void {
    // After an abort, this error is a consequence of the abort.
    if (this.#hasEnded) return;
    this.#handlerHasFailed = true;
    this.#owner.onHandlerError(error, this.context);
    const reportEnd = (): void => this.#reportEnd();
    // close() still delivers the bytes of writes that have resolved.
    this.stream.close().then(reportEnd, reportEnd);
  }

  #reportEnd(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#owner.onEnded(this, this.#handlerHasFailed ? "failed" : "ended");
  }

  dueAt(): number {
    return this.#checkAt;
  }

  /** Checks the limits. */
  expire(now: number): void {
    const { idleTimeout, interval, maxLifetime } = this.#owner.limits;
    this.#checkAt = nextCheck(now, interval);
    if (maxLifetime !== null && now - this.startedAt >= maxLifetime) {
      this.#abortFor("maxLifetime", `${maxLifetime} ms`);
      return;
    }
    const { bytesReceived, bytesSent } = this.stream.stats();
    if (bytesSent !== this.#sent) {
      this.#sent = bytesSent;
      this.#activeAt = now;
      // The handler has sent bytes, so it has answered the request.
      this.#request = undefined;
      if (bytesReceived !== this.#received) this.#receivedAt = now;
    } else if (bytesReceived !== this.#received) {
      this.#activeAt = this.#receivedAt = now;
      this.#request ??= { foundAt: now, receivedBefore: this.#received };
    }
    this.#received = bytesReceived;
    if (idleTimeout !== null && now - this.#activeAt >= idleTimeout) this.#abortFor("idleTimeout", `${idleTimeout} ms`);
    else this.#checkRate(now);
  }

  /**
   * Resets the connection if a request arrives too slowly. There are two signs of an incomplete request: a read waits
   * although the buffer has bytes, or bytes keep arriving. With neither sign, the handler may be working on a whole
   * request.
   */
  #checkRate(now: number): void {
    const { minReadRate } = this.#owner.limits;
    const request = this.#request;
    if (minReadRate === 0 || request === undefined || now - request.foundAt < READ_RATE_GRACE) return;
    const readNeedsMore = this.stream.reading && this.stream.buffered > 0;
    const hasPaused = now - this.#receivedAt >= READ_RATE_GRACE;
    const keepsArriving = !hasPaused && this.#receivedAt - request.foundAt >= MAX_BURST_TIME;
    if (!readNeedsMore && !keepsArriving) {
      // After such a pause, the next bytes belong to another request.
      if (hasPaused) this.#request = undefined;
      return;
    }
    const rate = ((this.#received - request.receivedBefore) * 1000) / (now - request.foundAt);
    if (rate < minReadRate) this.#abortFor("minReadRate", `${minReadRate} bytes per second`);
  }

  #abortFor(limit: ConnectionLimit, limitText: string): void {
    const cause = new Error(`${limit} of the server is ${limitText}`);
    this.#abort(localError("ETIMEDOUT", "serve", { cause }), limit);
  }

  abort(error: unknown): void {
    this.#abort(error, "aborted");
  }

  #abort(error: unknown, reason: EndReason): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    // The server removes the connection first, because listeners of the signal are code of the user.
    this.#owner.onEnded(this, reason);
    this.context.abort(error);
    this.stream.abort();
  }
}

/** The time of the next check after `now`: a multiple of `interval`, so that all connections are checked together. */
export function nextCheck(now: number, interval: number): number {
  return interval === Infinity ? Infinity : (Math.floor(now / interval) + 1) * interval;
}

class ServedContext implements ConnectionContext {
  readonly id: number;
  readonly client: Address | undefined;
  readonly peer: Address | undefined;
  readonly proxyHeader: ProxyHeader | undefined;
  readonly draining: AbortSignal;
  readonly #stream: Stream;
  /** Made when it is first used. */
  #controller: AbortController | undefined;
  /** The argument of abort(); undefined before the call. */
  #abortedWith: { readonly reason: unknown } | undefined;

  constructor(id: number, stream: Stream, origin: ConnectionOrigin, draining: AbortSignal) {
    this.id = id;
    this.#stream = stream;
    this.client = origin.client;
    this.peer = origin.peer;
    this.proxyHeader = origin.proxyHeader;
    this.draining = draining;
  }

  get local(): Address | undefined {
    return this.#stream.localAddress;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith.reason);
    }
    return this.#controller.signal;
  }

  /** Only for `ServedConnection`: handlers get the type `ConnectionContext`, which has no such method. */
  abort(reason: unknown): void {
    this.#abortedWith = { reason };
    this.#controller?.abort(reason);
  }
}
