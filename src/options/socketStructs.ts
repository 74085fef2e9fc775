// The structs of SO_PEERCRED (the peer of a UNIX socket) and SO_MEMINFO (the memory of a socket).

import { LITTLE, view } from "../sys/nativeInts.js";

/** A process, as checked by the kernel: `struct ucred`, unix(7). */
export interface Ucred {
  /** Process; 0 for one that is in another PID namespace, or for no peer. */
  readonly pid: number;
  /** Effective user; 4294967295 for none. */
  readonly uid: number;
  /** Effective group; 4294967295 for none. */
  readonly gid: number;
}

/** Bytes of `struct ucred`. */
export const UCRED_SIZE: number = 12;

export function decodeUcred(bytes: Uint8Array): Ucred {
  const data = view(bytes);
  return { pid: data.getInt32(0, LITTLE), uid: data.getUint32(4, LITTLE), gid: data.getUint32(8, LITTLE) };
}

/** All 32-bit numbers in the bytes. */
export function decodeUints(bytes: Uint8Array): number[] {
  const data = view(bytes);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => data.getUint32(4 * index, LITTLE));
}

/** Memory of a socket, in bytes (`drops` is a count): SK_MEMINFO_ of linux/sock_diag.h. */
export interface MemInfo {
  /** Held by data that was received and not read. */
  readonly rmemAlloc: number;
  /** Limit of that, `SO_RCVBUF`. */
  readonly rcvbuf: number;
  /** Held by data that is being sent. */
  readonly wmemAlloc: number;
  /** Limit of that, `SO_SNDBUF`. */
  readonly sndbuf: number;
  /** Reserved for data that will arrive or will be sent. */
  readonly fwdAlloc: number;
  /** In the send queue. */
  readonly wmemQueued: number;
  /** Held by options and filters. */
  readonly optmem: number;
  /** In the backlog, while the socket is busy. */
  readonly backlog: number;
  /** Datagrams dropped. */
  readonly drops: number;
}

/** Bytes of the nine counters. */
export const MEMINFO_SIZE: number = 36;

export function decodeMemInfo(bytes: Uint8Array): MemInfo {
  const [
    rmemAlloc = 0,
    rcvbuf = 0,
    wmemAlloc = 0,
    sndbuf = 0,
    fwdAlloc = 0,
    wmemQueued = 0,
    optmem = 0,
    backlog = 0,
    drops = 0,
  ] = decodeUints(bytes);
  return { rmemAlloc, rcvbuf, wmemAlloc, sndbuf, fwdAlloc, wmemQueued, optmem, backlog, drops };
}
