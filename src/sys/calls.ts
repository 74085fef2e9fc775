// The table of native calls: what every layer above calls, and what tests replace.
//
// Each call returns a number >= 0 or -errno; would-block is the value EAGAIN, not an exception. Arguments are checked in C
// against the views that were passed, so a mistake above throws and never reaches memory outside a view.

import { addon } from "./addon.js";

/** One answer of getaddrinfo(3): family, type, protocol, the bytes of the sockaddr, the canonical name or null. */
export type AddrinfoEntry = readonly [
  family: number,
  type: number,
  protocol: number,
  address: Uint8Array,
  canonname: string | null,
];

/**
 * The native calls. A `room` is a view of {@link ADDRESS_ROOM} bytes that takes the length of an address and the address;
 * see sockaddr.ts.
 */
export interface Calls {
  // Lifecycle. Descriptors that these make are close-on-exec, non-blocking and owned by this thread's environment.
  socket(family: number, type: number, protocol: number): number;
  /** Puts two descriptors, as 32-bit numbers, into 8 bytes. */
  socketpair(family: number, type: number, protocol: number, pair: Uint8Array): number;
  accept(fd: number, room: Uint8Array): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  shutdown(fd: number, how: number): number;
  getsockname(fd: number, room: Uint8Array): number;
  getpeername(fd: number, room: Uint8Array): number;
  /** EBADF when the descriptor is not ours. */
  close(fd: number): number;
  /** The descriptor stays open and is no longer ours. */
  release(fd: number): number;
  /** A socket made elsewhere becomes ours; EBUSY when it is already. */
  adopt(fd: number): number;
  dup(fd: number): number;

  // Bytes.
  /** At most `length` bytes (all of the view, if left out) into the start of the view. */
  recv(fd: number, view: Uint8Array, length?: number, flags?: number): number;
  recvfrom(fd: number, view: Uint8Array, length: number, flags: number, room: Uint8Array): number;
  /** `out` takes two 32-bit numbers: the length of the control data, and the flags of the message. */
  recvmsg(
    fd: number,
    views: readonly Uint8Array[],
    flags: number,
    room: Uint8Array | null,
    control: Uint8Array | null,
    out: Uint8Array,
  ): number;
  /** The bytes of the view from `offset` (0, if left out) on. */
  send(fd: number, view: Uint8Array, offset?: number, flags?: number): number;
  sendto(fd: number, view: Uint8Array, flags: number, address: Uint8Array): number;
  /** The views one after the other, without the first `skip` bytes. */
  sendmsg(
    fd: number,
    views: readonly Uint8Array[],
    skip: number,
    flags: number,
    address: Uint8Array | null,
    control: Uint8Array | null,
  ): number;

  // Options and readiness.
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** Returns the length of the value. */
  getsockopt(fd: number, level: number, name: number, room: Uint8Array): number;
  /** Returns revents, 0 when nothing is ready. Blocks the thread with a timeout (ms) other than 0. */
  poll(fd: number, events: number, timeout: number): number;

  // The poller; the layout of the array stands in reactor/reactor.ts.
  openPoller(callback: () => void): Int32Array | number;
  pollerAdd(fd: number, slot: number, generation: number): number;
  pollerRemove(fd: number): number;
  pollerRef(): number;

  // Names. Status is 0 or an EAI_ number; errno counts with EAI_SYSTEM.
  getaddrinfo(
    host: string | null,
    service: string | null,
    family: number,
    type: number,
    protocol: number,
    flags: number,
    callback: (status: number, errno: number, entries: readonly AddrinfoEntry[] | null) => void,
  ): number;
  getnameinfo(
    address: Uint8Array,
    flags: number,
    callback: (status: number, errno: number, names: readonly [host: string, service: string] | null) => void,
  ): number;
  gaiStrerror(status: number): string;
  if_nametoindex(name: string): number;
  if_indextoname(index: number): string | number;
  if_nameindex(): readonly (string | number)[] | number;
  gethostname(): string | number;
}

/**
 * The calls of this thread. The object is a copy that may be changed: a test that needs `EMFILE` or a short write on demand
 * replaces an entry and puts it back.
 */
export const calls: Calls = { ...addon };
