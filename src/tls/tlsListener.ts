// TlsListener: accepts connections of another listener, and returns them after their TLS handshake.
//
// Handshakes run concurrently, so a slow or silent client delays no other client. The listener accepts a connection
// from the listener below only while an accept() waits here. Other connections stay in the accept queue of the kernel.
//
// The listener is at its limit when `maxHandshakes` connections are in a handshake or ready. Then it accepts a
// connection only to drop the oldest client that has sent nothing. So silent clients can't block the listener for the
// time of a handshake. A new client has sent nothing at first, or its bytes were not read yet. So the listener drops a
// client only after `silenceTimeout`, and after it has read all available bytes.

import { clock } from "../builtins.js";
import { quote } from "../check/index.js";
import type { Address } from "../addr/index.js";
import { runCallback } from "../callbacks.js";
import { TlsError } from "../errors/index.js";
import type { Conn, IoOptions, Listener } from "../io.js";
import { textOrNull } from "../stream/describeStream.js";
import { Stream } from "../stream/index.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { optionsError } from "../wait/pendingCall.js";
import { localError } from "../wait/localError.js";
import { QueuedCall } from "./queuedCall.js";
import type { BeforeHandshake, RunningHandshake } from "./runningHandshake.js";
import type { TlsConn } from "./tlsConn.js";
import type { TlsContext } from "./tlsContext.js";
import {
  type CheckedListener,
  checkTlsListener,
  type TlsListenerDescription,
  type TlsListenerOptions,
  type TlsListenerStats,
} from "./tlsListenerOptions.js";
import { type PreparedTls, prepareTls, wrapPrepared } from "./wrapTls.js";

/** Sets the function that a listener calls before each handshake. Assigned by the class below. */
export let setBeforeHandshake: (listener: TlsListener, before: BeforeHandshake) => void;

/**
 * Stops accepting connections of the listener below. Resolves when all running handshakes have ended and accept() has
 * returned their connections, or when the listener is closed. It resolves in a later turn of the event loop, so that
 * the callers of accept() run first.
 */
export let finishHandshakes: (listener: TlsListener) => Promise<void>;

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
export class TlsListener extends Inspectable<TlsListenerDescription> implements Listener<TlsConn> {
  /** The keys and certificates. `context.reload()` replaces them. */
  readonly context: TlsContext;
  readonly #listenerBelow: Listener;
  readonly #opts: CheckedListener;
  #prepared: PreparedTls;
  #beforeHandshake: BeforeHandshake | undefined;
  /** Aborted by close(), which ends all handshakes. */
  readonly #handshakeAborter = new AbortController();
  readonly #refs = new TimerRefs();
  #acceptCalls: QueuedCall<TlsConn>[] = [];
  /** The connections that no accept() has returned yet. */
  readonly #ready: TlsConn[] = [];
  /** The handshakes in the order of their start, including those that were dropped and are not closed yet. */
  readonly #unfinished = new Set<RunningHandshake>();
  /** The number of running handshakes, without those that were dropped. */
  #runningHandshakes = 0;
  /** A connection that the listener below has returned at the limit of this listener. Its handshake has not started. */
  #waitingConn: Conn | undefined;
  /** Calls #acceptNext() when the oldest silent client may be dropped. */
  #silenceTimer: NodeJS.Timeout | undefined;
  /** Aborts the pending accept() of the listener below; undefined if none is pending. */
  #pendingAccept: AbortController | undefined;
  #closing: Promise<void> | undefined;
  /** Set by #finish(). Then no connection of the listener below is accepted any more. */
  #finishing: { readonly done: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #counts = { accepted: 0, failed: 0, dropped: 0 };

  static {
    finishHandshakes = (listener) => listener.#finish();
    makeDescribable<TlsListener, TlsListenerDescription>(TlsListener.prototype, "TlsListener", (listener) => ({
      state: listener.#closing === undefined ? "listening" : "closed",
      local: textOrNull(listener.address),
      pending: listener.#acceptCalls.map(() => "accept"),
      stats: listener.stats(),
    }));
    setBeforeHandshake = (listener, before) => {
      listener.#beforeHandshake = before;
      // `before` may have read the first bytes of TLS into the buffer of the stream.
      const prepared = listener.#prepared;
      listener.#prepared = { ...prepared, checked: { ...prepared.checked, takesBuffered: true } };
    };
  }

  /**
   * @throws TypeError or RangeError for an option that is wrong, or if there is no certificate
   * @throws TlsError for a key or certificate that can't be used
   */
  constructor(listener: Listener, opts: TlsListenerOptions) {
    super();
    const action = "make a TlsListener";
    if (typeof (listener as Partial<Listener> | null | undefined)?.accept !== "function") {
      throw new TypeError(`Cannot ${action}: listener is ${quote(listener)}, required a Listener`);
    }
    this.#opts = checkTlsListener(opts, action);
    const { tls, handshakeTimeout, closeTimeout, allowTruncation, buffered } = this.#opts;
    this.context = tls;
    this.#listenerBelow = listener;
    const connectionOptions = { handshakeTimeout, closeTimeout, allowTruncation, buffered };
    this.#prepared = prepareTls({ isServer: true, context: tls, ...connectionOptions }, action);
  }

  get address(): Address | undefined {
    return this.#listenerBelow.address;
  }

  /** The counters of the listener, also after `close()`. */
  stats(): TlsListenerStats {
    return { ...this.#counts, handshakes: this.#runningHandshakes, ready: this.#ready.length };
  }

  /** Waits for the next connection whose handshake has succeeded. See {@link Listener.accept}. */
  accept(opts?: IoOptions): Promise<TlsConn> {
    const refused = optionsError(opts, "accept");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closing !== undefined) return Promise.reject(localError("EBADF", "accept"));
    const ready = this.#ready.shift();
    if (ready !== undefined) {
      this.#counts.accepted++;
      this.#resolveIfFinished();
      return Promise.resolve(ready);
    }
    const call = new QueuedCall<TlsConn>("accept", opts, this.#refs, (cancelled) => {
      this.#acceptCalls = this.#acceptCalls.filter((other) => other !== cancelled);
      this.#stopIfIdle();
    });
    this.#acceptCalls.push(call);
    this.#acceptNext();
    return call.promise;
  }

  /**
   * Lets the process end although calls wait here. From now on, neither waiting calls nor later ones keep it alive. A
   * running handshake keeps the process alive until it is over.
   */
  unref(): this {
    this.#refs.keepsAlive = false;
    this.#listenerBelow.unref?.();
    return this;
  }

  /** Undoes `unref()`. */
  ref(): this {
    this.#refs.keepsAlive = true;
    this.#listenerBelow.ref?.();
    return this;
  }

  #finish(): Promise<void> {
    if (this.#closing !== undefined) return Promise.resolve();
    if (this.#finishing === undefined) {
      let resolve!: () => void;
      const done = new Promise<void>((settle) => (resolve = settle));
      this.#finishing = { done, resolve };
      this.#pendingAccept?.abort();
      this.#resolveIfFinished();
    }
    return this.#finishing.done;
  }

  /** After #finish(): resolves the promise of #finish() if no handshake and no connection is left. */
  #resolveIfFinished(): void {
    if (this.#finishing === undefined || this.#pendingAccept !== undefined || this.#waitingConn !== undefined) return;
    if (this.#unfinished.size > 0 || this.#ready.length > 0) return;
    // In a later turn, so that the callers of accept() run first.
    setImmediate(this.#finishing.resolve);
  }

  /** Closes the listener below, and the connections that no accept() has returned. See {@link Listener.close}. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close()).then();
  }

  async #close(): Promise<void> {
    for (const call of this.#acceptCalls.splice(0)) call.reject(localError("ECANCELED", "accept"));
    this.#handshakeAborter.abort();
    this.#finishing?.resolve();
    for (const conn of this.#ready.splice(0)) conn.abort();
    clearTimeout(this.#silenceTimer);
    this.#waitingConn?.abort();
    for (const { connBeforeTls } of this.#unfinished) connBeforeTls?.abort();
    await Promise.all([this.#listenerBelow.close(), ...[...this.#unfinished].map(({ whenFinished }) => whenFinished)]);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TlsConn, undefined> {
    while (this.#closing === undefined) {
      let conn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (this.#closing !== undefined) return undefined;
        throw error;
      }
      yield conn;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** If no accept() waits here, aborts the accept() of the listener below, which would keep the process alive. */
  #stopIfIdle(): void {
    if (this.#acceptCalls.length === 0) this.#pendingAccept?.abort();
  }

  /**
   * Starts the handshake of `#waitingConn` if the listener is below its limit. Then calls accept() of the listener
   * below if an accept() waits here. At the limit it makes that call only if a silent client may be dropped now; if one
   * may be dropped later, it starts a timer.
   */
  #acceptNext(): void {
    if (this.#pendingAccept !== undefined || this.#closing !== undefined) return;
    if (this.#waitingConn !== undefined && !this.#atLimit) {
      const conn = this.#waitingConn;
      this.#waitingConn = undefined;
      this.#startHandshake(conn);
    }
    this.#resolveIfFinished();
    if (this.#waitingConn !== undefined || this.#acceptCalls.length === 0 || this.#finishing !== undefined) return;
    if (this.#atLimit) {
      const delay = this.#timeUntilDrop();
      if (delay === undefined) return;
      if (delay > 0) return this.#startSilenceTimer(delay);
    }
    const pendingAccept = new AbortController();
    this.#pendingAccept = pendingAccept;
    this.#acceptBelow(pendingAccept.signal).then(
      (conn) => {
        if (!this.#atLimit) return this.#handleAccepted(conn);
        // A silent client may be dropped for this connection. An immediate runs after the events of this turn. By then
        // all available bytes of clients have been read.
        setImmediate(() => this.#handleAccepted(conn));
      },
      (error: unknown) => {
        this.#pendingAccept = undefined;
        if (!pendingAccept.signal.aborted) this.#acceptCalls.shift()?.reject(error);
        this.#acceptNext();
      },
    );
  }

  /** Calls accept() of the listener below. If that call throws, returns a rejected promise. */
  #acceptBelow(signal: AbortSignal): Promise<Conn> {
    try {
      return this.#listenerBelow.accept({ signal });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Starts the handshake of a connection of the listener below, or stores the connection in `#waitingConn`. */
  #handleAccepted(conn: Conn): void {
    this.#pendingAccept = undefined;
    // Checked first, because `#atLimit` still counts handshakes that close() has ended.
    if (this.#closing !== undefined) return conn.abort();
    if (this.#atLimit) this.#dropSilent();
    if (this.#atLimit) this.#waitingConn = conn;
    else this.#startHandshake(conn);
    this.#acceptNext();
  }

  /** Whether the listener must not start another handshake; see `maxHandshakes`. */
  get #atLimit(): boolean {
    return this.#runningHandshakes + this.#ready.length >= this.#opts.maxHandshakes;
  }

  /**
   * The oldest handshake whose client has sent nothing. While the step before a handshake runs, its client counts as
   * silent.
   */
  #oldestSilentHandshake(): RunningHandshake | undefined {
    for (const handshake of this.#unfinished)
      if (!handshake.dropped && (handshake.connBeforeTls !== undefined || handshake.transport?.silent === true))
        return handshake;
    return undefined;
  }

  /** Milliseconds until the oldest silent client may be dropped. At most 0 if they have passed; undefined for never. */
  #timeUntilDrop(): number | undefined {
    const handshake = this.#oldestSilentHandshake();
    const { silenceTimeout } = this.#opts;
    if (handshake === undefined || silenceTimeout === null) return undefined;
    return handshake.since + silenceTimeout - clock();
  }

  #startSilenceTimer(delay: number): void {
    this.#silenceTimer ??= setTimeout(() => {
      this.#silenceTimer = undefined;
      this.#acceptNext();
    }, Math.ceil(delay));
    // The timer need not keep the process alive, because the running handshake does.
    this.#silenceTimer.unref();
  }

  /** Drops the oldest silent client, if `silenceTimeout` has passed. */
  #dropSilent(): void {
    const delay = this.#timeUntilDrop();
    const handshake = this.#oldestSilentHandshake();
    if (handshake === undefined || delay === undefined || delay > 0) return;
    handshake.dropped = true;
    this.#runningHandshakes--;
    handshake.connBeforeTls?.abort();
    handshake.transport?.duplex.destroy();
  }

  #startHandshake(conn: Conn): void {
    const { remoteAddress } = conn;
    const { signal } = this.#handshakeAborter;
    const handshake: RunningHandshake = {
      since: clock(),
      connBeforeTls: undefined,
      refused: false,
      transport: undefined,
      dropped: false,
      whenFinished: undefined,
    };
    this.#unfinished.add(handshake);
    this.#runningHandshakes++;
    handshake.whenFinished = this.#secure(conn, handshake).then(
      (secured) => {
        this.#remove(handshake);
        const call = this.#acceptCalls.shift();
        if (call !== undefined) {
          this.#counts.accepted++;
          call.resolve(secured);
          this.#stopIfIdle();
        } else if (this.#closing === undefined) this.#ready.push(secured);
        else secured.abort();
        this.#acceptNext();
      },
      (error: unknown) => {
        this.#remove(handshake);
        // If the handshake did not start, the connection is still open.
        if (handshake.transport === undefined) conn.abort();
        this.#acceptNext();
        // A refused connection is no failure of TLS.
        if (handshake.refused && !handshake.dropped) return;
        if (handshake.dropped) this.#counts.dropped++;
        else if (!signal.aborted) this.#counts.failed++;
        if (!signal.aborted) this.#report(handshake.dropped ? this.#silentClientError(error) : error, remoteAddress);
      },
    );
  }

  /** Calls the step before the handshake, if there is one, and then performs the handshake. */
  async #secure(conn: Conn, handshake: RunningHandshake): Promise<TlsConn> {
    const { signal } = this.#handshakeAborter;
    const wrap = (below: Conn): Promise<TlsConn> =>
      wrapPrepared(below, this.#prepared, { signal }, (transport) => (handshake.transport = transport));
    if (this.#beforeHandshake === undefined) return wrap(conn);
    const stream = conn instanceof Stream ? conn : new Stream(conn);
    handshake.connBeforeTls = stream;
    const onSecured = await this.#beforeHandshake(stream);
    handshake.connBeforeTls = undefined;
    if (onSecured === undefined) {
      handshake.refused = true;
      throw localError("ECONNABORTED", "accept");
    }
    const secured = await wrap(stream);
    onSecured(secured);
    return secured;
  }

  #remove(handshake: RunningHandshake): void {
    this.#unfinished.delete(handshake);
    if (!handshake.dropped) this.#runningHandshakes--;
  }

  #report(error: unknown, remoteAddress: Address | undefined): void {
    const { onHandshakeError } = this.#opts;
    if (onHandshakeError !== undefined) runCallback("onHandshakeError", onHandshakeError, error, remoteAddress);
  }

  #silentClientError(cause: unknown): TlsError {
    const { maxHandshakes } = this.#opts;
    const reason = `the client has sent nothing and was dropped for another one: maxHandshakes is ${maxHandshakes}`;
    return new TlsError("ERR_TLS_SILENT", "TLS handshake failed", reason, { cause });
  }
}
