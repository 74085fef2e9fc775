// From a connection to node:net: its descriptor, and what had been read from it.
//
// A net.Socket reads in the turns to come, never while it is made, so what is put back at once is in front of whatever
// it will read.

import type { Socket } from "node:net";
import { fs, net } from "../builtins.js";
import type { Conn } from "../io.js";
import { localError } from "../wait/localError.js";

/** How the `net.Socket` shall be. */
export interface ToNetSocketOptions {
  /**
   * Leaves the writing side open when the peer has finished. Without it Node ends it then, as it does for sockets of its
   * own. Servers of `node:http` want it. Default false.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/**
 * A `net.Socket` on a descriptor, which is Node's from now on; when Node does not take it, it is closed.
 *
 * @throws SocketError `EBADF` or `ENOTSOCK` when somebody has closed our descriptor behind our back, so that its number is nothing or
 *   something else; what else Node, or epoll below it, refuses
 */
export function nodeSocket(fd: number, allowHalfOpen: boolean, syscall: string): Socket {
  try {
    return new (net().Socket)({ fd, readable: true, writable: true, allowHalfOpen });
  } catch (error) {
    const kind = kindOf(fd);
    // What is no socket is not the one that we had, and belongs to somebody else.
    if (kind === "socket") fs().closeSync(fd);
    const { code } = error as { code?: unknown };
    // ERR_INVALID_FD_TYPE and ERR_INVALID_FD are Node's words for it; all others are those of a system call.
    if (typeof code === "string" && !code.startsWith("ERR_")) throw localError(code, syscall, { cause: error });
    throw localError(kind === "closed" ? "EBADF" : "ENOTSOCK", syscall, { cause: error });
  }
}

function kindOf(fd: number): "socket" | "other" | "closed" {
  try {
    return fs().fstatSync(fd).isSocket() ? "socket" : "other";
  } catch {
    return "closed";
  }
}

/** Hands over the descriptor of `conn`; `rest` comes before what the kernel has. */
export function handOver(conn: Conn, rest: Uint8Array, opts: ToNetSocketOptions): Socket {
  const action = "Cannot hand the connection to node:net";
  if (conn.detachNative === undefined) {
    throw new TypeError(`${action}: ${conn.constructor.name} has no descriptor to give, required toDuplex()`);
  }
  const fd = conn.detachNative();
  if (fd === undefined) {
    const cause = new Error("a call is pending, it is closed, or it is neither TCP nor UNIX");
    throw localError("EBUSY", "toNetSocket", { cause });
  }
  const socket = nodeSocket(fd, opts.allowHalfOpen ?? false, "toNetSocket");
  if (rest.length > 0) socket.unshift(rest);
  return socket;
}
