// The contracts between what moves bytes and what makes sense of them: Reader, Writer, Conn, Listener. A leaf.
//
// Buffering, TLS, framing and serving are written against these and never against a socket, so that each of them runs
// on a TCP socket, on TLS, on a pair in memory and on whatever else keeps the promises below. The conformance suite in
// `berkeley/testing` checks them; a Conn of one's own that passes it can be used wherever the library takes one.
//
// All of it has one rule about ending a wait: a `timeout` or a `signal` ends the wait, never the connection, and takes
// no byte from it.

import type { X509Certificate } from "node:crypto";
import type { CipherNameAndProtocol } from "node:tls";
import type { Address } from "./addr/address.js";

/** What every call that may wait takes. */
export interface IoOptions {
  /**
   * Milliseconds after which the call gives up with a `TimeoutError`, whose code is `ETIMEDOUT`. 0 takes what can be had
   * without a wait. No timeout when absent or null.
   */
  readonly timeout?: number | null | undefined;
  /** Ends the wait; the call rejects with the signal's reason. An aborted signal refuses the call before it starts. */
  readonly signal?: AbortSignal | undefined;
}

/** Milliseconds that `end()` takes at most where the call names no `timeout`. */
export const END_TIMEOUT = 5_000;
/** Most bytes that `end()` reads and drops where the call names no `maxBytes`: 64 MiB. */
export const END_MAX_BYTES = 67_108_864;

/** How to end a connection. */
export interface EndOptions {
  /** Milliseconds for all of it: pending writes, and the wait for the peer's end. Default {@link END_TIMEOUT}; null for none. */
  readonly timeout?: number | null | undefined;
  /** Closes at once; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Most bytes that are read and dropped; one more closes. Default {@link END_MAX_BYTES}. */
  readonly maxBytes?: number | undefined;
}

/** How a connection ended. It is closed in every case. */
export interface EndResult {
  /**
   * - `"finished"`: the peer has finished too, and nothing was left unread that would have reset the connection,
   * - `"timeout"`: the time ran out, ours or that of the kernel (`TCP_USER_TIMEOUT`, keep-alive),
   * - `"maxBytes"`: the peer sent more,
   * - `"failed"`: the connection broke; `error` says how,
   * - `"closed"`: it was closed before, or meanwhile, by another call.
   */
  readonly how: "finished" | "timeout" | "maxBytes" | "failed" | "closed";
  /** Bytes that were read and dropped, those of a stream's buffer included. */
  readonly dropped: number;
  /** What the connection failed with. */
  readonly error?: unknown;
}

/** What can be written: text (sent as UTF-8), bytes, or several of these that go out one after the other. */
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
 * What can be asked of a socket of the kernel, and set on it, by others than its reader and writer: addresses and options. Each
 * member is the call that `Socket` has under this name; they throw `EBADF` once the socket is closed.
 */
export interface SocketSettings {
  /** Address family, as `AF_INET`. */
  readonly family: number;
  /** Socket type, as `SOCK_STREAM`. */
  readonly type: number;
  readonly protocol: number;
  /** The address of this end: getsockname(2). */
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
  /** TCP_NODELAY. Nothing where this is no socket of TCP, or one that is closed, as with a `net.Socket`. */
  setNoDelay(enable: boolean): void;
  /** SO_KEEPALIVE and, from one second of `initialDelay` (milliseconds) on, TCP_KEEPIDLE. Nothing under the same conditions. */
  setKeepAlive(enable: boolean, initialDelay: number): void;
}

/** Where bytes come from. */
export interface Reader {
  /** Whether a read is pending. Optional: who takes a connection over can refuse at once where it is there and true. */
  readonly reading?: boolean;

  /**
   * Reads what there is, at most `buffer.length` bytes, and waits only while there is nothing.
   *
   * Promised: the bytes come in order, each once. 0 is the end, and stays 0. A read that was ended by its timeout or
   * signal took nothing: the next one gets what this one would have got. `buffer` belongs to the call until the promise
   * settles. The promise rejects with
   * - `ETIMEDOUT`, or the signal's reason,
   * - a `BusyError` when another read is pending (one reader at a time),
   * - `ECONNRESET` when the peer aborted (bytes that came before may be read first, but need not),
   * - `ECANCELED` when the connection was closed during the call, `EBADF` when it was closed before,
   * - a `RangeError` when `buffer` is empty, because 0 could not be told from the end.
   *
   * Not promised: that a read gives as much as one write of the peer took; that a full buffer means there is more.
   */
  read(buffer: Uint8Array, opts?: IoOptions): Promise<number>;
}

/**
 * What reads from a {@link DirectReader}: memory for the bytes, and a rule for when there are enough.
 *
 * Its methods are called while the connection deals with what is ready, and must not run code of users.
 */
export interface Consumer<T> {
  /**
   * The memory that the next bytes go into, `size` of them at most, from `start` on. It is asked for right before they
   * are read, so a consumer that waits needs none.
   */
  room(): Uint8Array;
  readonly start: number;
  readonly size: number;
  /** `count` bytes have come; 0 is the end. Whether the result is there, or more is to be read. What it throws ends the read. */
  filled(count: number): boolean;
  /** The result; asked for once, right after `filled` has said that it is there. */
  result(): T;
}

/**
 * A reader that reads on behalf of a consumer until that has what it wants: one promise, however many reads it takes, and
 * no memory while nothing comes. Optional for a connection: a {@link Stream} over one that lacks it asks `read`.
 */
export interface DirectReader extends Reader {
  /** Whether a read is pending. */
  readonly reading: boolean;

  /**
   * Promises that no other code runs between a consumer's `room()` and its `filled()`, as where the read is a system call. Only then
   * may the room be memory that readers share; others get memory of their own.
   */
  readonly atOnce?: boolean;

  /**
   * Reads as {@link Reader.read} promises; the timeout is for all of it. A read that is ended has left what had come with
   * the consumer.
   */
  readFor<T>(consumer: Consumer<T>, opts?: IoOptions): Promise<T>;
}

/** Where bytes go. */
export interface Writer {
  /**
   * Writes all of `data`. The promise resolves when all of it was taken by the layer below (for a socket, the kernel),
   * and not before: to await it is the backpressure.
   *
   * Promised: of several pending writes each goes out whole, in the order of the calls. No data is a write of no bytes,
   * which resolves in its turn. `data` belongs to the call until the promise settles. The promise rejects with
   * - `ETIMEDOUT`; `transferred` in the error says how many bytes had been taken, the rest was not and will not be,
   * - the signal's reason; where that is an object and some bytes had been taken, `transferred` is put on it,
   * - `EPIPE` after `closeWrite()`; `EPIPE` or `ECONNRESET` when the peer is gone,
   * - `ECANCELED` when the connection was closed during the call, `EBADF` when it was closed before,
   * - a `TypeError` when `data` is something else.
   *
   * Not promised: that the peer has it, or will read it. A write to a peer that is gone may succeed once.
   */
  write(data: Data, opts?: IoOptions): Promise<void>;

  /**
   * Writes what can be taken at once, without a wait and without a promise. Optional: where it is missing, nothing can be.
   *
   * Returns the number of bytes that were taken, from the start of `data` on: 0 when none can be taken now or when others
   * wait to write, and then `write` is what waits. Throws what `write` would reject with.
   */
  tryWrite?(data: Uint8Array): number;

  /**
   * Ends this direction after all pending writes: the peer reads 0 after the last byte, and can go on sending. A second
   * call resolves as the first. The peer's answer is not awaited.
   */
  closeWrite(opts?: IoOptions): Promise<void>;

  /**
   * Waits until no write can succeed any more because the other end is gone, and resolves with the error: `ECONNRESET` where
   * the connection was cut, `EPIPE` where the peer has closed. It takes nothing, and does not keep the process alive. Optional:
   * without it a write is what finds out.
   *
   * The promise rejects with `ETIMEDOUT`, the signal's reason, `ECANCELED` when the connection was closed during the call,
   * `EBADF` when it was closed before. Not promised: that it is found out while bytes lie unread.
   */
  whenBroken?(opts?: IoOptions): Promise<unknown>;
}

/** A layer that reads ahead: what it has read from a connection and nobody has taken comes before what the connection still has. */
export interface ReadAhead {
  /** Bytes that were read and not taken, those of the layers above it included. */
  readonly unread: number;
  /** Takes the first of them, at most `max`. Throws a `BusyError` while a read is pending. */
  takeUnread(max: number): Uint8Array;
}

/** What a connection with TLS on it shows of TLS; see {@link TlsConn}. */
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

/** A connection: bytes both ways, each direction with its own end. */
export interface Conn extends Reader, Writer {
  /** This end's address; `undefined` where it has none. Stays readable after `close()`. */
  readonly localAddress: Address | undefined;
  /** The other end's address; `undefined` where it has none. Stays readable after `close()`. */
  readonly remoteAddress: Address | undefined;

  /**
   * Gives the connection up. Pending calls reject with `ECANCELED`, later ones with `EBADF`. What a write had resolved
   * for is still delivered; then the peer reads 0. Never rejects, may be called twice.
   */
  close(): Promise<void>;

  /**
   * Gives the connection up at once and lets the peer know that it was cut (on TCP with RST): its reads reject with
   * `ECONNRESET`. What is under way may be lost. Pending calls here reject with `ECANCELED`, later ones with `EBADF`.
   * UNIX sockets have no such signal: there the peer sees an end.
   */
  abort(): void;

  /**
   * Gives away the descriptor below, for a layer that hands it to native code of Node. Optional: only a connection that is
   * nothing but a stream socket of the kernel (TCP or UNIX) has it. From then on the connection counts as closed, but the
   * descriptor, which is non-blocking, is open and the caller's to close.
   *
   * Returns `undefined`, and changes nothing, where there is none to give: while a call is pending, after `close()`, or for
   * a kind of socket that Node has no handle for.
   */
  detachNative?(): number | undefined;

  /**
   * Lets the process end while calls wait here, those that wait already included; `ref()` undoes it. Optional: without the two, a call
   * that waits may keep the process alive. A connection that is idle never does.
   */
  unref?(): this;
  ref?(): this;

  /** What it shows of TLS; optional, and undefined where there is none on it. */
  readonly secured?: SecuredConn | undefined;

  /**
   * The settings of the socket of the kernel that the connection stands on. Optional: only such a connection has it.
   *
   * @param fd the descriptor's number, -1 when it is closed, after `detachNative()`; without it the connection's own
   */
  settings?(fd?: () => number): SocketSettings | undefined;

  /**
   * Says that `layer` reads from this connection from now on, and may read more than its user has taken. Optional: a connection that gives its
   * bytes to somebody else by another way (a socket that is spliced or detached) has to know. Throws a `BufferedError` when a
   * layer before has bytes that were not taken.
   */
  registerReadAhead?(layer: ReadAhead): void;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where connections come from. */
export interface Listener<C extends Conn = Conn> {
  /** What it listens on, with the real port where 0 was asked for; `undefined` where it has none. */
  readonly address: Address | undefined;

  /**
   * Waits for the next connection. Rejects with `ETIMEDOUT`, the signal's reason, `ECANCELED` when the listener was
   * closed during the call, `EBADF` when before. A wait that was ended so loses no connection. Several may be pending:
   * they are served in order.
   */
  accept(opts?: IoOptions): Promise<C>;

  /** Takes no more connections; those accepted stay. Never rejects, may be called twice. */
  close(): Promise<void>;

  /** As those of a {@link Conn}, for the calls that wait to accept. */
  unref?(): this;
  ref?(): this;

  /** The connections, one after the other, until the listener is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterator<C, undefined>;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
