// The loop that accepts connections for a server, and refuses those that its lists or limits do not allow.
//
// At most one accept is pending. None is pending while the server is over its rate, short of descriptors, or full (with
// `whenFull: "queue"`). Meanwhile connections stay in the accept queue of the kernel.

import type { Address } from "../addr/index.js";
import { clock } from "../builtins.js";
import type { AcceptHandler, AcceptOwner } from "./acceptOwner.js";
import { clientKey, isListed } from "./clientKey.js";
import type { ProxyHeader } from "../proxyProtocol/index.js";
import type { Stream } from "../stream/index.js";
import { localError } from "../wait/localError.js";
import type { CheckedAdmission, Refusal, RefusalReason } from "./limits.js";
import { pressure, type PressureClient, shortageOf } from "./pressure.js";
import { ServerEvents } from "./serverEvents.js";
import { ProxyGate } from "./proxyGate.js";
import { TokenBucket } from "./tokenBucket.js";

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
  /** The events of the server. The owner of the loop reports the events of connections. */
  readonly events: ServerEvents;
  readonly #owner: AcceptOwner<T>;
  readonly #limits: CheckedAdmission;
  /** Whether the loop or its owner needs the address of each client. */
  readonly #needsPeer: boolean;
  /** Undefined without `acceptRate`. */
  readonly #rateBucket: TokenBucket | undefined;
  /** The number of connections by client key. */
  readonly #countByClient = new Map<string, number>();
  readonly #counts = { accepted: 0, refused: 0, proxyRefused: 0, connections: 0, shortages: 0 };
  /** Undefined without `proxyProtocol`. */
  readonly #proxyGate: ProxyGate | undefined;
  /** Whether headers are read before TLS handshakes. If so, accepted connections have their header already. */
  #headersBeforeTls = false;
  /** Whether an accept is pending. */
  #accepting = false;
  /** Whether `#acceptAll()` is running. The functions that it calls may call it again. */
  #inLoop = false;
  #stopped = false;
  #ended = false;
  #endReported = false;
  /** Whether the next connection has its token of the rate already. */
  #tokenTaken = false;
  #rateTimer: NodeJS.Timeout | undefined;
  #keepsAlive = true;

  /** @param opts `needsPeer`: whether the owner needs the address of each client */
  constructor(owner: AcceptOwner<T>, limits: CheckedAdmission, opts: { readonly needsPeer: boolean }) {
    this.#owner = owner;
    this.#limits = limits;
    this.events = new ServerEvents(owner.call, () => owner.address, limits);
    const { allow, deny, maxConnectionsPerAddress, acceptRate, onRefused, proxyProtocol } = limits;
    const checksAddresses = allow !== undefined || deny !== undefined || maxConnectionsPerAddress !== Infinity;
    this.#needsPeer = opts.needsPeer || checksAddresses || onRefused !== undefined || proxyProtocol !== undefined;
    this.#proxyGate = proxyProtocol && new ProxyGate(proxyProtocol, () => this.#onPlaceFree());
    this.#rateBucket = acceptRate === Infinity ? undefined : new TokenBucket(acceptRate, clock());
  }

  get reserve(): number | undefined {
    return this.#limits.reserve;
  }

  get keepsAlive(): boolean {
    return this.#keepsAlive;
  }

  get pendingDescriptors(): number {
    return this.#owner.pendingDescriptors + this.#owner.descriptorsPerConnection * this.#pendingHeaders;
  }

  get idle(): boolean {
    return this.#counts.connections + this.#pendingHeaders === 0;
  }

  get counts(): AdmissionCounts {
    return { ...this.#counts };
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Starts accepting. In the new program of an upgrade, `whenAllowed` resolves when the server may accept. If it
   * rejects, the loop calls `onAcceptFailed()` of the owner.
   */
  start(whenAllowed?: Promise<void>): void {
    if (whenAllowed !== undefined) {
      whenAllowed.then(
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

  /**
   * Reports that the server begins to drain. Until `stop()`, the loop still accepts the connections whose TLS handshake
   * had begun.
   */
  reportDrain(): void {
    if (!this.#stopped) this.events.reportDrain(this.#counts.connections);
  }

  /**
   * Accepts no more connections, and refuses the result of a pending accept. Connections whose header is pending are
   * still served.
   */
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
    this.#reportEndIfIdle();
  }

  /** When the server has ended and no connection is left: reports the end, once. */
  #reportEndIfIdle(): void {
    if (!this.#ended || this.#endReported || !this.idle) return;
    this.#endReported = true;
    this.events.reportEnd(this.#counts.accepted, this.#counts.refused);
  }

  /** The number of connections whose PROXY header is being read. */
  get #pendingHeaders(): number {
    return this.#proxyGate?.size ?? 0;
  }

  get hasPendingHeaders(): boolean {
    return this.#pendingHeaders > 0;
  }

  /** After `stop()`: resolves when no header is pending. */
  whenHeadersRead(): Promise<void> {
    return this.#proxyGate?.whenEmpty() ?? Promise.resolve();
  }

  /** Sets whether the server keeps the process alive. */
  setRef(referenced: boolean): void {
    this.#keepsAlive = referenced;
    if (referenced) this.#rateTimer?.ref();
    else this.#rateTimer?.unref();
  }

  /** Called when a connection has ended. `key` is that of `handle()`. */
  onConnectionEnded(key: string | undefined): void {
    this.#counts.connections--;
    if (key !== undefined) {
      const remaining = this.#countByClient.get(key)! - 1;
      if (remaining > 0) this.#countByClient.set(key, remaining);
      else this.#countByClient.delete(key);
    }
    this.#onPlaceFree();
  }

  /** Called when another connection may be accepted: one has ended, or another header may be read. */
  #onPlaceFree(): void {
    this.#reportEndIfIdle();
    // In a microtask, because the caller may be in the middle of an event of the poller.
    if (!this.#accepting && !this.#stopped) queueMicrotask(() => this.#acceptAll());
  }

  onCompleted(connection: T): void {
    this.#accepting = false;
    this.#onAccepted(connection);
    this.#acceptAll();
  }

  onFailed(error: unknown): void {
    this.#accepting = false;
    if (this.#stopped) return;
    const shortage = shortageOf(error);
    // With EPERM, a firewall has refused only this connection; see ops/accept.ts.
    const isRefusedByFirewall = (error as { readonly code?: unknown } | null)?.code === "EPERM";
    if (shortage !== undefined) pressure.report(shortage);
    else if (isRefusedByFirewall) this.#acceptAll();
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

  /** How many more connections `maxConnections` allows. */
  get #freeConnections(): number {
    return this.#limits.maxConnections - this.#counts.connections;
  }

  get #isFull(): boolean {
    return this.#freeConnections <= 0;
  }

  /** Whether a connection may be accepted now, apart from `acceptRate`. */
  get #mayAccept(): boolean {
    if (this.#stopped || this.#accepting || pressure.blocksAccepting) return false;
    if (this.#isFull) return this.#limits.refusesWhenFull;
    if (this.#proxyGate === undefined || this.#headersBeforeTls) return true;
    return this.#proxyGate.canReadAnother(this.#freeConnections);
  }

  /**
   * Takes the token of the rate for the next connection, if that connection has none yet. If there is no token, returns
   * false, and starts a timer that accepts again.
   */
  #takeToken(): boolean {
    if (this.#tokenTaken || this.#rateBucket === undefined) return true;
    const pause = this.#rateBucket.take(clock());
    if (pause === 0) {
      this.#tokenTaken = true;
      return true;
    }
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
      while (this.#mayAccept) {
        if (!this.#takeToken()) return;
        let connection: T | undefined;
        // Set before the call, because acceptNext() may call the handler.
        this.#accepting = true;
        try {
          connection = this.#owner.acceptNext(this);
        } catch (error) {
          // If another try makes no sense, `#mayAccept` is false after this call.
          this.onFailed(error);
          continue;
        }
        if (connection === undefined) return;
        this.#accepting = false;
        this.#onAccepted(connection);
      }
    } finally {
      this.#inLoop = false;
    }
  }

  /** Serves or refuses a connection, or reads its PROXY header first. */
  #onAccepted(connection: T): void {
    this.#tokenTaken = false;
    const owner = this.#owner;
    const gate = this.#proxyGate;
    const peer = this.#needsPeer || this.events.needsAddresses ? owner.peerOf(connection) : undefined;
    const header = gate === undefined ? undefined : owner.headerOf?.(connection);
    if (gate !== undefined && header === undefined) this.#readHeader(gate, connection, peer);
    else this.#serveOrRefuse(connection, peer, header, this.#stopped ? "draining" : undefined);
  }

  /** Reads the header of a connection, and then serves or refuses the connection. Refuses peers that are no proxies. */
  #readHeader(gate: ProxyGate, connection: T, peer: Address | undefined): void {
    let reason: RefusalReason | undefined;
    if (this.#stopped) reason = "draining";
    else if (!gate.trusts(peer)) reason = "proxyProtocol";
    else if (this.#isFull) reason = "maxConnections";
    if (reason !== undefined) {
      this.#refuse(connection, { reason, peer, client: peer });
      return;
    }
    void gate.read(
      this.#owner.streamOf(connection),
      this.#freeConnections,
      // A connection that was accepted before `stop()` is served, so `#stopped` is not checked.
      (header) => this.#serveOrRefuse(connection, peer, header, this.#ended ? "draining" : undefined),
      (error) => this.#refuse(connection, this.#headerRefusal(peer, error)),
    );
    this.#countDescriptors();
  }

  /** The refusal of a connection whose header could not be read. */
  #headerRefusal(peer: Address | undefined, error: unknown): Refusal {
    return { reason: this.#ended ? "draining" : "proxyProtocol", peer, client: peer, error };
  }

  /**
   * Reads the header of a connection before its TLS handshake. Resolves with the header, or with undefined after the
   * connection was refused and reset. The connection does not count for `maxConnections` yet.
   */
  async readHeaderBeforeTls(stream: Stream): Promise<ProxyHeader | undefined> {
    const peer = stream.remoteAddress;
    const refuse = (refusal: Refusal): void => {
      stream.abort();
      this.#countRefusal(refusal);
    };
    const gate = this.#proxyGate!;
    this.#headersBeforeTls = true;
    if (!gate.trusts(peer)) {
      refuse({ reason: this.#ended ? "draining" : "proxyProtocol", peer, client: peer });
      return undefined;
    }
    let result: ProxyHeader | undefined;
    const onHeader = (header: ProxyHeader): void => {
      result = header;
    };
    // Infinity, because `maxConnections` does not limit these connections yet.
    await gate.read(stream, Infinity, onHeader, (error) => refuse(this.#headerRefusal(peer, error)));
    return result;
  }

  /** @param drainReason the reason to refuse the connection; undefined if the lists and limits decide */
  #serveOrRefuse(
    connection: T,
    peer: Address | undefined,
    header: ProxyHeader | undefined,
    drainReason: "draining" | undefined,
  ): void {
    const client = header?.source ?? peer;
    const key = this.#limits.maxConnectionsPerAddress === Infinity ? undefined : clientKey(client);
    const reason = drainReason ?? this.#reasonToRefuse(client, key);
    if (reason !== undefined) {
      this.#refuse(connection, { reason, peer, client });
      return;
    }
    this.#counts.accepted++;
    this.#counts.connections++;
    if (key !== undefined) this.#countByClient.set(key, (this.#countByClient.get(key) ?? 0) + 1);
    this.#owner.handle(connection, client, key, header);
    this.#countDescriptors();
  }

  /** Counts the descriptors of a connection. Reports a shortage if fewer than the reserve are left. */
  #countDescriptors(): void {
    const fewLeft = pressure.countConnection(this.reserve, this.pendingDescriptors);
    if (fewLeft) pressure.reportFewLeft();
  }

  #refuse(connection: T, refusal: Refusal): void {
    this.#owner.refuse(connection);
    this.#countRefusal(refusal);
  }

  #countRefusal(refusal: Refusal): void {
    this.#counts.refused++;
    if (refusal.reason === "proxyProtocol") this.#counts.proxyRefused++;
    this.events.reportRefused(refusal);
  }

  /** The list or limit that refuses a client; undefined if none does. */
  #reasonToRefuse(client: Address | undefined, key: string | undefined): RefusalReason | undefined {
    const { allow, deny, maxConnectionsPerAddress } = this.#limits;
    if (deny !== undefined && isListed(deny, client)) return "deny";
    // `allow` has only internet addresses. A client without one has no key, and is allowed.
    if (allow !== undefined && clientKey(client) !== undefined && !isListed(allow, client)) return "allow";
    // The server may have become full while an accept or a header was pending.
    if (this.#isFull) return "maxConnections";
    const count = key === undefined ? 0 : (this.#countByClient.get(key) ?? 0);
    return count >= maxConnectionsPerAddress ? "maxConnectionsPerAddress" : undefined;
  }
}
