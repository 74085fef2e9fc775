// From a connection to a net.Socket of node:net: its descriptor, and the bytes that were read from it.
//
// A net.Socket never reads while it is made, only in later turns of the event loop. So bytes that are put back right
// after that come before all bytes that it reads.

import type { Socket } from "node:net";
import { fs, net } from "../builtins.js";
import { checkOptions } from "../check/index.js";
import type { Conn } from "../io.js";
import { localError } from "../wait/localError.js";

/** The properties of the `net.Socket`. */
export interface ToNetSocketOptions {
  /**
   * Whether the writing side stays open when the peer has finished. With false, Node ends the writing side then, as it
   * does for its own sockets. A server of `node:http` requires true. Default false.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/**
 * Makes a `net.Socket` on a descriptor. Node owns the descriptor from now on. If Node refuses it, it is closed.
 *
 * @throws SocketError `EBADF` or `ENOTSOCK` when other code has closed our descriptor, so that the number is free or
 *   belongs to another file; otherwise the error of Node, or of epoll below it
 */
export function nodeSocket(fd: number, allowHalfOpen: boolean, syscall: string): Socket {
  try {
    return new (net().Socket)({ fd, readable: true, writable: true, allowHalfOpen });
  } catch (error) {
    const kind = descriptorKind(fd);
    // A descriptor that is no socket is not ours, so it must stay open.
    if (kind === "socket") fs().closeSync(fd);
    const { code } = error as { code?: unknown };
    // ERR_INVALID_FD_TYPE and ERR_INVALID_FD are Node's own codes for this case. All other codes are those of a system
    // call.
    if (typeof code === "string" && !code.startsWith("ERR_")) throw localError(code, syscall, { cause: error });
    throw localError(kind === "closed" ? "EBADF" : "ENOTSOCK", syscall, { cause: error });
  }
}

function descriptorKind(fd: number): "socket" | "other" | "closed" {
  try {
    return fs().fstatSync(fd).isSocket() ? "socket" : "other";
  } catch {
    return "closed";
  }
}

/** Makes a `net.Socket` on the descriptor of `conn`. It first reads the bytes of `unread`. */
export function detachToNetSocket(conn: Conn, unread: Uint8Array, opts: ToNetSocketOptions): Socket {
  checkOptions(opts, "toNetSocket", ["allowHalfOpen"]);
  if (conn.detachNative === undefined) {
    const found = `a ${conn.constructor.name} has no descriptor`;
    throw new TypeError(`Cannot toNetSocket: ${found}, required a connection over a socket; toDuplex() takes any`);
  }
  const fd = conn.detachNative();
  if (fd === undefined) {
    const cause = new Error("a call is pending, the connection is closed, or it is neither TCP nor UNIX");
    throw localError("EBUSY", "toNetSocket", { cause });
  }
  const socket = nodeSocket(fd, opts.allowHalfOpen ?? false, "toNetSocket");
  if (unread.length > 0) socket.unshift(unread);
  return socket;
}
