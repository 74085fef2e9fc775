// The loop that accepts connections for a server, and decides about each: allowed, within the limits, at the rate.
//
// It accepts through a source, which may answer at once or later. One accept is pending at a time, and none while the
// server is full, over its rate, or short of descriptors. Connections then stay in the accept queue of the kernel.

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

/** Gets the result of an accept that had to wait. */
export interface AcceptHandler<T> {
  completed(connection: T): void;
  failed(error: unknown): void;
}

/** The server of an accept loop. */
export interface AcceptOwner<T> {
  /** The function that made the server, for events. */
  readonly call: string;
  /** The address of the listener. */
  readonly address: Address | undefined;
  /** Accepts a connection. Returns undefined if the call waits; then `handler` gets the result. */
  next(handler: AcceptHandler<T>): T | undefined;
  /** The peer of a connection. Called right after the connection was accepted, if at all. */
  peerOf(connection: T): Address | undefined;
  /** Descriptors that the connections of this server are about to open. */
  readonly owed: number;
  /** Descriptors that each connection will open: one for the connection to a target, or none. */
  readonly opens: number;
  /** Resets a connection. */
  refuse(connection: T): void;
  /** The stream of a connection, to read the header of the PROXY protocol. Bytes after the header stay in its buffer. */
  streamOf(connection: T): HeaderSource;
  /** The header that `readBelow()` has read, if the connection was made over another one. */
  headerOf?(connection: T): ProxyHeader | undefined;
  /**
   * Takes a connection. The owner calls `left(key)` when it has ended.
   *
   * @param client the address of the client: that of the header, or else that of the peer
   */
  begin(connection: T, client: Address | undefined, key: string | undefined, header: ProxyHeader | undefined): void;
  /** Tries the work that waits for descriptors; see {@link PressureClient.retryWork}. */
  retryWork(): boolean;
  /** The source accepts no more. */
  acceptFailed(error: unknown): void;
}

/** The counters of a loop. */
export interface AdmissionCounts {
  /** Connections that were accepted and not refused. */
  readonly accepted: number;
  /** Connections that were refused. */
  readonly refused: number;
  /** Those among them that were refused because of `proxyProtocol`. */
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
  /** Whether the address of a client matters. */
  readonly #needsPeer: boolean;
  readonly #bucket: TokenBucket | undefined;
  /** Connections by client. */
  readonly #clients = new Map<string, number>();
  readonly #counts = { accepted: 0, refused: 0, proxyRefused: 0, connections: 0, shortages: 0 };
  readonly #gate: ProxyGate | undefined;
  /** Whether the headers come before handshakes, whose limit is that of the listener. */
  #readsBelow = false;
  #accepting = false;
  #looping = false;
  #stopped = false;
  #ended = false;
  #reported = false;
  /** Whether the token for the next connection was taken. */
  #paid = false;
  #rateTimer: NodeJS.Timeout | undefined;
  #held = true;

  /** @param needsPeer whether the owner needs the address of each client */
  constructor(owner: AcceptOwner<T>, limits: CheckedAdmission, needsPeer: boolean) {
    this.#owner = owner;
    this.#limits = limits;
    this.events = new ServerEvents(owner.call, () => owner.address, limits);
    const { allow, deny, maxConnectionsPerAddress, acceptRate, onRefused, proxyProtocol } = limits;
    const decides = allow !== undefined || deny !== undefined || maxConnectionsPerAddress !== Infinity;
    this.#needsPeer = needsPeer || decides || onRefused !== undefined || proxyProtocol !== undefined;
    this.#gate = proxyProtocol === undefined ? undefined : new ProxyGate(proxyProtocol, () => this.#headerRead());
    this.#bucket = acceptRate === Infinity ? undefined : new TokenBucket(acceptRate, clock());
  }

  get reserve(): number | undefined {
    return this.#limits.reserve;
  }

  get held(): boolean {
    return this.#held;
  }

  get owed(): number {
    return this.#owner.owed + this.#owner.opens * (this.#gate?.size ?? 0);
  }

  get idle(): boolean {
    return this.#counts.connections + (this.#gate?.size ?? 0) === 0;
  }

  get counts(): AdmissionCounts {
    return { ...this.#counts };
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** @param gate nothing is accepted before it resolves. If it rejects, the source accepts nothing at all */
  start(gate?: Promise<void>): void {
    if (gate !== undefined) {
      gate.then(
        () => this.start(),
        (error: unknown) => {
          if (!this.#stopped) this.#owner.acceptFailed(error);
        },
      );
      return;
    }
    if (this.#stopped) return;
    pressure.join(this);
    this.events.listening();
    this.#loop();
  }

  /** The server begins to drain. It may accept until `stop()`, because handshakes run. */
  drain(): void {
    if (!this.#stopped) this.events.drain(this.#counts.connections);
  }

  /** Accepts no more. Connections that arrive all the same are refused, and those whose header is pending are served. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#rateTimer);
  }

  /** The server has ended. Until then, work of its connections may wait for descriptors. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.stop();
    pressure.leave(this);
    this.#gate?.cutAll(localError("ECANCELED", "proxy_header"));
    this.#reportEnd();
  }

  /** Reports once that the server has ended and no connection is left. */
  #reportEnd(): void {
    if (!this.#ended || this.#reported || !this.idle) return;
    this.#reported = true;
    this.events.end(this.#counts.accepted, this.#counts.refused);
  }

  /** Whether a header is pending. */
  get readsHeaders(): boolean {
    return (this.#gate?.size ?? 0) > 0;
  }

  /** After `stop()`: resolves when no header is pending. */
  headersRead(): Promise<void> {
    return this.#gate?.empty() ?? Promise.resolve();
  }

  /** Whether the timer of the rate keeps the process alive. */
  keepAlive(yes: boolean): void {
    this.#held = yes;
    this.#rateTimer?.[yes ? "ref" : "unref"]();
  }

  /** A connection of this client has ended. */
  left(key: string | undefined): void {
    this.#counts.connections--;
    const count = key === undefined ? 0 : this.#clients.get(key)! - 1;
    if (count > 0) this.#clients.set(key!, count);
    else if (key !== undefined) this.#clients.delete(key);
    this.#reportEnd();
    this.#resume();
  }

  #headerRead(): void {
    this.#reportEnd();
    this.#resume();
  }

  /** A connection may be accepted again. Deferred, because a descriptor may be in the middle of a callback. */
  #resume(): void {
    if (!this.#accepting && !this.#stopped) queueMicrotask(() => this.#loop());
  }

  completed(connection: T): void {
    this.#accepting = false;
    this.#admit(connection);
    this.#loop();
  }

  failed(error: unknown): void {
    this.#accepting = false;
    const code = shortageOf(error);
    if (this.#stopped) return;
    if (code !== undefined) pressure.report(code);
    // The refusal of one connection by a firewall; see ops/accept.ts.
    else if ((error as { readonly code?: unknown } | null)?.code === "EPERM") this.#loop();
    else this.#owner.acceptFailed(error);
  }

  pressureBegan(code: string): void {
    this.#counts.shortages++;
    this.events.shortage("begin", code);
  }

  retryWork(): boolean {
    return this.#owner.retryWork();
  }

  acceptAgain(): void {
    this.#loop();
  }

  pressureEnded(code: string): void {
    this.events.shortage("end", code);
  }

  get #full(): boolean {
    return this.#counts.connections >= this.#limits.maxConnections;
  }

  /** Whether the header of the next connection can be read, if it needs one. */
  get #canRead(): boolean {
    const left = this.#limits.maxConnections - this.#counts.connections;
    return this.#gate === undefined || this.#readsBelow || left <= 0 || this.#gate.hasRoom(left);
  }

  /** Whether a connection may be accepted now. */
  get #open(): boolean {
    return !this.#stopped && !this.#accepting && !pressure.blocks && (this.#limits.refuses || !this.#full);
  }

  /** Takes a token for the next connection. If there is none, a timer goes on. */
  #pay(): boolean {
    if (this.#paid || this.#bucket === undefined) return true;
    const pause = this.#bucket.take(clock());
    if (pause === 0) return (this.#paid = true);
    clearTimeout(this.#rateTimer);
    this.#rateTimer = setTimeout(() => this.#loop(), pause);
    if (!this.#held) this.#rateTimer.unref();
    return false;
  }

  #loop(): void {
    if (this.#looping) return;
    this.#looping = true;
    try {
      while (this.#open && this.#canRead) {
        if (!this.#pay()) return;
        let connection: T | undefined;
        // Set before the call, because its result may come during the call.
        this.#accepting = true;
        try {
          connection = this.#owner.next(this);
        } catch (error) {
          this.failed(error);
          continue;
        }
        if (connection === undefined) return;
        this.#accepting = false;
        this.#admit(connection);
      }
    } finally {
      this.#looping = false;
    }
  }

  #admit(connection: T): void {
    this.#paid = false;
    const owner = this.#owner;
    const peer = this.#needsPeer || this.events.active ? owner.peerOf(connection) : undefined;
    if (this.#gate === undefined) {
      this.#decide(connection, peer, undefined, this.#stopped);
      return;
    }
    const header = owner.headerOf?.(connection);
    if (header !== undefined) this.#decide(connection, peer, header, this.#stopped);
    else this.#readHeader(this.#gate, connection, peer);
  }

  #readHeader(gate: ProxyGate, connection: T, peer: Address | undefined): void {
    const left = this.#limits.maxConnections - this.#counts.connections;
    let reason: RefusalReason | undefined;
    if (this.#stopped) reason = "draining";
    else if (!gate.trusts(peer)) reason = "proxyProtocol";
    else if (left <= 0) reason = "maxConnections";
    if (reason !== undefined) {
      this.#refuse(reason, connection, peer, peer, undefined);
      return;
    }
    void gate.read(
      this.#owner.streamOf(connection),
      left,
      // A connection that was accepted before `stop()` is served.
      (header) => this.#decide(connection, peer, header, this.#ended),
      (error) => this.#refuse(this.#ended ? "draining" : "proxyProtocol", connection, peer, peer, { error }),
    );
    this.#checkReserve();
  }

  /**
   * Reads the header of a connection on which another one is made, as TLS is. Resolves with the header, or with undefined
   * after the connection was refused and reset. It is no connection of the server yet.
   */
  async readBelow(stream: Stream): Promise<ProxyHeader | undefined> {
    const peer = stream.remoteAddress;
    const refuse = (failure: { readonly error: unknown } | undefined): void => {
      stream.abort();
      this.#countRefusal(this.#ended ? "draining" : "proxyProtocol", peer, peer, failure);
    };
    const gate = this.#gate!;
    this.#readsBelow = true;
    if (!gate.trusts(peer)) {
      refuse(undefined);
      return undefined;
    }
    let result: ProxyHeader | undefined;
    const taken = (header: ProxyHeader): void => void (result = header);
    await gate.read(stream, Infinity, taken, (error) => refuse({ error }));
    return result;
  }

  #decide(connection: T, peer: Address | undefined, header: ProxyHeader | undefined, stopped: boolean): void {
    const client = header?.source ?? peer;
    const key = this.#limits.maxConnectionsPerAddress === Infinity ? undefined : clientKey(client);
    const reason = stopped ? "draining" : this.#refusalOf(client, key);
    if (reason !== undefined) {
      this.#refuse(reason, connection, peer, client, undefined);
      return;
    }
    this.#counts.accepted++;
    this.#counts.connections++;
    if (key !== undefined) this.#clients.set(key, (this.#clients.get(key) ?? 0) + 1);
    this.#owner.begin(connection, client, key, header);
    this.#checkReserve();
  }

  #checkReserve(): void {
    if (pressure.isScarce(this.reserve, this.owed)) pressure.report("EMFILE", true);
  }

  #refuse(
    reason: RefusalReason,
    connection: T,
    peer: Address | undefined,
    client: Address | undefined,
    failure: { readonly error: unknown } | undefined,
  ): void {
    this.#owner.refuse(connection);
    this.#countRefusal(reason, peer, client, failure);
  }

  #countRefusal(
    reason: RefusalReason,
    peer: Address | undefined,
    client: Address | undefined,
    failure: { readonly error: unknown } | undefined,
  ): void {
    this.#counts.refused++;
    if (reason === "proxyProtocol") this.#counts.proxyRefused++;
    this.events.refused(reason, client, peer, failure);
  }

  #refusalOf(client: Address | undefined, key: string | undefined): RefusalReason | undefined {
    const { allow, deny, maxConnectionsPerAddress } = this.#limits;
    if (deny !== undefined && isListed(deny, client)) return "deny";
    if (allow !== undefined && clientKey(client) !== undefined && !isListed(allow, client)) return "allow";
    // An accept that was pending may return a connection when the server is full.
    if (this.#full) return "maxConnections";
    if (key !== undefined && (this.#clients.get(key) ?? 0) >= maxConnectionsPerAddress)
      return "maxConnectionsPerAddress";
    return undefined;
  }
}
