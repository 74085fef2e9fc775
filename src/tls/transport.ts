// What carries the records of TLS, as node:tls takes it: a native socket where the connection is one, else a Duplex.
//
// With a descriptor, Node reads, decrypts, encrypts and writes without a step through JavaScript, so this is as fast as
// node:tls. A connection of another kind goes through the Duplex of the stream layer.
//
// An end of TLS is close_notify; the end of the connection below is none (RFC 8446, section 6.1), but Node reports both
// alike. They are told apart here, at the moment of the report:
// - A Duplex has ended itself in the second case, and in the first has not.
// - A native socket is still being read from in the first case: libuv answers UV_EALREADY when told to read. After an end of
//   its own it has stopped. A paused one is not read from, so there an end is always close_notify.
// A reset behind the last bytes also shows as an end (libuv takes POLLHUP for one). Then the kernel names no peer any more.

import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { restated, SocketError } from "../errors/index.js";
import type { Conn } from "../io.js";
import { type ConnDuplex, plainDuplex } from "../stream/connDuplex.js";
import { nodeSocket } from "../stream/netSocket.js";

/** How an end of the records came about. */
export type EndKind = "close_notify" | "end" | "reset";

/** What the TLS socket is put on. */
export interface Transport {
  readonly duplex: Duplex;
  /** Asked while the TLS socket reports an end. */
  ending(paused: boolean): EndKind;
  /** Whether something had come before. */
  hasReceived: boolean;
  /** Whether not one byte has come. */
  readonly silent: boolean;
  /** Gives the number of the descriptor, -1 once it is closed; undefined where TLS does not stand on one. */
  readonly fd: (() => number) | undefined;
  /** Whether the kernel has all that was written; false where that is not known. */
  readonly sent: boolean;
  /** Keeps the process alive, or lets it go, unless `keepAlive(false)` was called. */
  ref(): void;
  unref(): void;
  /** Whether a call that waits keeps the process alive at all. */
  keepAlive(yes: boolean): void;
  /** Cuts the connection, and with it, in a later turn, the TLS socket. `ending`: the end of writing is under way. */
  abort(ending: boolean): void;
  /** Closes what is not closed yet, the TLS socket being destroyed; resolves when all is. */
  closed(): Promise<void>;
}

/** What is used of a handle of Node's. */
interface Handle {
  /** Bytes that libuv holds because the kernel did not take them. */
  readonly writeQueueSize?: number;
  /** The number of the descriptor, negative once it is closed. */
  readonly fd?: number;
  readStart?(): number;
  readStop?(): number;
}

function handleOf(socket: Socket): Handle | null {
  // oxlint-disable-next-line no-underscore-dangle
  return (socket as unknown as { readonly _handle: Handle | null })._handle;
}

/** Milliseconds that an idle connection may keep the process alive: to say so for each read would be paid for by each. */
const UNREF_DELAY = 20;
let released: NativeTransport[] = [];

function unrefIdle(): void {
  const due = released;
  released = [];
  for (const transport of due) transport.settle();
}

class NativeTransport implements Transport {
  readonly duplex: Socket;
  hasReceived = false;
  readonly #reset: boolean;
  /** Kept, because a socket of Node's is an object that is slow to ask. */
  readonly #handle: Handle | null;
  /** What Node was told, what it is to be told, and whether that is due. */
  #held = true;
  #wanted = true;
  #allowed = true;
  #due = false;

  constructor(fd: number, reset: boolean) {
    this.duplex = nodeSocket(fd, true, "tls_handshake");
    this.#reset = reset;
    this.#handle = handleOf(this.duplex);
    // The TLS socket hears of it and reports.
    this.duplex.on("error", () => undefined);
  }

  ending(paused: boolean): EndKind {
    if (paused) return "close_notify";
    const handle = handleOf(this.duplex);
    if (typeof handle?.readStart !== "function" || handle.readStart() < 0) return "close_notify";
    handle.readStop?.();
    return this.#reset && this.duplex.remoteAddress === undefined ? "reset" : "end";
  }

  get silent(): boolean {
    return !this.hasReceived && this.duplex.bytesRead === 0;
  }

  readonly fd = (): number => Math.max(-1, this.#handle?.fd ?? -1);

  get sent(): boolean {
    return this.#handle?.writeQueueSize === 0;
  }

  ref(): void {
    this.#wanted = true;
    if (this.#held || !this.#allowed) return;
    this.#held = true;
    this.duplex.ref();
  }

  unref(): void {
    this.#wanted = false;
    if (this.#due) return;
    this.#due = true;
    if (released.push(this) === 1) setTimeout(unrefIdle, UNREF_DELAY).unref();
  }

  settle(): void {
    this.#due = false;
    if (!this.#wanted) this.#release();
  }

  #release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.duplex.unref();
  }

  keepAlive(yes: boolean): void {
    this.#allowed = yes;
    if (!yes) this.#release();
    else if (this.#wanted) this.ref();
  }

  abort(ending: boolean): void {
    // libuv refuses to reset a socket that is just ending, and would keep it.
    if (this.#reset && !ending && !this.duplex.destroyed) this.duplex.resetAndDestroy();
    else this.duplex.destroy();
  }

  closed(): Promise<void> {
    const { duplex } = this;
    duplex.destroy();
    if (duplex.closed) return Promise.resolve();
    return new Promise((resolve) => duplex.once("close", () => resolve()));
  }
}

class DuplexTransport implements Transport {
  readonly duplex: ConnDuplex;
  hasReceived = false;
  readonly sent = false;
  readonly fd = undefined;
  readonly #conn: Conn;

  constructor(conn: Conn) {
    this.#conn = conn;
    this.duplex = plainDuplex(conn, {});
    this.duplex.on("error", () => undefined);
  }

  get silent(): boolean {
    return !this.hasReceived && this.duplex.bytesRead === 0;
  }

  ending(): EndKind {
    return this.duplex.readableEnded ? "end" : "close_notify";
  }

  // The Duplex reads ahead, and writes: to tell when none of it is waited for is left to who unrefs the connection.
  ref(): void {}

  unref(): void {}

  keepAlive(yes: boolean): void {
    if (yes) this.#conn.ref?.();
    else this.#conn.unref?.();
  }

  abort(): void {
    this.#conn.abort();
    this.duplex.destroy();
  }

  closed(): Promise<void> {
    this.duplex.destroy();
    return this.#conn.close();
  }
}

/**
 * Whether TLS on a socket of node:net that was made from a descriptor works. Bun's does not read from it, and Deno's sees neither its
 * end nor whether it may write.
 */
const NATIVE = process.versions["bun"] === undefined && process.versions["deno"] === undefined;

/** Bun's node:tls has no server on a connection that it is given: the handshake would never end. */
export function checkServes(action: string): void {
  if (process.versions["bun"] === undefined) return;
  const text = `Cannot ${action}: the runtime is Bun, whose node:tls is no server on a given connection, required Node.js or Deno`;
  throw Object.assign(new Error(text), { code: "ERR_FEATURE_UNAVAILABLE_ON_PLATFORM" });
}

/** Takes the connection over. `before`: what was read from it already, and comes before what it will give. */
export function openTransport(conn: Conn, before: Uint8Array): Transport {
  const transport = transportOf(conn);
  // Node gives what a stream holds to TLS when that begins to read; lib/_tls_wrap.js, initRead().
  if (before.length > 0) {
    transport.duplex.unshift(before);
    transport.hasReceived = true;
  }
  return transport;
}

/** The descriptor, if there is one. It may have been closed elsewhere, and its number may be another file's. */
function detachFrom(conn: Conn): number | undefined {
  try {
    return conn.detachNative?.();
  } catch (error) {
    throw error instanceof SocketError ? restated(error, "tls_handshake", { cause: error }) : error;
  }
}

function transportOf(conn: Conn): Transport {
  const { localAddress } = conn;
  const fd = NATIVE ? detachFrom(conn) : undefined;
  if (fd === undefined) return new DuplexTransport(conn);
  // What has a port can be reset; a UNIX socket can't.
  return new NativeTransport(fd, localAddress !== undefined && "port" in localAddress);
}
