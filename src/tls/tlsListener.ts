// A listener whose connections have done their handshake.
//
// Handshakes run beside each other, so that a client that is slow, or says nothing, holds up nobody. Connections are taken
// from the listener below only while someone waits in accept() and the number of handshakes and of finished connections
// that nobody took is under its limit; the others stay in the kernel's queue.
//
// At the limit the oldest client that has sent nothing makes way for the next connection, so that as many silent ones as there are
// places hold up nobody for the time of a handshake. A client that has just come has sent nothing either, perhaps because nobody has
// read it yet. So it is given some time, and all that is there is read before one is dropped.

import { AsyncResource } from "node:async_hooks";
import { flag, integer, quote } from "../check/index.js";
import type { Address } from "../addr/index.js";
import { report } from "../callbacks.js";
import { type SocketError, TlsError } from "../errors/index.js";
import type { Conn, IoOptions, Listener } from "../io.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import { type Transport, checkServes } from "./transport.js";
import type { TlsConn } from "./tlsConn.js";
import { checkCertificate, isTlsContext, TlsContext } from "./tlsContext.js";
import { checkBuffered, checkRecord, type TlsContextOptions } from "./tlsOptions.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import { type PreparedTls, prepareTls, wrapPrepared } from "./wrapTls.js";

/** How handshakes are run. */
export interface TlsListenerOptions {
  /** The server's keys and certificates, or the context made of them, which can be reloaded. */
  readonly tls: TlsContext | TlsContextOptions;
  /** Milliseconds for each handshake; null for no limit. Default 10,000. */
  readonly handshakeTimeout?: number | null | undefined;
  /**
   * Most connections that are in a handshake, or through it and not accepted yet. When there are so many and another one comes, the
   * oldest client that has sent nothing is dropped (see `silenceTimeout`); where there is none, the new one waits. Default 256.
   */
  readonly maxHandshakes?: number | undefined;
  /**
   * Milliseconds after which a client that has sent nothing can be dropped to make room for a new connection; null for
   * never. Default 100.
   */
  readonly silenceTimeout?: number | null | undefined;
  /** See {@link TlsConnectionOptions.buffered}: for listeners whose connections are streams that something was read from. */
  readonly buffered?: "refuse" | "tls" | undefined;
  /** See {@link TlsConnectionOptions.closeTimeout}. */
  readonly closeTimeout?: number | null | undefined;
  /** See {@link TlsConnectionOptions.allowTruncation}. */
  readonly allowTruncation?: boolean | undefined;
  /**
   * Called for each handshake that failed: a stranger's mistake is no error of `accept()`. What it throws is a warning of the process, and
   * the listener goes on.
   */
  readonly onHandshakeError?: ((error: unknown, remoteAddress: Address | undefined) => void) | undefined;
}

type HandshakeErrorListener = NonNullable<TlsListenerOptions["onHandshakeError"]>;

/** `TlsListenerOptions` that were checked. */
interface CheckedListener extends TlsListenerOptions {
  readonly tls: TlsContext;
  readonly maxHandshakes: number;
  /** Milliseconds; null for no limit. */
  readonly silenceTimeout: number | null;
}

/** A handshake under way. */
interface RunningHandshake {
  /** By `performance.now()`. */
  readonly since: number;
  transport: Transport | undefined;
  /** Another one has its place. */
  dropped: boolean;
  over: Promise<void> | undefined;
}

const OPTIONS = [
  "tls",
  "handshakeTimeout",
  "maxHandshakes",
  "silenceTimeout",
  "buffered",
  "closeTimeout",
  "allowTruncation",
  "onHandshakeError",
] as const;

/** The names of the options that say how handshakes are run. */
export const HANDSHAKE_OPTIONS: readonly string[] = OPTIONS.slice(1);

/** All that can be wrong before there is a listener. */
export function checkTlsListener(given: unknown, action: string): CheckedListener {
  checkServes(action);
  const opts = checkRecord(given, OPTIONS, action);
  const { tls, onHandshakeError } = opts;
  const maxHandshakes = integer(opts["maxHandshakes"] ?? 256, action, "maxHandshakes", 1, Number.MAX_SAFE_INTEGER);
  millisecondsOr(opts["handshakeTimeout"], null, action, "handshakeTimeout");
  const silenceTimeout = millisecondsOr(opts["silenceTimeout"], 100, action, "silenceTimeout");
  checkBuffered(opts["buffered"], action);
  millisecondsOr(opts["closeTimeout"], null, action, "closeTimeout");
  flag(opts["allowTruncation"], false, action, "allowTruncation");
  if (onHandshakeError !== undefined && typeof onHandshakeError !== "function") {
    throw new TypeError(`Cannot ${action}: onHandshakeError is ${quote(onHandshakeError)}, required a function`);
  }
  const context = isTlsContext(tls) ? tls : new TlsContext(tls as TlsContextOptions);
  checkCertificate(context, action);
  const checked = {
    ...(opts as Omit<TlsListenerOptions, "tls">),
    tls: context,
    maxHandshakes,
    silenceTimeout,
  };
  if (onHandshakeError === undefined) return checked;
  // It runs in the asynchronous context that it was given in, not in that of an accept().
  return { ...checked, onHandshakeError: AsyncResource.bind(onHandshakeError as HandshakeErrorListener) };
}

class TlsAcceptCall extends Wait<TlsConn> {
  readonly #drop: (call: TlsAcceptCall) => void;

  constructor(opts: IoOptions | undefined, refs: TimerRefs, drop: (call: TlsAcceptCall) => void) {
    super(opts, undefined, refs);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop(this);
    return timeoutError("accept");
  }
}

/**
 * TLS on the connections of any {@link Listener}, as the server.
 *
 * @example
 * ```ts no-run
 * import { readFileSync } from "node:fs";
 * import { listen, TlsContext, TlsListener } from "berkeley";
 *
 * const tls = new TlsContext({ cert: readFileSync("server.pem"), key: readFileSync("server.key") });
 * await using listener = new TlsListener(await listen("tcp://[::]:4433"), { tls });
 * for await (const conn of listener) await conn.close();
 * ```
 */
export class TlsListener implements Listener<TlsConn> {
  /** To be reloaded with a new certificate. */
  readonly context: TlsContext;
  readonly #below: Listener;
  readonly #opts: CheckedListener;
  readonly #prepared: PreparedTls;
  /** Aborted by close(). */
  readonly #closing = new AbortController();
  readonly #refs = new TimerRefs();
  #accepting: TlsAcceptCall[] = [];
  readonly #ready: TlsConn[] = [];
  /** In the order in which they began, with those that were dropped and are not closed yet. */
  readonly #handshake = new Set<RunningHandshake>();
  /** Those that were not dropped. */
  #handshakes = 0;
  /** A connection that came when there was no place for it after all. */
  #held: Conn | undefined;
  /** Looks whether the oldest silent client has been silent for long enough. */
  #timer: NodeJS.Timeout | undefined;
  /** TlsSocketIo the wait for the next connection below. */
  #fetching: AbortController | undefined;
  #closed: Promise<void> | undefined;

  /**
   * @throws TypeError or RangeError for an option that is wrong, or where there is no certificate
   * @throws TlsError for a key or certificate that can't be used
   */
  constructor(listener: Listener, opts: TlsListenerOptions) {
    const action = "make a TlsListener";
    if (typeof (listener as Partial<Listener> | null | undefined)?.accept !== "function") {
      throw new TypeError(`Cannot ${action}: listener is ${quote(listener)}, required a Listener`);
    }
    const { tls, handshakeTimeout, closeTimeout, allowTruncation, buffered } = (this.#opts = checkTlsListener(
      opts,
      action,
    ));
    this.context = tls;
    this.#below = listener;
    const connection = { handshakeTimeout, closeTimeout, allowTruncation, buffered };
    this.#prepared = prepareTls({ isServer: true, context: tls, ...connection }, action);
  }

  get address(): Address | undefined {
    return this.#below.address;
  }

  /** Connections in a handshake, and those that nobody has accepted yet. */
  get pending(): { readonly handshakes: number; readonly ready: number } {
    return { handshakes: this.#handshakes, ready: this.#ready.length };
  }

  /** Waits for the next connection whose handshake has succeeded. See {@link Listener.accept}. */
  accept(opts?: IoOptions): Promise<TlsConn> {
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed !== undefined) return Promise.reject(localError("EBADF", "accept"));
    const ready = this.#ready.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    const call = new TlsAcceptCall(opts, this.#refs, (cut) => {
      this.#accepting = this.#accepting.filter((other) => other !== cut);
      this.#rest();
    });
    this.#accepting.push(call);
    this.#fetch();
    return call.promise;
  }

  /**
   * Lets the process end while calls wait here, those that wait already included. A handshake that is under way keeps it alive until
   * it is over.
   */
  unref(): this {
    this.#refs.held = false;
    this.#below.unref?.();
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#refs.held = true;
    this.#below.ref?.();
    return this;
  }

  /** Closes the listener below and gives up what was not accepted. See {@link Listener.close}. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close()).then();
  }

  async #close(): Promise<void> {
    for (const call of this.#accepting.splice(0)) call.reject(localError("ECANCELED", "accept"));
    this.#closing.abort();
    for (const conn of this.#ready.splice(0)) conn.abort();
    clearTimeout(this.#timer);
    this.#held?.abort();
    await Promise.all([this.#below.close(), ...[...this.#handshake].map(({ over }) => over)]);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TlsConn, undefined> {
    while (this.#closed === undefined) {
      let conn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (this.#closed !== undefined) return undefined;
        throw error;
      }
      yield conn;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** When nobody waits any more, the process shall not wait either. */
  #rest(): void {
    if (this.#accepting.length === 0) this.#fetching?.abort();
  }

  /** Waits for a connection below, unless that is done already or there is no need. */
  #fetch(): void {
    if (this.#fetching !== undefined || this.#closed !== undefined) return;
    if (this.#held !== undefined && !this.#full) {
      const held = this.#held;
      this.#held = undefined;
      this.#begin(held);
    }
    if (this.#held !== undefined || this.#accepting.length === 0) return;
    if (this.#full && !this.#hasRoom()) return;
    const fetching = new AbortController();
    this.#fetching = fetching;
    this.#next(fetching.signal).then(
      (conn) => {
        if (!this.#full) return this.#arrived(conn);
        // What has come of the silent ones by now is read before this: an immediate runs behind the events of its turn.
        setImmediate(() => this.#arrived(conn));
      },
      (error: unknown) => {
        this.#fetching = undefined;
        if (!fetching.signal.aborted) this.#accepting.shift()?.reject(error);
        this.#fetch();
      },
    );
  }

  /** A listener is promised to reject, not to throw. */
  #next(signal: AbortSignal): Promise<Conn> {
    try {
      return this.#below.accept({ signal });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #arrived(conn: Conn): void {
    this.#fetching = undefined;
    // A handshake that close() has cut counts until it is over, so the limit says nothing then.
    if (this.#closed !== undefined) return conn.abort();
    if (this.#full) this.#dropSilent();
    if (this.#full) this.#held = conn;
    else this.#begin(conn);
    this.#fetch();
  }

  get #full(): boolean {
    return this.#handshakes + this.#ready.length >= this.#opts.maxHandshakes;
  }

  /** The handshake that has been silent for longest. */
  #oldestSilent(): RunningHandshake | undefined {
    for (const handshake of this.#handshake)
      if (!handshake.dropped && handshake.transport?.silent === true) return handshake;
    return undefined;
  }

  /** Whether there will be room for another one, because a client has been silent for long enough; looks again when one has. */
  #hasRoom(): boolean {
    const silent = this.#oldestSilent();
    const { silenceTimeout } = this.#opts;
    if (silent === undefined || silenceTimeout === null) return false;
    const left = silent.since + silenceTimeout - performance.now();
    if (left <= 0) return true;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#fetch();
    }, Math.ceil(left));
    // The handshake that it is for keeps the process alive, and may be over long before.
    this.#timer.unref();
    return false;
  }

  /** Gives up the client that has been silent for longest, if that is long enough. */
  #dropSilent(): void {
    const silent = this.#oldestSilent();
    const { silenceTimeout } = this.#opts;
    if (silent === undefined || silenceTimeout === null) return;
    if (performance.now() - silent.since < silenceTimeout) return;
    silent.dropped = true;
    this.#handshakes--;
    silent.transport?.duplex.destroy();
  }

  #begin(conn: Conn): void {
    const { remoteAddress } = conn;
    const { signal } = this.#closing;
    const handshake: RunningHandshake = {
      since: performance.now(),
      transport: undefined,
      dropped: false,
      over: undefined,
    };
    this.#handshake.add(handshake);
    this.#handshakes++;
    handshake.over = wrapPrepared(
      conn,
      this.#prepared,
      { signal },
      (transport) => (handshake.transport = transport),
    ).then(
      (wrapped) => {
        this.#left(handshake);
        const call = this.#accepting.shift();
        if (call !== undefined) {
          call.resolve(wrapped);
          this.#rest();
        } else if (this.#closed === undefined) this.#ready.push(wrapped);
        else wrapped.abort();
        this.#fetch();
      },
      (error: unknown) => {
        this.#left(handshake);
        // What could not even be begun was left alone.
        if (handshake.transport === undefined) conn.abort();
        this.#fetch();
        if (!signal.aborted) this.#report(handshake.dropped ? this.#silence(error) : error, remoteAddress);
      },
    );
  }

  #left(handshake: RunningHandshake): void {
    this.#handshake.delete(handshake);
    if (!handshake.dropped) this.#handshakes--;
  }

  #report(error: unknown, remoteAddress: Address | undefined): void {
    const { onHandshakeError } = this.#opts;
    if (onHandshakeError !== undefined) report("onHandshakeError", onHandshakeError, error, remoteAddress);
  }

  #silence(cause: unknown): TlsError {
    const reason = `the client has sent nothing, and another one needed its place: maxHandshakes is ${this.#opts.maxHandshakes}`;
    return new TlsError("ERR_TLS_SILENT", "TLS handshake failed", reason, { cause });
  }
}
