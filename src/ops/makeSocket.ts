// Making sockets with socket(2) and socketpair(2), and adopting descriptors that other code has made.

import { AF_PACKET } from "../addr/index.js";
import { checkOptions, flag, int32, integer } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { SO_DOMAIN, SO_PROTOCOL, SO_TYPE, SOCK_RAW, SOL_SOCKET } from "../sys/constants.js";
import { check, EACCES, EPERM, socketError } from "../sys/errno.js";
import { readInt } from "../sys/nativeInts.js";

/** The bits of a type without SOCK_NONBLOCK and SOCK_CLOEXEC. Every socket of the package has these two flags. */
const TYPE_MASK = 0xf;

/** Options of `detach`. */
export interface DetachOptions {
  /** Clears O_NONBLOCK: `detach` returns a blocking descriptor. */
  readonly blocking?: boolean | undefined;
}

/** The checked option `blocking`. */
export function blockingOf(opts: DetachOptions | undefined): boolean {
  checkOptions(opts, "detach", ["blocking"]);
  return flag(opts?.blocking, false, "detach", "blocking");
}

/** Checks the arguments of socket(2) and socketpair(2). Returns the type without its flags. */
export function checkedPlainType(family: unknown, type: unknown, protocol: unknown, action: string): number {
  int32(family, action, "family");
  int32(protocol, action, "protocol");
  return int32(type, action, "type") & TYPE_MASK;
}

/** A descriptor and its family, type and protocol. */
export type SocketParts = readonly [family: number, type: number, protocol: number, fd: number];

/**
 * Adopts a descriptor that other code has made. From now on this thread owns the descriptor: if it is still open when
 * the thread ends, the addon closes it.
 */
export function adoptDescriptor(calls: Calls, fd: number): SocketParts {
  const checkedFd = integer(fd, "adopt a descriptor", "fd", 0, 0x7fff_ffff);
  check(calls.adopt(checkedFd), "fromfd");
  // If the descriptor is no socket, the caller keeps it.
  return socketPartsOf(calls, checkedFd, (adopted) => calls.release(adopted));
}

/**
 * Reads the family, type and protocol of a descriptor. If that fails, calls `onFailure` with the descriptor and throws.
 */
export function socketPartsOf(calls: Calls, fd: number, onFailure: (fd: number) => void): SocketParts {
  const int = new Uint8Array(4);
  const read = (name: number): number => {
    const length = calls.getsockopt(fd, SOL_SOCKET, name, int);
    if (length >= 0) return readInt(int);
    onFailure(fd);
    throw socketError(length, "getsockopt");
  };
  return [read(SO_DOMAIN), read(SO_TYPE), read(SO_PROTOCOL), fd];
}

/** Makes two connected sockets. */
export function makePair(calls: Calls, family: number, type: number, protocol: number): [SocketParts, SocketParts] {
  const plainType = checkedPlainType(family, type, protocol, "make a socketpair");
  const fds = new Uint8Array(8);
  check(calls.socketpair(family, type, protocol, fds), "socketpair");
  return [
    [family, plainType, protocol, readInt(fds)],
    [family, plainType, protocol, readInt(fds.subarray(4))],
  ];
}

/** Returns the result of socket(2), or throws its error. */
export function checkSocketResult(result: number, family: number, type: number): number {
  return check(result, "socket", () => {
    const isRaw = (type & TYPE_MASK) === SOCK_RAW || family === AF_PACKET;
    return isRaw && (result === EPERM || result === EACCES) ? { hint: "raw sockets need CAP_NET_RAW" } : undefined;
  });
}
