// From a connection to node:net: its descriptor, and what had been read from it.
//
// A net.Socket reads in the turns to come, never while it is made, so what is put back at once is in front of whatever
// it will read.

import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Conn } from "../io.js";
import { socketError } from "./wait.js";

/** How the `net.Socket` shall be. */
export interface ToNetSocketOptions {
  /**
   * Leaves the writing side open when the peer has finished. Without it Node ends it then, as it does for sockets of its
   * own. Servers of `node:http` want it. Default false.
   */
  readonly allowHalfOpen?: boolean | undefined;
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
    throw socketError("EBUSY", "toNetSocket", { cause });
  }
  let socket: Socket;
  try {
    socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: opts.allowHalfOpen ?? false });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  if (rest.length > 0) socket.unshift(rest);
  return socket;
}
