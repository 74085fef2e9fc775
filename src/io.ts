// The contracts of connections: Reader, Writer, Conn, Listener. This file imports only types.
//
// Buffering, TLS, framing and servers use these interfaces and never a socket. So each of them runs on a TCP socket, on
// TLS, on a pair in memory, and on any other object that keeps the contracts below. The conformance suite in
// `berkeley/testing` checks a Conn. A Conn of your own that passes the suite can be used wherever the library takes
// one.
//
// One rule holds for all calls of these interfaces: a `timeout` or a `signal` ends only the wait of a call. The
// connection stays open, and no byte is lost.

import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol } from "node:tls";
import type { Address } from "./addr/address.js";

/** The options of every call that may wait. */
export interface IoOptions {
  /**
   * Milliseconds after which the call rejects with a `TimeoutError`, whose code is `ETIMEDOUT`; from 0 to 2147483647.
   * With 0 the call does what is possible without waiting. null or undefined: no timeout.
   */
  readonly timeout?: number | null | undefined;
  /**
   * Ends the wait: the call rejects with the signal's reason. If the signal is already aborted, the call does not
   * start.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The default `timeout` of `end()`, in milliseconds. */
export const END_TIMEOUT = 5_000;
/** The default `maxBytes` of `end()`: 64 MiB. */
export const END_MAX_BYTES = 67_108_864;

/** How to end a connection. */
export interface EndOptions {
  /**
   * Milliseconds for the pending writes and the wait for the peer's end together; from 0 to 2147483647, null for no
   * limit. Default {@link END_TIMEOUT}.
   */
  readonly timeout?: number | null | undefined;
  /** Closes the connection at once. The call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Maximum number of bytes that are read and discarded. If the peer sends more, the connection is closed. Default
   * {@link END_MAX_BYTES}.
   */
  readonly maxBytes?: number | undefined;
}

/**
 * How a connection ended. The connection is closed in every case.
 *
 * @example
 * ```ts
 * import { connect, listen } from "berkeley";
 *
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * await using client = await connect("tcp://127.0.0.1:8888");
 * await client.write(Buffer.alloc(100_000, "an upload that nobody wants "));
 *
 * const stream = await listener.accept();
 * await stream.write("413 too much\n");
 * const ending = stream.end({ timeout: 5_000, maxBytes: 1_000_000 });
 * console.log(await client.readLine()); // prints: 413 too much
 * await client.close();
 * console.log(await ending); // prints: { how: 'finished', dropped: 100000 }
 * ```
 */
export interface EndResult {
  /**
   * - `"finished"`: the peer has finished too. No unread byte was left, so closing did not reset the connection.
   * - `"timeout"`: the `timeout` has passed, or the kernel's own timeout (`TCP_USER_TIMEOUT`, keep-alive).
   * - `"maxBytes"`: the peer has sent more than `maxBytes`.
   * - `"failed"`: the connection has failed with `error`.
   * - `"closed"`: another call has closed the connection, before or during this call.
   */
  readonly how: "finished" | "timeout" | "maxBytes" | "failed" | "closed";
  /** Bytes that were read and dropped, including those of a stream's buffer. */
  readonly dropped: number;
  /** The error of the connection, with `"failed"`. */
  readonly error?: unknown;
}

/** The data of a write: text (sent as UTF-8), bytes, or a list of these, which are sent one after the other. */
export type Data = string | Uint8Array | readonly (string | Uint8Array)[];

/** A typed option of a socket, such as `TCP_NODELAY` or `TCP_INFO`. */
export interface TypedOption<Get, Set> {
  readonly name: string;
  readonly level: number;
  readonly optname: number;
  readonly decode: (bytes: Uint8Array) => Get;
  readonly encode: (value: Set) => Uint8Array;
}

/**
 * The addresses and options of a socket of the kernel, without its reads and writes. The calls with a name of a system
 * call are those of `Socket`: they throw `EBADF` after it was closed.
 */
export interface SocketSettings {
  /** Address family, such as `AF_INET`. */
  readonly family: number;
  /** Socket type, such as `SOCK_STREAM`. */
  readonly type: number;
  readonly protocol: number;
  /** The local address: getsockname(2). */
  getsockname(): Address;
  /** The address of the peer: getpeername(2). */
  getpeername(): Address;
  /** Reads an option: getsockopt(2). */
  getsockopt<Get>(option: TypedOption<Get, never>): Get;
  getsockopt(level: number, name: number): number;
  getsockopt(level: number, name: number, size: number): Buffer;
  /** Sets an option: setsockopt(2). */
  setsockopt<Set>(option: TypedOption<unknown, Set>, value: NoInfer<Set>): void;
  setsockopt(level: number, name: number, value: number | Uint8Array): void;
  /** Sets TCP_NODELAY. As in a `net.Socket`, it does nothing on a closed socket, or on one that is not TCP. */
  setNoDelay(enable: boolean): void;
  /**
   * Sets SO_KEEPALIVE, and TCP_KEEPIDLE if `initialDelay` (milliseconds) is at least one second. Does nothing on a
   * closed socket, or on one that is not TCP.
   */
  setKeepAlive(enable: boolean, initialDelay: number): void;
}

/**
 * The counters of a connection or a socket, from the moment when it was made. They stay readable after `close()`. On a
 * stream socket they count the bytes that the kernel has returned and accepted.
 */
export interface TransferStats {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Calls that have received bytes, or the end; on a datagram socket, datagrams. */
  readonly reads: number;
  /** Calls that have sent bytes; on a datagram socket, datagrams. */
  readonly writes: number;
}

/** The reading side of a connection. */
export interface Reader {
  /** Whether a read is pending. Optional: code that takes over the connection can refuse at once if this is true. */
  readonly reading?: boolean;

  /**
   * Reads the available bytes, at most `buffer.length`. Waits only while there are none.
   *
   * Promised: the bytes come in order, each once. A result of 0 is the end, and later reads return 0 again. A read that
   * its timeout or signal ends takes no bytes, so no bytes are lost. The caller must not use `buffer` until the promise
   * settles. The promise rejects with
   * - `ETIMEDOUT`, or the signal's reason,
   * - a `BusyError` while another read is pending (one read at a time),
   * - `ECONNRESET` when the peer has reset the connection (bytes that arrived before the reset may be lost),
   * - `ECANCELED` when the connection is closed during the call, `EBADF` when it was closed before,
   * - a `RangeError` when `buffer` is empty, because 0 stands for the end.
   *
   * Not promised: that a read returns as many bytes as one write of the peer had; that more bytes follow a full buffer.
   */
  read(buffer: Uint8Array, opts?: IoOptions): Promise<number>;

  /**
   * Waits until the peer has ended its direction, so that no more bytes will arrive. Resolves with undefined after an
   * orderly end, and with the error if the connection is broken. The call reads nothing, so unread bytes stay for the
   * next read. It does not keep the process alive. Optional: without it, only a read reports the end.
   *
   * The promise rejects with `ETIMEDOUT`, with the signal's reason, with `ECANCELED` when the connection is closed
   * during the call, and with `EBADF` when it was closed before.
   */
  whenEnded?(opts?: IoOptions): Promise<unknown>;
}

/**
 * The consumer of a {@link DirectReader}: it has memory for the bytes, and decides when it has enough.
 *
 * The connection calls these methods while it handles an event, so they must not run code of the user.
 */
export interface Consumer<T> {
  /**
   * Returns the memory for the next bytes: at most `size` of them, from `start` on. Called right before the read, so a
   * consumer that waits needs no memory.
   */
  room(): Uint8Array;
  readonly start: number;
  readonly size: number;
  /**
   * Called after a read of `count` bytes; 0 is the end. Returns true if the result is complete, and false to read more.
   * If it throws, the read rejects with that error.
   */
  filled(count: number): boolean;
  /** Returns the result. Called once, right after `filled` has returned true. */
  result(): T;
}

/**
 * A reader that reads until a consumer has its result. `readFor` makes one promise for any number of reads, and needs
 * no memory while no bytes arrive. Optional: over a connection without `readFor`, a {@link Stream} calls `read`.
 */
export interface DirectReader extends Reader {
  /** Whether a read is pending. */
  readonly reading: boolean;

  /**
   * Promises that no other code runs between `room()` and `filled()` of a consumer, for example because the read is a
   * system call. Only then may `room()` return memory that several readers share.
   */
  readonly atOnce?: boolean;

  /**
   * Reads as {@link Reader.read} does, until the consumer has its result. The timeout applies to the whole call. If the
   * call ends early, the consumer keeps the bytes that it has received.
   */
  readFor<T>(consumer: Consumer<T>, opts?: IoOptions): Promise<T>;
}

/** The writing side of a connection. */
export interface Writer {
  /**
   * Writes all of `data`. The promise resolves when the layer below (for a socket: the kernel) has taken all of it. So
   * `await` slows the writer down to the speed of the connection (backpressure).
   *
   * Promised: pending writes are sent whole, in the order of the calls. A write without bytes resolves after the writes
   * before it. The caller must not change `data` until the promise settles. The promise rejects with
   * - `ETIMEDOUT`; `transferred` of the error counts the bytes that were taken. The rest is not sent,
   * - the signal's reason; if some bytes were taken and the reason is an object, its `transferred` counts them,
   * - `EPIPE` after `closeWrite()`; `EPIPE` or `ECONNRESET` when the peer is gone,
   * - `ECANCELED` when the connection is closed during the call, `EBADF` when it was closed before,
   * - a `TypeError` when `data` has another type.
   *
   * Not promised: that the peer has received the bytes, or will read them. The first write to a peer that is gone may
   * succeed.
   */
  write(data: Data, opts?: IoOptions): Promise<void>;

  /**
   * Writes as many bytes as the layer below takes at once. It does not wait and makes no promise, which saves a server
   * with small replies a turn of the event loop. Optional: without it, `write` is the only way.
   *
   * Returns the number of bytes that were taken, from the start of `data` on; 0 if none can be taken now, or if other
   * writes are pending. Pass the rest to `write`, which waits. Throws the errors with which `write` would reject.
   *
   * @example
   * ```ts
   * import { socketpair } from "berkeley";
   *
   * const [left, right] = socketpair();
   * const stream = left.stream();
   * const answer = Buffer.from("hello\n");
   * const taken = stream.tryWrite(answer);
   * if (taken < answer.length) await stream.write(answer.subarray(taken));
   * console.log(await right.stream().readLine()); // prints: hello
   * ```
   */
  tryWrite?(data: Uint8Array): number;

  /**
   * The number of bytes of the first pending write that the layer below has taken; -1 while no write is pending.
   * Optional: without it, a {@link Stream} counts each write as pending until its promise settles.
   */
  readonly writeProgress?: number | undefined;

  /**
   * Ends the writing side after all pending writes: after the last byte the peer reads 0. The peer can still send. A
   * second call resolves like the first. The call does not wait for the peer.
   */
  closeWrite(opts?: IoOptions): Promise<void>;

  /**
   * Waits until the peer has closed or reset the connection, so that no write can succeed. Resolves with the error:
   * `EPIPE` after a close, `ECONNRESET` after a reset. The call reads nothing, and does not keep the process alive.
   * Optional: without it, only a write that fails reports the end.
   *
   * The promise rejects with `ETIMEDOUT`, with the signal's reason, with `ECANCELED` when the connection is closed
   * during the call, and with `EBADF` when it was closed before. Not promised: that it resolves while there are unread
   * bytes.
   */
  whenBroken?(opts?: IoOptions): Promise<unknown>;
}

/** A layer that reads ahead. Its unread bytes come before the bytes that the connection below still has. */
export interface ReadAhead {
  /** Bytes that were read from the connection and not taken yet, including those of the layers above. */
  readonly unread: number;
  /** Takes the first unread bytes, at most `max`. Throws a `BusyError` while a read is pending. */
  takeUnread(max: number): Uint8Array;
  /** Bytes of the layer's writes that the connection below has not taken. */
  readonly unsent?: number;
}

/** The properties of TLS that a connection has; see {@link TlsConn}. */
export interface SecuredConn {
  readonly protocol: string;
  readonly cipher: CipherNameAndProtocol;
  readonly alpnProtocol: string | undefined;
  readonly servername: string | undefined;
  readonly authorized: boolean;
  readonly authorizationError: string | undefined;
  readonly sessionReused: boolean;
  readonly peerCertificate: X509Certificate | undefined;
  exportKeyingMaterial(length: number, label: string, context?: Uint8Array): Buffer;
}

/** A connection: bytes in both directions. Each direction has its own end. */
export interface Conn extends Reader, Writer {
  /** The local address; `undefined` if there is none. It stays readable after `close()`. */
  readonly localAddress: Address | undefined;
  /** The address of the peer; `undefined` if it has none. It stays readable after `close()`. */
  readonly remoteAddress: Address | undefined;

  /**
   * Closes the connection. Pending calls reject with `ECANCELED`, later ones with `EBADF`. Bytes of writes that have
   * resolved are still delivered; then the peer reads 0. The promise never rejects. A second `close()` has no effect.
   */
  close(): Promise<void>;

  /**
   * Resets the connection: reads of the peer reject with `ECONNRESET`. Over TCP the kernel sends a RST. Bytes that the
   * peer has not read may be lost. Pending calls reject with `ECANCELED`, later ones with `EBADF`. UNIX sockets have no
   * reset: their peer reads the end.
   */
  abort(): void;

  /**
   * Detaches the descriptor, for a layer that passes it to native code of Node. Optional: only a connection over a
   * stream socket of the kernel (TCP or UNIX) with no other layer has it. From then on the connection is closed. The
   * descriptor stays open and non-blocking, and the caller must close it.
   *
   * Returns `undefined`, and changes nothing, while a call is pending, after `close()`, and for a kind of socket that
   * Node has no handle for.
   */
  detachNative?(): number | undefined;

  /**
   * From now on, waiting calls do not keep the process alive, neither later ones nor those that wait already. `ref()`
   * undoes that. Optional: without these methods a waiting call may keep the process alive. A connection without a
   * waiting call never does.
   */
  unref?(): this;
  ref?(): this;

  /** The properties of TLS. Optional, and undefined if the connection has no TLS. */
  readonly secured?: SecuredConn | undefined;

  /**
   * The settings of the socket below. Optional: only a connection over a socket of the kernel has it.
   *
   * @param fd returns the number of the descriptor, and -1 if it is closed. Default: the connection's own descriptor.
   *   Pass `fd` after `detachNative()`
   */
  settings?(fd?: () => number): SocketSettings | undefined;

  /**
   * Registers a layer that reads from this connection from now on, and may read more than its user has taken. Optional:
   * a connection must have it if its bytes can be read in another way, such as `splice` or `detach` of its socket.
   * Throws a `BufferedError` when the layer that was registered before has unread bytes.
   */
  registerReadAhead?(layer: ReadAhead): void;

  /** The counters of the connection. Optional: a `Stream` counts by itself if its connection does not. */
  stats?(): TransferStats;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Accepts connections. */
export interface Listener<C extends Conn = Conn> {
  /** The address to which peers connect, with the real port if port 0 was requested; `undefined` if it has none. */
  readonly address: Address | undefined;

  /**
   * Waits for the next connection. Rejects with `ETIMEDOUT`, with the signal's reason, with `ECANCELED` when the
   * listener is closed during the call, and with `EBADF` when it was closed before. A call that ends early loses no
   * connection. Several calls may be pending; they are served in their order.
   */
  accept(opts?: IoOptions): Promise<C>;

  /** Stops listening. Accepted connections stay open. The promise never rejects. A second `close()` has no effect. */
  close(): Promise<void>;

  /** As `unref()` and `ref()` of a {@link Conn}, for waiting calls of `accept()`. */
  unref?(): this;
  ref?(): this;

  /** The connections, one after the other, until the listener is closed. A loop that ends early leaves it open. */
  [Symbol.asyncIterator](): AsyncIterator<C, undefined>;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
