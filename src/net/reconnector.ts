// Reconnector: one connection to an endpoint at a time, and a new one when the last one has ended.
//
// It connects only while a call waits for a connection. Without a waiting call there is no timer and no running
// attempt. `#resumeAt` is the earliest time of the next try, so the pauses are kept in any case.

import type { EndpointLike } from "../addr/index.js";
import { report } from "../callbacks.js";
import { quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { Stream } from "../stream/index.js";
import { readerOf } from "../stream/stream.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import type { Clock } from "../wait/clock.js";
import { LONGEST_TIMER, millisecondsWithin } from "../wait/waitOptions.js";
import { ClosingSignal } from "./closingSignal.js";
import { checkCall, connect, type ConnectOptions } from "./connect.js";
import { checkRetry, delayAfter, pause, type RetryOptions, type RetryPolicy, triesAgain } from "./retry.js";

/** The end of a connection of a {@link Reconnector}. */
export interface DisconnectEvent {
  /**
   * How it has ended: a call of this program has closed it, the peer has ended its direction, or the connection is
   * broken.
   */
  readonly reason: "closed" | "ended" | "broken";
  /** Milliseconds for which the connection has lasted. */
  readonly lasted: number;
  /** Milliseconds until the next try may begin. */
  readonly delay: number;
  /**
   * With `"broken"` the error of the connection: a `SocketError` with both addresses, of the call `poll` or over TLS of
   * `read`, or a `TlsError`. Undefined with the other reasons.
   */
  readonly error: unknown;
}

/** Options of a {@link Reconnector}: those of `connect()`, without `timeout`, and more. */
export interface ReconnectorOptions extends Omit<ConnectOptions, "timeout" | "signal" | "retry"> {
  /** The pauses and the limits. `maxTries` counts the tries for one connection. Default: no limit. */
  readonly retry?: RetryOptions | undefined;
  /**
   * Milliseconds after which a connection counts as stable. When a stable connection ends, the next pause is short
   * again. The end of another connection counts as a failure. Default 10,000.
   */
  readonly stableAfter?: number | undefined;
  /** Closes the Reconnector. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Prepares each connection before any caller gets it: logs in, subscribes. If it fails, the connection is closed, and
   * the try has failed with that error.
   */
  readonly prepare?: ((stream: Stream) => unknown) | undefined;
  /** Called for each new connection, after `prepare`. */
  readonly onConnect?: ((stream: Stream) => void) | undefined;
  /**
   * Called when a connection has ended, also if no call reads or writes. If the peer has ended it, its last bytes may
   * still be unread: the stream stays open for its readers.
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

const OWN_NAMES = ["stableAfter", "prepare", "onConnect", "onDisconnect"] as const;

/** A call that waits for a connection. */
class ConnectionCall extends PendingCall<Stream> {
  readonly #remove: (call: ConnectionCall) => void;

  constructor(opts: IoOptions | undefined, clock: Clock, remove: (call: ConnectionCall) => void) {
    super(opts, clock);
    this.#remove = remove;
  }

  protected override cancel(): SocketError {
    this.#remove(this);
    return timeoutError("connect");
  }
}

/**
 * Keeps a client connected: it makes a connection when a call needs one, and a new one after that has ended. Between
 * tries there are pauses as in {@link RetryOptions}. They get longer with each failure. After a connection that has
 * lasted for `stableAfter` they are short again.
 *
 * `for await` returns one connection after the other. The next iteration closes the last connection. `connection()`
 * returns the present one, to any number of callers. A connection has ended when a call has closed its stream, or when
 * the end of the peer or an error has arrived ({@link Stream.whenEnded}). The Reconnector notices that without a read
 * or write. It closes the old stream when it has a new one. A stream that may have unread bytes stays open for one
 * connection more.
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
  readonly #opts: ReconnectorOptions;
  readonly #stableAfter: number;
  readonly #closing: ClosingSignal | undefined;
  readonly #calls = new Set<ConnectionCall>();
  /** Ends the tries that are under way. */
  #running: AbortController | undefined;
  #stream: Stream | undefined;
  /** Whether `#stream` has not ended. */
  #connected = false;
  /** Whether the peer has ended `#stream`, whose last bytes may be unread. */
  #peerEnded = false;
  /** The previous stream, still open because it may have unread bytes. */
  #unread: Stream | undefined;
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
    const { stableAfter, prepare, onConnect, onDisconnect, retry = {}, signal, ...once } = opts;
    const { action, target } = checkCall(endpoint, { ...once, signal }, "timeout");
    if (target.scheme === "fd") {
      throw new TypeError(`Cannot ${action}: a descriptor is one connection, required an endpoint to connect to again`);
    }
    for (const [name, given] of Object.entries({ prepare, onConnect, onDisconnect })) {
      if (given === undefined || typeof given === "function") continue;
      throw new TypeError(`Cannot ${action}: ${name} is ${quote(given)}, required a function`);
    }
    this.#stableAfter = millisecondsWithin(stableAfter, 10_000, action, OWN_NAMES[0], 0, LONGEST_TIMER);
    this.#policy = checkRetry(retry, Infinity, action);
    this.#endpoint = endpoint;
    this.#connectOptions = once;
    this.#opts = opts;
    if (signal !== undefined) this.#closing = new ClosingSignal(signal, () => void this.close());
  }

  /**
   * The present connection. Waits for a new one if there is none. All calls that wait get the same stream. When no call
   * waits any more, because of a timeout or a signal, the try under way ends.
   *
   * @throws the error of the last try, if that is not one to retry or `maxTries` tries have failed. A later call starts
   *   again
   * @throws SocketError `ETIMEDOUT`; `ECANCELED` if `close()` comes during the call, `EBADF` if it came before
   */
  connection(opts?: IoOptions): Promise<Stream> {
    const refused = optionsError(opts, "connect");
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason of a signal can be any value
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "connect"));
    const stream = this.#stream;
    if (stream !== undefined && (this.#connected || this.#peerEnded)) {
      const { closed, ended } = readerOf(stream);
      if (stream.buffered > 0 || (this.#connected && !closed && !ended)) return Promise.resolve(stream);
      this.#ended(stream, "closed");
    }
    const call = new ConnectionCall(opts, this.#policy.clock, (cancelled) => {
      this.#calls.delete(cancelled);
      if (this.#calls.size === 0) this.#stop();
    });
    this.#calls.add(call);
    if (this.#running === undefined) void this.#run((this.#running = new AbortController()));
    return call.promise;
  }

  /**
   * The connections, one after the other, until `close()`. Leaving the loop closes neither connection nor Reconnector.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Stream> {
    let last: Stream | undefined;
    const iterator: AsyncIterableIterator<Stream> = {
      next: async () => {
        if (last !== undefined) {
          this.#ended(last, "closed");
          await last.close();
        }
        if (this.#closed) return { done: true, value: undefined };
        try {
          return { done: false, value: (last = await this.connection()) };
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
      waiting: this.#calls.size,
      connections: this.#connections,
      failures: this.#failures,
      failuresInRow: this.#failuresInRow,
      lastError: this.#lastError,
    };
  }

  /** Ends the try under way, closes the connection, and makes no more. Loops end. The promise never rejects. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#closing?.release();
      this.#stop();
      this.#rejectAll(localError("ECANCELED", "connect"));
      if (this.#stream !== undefined) this.#ended(this.#stream, "closed");
    }
    await this.#unread?.close();
    await this.#stream?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #stop(): void {
    this.#running?.abort(localError("ECANCELED", "connect"));
    this.#running = undefined;
  }

  /** Tries until there is a connection, or an error that ends the calls. Never rejects. */
  async #run(running: AbortController): Promise<void> {
    const { signal } = running;
    try {
      for (let tries = 1; ; tries++) {
        const delay = this.#resumeAt - this.#policy.clock.now();
        if (delay > 0) await pause(delay, this.#policy.clock, signal);
        const failure = await this.#try(signal);
        if (failure === undefined || signal.aborted) return;
        this.#noteFailure(failure.error, tries);
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#running = undefined;
      this.#rejectAll(error);
    }
  }

  /** One try. Returns its error, or undefined if there is a connection. */
  async #try(signal: AbortSignal): Promise<{ readonly error: unknown } | undefined> {
    let stream: Stream | undefined;
    try {
      stream = await connect(this.#endpoint, { ...this.#connectOptions, timeout: this.#policy.tryTimeout, signal });
      if (this.#opts.prepare !== undefined) await this.#prepare(stream, signal);
      signal.throwIfAborted();
    } catch (error) {
      await stream?.close();
      return { error };
    }
    this.#running = undefined;
    this.#start(stream);
    return undefined;
  }

  /** Calls `prepare`. The signal cuts the connection, which ends the calls of `prepare`. */
  async #prepare(stream: Stream, signal: AbortSignal): Promise<void> {
    const cut = (): void => stream.abort();
    signal.addEventListener("abort", cut);
    try {
      await this.#opts.prepare!(stream);
    } finally {
      signal.removeEventListener("abort", cut);
    }
  }

  #start(stream: Stream): void {
    // Closes the previous stream, which its user may not have closed.
    void this.#unread?.close();
    const last = this.#stream;
    this.#unread = this.#peerEnded && last !== undefined && !readerOf(last).ended ? last : undefined;
    if (this.#unread === undefined) void last?.close();
    this.#stream = stream;
    this.#connected = true;
    this.#peerEnded = false;
    this.#connectedAt = this.#policy.clock.now();
    this.#connections++;
    stream.whenEnded().then(
      (error) => this.#ended(stream, error === undefined ? "ended" : "broken", error),
      // A call has closed the stream.
      () => this.#ended(stream, "closed"),
    );
    const { onConnect } = this.#opts;
    if (onConnect !== undefined) report("onConnect", onConnect, stream);
    const calls = [...this.#calls];
    this.#calls.clear();
    for (const call of calls) call.resolve(stream);
  }

  /** A stream has ended: sets the time of the next try. */
  #ended(stream: Stream, found: DisconnectEvent["reason"], error?: unknown): void {
    if (stream !== this.#stream || !this.#connected) return;
    // A call has read the end, and then closed the stream.
    const reason = found === "closed" && readerOf(stream).ended ? "ended" : found;
    this.#connected = false;
    this.#peerEnded = reason === "ended";
    const now = this.#policy.clock.now();
    const lasted = now - this.#connectedAt;
    this.#failuresInRow = lasted >= this.#stableAfter ? 0 : this.#failuresInRow + 1;
    const delay = delayAfter(this.#failuresInRow, this.#policy);
    this.#resumeAt = now + delay;
    const { onDisconnect } = this.#opts;
    if (onDisconnect !== undefined) report("onDisconnect", onDisconnect, { reason, lasted, delay, error });
  }

  /** Counts a failure. @throws the error, if no further try follows */
  #noteFailure(error: unknown, tries: number): void {
    this.#lastError = error;
    this.#failures++;
    this.#failuresInRow++;
    const { clock, maxTries, onRetry } = this.#policy;
    const delay = delayAfter(this.#failuresInRow, this.#policy);
    this.#resumeAt = clock.now() + delay;
    if (!triesAgain(this.#policy, error) || tries >= maxTries) throw error;
    if (onRetry !== undefined) report("onRetry", onRetry, { tries, delay, error });
  }

  #rejectAll(error: unknown): void {
    const calls = [...this.#calls];
    this.#calls.clear();
    for (const call of calls) call.reject(error);
  }
}
