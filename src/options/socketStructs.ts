// The values of SO_PEERCRED (the peer of a UNIX socket) and SO_MEMINFO (the memory of a socket).

import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";

/** The credentials of a process, as verified by the kernel: `struct ucred`, unix(7). */
export interface Ucred {
  /** Process id; 0 if the process is in another PID namespace, or if there is no peer. */
  readonly pid: number;
  /** Effective user id; 4294967295 if there is no peer. */
  readonly uid: number;
  /** Effective group id; 4294967295 if there is no peer. */
  readonly gid: number;
}

/** Bytes of `struct ucred`. */
export const UCRED_SIZE: number = 12;

export function decodeUcred(bytes: Uint8Array): Ucred {
  const data = view(bytes);
  return {
    pid: data.getInt32(0, LITTLE_ENDIAN),
    uid: data.getUint32(4, LITTLE_ENDIAN),
    gid: data.getUint32(8, LITTLE_ENDIAN),
  };
}

/** Reads the bytes as unsigned 32-bit numbers. */
export function decodeUints(bytes: Uint8Array): number[] {
  const data = view(bytes);
  return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => data.getUint32(4 * index, LITTLE_ENDIAN));
}

/** Memory of a socket, in bytes (`drops` is a count): SK_MEMINFO_ of linux/sock_diag.h. */
export interface MemInfo {
  /** Used by data that was received and not read. */
  readonly rmemAlloc: number;
  /** Limit of `rmemAlloc`: `SO_RCVBUF`. */
  readonly rcvbuf: number;
  /** Used by data that is being sent. */
  readonly wmemAlloc: number;
  /** Limit of `wmemAlloc`: `SO_SNDBUF`. */
  readonly sndbuf: number;
  /** Reserved for data that will be received or sent. */
  readonly fwdAlloc: number;
  /** Used by the send queue. */
  readonly wmemQueued: number;
  /** Used by options and filters. */
  readonly optmem: number;
  /** Used by the backlog: packets that arrived while a call had locked the socket. */
  readonly backlog: number;
  /** Number of dropped packets. */
  readonly drops: number;
}

/** Bytes of the nine numbers of {@link MemInfo}. */
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
