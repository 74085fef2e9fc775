// Making, adopting and accepting sockets: arguments, checked, and what the kernel says of a descriptor.

import { int32, integer, quote } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { SO_DOMAIN, SO_PROTOCOL, SO_TYPE, SOL_SOCKET } from "../sys/constants.js";
import { check, socketError } from "../sys/errno.js";
import { readInt } from "../sys/nativeInts.js";
import type { WaitOptions } from "../wait/waitOptions.js";

/** SOCK_NONBLOCK and SOCK_CLOEXEC go with the type, and are what every socket has here. */
const TYPE_MASK = 0xf;

/** Options of `accept`. */
export interface AcceptOptions extends WaitOptions {
  /**
   * Waits out a lack of descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`) instead of failing with it: the
   * connection stays in the kernel's queue meanwhile. Passes over a connection that a firewall refused (`EPERM`).
   */
  readonly patient?: boolean | undefined;
}

/** Options of `detach`. */
export interface DetachOptions {
  /** Clears O_NONBLOCK: the receiver gets a blocking descriptor. */
  readonly blocking?: boolean | undefined;
}

export function isBlocking(opts: DetachOptions | undefined): boolean {
  if (opts !== undefined && (typeof opts !== "object" || opts === null)) {
    throw new TypeError(`Cannot detach: options are ${quote(opts)}, required an object such as { blocking }`);
  }
  const blocking: unknown = opts?.blocking ?? false;
  if (typeof blocking === "boolean") return blocking;
  throw new TypeError(`Cannot detach: blocking is ${quote(blocking)}, required true or false`);
}

export function isPatient(opts: AcceptOptions | undefined): boolean {
  const patient: unknown = opts?.patient ?? false;
  if (typeof patient === "boolean") return patient;
  throw new TypeError(`Cannot accept: patient is ${quote(patient)}, required true or false`);
}

/** Checks what socket(2) and socketpair(2) take; returns the type without its flags. */
export function checkKind(family: unknown, type: unknown, protocol: unknown, action: string): number {
  int32(family, action, "family");
  int32(protocol, action, "protocol");
  return int32(type, action, "type") & TYPE_MASK;
}

/** What a socket is made of: its descriptor, and what the kernel says of it. */
export type Parts = readonly [family: number, type: number, protocol: number, fd: number];

/** A socket that was made elsewhere, which is ours from now on. */
export function adopt(calls: Calls, fd: number): Parts {
  const number = integer(fd, "adopt a descriptor", "fd", 0, 0x7fff_ffff);
  check(calls.adopt(number), "fromfd");
  return partsOf(calls, number, (ours) => calls.release(ours));
}

/** A descriptor that is ours, and what the kernel knows of it; `giveUp` when it does not. */
export function partsOf(calls: Calls, fd: number, giveUp: (fd: number) => void): Parts {
  const value = new Uint8Array(4);
  const read = (name: number): number => {
    const length = calls.getsockopt(fd, SOL_SOCKET, name, value);
    if (length >= 0) return readInt(value);
    giveUp(fd);
    throw socketError(length, "getsockopt");
  };
  return [read(SO_DOMAIN), read(SO_TYPE), read(SO_PROTOCOL), fd];
}

/** Two connected sockets. */
export function pairOf(calls: Calls, family: number, type: number, protocol: number): [Parts, Parts] {
  const kind = checkKind(family, type, protocol, "make a socketpair");
  const fds = new Uint8Array(8);
  check(calls.socketpair(family, type, protocol, fds), "socketpair");
  return [
    [family, kind, protocol, readInt(fds)],
    [family, kind, protocol, readInt(fds.subarray(4))],
  ];
}
