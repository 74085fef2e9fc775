// Takes over the descriptor of a net.Socket or of a net.BoundSocket.
//
// Node.js has no call that removes the descriptor from the handle of a socket, its native object. So the descriptor is
// duplicated, and then the handle is closed. The duplicate keeps the connection open, so close(2) of the original does
// not end the connection. Both steps run synchronously, so Node.js can't read or write in between.

import type { Socket as NetSocket } from "node:net";
import { net, tls } from "../builtins.js";
import { quote } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { check } from "../sys/errno.js";

/** The members of a `net.BoundSocket` that are used: a bound TCP socket of Node.js, since 24.19 and 26.4. */
export interface NetBoundSocket {
  /** The descriptor. */
  fd(): number;
  address(): unknown;
  /** Closes the descriptor. */
  close(): void;
  /** Whether the socket is a UNIX socket. Absent in versions of Node.js without bound UNIX sockets. */
  readonly isPipe?: boolean | undefined;
}

const MESSAGE_START = "Cannot adopt the socket of node:net";

/** Returns a duplicate of the descriptor and closes the original. The caller owns the duplicate. */
export function takeNetSocket(source: NetSocket | NetBoundSocket, calls: Calls): number {
  if (source instanceof net().Socket) return takeConnectedHandle(source, calls);
  if (isBound(source)) return takeBound(source, calls);
  throw new TypeError(`${MESSAGE_START}: source is ${quote(source)}, required a net.Socket or a net.BoundSocket`);
}

function takeConnectedHandle(socket: NetSocket, calls: Calls): number {
  const refusal = refusalOf(socket);
  if (refusal !== undefined) throw new TypeError(`${MESSAGE_START}: ${refusal}`);
  const fd = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  if (typeof fd !== "number" || fd < 0)
    throw new TypeError(`${MESSAGE_START}: the socket has no descriptor, required a connected one`);
  const duplicate = check(calls.dup(fd), "dup");
  socket.destroy();
  return duplicate;
}

/**
 * The reason why the socket can't be adopted; undefined if there is none. Most reasons are data or state that Node.js
 * would keep.
 */
function refusalOf(socket: NetSocket): string | undefined {
  if (socket instanceof tls().TLSSocket)
    return "the socket has TLS, whose state is in Node.js, required a socket without TLS";
  if (socket.destroyed) return "the socket is destroyed, required an open one";
  if (socket.connecting) return "the socket is connecting, required a connected one";
  if (socket.readableFlowing === true) {
    return "the socket is flowing, required a paused one, such as one of a server with pauseOnConnect";
  }
  if (socket.readableLength > 0) {
    return `readableLength is ${socket.readableLength}, required 0; take the bytes with read() first`;
  }
  if (socket.writableLength > 0) {
    return `writableLength is ${socket.writableLength}, required 0; await "drain" first`;
  }
  if (socket.writableEnded && !socket.writableFinished)
    return 'the socket is finishing, required a socket after "finish"';
  return undefined;
}

function isBound(value: unknown): value is NetBoundSocket {
  if (typeof value !== "object" || value === null) return false;
  const { fd, address, close } = value as Partial<NetBoundSocket>;
  return typeof fd === "function" && typeof address === "function" && typeof close === "function";
}

function takeBound(bound: NetBoundSocket, calls: Calls): number {
  if (bound.isPipe === true) {
    throw new TypeError(
      `${MESSAGE_START}: the socket is a bound UNIX socket, whose file Node.js removes, required a TCP socket`,
    );
  }
  const duplicate = check(calls.dup(bound.fd()), "dup");
  bound.close();
  return duplicate;
}
