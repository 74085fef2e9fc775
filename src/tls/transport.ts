// The transport of TLS records that node:tls reads and writes: a net.Socket if the connection has a descriptor, or a
// Duplex.
//
// With a descriptor, Node reads, decrypts, encrypts and writes without a step through JavaScript. So this path is as
// fast as node:tls. Other connections use the Duplex of the stream layer.
//
// TLS ends with close_notify. An end of the connection below is not an end of TLS (RFC 8446, section 6.1), but Node
// reports both in the same way. This file distinguishes the two ends at the moment of the report:
// - Over a Duplex: after close_notify the Duplex has not ended.
// - Over a net.Socket: after close_notify libuv still reads, so readStart() returns UV_EALREADY. After an end of the
//   socket, libuv has stopped reading, so readStart() returns 0. While the TLS socket is paused, libuv does not read,
//   so a reported end is always close_notify.
// - A reset after the last bytes is also reported as an end, because libuv handles POLLHUP like an end. After such a
//   reset getpeername(2) fails.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { restateError, SocketError } from "../errors/index.js";
import type { Conn } from "../io.js";
import { type ConnDuplex, makePlainDuplex } from "../stream/connDuplex.js";
import { makeNetSocket } from "../stream/netSocket.js";

/** The cause of an end: TLS itself, an end of the connection below, or its reset. */
export type EndCause = "close_notify" | "end" | "reset";

/** The connection below the TLS socket, in the form that node:tls takes. */
export interface Transport {
  readonly duplex: Duplex;
  /**
   * Returns the cause of an end. Call it only while the TLS socket reports the end.
   *
   * @param paused whether the TLS socket is paused
   */
  findEndCause(paused: boolean): EndCause;
  /** Whether bytes of TLS were read before the transport was made. */
  receivedBefore: boolean;
  /** True until the first byte is received. */
  readonly silent: boolean;
  /** Returns the descriptor, or -1 after it was closed. Undefined over a Duplex. */
  readonly fd: (() => number) | undefined;
  /** Whether the kernel has taken all written bytes; false if that is unknown. */
  readonly allSent: boolean;
  /**
   * To be called when a read or another call begins to wait. Keeps the process alive, unless `setKeepsAlive(false)` was
   * called.
   */
  ref(): void;
  /** To be called when no call waits any more. Lets the process end. */
  unref(): void;
  setKeepsAlive(keepsAlive: boolean): void;
  /**
   * Resets the connection. The TLS socket is destroyed in a later turn.
   *
   * @param ending whether Node is ending the writing side
   */
  abort(ending: boolean): void;
  /** Closes the connection below, after the TLS socket was destroyed. Resolves when that is done. */
  close(): Promise<void>;
}

/** The properties of Node's handle that this file uses. */
interface Handle {
  /** Number of bytes that libuv holds because the kernel has not taken them. */
  readonly writeQueueSize?: number;
  /** The descriptor, negative after it was closed. */
  readonly fd?: number;
  readStart?(): number;
  readStop?(): number;
}

function handleOf(socket: Socket): Handle | null {
  // oxlint-disable-next-line no-underscore-dangle
  return (socket as unknown as { readonly _handle: Handle | null })._handle;
}

/**
 * Milliseconds after which an idle connection no longer keeps the process alive. Without this delay, each read would
 * call ref() and unref(), which is slow.
 */
const UNREF_DELAY = 20;
/** The transports whose delayed `unref()` is pending. */
let pendingUnrefs: NativeTransport[] = [];

/** Completes the delayed `unref()` of each transport in `pendingUnrefs` that is still idle. */
function unrefIdleTransports(): void {
  const transports = pendingUnrefs;
  pendingUnrefs = [];
  for (const transport of transports) transport.unrefIfIdle();
}

class NativeTransport implements Transport {
  readonly duplex: Socket;
  receivedBefore = false;
  /** Whether the protocol has a reset. */
  readonly #canReset: boolean;
  /** Stored, because reading a property of a net.Socket is slow. */
  readonly #handle: Handle | null;
  /** Whether the net.Socket is referenced. */
  #referenced = true;
  /** Whether a call waits; at first, that is the handshake. */
  #callWaits = true;
  /** Set by `setKeepsAlive()`. */
  #keepsAlive = true;
  /** Whether a delayed `unref()` is pending. */
  #unrefPending = false;

  constructor(fd: number, canReset: boolean) {
    this.duplex = makeNetSocket(fd, { allowHalfOpen: true, syscall: "tls_handshake" });
    this.#canReset = canReset;
    this.#handle = handleOf(this.duplex);
    // Without a handler, the event would end the process. The TLS socket reports the same error.
    this.duplex.on("error", () => undefined);
  }

  findEndCause(paused: boolean): EndCause {
    if (paused) return "close_notify";
    const handle = handleOf(this.duplex);
    // A negative result is UV_EALREADY.
    if (typeof handle?.readStart !== "function" || handle.readStart() < 0) return "close_notify";
    handle.readStop?.();
    // Node calls getpeername(2) for `remoteAddress`, which is undefined if that call fails.
    return this.#canReset && this.duplex.remoteAddress === undefined ? "reset" : "end";
  }

  get silent(): boolean {
    return !this.receivedBefore && this.duplex.bytesRead === 0;
  }

  readonly fd = (): number => Math.max(-1, this.#handle?.fd ?? -1);

  get allSent(): boolean {
    return this.#handle?.writeQueueSize === 0;
  }

  ref(): void {
    this.#callWaits = true;
    if (this.#referenced || !this.#keepsAlive) return;
    this.#referenced = true;
    this.duplex.ref();
  }

  unref(): void {
    this.#callWaits = false;
    if (this.#unrefPending) return;
    this.#unrefPending = true;
    if (pendingUnrefs.push(this) === 1) setTimeout(unrefIdleTransports, UNREF_DELAY).unref();
  }

  unrefIfIdle(): void {
    this.#unrefPending = false;
    if (!this.#callWaits) this.#unrefSocket();
  }

  #unrefSocket(): void {
    if (!this.#referenced) return;
    this.#referenced = false;
    this.duplex.unref();
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.#keepsAlive = keepsAlive;
    if (!keepsAlive) this.#unrefSocket();
    else if (this.#callWaits) this.ref();
  }

  abort(ending: boolean): void {
    // libuv refuses to reset a socket that is ending, and would not close this socket.
    if (this.#canReset && !ending && !this.duplex.destroyed) this.duplex.resetAndDestroy();
    else this.duplex.destroy();
  }

  close(): Promise<void> {
    const { duplex } = this;
    duplex.destroy();
    if (duplex.closed) return Promise.resolve();
    return new Promise((resolve) => duplex.once("close", () => resolve()));
  }
}

class DuplexTransport implements Transport {
  readonly duplex: ConnDuplex;
  receivedBefore = false;
  readonly allSent = false;
  readonly fd = undefined;
  readonly #conn: Conn;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.duplex = makePlainDuplex(conn, {});
    // Without a handler, the event would end the process. The TLS socket reports the same error.
    this.duplex.on("error", () => undefined);
  }

  get silent(): boolean {
    return !this.receivedBefore && this.duplex.bytesRead === 0;
  }

  findEndCause(): EndCause {
    return this.duplex.readableEnded ? "end" : "close_notify";
  }

  // A Duplex always reads ahead, whether a call waits or not. So only setKeepsAlive() decides whether it keeps the
  // process alive.
  ref(): void {}

  unref(): void {}

  setKeepsAlive(keepsAlive: boolean): void {
    if (keepsAlive) this.#conn.ref?.();
    else this.#conn.unref?.();
  }

  abort(): void {
    this.#conn.abort();
    this.duplex.destroy();
  }

  close(): Promise<void> {
    this.duplex.destroy();
    return this.#conn.close();
  }
}

/**
 * Whether TLS works on a net.Socket that was made from a descriptor. Bun does not read from such a socket. Deno reports
 * neither the end nor the writability of such a socket.
 */
const SUPPORTS_DESCRIPTORS = process.versions["bun"] === undefined && process.versions["deno"] === undefined;

/**
 * Throws under Bun. The node:tls of Bun can't be a server on an existing connection; the handshake would never end.
 */
export function checkServerSupport(action: string): void {
  if (process.versions["bun"] === undefined) return;
  const text =
    `Cannot ${action}: the runtime is Bun, whose node:tls can't be a server on an existing connection, ` +
    "required Node.js or Deno";
  throw Object.assign(new Error(text), { code: "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM" });
}

/**
 * Makes the transport of a connection, and passes the buffered bytes to it.
 *
 * @param buffered bytes that were read from the connection already; TLS reads them first
 */
export function openTransport(conn: Conn, buffered: Uint8Array): Transport {
  const transport = makeTransport(conn);
  // The TLS socket first reads the buffer of the Duplex; see initRead() in lib/_tls_wrap.js.
  if (buffered.length > 0) {
    transport.duplex.unshift(buffered);
    transport.receivedBefore = true;
  }
  return transport;
}

/** Detaches and returns the descriptor, if there is one. Throws if other code has closed the descriptor. */
function detachNative(conn: Conn): number | undefined {
  try {
    return conn.detachNative?.();
  } catch (error) {
    throw error instanceof SocketError ? restateError(error, "tls_handshake", { cause: error }) : error;
  }
}

function makeTransport(conn: Conn): Transport {
  const { localAddress } = conn;
  const fd = SUPPORTS_DESCRIPTORS ? detachNative(conn) : undefined;
  if (fd === undefined) return new DuplexTransport(conn);
  // A TCP socket, whose address has a port, can be reset. A UNIX socket can't.
  return new NativeTransport(fd, localAddress !== undefined && "port" in localAddress);
}
