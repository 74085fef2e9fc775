// Turns a connection into a net.Socket of node:net: passes its descriptor and the bytes that were read ahead.
//
// The constructor of net.Socket does not read; the first read happens in a later turn of the event loop. So unshift()
// right after the constructor puts bytes before all bytes that Node reads.

import type { Socket } from "node:net";
import { fs, net } from "../builtins.js";
import { checkOptions } from "../check/index.js";
import type { Conn } from "../io.js";
import { localError } from "../wait/localError.js";

/** The options of `toNetSocket()`. */
export interface ToNetSocketOptions {
  /**
   * Whether the writing side stays open when the peer has finished. With false, Node then ends the writing side, as it
   * does for its own sockets. A server of `node:http` requires true. Default false.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/**
 * Makes a `net.Socket` on a descriptor. Node owns the descriptor from now on. If Node refuses the descriptor, this
 * function closes the descriptor.
 *
 * @throws SocketError `EBADF` if other code has closed the descriptor; `ENOTSOCK` for any other descriptor that Node
 *   does not accept; otherwise the error of a system call. Each error has the given `syscall`
 */
export function makeNetSocket(
  fd: number,
  { allowHalfOpen, syscall }: { readonly allowHalfOpen: boolean; readonly syscall: string },
): Socket {
  try {
    return new (net().Socket)({ fd, readable: true, writable: true, allowHalfOpen });
  } catch (error) {
    const kind = descriptorKind(fd);
    // If the number now refers to another kind of file, other code has opened this file, which must stay open.
    if (kind === "socket") fs().closeSync(fd);
    const { code } = error as { code?: unknown };
    // Node's own codes: ERR_INVALID_FD_TYPE for another kind of file, ERR_INVALID_FD for a closed descriptor. Other
    // codes are those of system calls.
    if (typeof code === "string" && !code.startsWith("ERR_")) throw localError(code, syscall, { cause: error });
    throw localError(kind === "closed" ? "EBADF" : "ENOTSOCK", syscall, { cause: error });
  }
}

/** The kind of file to which a descriptor's number refers now. */
function descriptorKind(fd: number): "socket" | "other" | "closed" {
  try {
    return fs().fstatSync(fd).isSocket() ? "socket" : "other";
  } catch {
    return "closed";
  }
}

/** Makes a `net.Socket` on the descriptor of `conn`. Its reads first return `unread`. */
export function detachToNetSocket(conn: Conn, unread: Uint8Array, opts: ToNetSocketOptions): Socket {
  checkOptions(opts, "toNetSocket", ["allowHalfOpen"]);
  if (conn.detachNative === undefined) {
    const found = `a ${conn.constructor.name} has no descriptor`;
    throw new TypeError(`Cannot toNetSocket: ${found}, required a connection over a socket; toDuplex() takes any`);
  }
  const fd = conn.detachNative();
  if (fd === undefined) {
    const cause = new Error("a call is pending, the connection is closed, or it is no connection of TCP or UNIX");
    throw localError("EBUSY", "toNetSocket", { cause });
  }
  const socket = makeNetSocket(fd, { allowHalfOpen: opts.allowHalfOpen ?? false, syscall: "toNetSocket" });
  if (unread.length > 0) socket.unshift(unread);
  return socket;
}
