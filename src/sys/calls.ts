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

/** What getnameinfo(3) answers. */
export type HostAndService = readonly [host: string, service: string];

/** What gethostbyname(3) and gethostbyaddr(3) answer; the addresses are the bytes of IPv4 or IPv6 addresses. */
export type HostEntry = readonly [name: string, aliases: readonly string[], addresses: readonly Uint8Array[]];

/** Status is 0 or an EAI_ number; errno counts with EAI_SYSTEM. */
export type ResolverAnswer<T> = readonly [status: number, errno: number, result: T | null];
export type ResolverCallback<T> = (...answer: ResolverAnswer<T>) => void;

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
  /** EBADF when the descriptor is not ours, or not the `file` that `share` said. */
  close(fd: number, file?: number): number;
  /** The descriptor stays open and is no longer ours. With `blocking` 1 O_NONBLOCK is cleared; it stays ours if that fails. */
  release(fd: number, blocking?: number, file?: number): number;
  /**
   * Others get to know the number of a descriptor of ours, and may change or close what is behind it; native/descriptors.c. Returns which
   * file it is, for `close`.
   */
  share(fd: number): number;
  /** A socket made elsewhere becomes ours; EBUSY when it is already. */
  adopt(fd: number): number;
  dup(fd: number): number;

  // Bytes.
  /** At most `length` bytes (all of the view, if left out) into the start of the view. */
  recv(fd: number, view: Uint8Array, length?: number, flags?: number): number;
  /** At most `length` bytes into the view from `offset` on. */
  recvAt(fd: number, view: Uint8Array, offset: number, length: number): number;
  recvfrom(fd: number, view: Uint8Array, length: number, flags: number, room: Uint8Array): number;
  /**
   * `out` takes two 32-bit numbers: the length of the control data, and the flags of the message. Descriptors that come along
   * are ours from then on. Room for control data begins at a multiple of 8.
   */
  recvmsg(
    fd: number,
    views: readonly Uint8Array[],
    flags: number,
    room: Uint8Array | null,
    control: Uint8Array | null,
    out: Uint8Array,
  ): number;
  /** Bytes that a stream socket has for its next read. */
  inq(fd: number): number;
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

  // Many datagrams in one call; batch/table.ts has the layout of the table.
  /** Fills slots, entries and control rooms from the first on; returns how many. */
  recvmmsg(fd: number, slab: Uint8Array, table: Uint8Array, control: Uint8Array, flags: number): number;
  /** Sends the datagrams of the range [from, to); returns how many went out, from the first on. */
  sendmmsg(fd: number, slab: Uint8Array, table: Uint8Array, from: number, to: number, flags: number): number;

  // Moving bytes inside the kernel.
  /** `offset` is where in the file; the file's own offset stays as it is. 0 at the end of the file. */
  sendfile(out: number, file: number, offset: number, count: number): number;
  /** The length of a regular file, 0 for a block device; EINVAL for what is neither. */
  fileSize(fd: number): number;
  /** Makes a pipe of about `size` bytes and puts its read end and its write end into 8 bytes; returns what it holds. */
  pipe(size: number, pair: Uint8Array): number;
  /** Never waits; 0 at the end of `from`. One of the two is a pipe. */
  splice(from: number, to: number, count: number): number;
  /**
   * Moves bytes from one socket through an empty pipe to another, `atOnce` at a time, until something stops it: 1 when `budget`
   * bytes were taken, 0 at the end of the source. `out` takes two 32-bit numbers: bytes taken, and bytes passed on. If they
   * differ, the destination stopped it, and the rest is in the pipe. With `few` 1 it begins with recv(2) and send(2), and
   * splices once there are more bytes than a few.
   */
  spliceThrough(
    from: number,
    readEnd: number,
    writeEnd: number,
    to: number,
    atOnce: number,
    budget: number,
    out: Uint8Array,
    few?: number,
  ): number;
  read(fd: number, view: Uint8Array): number;

  // Options and readiness.
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** Returns the length of the value. */
  getsockopt(fd: number, level: number, name: number, room: Uint8Array): number;
  /** Returns revents, 0 when nothing is ready. Blocks the thread with a timeout (ms) other than 0. */
  poll(fd: number, events: number, timeout: number): number;
  /**
   * `entries` are struct pollfd, whose revents are filled in: fd in 32 bits, events and revents in 16 each. Returns how many
   * have revents. Blocks the thread with a timeout (ms) other than 0.
   */
  pollEntries(entries: Uint8Array, timeout: number): number;
  /** A new descriptor of ours that is readable while one of the entries is ready; a descriptor may stand there once. */
  pollset(entries: Uint8Array): number;

  // The poller; the layout of the array stands in reactor/reactor.ts. An environment may have several, each with a number that
  // stands in its array.
  /** While no call waits, native code holds neither the callback nor the array; the poller ends when the array is collected.
   *  With `thread` 1 a thread waits for events, and with 0 libuv does. */
  openPoller(callback: () => void, thread: number): Int32Array | number;
  /** Edge-triggered, for both directions; with `readingOnly` 1 not for EPOLLOUT. */
  pollerAdd(fd: number, slot: number, generation: number, readingOnly: number, poller: number): number;
  pollerModify(fd: number, slot: number, generation: number, readingOnly: number, poller: number): number;
  /** EBADF when the descriptor is not the `file` that `share` said. */
  pollerRemove(fd: number, poller: number, file?: number): number;
  pollerRef(poller: number): number;
  /** The loop has turned since the callback was called, or since no call waits. 1 when it is to be called in the next turn too. */
  pollerTurned(poller: number): number;

  /** What the word for the time of a relay's note would be now; reactor/relay.ts. */
  relayClock(): number;

  // Signals that the process listens for, for the main thread; sync/interrupts.ts.
  /** Node's loop says from now on when the listeners of signals run. ENOTSUP without libuv, EPERM on a worker. */
  watchSignals(): number;
  /** There is a listener for the event `name`. What is no signal, and SIGCHLD and SIGWINCH, are passed over. */
  signalListened(this: void, name: unknown): void;
  /** How many have come since this was called last, less those whose listeners have run. */
  takeSignals(): number;
  /** How many have come of one signal whose listeners have not run. */
  unheardSignals(signal: number): number;
  /** The listeners of all that have come have run; for runtimes without libuv. */
  forgetSignals(): void;

  // The resolver: with a callback on a thread of its own, as `…Sync` blocking this thread. With a callback the result is a
  // ticket, which names the lookup until its callback is called.
  getaddrinfo(
    host: string | null,
    service: string | null,
    family: number,
    type: number,
    protocol: number,
    flags: number,
    callback: ResolverCallback<readonly AddrinfoEntry[]>,
  ): number;
  getaddrinfoSync(
    host: string | null,
    service: string | null,
    family: number,
    type: number,
    protocol: number,
    flags: number,
  ): ResolverAnswer<readonly AddrinfoEntry[]> | number;
  getnameinfo(address: Uint8Array, flags: number, callback: ResolverCallback<HostAndService>): number;
  getnameinfoSync(address: Uint8Array, flags: number): ResolverAnswer<HostAndService> | number;
  gethostbyname(host: string, family: number, callback: ResolverCallback<HostEntry>): number;
  gethostbynameSync(host: string, family: number): ResolverAnswer<HostEntry> | number;
  /** EINVAL unless there are as many bytes as an address of the family has. */
  gethostbyaddr(address: Uint8Array, family: number, callback: ResolverCallback<HostEntry>): number;
  gethostbyaddrSync(address: Uint8Array, family: number): ResolverAnswer<HostEntry> | number;
  /**
   * No caller waits any more. 0 when the lookup is gone and its callback will not be called; 1 when it runs and can't be stopped:
   * its callback will be called. ENOENT when there is none. What no caller waits for does not keep the process alive.
   */
  abandonLookup(ticket: number): number;
  /** A caller waits again for a lookup that was abandoned and runs. ENOENT when there is none. */
  resumeLookup(ticket: number): number;
  gaiStrerror(status: number): string;

  // What this machine knows by itself. ENOENT where a database has no such entry.
  getservbyname(name: string, protocol: string | null): number;
  getservbyport(port: number, protocol: string | null): string | number;
  getprotobyname(name: string): number;
  if_nametoindex(name: string): number;
  if_indextoname(index: number): string | number;
  if_nameindex(): readonly (string | number)[] | number;
  gethostname(): string | number;
  sethostname(name: string): number;
  /** The address as a number in the host's byte order; EINVAL for what is none. */
  inet_aton(text: string): number;
}

/**
 * The calls of this thread. The object is a copy that may be changed: a test that needs `EMFILE` or a short write on demand
 * replaces an entry and puts it back.
 */
export const calls: Calls = { ...addon };
