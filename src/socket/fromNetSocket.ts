// What of node:net can be adopted, and when: the descriptor of a net.Socket or of a net.BoundSocket.
//
// Node keeps its descriptor to itself: there is no way to take it away from a handle. But a duplicate is as good, once the
// handle is closed: closing one of two descriptors sends nothing, ends nothing and takes nothing out of the kernel's queues
// (close(2)). All of it happens in one step of JavaScript, so Node can't read or write meanwhile.

import type { Socket as NetSocket } from "node:net";
import { net, tls } from "../builtins.js";
import { quote } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { check } from "../sys/errno.js";

/** What is used of a `net.BoundSocket`, which Node has from version 24.19 and 26.4 on: a TCP socket that is bound. */
export interface NetBoundSocket {
  /** Its descriptor. */
  fd(): number;
  address(): unknown;
  /** Closes the descriptor. */
  close(): void;
  /** Whether it is a UNIX socket, where Node has these. */
  readonly isPipe?: boolean | undefined;
}

const action = "Cannot adopt the socket of node:net";

/** A duplicate of the descriptor, ours; the original is closed. */
export function takeNetSocket(source: NetSocket | NetBoundSocket, calls: Calls): number {
  if (source instanceof net().Socket) return takeConnected(source, calls);
  if (isBound(source)) return takeBound(source, calls);
  throw new TypeError(`${action}: found ${quote(source)}, required a net.Socket or a net.BoundSocket`);
}

function takeConnected(socket: NetSocket, calls: Calls): number {
  const wrong = unfit(socket);
  if (wrong !== undefined) throw new TypeError(`${action}: ${wrong}`);
  const fd = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  if (typeof fd !== "number" || fd < 0)
    throw new TypeError(`${action}: it has no descriptor, required a connected one`);
  const copy = check(calls.dup(fd), "dup");
  socket.destroy();
  return copy;
}

/** Why nothing of this socket's state may be left behind in Node. */
function unfit(socket: NetSocket): string | undefined {
  if (socket instanceof tls().TLSSocket) return "it carries TLS, whose state is Node's, required a plain one";
  if (socket.destroyed) return "it is destroyed, required an open one";
  if (socket.connecting) return "it is still connecting, required a connected one";
  if (socket.readableFlowing === true) {
    return "somebody is reading from it, required a paused one, such as one of a server with pauseOnConnect";
  }
  if (socket.readableLength > 0) {
    return `Node has read ${socket.readableLength} bytes from it, required 0: take them first with read()`;
  }
  if (socket.writableLength > 0) {
    return `${socket.writableLength} bytes of it are still to be written, required 0: await "drain" first`;
  }
  if (socket.writableEnded && !socket.writableFinished)
    return 'its end is being written, required: await "finish" first';
  return undefined;
}

function isBound(value: unknown): value is NetBoundSocket {
  if (typeof value !== "object" || value === null) return false;
  const { fd, address, close } = value as Partial<NetBoundSocket>;
  return typeof fd === "function" && typeof address === "function" && typeof close === "function";
}

function takeBound(bound: NetBoundSocket, calls: Calls): number {
  if (bound.isPipe === true) {
    throw new TypeError(`${action}: Node removes the file of a bound UNIX socket with it, required a TCP socket`);
  }
  const copy = check(calls.dup(bound.fd()), "dup");
  bound.close();
  return copy;
}
