// The loop that accepts connections for a server, and refuses those that its lists or limits do not allow.
//
// One accept is pending at a time, and none while the server is full, over its rate, or short of descriptors. Then
// connections stay in the accept queue of the kernel.

import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import { clientKey, isListed } from "./clientKey.js";
import type { HeaderSource, ProxyHeader } from "../proxyProtocol/index.js";
import type { Stream } from "../stream/index.js";
import { localError } from "../wait/localError.js";
import type { CheckedAdmission, RefusalReason } from "./limits.js";
import { pressure, type PressureClient, shortageOf } from "./pressure.js";
import { ServerEvents } from "./serverEvents.js";
import { ProxyGate } from "./proxyGate.js";
import { TokenBucket } from "./tokenBucket.js";

type Failure = { readonly error: unknown } | undefined;

/** Gets the result of an accept that had to wait. */
export interface AcceptHandler<T> {
  onCompleted(connection: T): void;
  onFailed(error: unknown): void;
}

/** The server of an accept loop. */
export interface AcceptOwner<T> {
  /** The function that made the server, for events. */
  readonly call: string;
  /** The address of the listener. */
  readonly address: Address | undefined;
  /** Accepts a connection. Returns undefined if the call waits; then `handler` gets the result. */
  acceptNext(handler: AcceptHandler<T>): T | undefined;
  /** The peer of a connection. The loop calls it right after accept, before another call overwrites the address. */
  peerOf(connection: T): Address | undefined;
  /** The number of descriptors that the connections of this server are about to open. */
  readonly pendingDescriptors: number;
  /** The number of descriptors that each connection will open: one for the connection to a target, or none. */
  readonly descriptorsPerConnection: number;
  /** Resets a connection. */
  refuse(connection: T): void;
  /** The stream of a connection, for the header of the PROXY protocol. Bytes after the header stay in its buffer. */
  streamOf(connection: T): HeaderSource;
  /** The header that `readHeaderBeforeTls()` has read, for a connection of TLS. */
  headerOf?(connection: T): ProxyHeader | undefined;
  /**
   * Takes a connection. The owner calls `onConnectionEnded(key)` when the connection has ended.
   *
   * @param client the address of the client: that of the header, or else that of the peer
   */
  handle(connection: T, client: Address | undefined, key: string | undefined, header: ProxyHeader | undefined): void;
  /** Tries the work that waits for descriptors; see {@link PressureClient.retryWork}. */
  retryWork(): boolean;
  /** Called when accepting has failed with an error that is neither a shortage nor about one connection. */
  onAcceptFailed(error: unknown): void;
}

/** The counters of a loop. */
export interface AdmissionCounts {
  /** Connections that were accepted and not refused. */
  readonly accepted: number;
  /** Connections that were refused. */
  readonly refused: number;
  /** The part of `refused` whose reason is `proxyProtocol`. */
  readonly proxyRefused: number;
  /** Connections now. */
  readonly connections: number;
  /** Shortages of descriptors or memory that have begun. */
  readonly shortages: number;
}

export class AcceptLoop<T> implements AcceptHandler<T>, PressureClient {
  /** The events of the server. Its owner reports those of connections. */
  readonly events: ServerEvents;
  readonly #owner: AcceptOwner<T>;
  readonly #limits: CheckedAdmission;
  /** Whether the loop or its owner needs the address of each client. */
  readonly #needsPeer: boolean;
  readonly #rateBucket: TokenBucket | undefined;
  /** The number of connections by client. */
  readonly #countByClient = new Map<string, number>();
  readonly #counts = { accepted: 0, refused: 0, proxyRefused: 0, connections: 0, shortages: 0 };
  readonly #proxyGate: ProxyGate | undefined;
  /** Whether headers are read before TLS handshakes. If so, the listener limits the number of pending headers. */
  #headersBeforeTls = false;
  #accepting = false;
  #inLoop = false;
  #stopped = false;
  #ended = false;
  #endReported = false;
  /** Whether the token of the rate for the next connection was taken. */
  #tokenTaken = false;
  #rateTimer: NodeJS.Timeout | undefined;
  #keepsAlive = true;

  /** @param needsPeer whether the owner needs the address of each client */
  constructor(owner: AcceptOwner<T>, limits: CheckedAdmission, needsPeer: boolean) {
    this.#owner = owner;
    this.#limits = limits;
    this.events = new ServerEvents(owner.call, () => owner.address, limits);
    const { allow, deny, maxConnectionsPerAddress, acceptRate, onRefused, proxyProtocol } = limits;
    const decides = allow !== undefined || deny !== undefined || maxConnectionsPerAddress !== Infinity;
    this.#needsPeer = needsPeer || decides || onRefused !== undefined || proxyProtocol !== undefined;
    this.#proxyGate = proxyProtocol === undefined ? undefined : new ProxyGate(proxyProtocol, () => this.#afterEnd());
    this.#rateBucket = acceptRate === Infinity ? undefined : new TokenBucket(acceptRate, clock());
  }

  get reserve(): number | undefined {
    return this.#limits.reserve;
  }

  get keepsAlive(): boolean {
    return this.#keepsAlive;
  }

  get pendingDescriptors(): number {
    return this.#owner.pendingDescriptors + this.#owner.descriptorsPerConnection * (this.#proxyGate?.size ?? 0);
  }

  get idle(): boolean {
    return this.#counts.connections + (this.#proxyGate?.size ?? 0) === 0;
  }

  get counts(): AdmissionCounts {
    return { ...this.#counts };
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Starts accepting, after `gate` resolves. If `gate` rejects, calls `onAcceptFailed()` of the owner. */
  start(gate?: Promise<void>): void {
    if (gate !== undefined) {
      gate.then(
        () => this.start(),
        (error: unknown) => {
          if (!this.#stopped) this.#owner.onAcceptFailed(error);
        },
      );
      return;
    }
    if (this.#stopped) return;
    pressure.join(this);
    this.events.reportListening();
    this.#acceptAll();
  }

  /** Reports that the server begins to drain. The loop still accepts until `stop()`, because handshakes run. */
  reportDrain(): void {
    if (!this.#stopped) this.events.reportDrain(this.#counts.connections);
  }

  /** Accepts no more. Refuses the result of a pending accept. Connections whose header is pending are still served. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#rateTimer);
  }

  /** Called when the server has ended. Stops, leaves `pressure`, and cancels pending headers. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.stop();
    pressure.leave(this);
    this.#proxyGate?.abortAll(localError("ECANCELED", "proxy_header"));
    this.#reportEnd();
  }

  /** Reports once that the server has ended and no connection is left. */
  #reportEnd(): void {
    if (!this.#ended || this.#endReported || !this.idle) return;
    this.#endReported = true;
    this.events.reportEnd(this.#counts.accepted, this.#counts.refused);
  }

  /** Whether a header is pending. */
  get hasPendingHeaders(): boolean {
    return (this.#proxyGate?.size ?? 0) > 0;
  }

  /** After `stop()`: resolves when no header is pending. */
  whenHeadersRead(): Promise<void> {
    return this.#proxyGate?.whenEmpty() ?? Promise.resolve();
  }

  /** Sets whether the server keeps the process alive. */
  setRef(referenced: boolean): void {
    this.#keepsAlive = referenced;
    this.#rateTimer?.[referenced ? "ref" : "unref"]();
  }

  /** Called when a connection of the client `key` has ended. */
  onConnectionEnded(key: string | undefined): void {
    this.#counts.connections--;
    const count = key === undefined ? 0 : this.#countByClient.get(key)! - 1;
    if (count > 0) this.#countByClient.set(key!, count);
    else if (key !== undefined) this.#countByClient.delete(key);
    this.#afterEnd();
  }

  /** Called when a connection, or the read of its header, has ended. */
  #afterEnd(): void {
    this.#reportEnd();
    this.#resume();
  }

  /** Accepts again, in a microtask, because the caller may be in the middle of an event of the poller. */
  #resume(): void {
    if (!this.#accepting && !this.#stopped) queueMicrotask(() => this.#acceptAll());
  }

  onCompleted(connection: T): void {
    this.#accepting = false;
    this.#admit(connection);
    this.#acceptAll();
  }

  onFailed(error: unknown): void {
    this.#accepting = false;
    const code = shortageOf(error);
    if (this.#stopped) return;
    if (code !== undefined) pressure.report(code);
    // A firewall has refused one connection; see ops/accept.ts.
    else if ((error as { readonly code?: unknown } | null)?.code === "EPERM") this.#acceptAll();
    else this.#owner.onAcceptFailed(error);
  }

  onShortageBegin(code: string): void {
    this.#counts.shortages++;
    this.events.reportShortage("begin", code);
  }

  retryWork(): boolean {
    return this.#owner.retryWork();
  }

  resumeAccepting(): void {
    this.#acceptAll();
  }

  onShortageEnd(code: string): void {
    this.events.reportShortage("end", code);
  }

  get #full(): boolean {
    return this.#counts.connections >= this.#limits.maxConnections;
  }

  /** Whether another header can be read, or the next connection is accepted or refused without a read. */
  get #mayReadHeader(): boolean {
    const free = this.#limits.maxConnections - this.#counts.connections;
    return this.#proxyGate === undefined || this.#headersBeforeTls || free <= 0 || this.#proxyGate.canReadAnother(free);
  }

  /** Whether a connection may be accepted now. */
  get #mayAccept(): boolean {
    return !this.#stopped && !this.#accepting && !pressure.blocks && (this.#limits.refusesWhenFull || !this.#full);
  }

  /** Takes a token of the rate for the next connection. If there is none, returns false and starts a timer. */
  #takeToken(): boolean {
    if (this.#tokenTaken || this.#rateBucket === undefined) return true;
    const pause = this.#rateBucket.take(clock());
    if (pause === 0) return (this.#tokenTaken = true);
    clearTimeout(this.#rateTimer);
    this.#rateTimer = setTimeout(() => this.#acceptAll(), pause);
    if (!this.#keepsAlive) this.#rateTimer.unref();
    return false;
  }

  /** Accepts connections until an accept waits, or none may be accepted. */
  #acceptAll(): void {
    if (this.#inLoop) return;
    this.#inLoop = true;
    try {
      while (this.#mayAccept && this.#mayReadHeader) {
        if (!this.#takeToken()) return;
        let connection: T | undefined;
        // Set before the call, because acceptNext() may call the handler.
        this.#accepting = true;
        try {
          connection = this.#owner.acceptNext(this);
        } catch (error) {
          this.onFailed(error);
          continue;
        }
        if (connection === undefined) return;
        this.#accepting = false;
        this.#admit(connection);
      }
    } finally {
      this.#inLoop = false;
    }
  }

  #admit(connection: T): void {
    this.#tokenTaken = false;
    const owner = this.#owner;
    const peer = this.#needsPeer || this.events.needsAddresses ? owner.peerOf(connection) : undefined;
    if (this.#proxyGate === undefined) {
      this.#checkLimits(connection, peer, undefined, this.#stopped);
      return;
    }
    const header = owner.headerOf?.(connection);
    if (header !== undefined) this.#checkLimits(connection, peer, header, this.#stopped);
    else this.#readHeader(this.#proxyGate, connection, peer);
  }

  #readHeader(gate: ProxyGate, connection: T, peer: Address | undefined): void {
    const free = this.#limits.maxConnections - this.#counts.connections;
    let reason: RefusalReason | undefined;
    if (this.#stopped) reason = "draining";
    else if (!gate.trusts(peer)) reason = "proxyProtocol";
    else if (free <= 0) reason = "maxConnections";
    if (reason !== undefined) {
      this.#refuse(reason, connection, peer, peer, undefined);
      return;
    }
    void gate.read(
      this.#owner.streamOf(connection),
      free,
      // A connection that was accepted before `stop()` is served, so `#stopped` is not checked.
      (header) => this.#checkLimits(connection, peer, header, this.#ended),
      (error) => this.#refuse(this.#ended ? "draining" : "proxyProtocol", connection, peer, peer, { error }),
    );
    this.#checkReserve();
  }

  /**
   * Reads the header of a connection before its TLS handshake. Resolves with the header, or with undefined after the
   * connection was refused and reset. The connection does not count as one of the server yet.
   */
  async readHeaderBeforeTls(stream: Stream): Promise<ProxyHeader | undefined> {
    const peer = stream.remoteAddress;
    const refuse = (failure: Failure): void => {
      stream.abort();
      this.#countRefusal(this.#ended ? "draining" : "proxyProtocol", peer, peer, failure);
    };
    const gate = this.#proxyGate!;
    this.#headersBeforeTls = true;
    if (!gate.trusts(peer)) {
      refuse(undefined);
      return undefined;
    }
    let result: ProxyHeader | undefined;
    const onHeader = (header: ProxyHeader): void => void (result = header);
    await gate.read(stream, Infinity, onHeader, (error) => refuse({ error }));
    return result;
  }

  #checkLimits(connection: T, peer: Address | undefined, header: ProxyHeader | undefined, stopped: boolean): void {
    const client = header?.source ?? peer;
    const key = this.#limits.maxConnectionsPerAddress === Infinity ? undefined : clientKey(client);
    const reason = stopped ? "draining" : this.#refusalOf(client, key);
    if (reason !== undefined) {
      this.#refuse(reason, connection, peer, client, undefined);
      return;
    }
    this.#counts.accepted++;
    this.#counts.connections++;
    if (key !== undefined) this.#countByClient.set(key, (this.#countByClient.get(key) ?? 0) + 1);
    this.#owner.handle(connection, client, key, header);
    this.#checkReserve();
  }

  /** Reports a shortage if fewer descriptors are free than the reserve. */
  #checkReserve(): void {
    if (pressure.isScarce(this.reserve, this.pendingDescriptors)) pressure.report("EMFILE", true);
  }

  #refuse(
    reason: RefusalReason,
    connection: T,
    peer: Address | undefined,
    client: Address | undefined,
    failure: Failure,
  ): void {
    this.#owner.refuse(connection);
    this.#countRefusal(reason, peer, client, failure);
  }

  #countRefusal(reason: RefusalReason, peer: Address | undefined, client: Address | undefined, failure: Failure): void {
    this.#counts.refused++;
    if (reason === "proxyProtocol") this.#counts.proxyRefused++;
    this.events.reportRefused(reason, client, peer, failure);
  }

  /** The list or limit that refuses a client; undefined if none does. */
  #refusalOf(client: Address | undefined, key: string | undefined): RefusalReason | undefined {
    const { allow, deny, maxConnectionsPerAddress } = this.#limits;
    if (deny !== undefined && isListed(deny, client)) return "deny";
    if (allow !== undefined && clientKey(client) !== undefined && !isListed(allow, client)) return "allow";
    // The result of a pending accept may come when the server is full.
    if (this.#full) return "maxConnections";
    const count = key === undefined ? 0 : (this.#countByClient.get(key) ?? 0);
    return count >= maxConnectionsPerAddress ? "maxConnectionsPerAddress" : undefined;
  }
}
