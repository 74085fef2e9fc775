// Reconnector: one connection to an endpoint at a time, and a new connection after the old one has ended.
//
// It connects only while a call waits for a connection. Without a waiting call there is no timer and no try.
// `#resumeAt` stores the earliest time of the next try, so that a call that begins later also waits for the pause after
// a failure.

import type { EndpointLike } from "../addr/index.js";
import { runCallback } from "../callbacks.js";
import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { Stream } from "../stream/index.js";
import { readerOf } from "../stream/stream.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import type { Clock } from "../wait/clock.js";
import { MAX_TIMER_DELAY, millisecondsWithin } from "../wait/waitOptions.js";
import { ClosingSignal } from "./closingSignal.js";
import { checkConnectCall, connect, type ConnectOptions } from "./connect.js";
import { checkFunction } from "./endpointOptions.js";
import { checkRetry, delayAfter, pause, type RetryOptions, type RetryPolicy, allowsRetry } from "./retry.js";

/** The end of a connection of a {@link Reconnector}. */
export interface DisconnectEvent {
  /** `"closed"`: by a call of this program. `"ended"`: the peer has ended its direction. `"broken"`: by an error. */
  readonly reason: "closed" | "ended" | "broken";
  /** The duration of the connection in milliseconds. */
  readonly lasted: number;
  /** Milliseconds until the next try may begin. */
  readonly delay: number;
  /**
   * The error of a `"broken"` connection, otherwise undefined. It is a `TlsError`, or a `SocketError` with both
   * addresses, whose `syscall` is `"poll"`, or `"read"` over TLS.
   */
  readonly error: unknown;
}

/** Options of a {@link Reconnector}: those of `connect()` without `timeout`, and those below. */
export interface ReconnectorOptions extends Omit<ConnectOptions, "timeout" | "signal" | "retry"> {
  /** The pauses and the limits. `maxTries` counts the tries for one connection; its default here is no limit. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Milliseconds after which a connection counts as stable. When a stable connection ends, the next pause is short
   * again. An earlier end counts as a failure. Default 10,000.
   */
  readonly stableAfter?: number | undefined;
  /** Closes the Reconnector. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with each new connection before any caller gets it, for example to log in. If it throws or rejects, the
   * connection is closed, and the try has failed with that error.
   */
  readonly prepare?: ((stream: Stream) => unknown) | undefined;
  /** Called for each new connection, after `prepare`. */
  readonly onConnect?: ((stream: Stream) => void) | undefined;
  /**
   * Called when a connection has ended, also if no call reads or writes. After an end by the peer the stream stays
   * open, because its last bytes may be unread.
   */
  readonly onDisconnect?: ((event: DisconnectEvent) => void) | undefined;
}

/** The counters of a {@link Reconnector}. */
export interface ReconnectorStats {
  /** Whether there is a connection now. */
  readonly connected: boolean;
  /** Calls that wait for a connection. */
  readonly waiting: number;
  /** Connections that were made. */
  readonly connections: number;
  /** Tries that have failed. */
  readonly failures: number;
  /** Failures since the last stable connection. They determine the next pause. */
  readonly failuresInRow: number;
  /** The error of the last try that has failed. */
  readonly lastError: unknown;
}

/** A call of `connection()` that waits. */
class ConnectionCall extends PendingCall<Stream> {
  readonly #onCancelled: (call: ConnectionCall) => void;

  constructor(opts: IoOptions | undefined, clock: Clock, onCancelled: (call: ConnectionCall) => void) {
    super(opts, clock);
    this.#onCancelled = onCancelled;
  }

  /** Called after the timeout or an abort. Returns the error of a timeout. */
  protected override cancel(): SocketError {
    this.#onCancelled(this);
    return timeoutError("connect");
  }
}

/**
 * Keeps a client connected: connects when a call needs a connection and there is none. The pauses between tries get
 * longer with each failure ({@link RetryOptions}). After a connection that has lasted for `stableAfter`, the pauses
 * are short again.
 *
 * `connection()` returns the present connection, to any number of callers. `for await` returns one connection after the
 * other, and closes each before the next.
 *
 * A connection has ended when a call has closed its stream, or when the peer's end or an error has arrived. The
 * Reconnector detects this without a read or write ({@link Stream.whenEnded}). It closes the old stream when it has a
 * new one. An old stream that may have unread bytes stays open until one more connection is made.
 *
 * It connects only while a call waits for a connection. After `close()` no timer and no descriptor is left.
 *
 * @example
 * ```ts
 * import { isRetryable, listen, Reconnector } from "berkeley";
 *
 * await using server = await listen("tcp://127.0.0.1:8888");
 * void (async () => {
 *   for await (const stream of server) {
 *     await stream.write("hello\n");
 *     await stream.close(); // a server that ends each connection
 *   }
 * })();
 *
 * await using reconnector = new Reconnector("tcp://127.0.0.1:8888", { retry: { minDelay: 10 } });
 * for await (const stream of reconnector) {
 *   try {
 *     for await (const line of stream.lines()) console.log(line);
 *   } catch (error) {
 *     if (!isRetryable(error)) throw error;
 *   }
 *   if (reconnector.stats().connections === 2) break;
 * }
 * // prints: hello
 * // prints: hello
 * ```
 */
export class Reconnector implements AsyncIterable<Stream>, AsyncDisposable {
  readonly #endpoint: EndpointLike;
  readonly #connectOptions: ConnectOptions;
  readonly #policy: RetryPolicy;
  /** Has the callbacks `prepare`, `onConnect` and `onDisconnect`. */
  readonly #opts: ReconnectorOptions;
  readonly #stableAfter: number;
  readonly #closingSignal: ClosingSignal | undefined;
  readonly #waitingCalls = new Set<ConnectionCall>();
  /** Aborts the running try, or the pause before it. Undefined exactly when there is neither. */
  #tryAborter: AbortController | undefined;
  /** The latest connection. */
  #stream: Stream | undefined;
  /** Whether `#stream` is connected, as far as is known. */
  #connected = false;
  /** Whether the peer has ended `#stream`, whose last bytes may be unread. */
  #peerEnded = false;
  /** The previous stream, still open because it may have unread bytes. */
  #previous: Stream | undefined;
  #connectedAt = 0;
  /** No try begins before this time. */
  #resumeAt = 0;
  #closed = false;
  #connections = 0;
  #failures = 0;
  #failuresInRow = 0;
  #lastError: unknown;

  /**
   * Makes no connection yet.
   *
   * @throws TypeError or RangeError for an endpoint or an option that is wrong
   * @throws the reason of `signal`, if it is aborted
   */
  constructor(endpoint: EndpointLike, opts: ReconnectorOptions = {}) {
    const { stableAfter, prepare, onConnect, onDisconnect, retry = {}, signal, ...connectOptions } = opts;
    // "timeout" is refused: the option of connect() that a Reconnector does not have.
    const { action, target } = checkConnectCall(endpoint, { ...connectOptions, signal }, "timeout");
    if (target.scheme === "fd") {
      throw new TypeError(`Cannot ${action}: a descriptor is one connection, required an endpoint to connect to again`);
    }
    checkFunction(prepare, action, "prepare");
    checkFunction(onConnect, action, "onConnect");
    checkFunction(onDisconnect, action, "onDisconnect");
    this.#stableAfter = millisecondsWithin(stableAfter, 10_000, action, "stableAfter", 0, MAX_TIMER_DELAY);
    this.#policy = checkRetry(retry, Infinity, action);
    this.#endpoint = endpoint;
    this.#connectOptions = connectOptions;
    this.#opts = opts;
    if (signal !== undefined) this.#closingSignal = new ClosingSignal(signal, () => void this.close());
  }

  /**
   * Returns the present connection, or waits for a new one. All calls that wait get the same stream. When a timeout or
   * a signal ends the only waiting call, the try ends too.
   *
   * @throws the error of the last try, if `retryOn` refuses it or `maxTries` tries have failed. A later call begins new
   *   tries
   * @throws SocketError `ETIMEDOUT`; `ECANCELED` if `close()` comes during the call, `EBADF` if it came before
   */
  connection(opts?: IoOptions): Promise<Stream> {
    const invalid = optionsError(opts, "connect");
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason of a signal can be any value
    if (invalid !== undefined) return Promise.reject(invalid.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "connect"));
    const stream = this.#stream;
    if (stream !== undefined && (this.#connected || this.#peerEnded)) {
      const { closed, ended } = readerOf(stream);
      // After the peer's end, a caller still gets the stream while its buffer has unread bytes.
      if (stream.buffered > 0 || (this.#connected && !closed && !ended)) return Promise.resolve(stream);
      // whenEnded() may not have reported this end yet: its promise settles in a later microtask.
      this.#recordEnd(stream, "closed");
    }
    const call = new ConnectionCall(opts, this.#policy.clock, (cancelled) => {
      this.#waitingCalls.delete(cancelled);
      if (this.#waitingCalls.size === 0) this.#stopConnecting();
    });
    this.#waitingCalls.add(call);
    if (this.#tryAborter === undefined) void this.#connectUntilDone((this.#tryAborter = new AbortController()));
    return call.promise;
  }

  /**
   * Yields the connections, one after the other, until `close()`. Leaving the loop closes nothing.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Stream> {
    let last: Stream | undefined;
    const iterator: AsyncIterableIterator<Stream> = {
      next: async () => {
        if (last !== undefined) {
          this.#recordEnd(last, "closed");
          await last.close();
        }
        if (this.#closed) return { done: true, value: undefined };
        try {
          last = await this.connection();
          return { done: false, value: last };
        } catch (error) {
          if (this.#closed) return { done: true, value: undefined };
          throw error;
        }
      },
      return: () => Promise.resolve({ done: true, value: undefined }),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  stats(): ReconnectorStats {
    return {
      connected: this.#connected,
      waiting: this.#waitingCalls.size,
      connections: this.#connections,
      failures: this.#failures,
      failuresInRow: this.#failuresInRow,
      lastError: this.#lastError,
    };
  }

  /**
   * Closes the connection, ends the running try, and starts no other. `for await` loops end. The promise never rejects.
   */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#closingSignal?.release();
      this.#stopConnecting();
      this.#rejectAll(localError("ECANCELED", "connect"));
      if (this.#stream !== undefined) this.#recordEnd(this.#stream, "closed");
    }
    await this.#previous?.close();
    await this.#stream?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Aborts the running try or the pause, if there is one. */
  #stopConnecting(): void {
    this.#tryAborter?.abort(localError("ECANCELED", "connect"));
    this.#tryAborter = undefined;
  }

  /** Tries until there is a connection, or an error that rejects the waiting calls. The promise never rejects. */
  async #connectUntilDone({ signal }: AbortController): Promise<void> {
    try {
      for (let tries = 1; ; tries++) {
        const untilTry = this.#resumeAt - this.#policy.clock.now();
        if (untilTry > 0) await pause(untilTry, this.#policy.clock, signal);
        const failure = await this.#tryOnce(signal);
        if (failure === undefined || signal.aborted) return;
        const { error } = failure;
        const delay = this.#recordFailure(error);
        const { maxTries, onRetry } = this.#policy;
        if (!allowsRetry(this.#policy, error) || tries >= maxTries) throw error;
        if (onRetry !== undefined) runCallback("onRetry", onRetry, { tries, delay, error });
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#tryAborter = undefined;
      this.#rejectAll(error);
    }
  }

  /** Makes one try. Returns its error, or undefined if there is a connection. */
  async #tryOnce(signal: AbortSignal): Promise<{ readonly error: unknown } | undefined> {
    let stream: Stream | undefined;
    try {
      stream = await connect(this.#endpoint, { ...this.#connectOptions, timeout: this.#policy.tryTimeout, signal });
      if (this.#opts.prepare !== undefined) await this.#prepare(stream, signal);
      signal.throwIfAborted();
    } catch (error) {
      await stream?.close();
      return { error };
    }
    this.#tryAborter = undefined;
    this.#adopt(stream);
    return undefined;
  }

  /** Calls `prepare`. An abort of the signal aborts the stream, which ends the calls that `prepare` makes on it. */
  async #prepare(stream: Stream, signal: AbortSignal): Promise<void> {
    const abort = (): void => stream.abort();
    signal.addEventListener("abort", abort);
    try {
      await this.#opts.prepare!(stream);
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Makes `stream` the present connection, and resolves the waiting calls. */
  #adopt(stream: Stream): void {
    void this.#previous?.close();
    const old = this.#stream;
    // If the reader has read the end (`ended`), no unread bytes are left in the kernel.
    const mayHaveUnread = old !== undefined && this.#peerEnded && !readerOf(old).ended;
    this.#previous = mayHaveUnread ? old : undefined;
    if (!mayHaveUnread) void old?.close();
    this.#stream = stream;
    this.#connected = true;
    this.#peerEnded = false;
    this.#connectedAt = this.#policy.clock.now();
    this.#connections++;
    stream.whenEnded().then(
      (error) => this.#recordEnd(stream, error === undefined ? "ended" : "broken", error),
      // whenEnded() rejects when a call has closed the stream.
      () => this.#recordEnd(stream, "closed"),
    );
    const { onConnect } = this.#opts;
    if (onConnect !== undefined) runCallback("onConnect", onConnect, stream);
    const calls = [...this.#waitingCalls];
    this.#waitingCalls.clear();
    for (const call of calls) call.resolve(stream);
  }

  /**
   * Records the end of the present connection, and sets the time of the next try. Does nothing for another stream, and
   * nothing if the end was recorded before.
   */
  #recordEnd(stream: Stream, detected: DisconnectEvent["reason"], error?: unknown): void {
    if (stream !== this.#stream || !this.#connected) return;
    // If a read has returned the end before a call closed the stream, the peer has ended the connection.
    const reason = detected === "closed" && readerOf(stream).ended ? "ended" : detected;
    this.#connected = false;
    this.#peerEnded = reason === "ended";
    const now = this.#policy.clock.now();
    const lasted = now - this.#connectedAt;
    this.#failuresInRow = lasted >= this.#stableAfter ? 0 : this.#failuresInRow + 1;
    const delay = delayAfter(this.#failuresInRow, this.#policy);
    this.#resumeAt = now + delay;
    const { onDisconnect } = this.#opts;
    if (onDisconnect !== undefined) runCallback("onDisconnect", onDisconnect, { reason, lasted, delay, error });
  }

  /** Counts a failed try, and sets the time of the next one. Returns the milliseconds until then. */
  #recordFailure(error: unknown): number {
    this.#lastError = error;
    this.#failures++;
    this.#failuresInRow++;
    const delay = delayAfter(this.#failuresInRow, this.#policy);
    this.#resumeAt = this.#policy.clock.now() + delay;
    return delay;
  }

  #rejectAll(error: unknown): void {
    const calls = [...this.#waitingCalls];
    this.#waitingCalls.clear();
    for (const call of calls) call.reject(error);
  }
}
