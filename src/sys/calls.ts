// The table of native calls. All other layers make system calls through this table, and tests replace its entries.
//
// A call that fails returns -errno, and one that would block returns -EAGAIN. The comments below write EBADF for
// -EBADF. C checks offsets and lengths against the views that were passed: a wrong one throws, and C never accesses
// memory outside a view.

import { addon } from "./addon.js";

/** One result of getaddrinfo(3). `address` has the bytes of the sockaddr. */
export type AddrinfoEntry = readonly [
  family: number,
  type: number,
  protocol: number,
  address: Uint8Array,
  canonname: string | null,
];

/** The result of getnameinfo(3). */
export type HostAndService = readonly [host: string, service: string];

/**
 * The result of gethostbyname(3) and gethostbyaddr(3). Each address has the 4 or 16 bytes of an IPv4 or IPv6 address.
 */
export type HostEntry = readonly [name: string, aliases: readonly string[], addresses: readonly Uint8Array[]];

/**
 * `status` is 0 or an EAI_ number. `errno` is 0 unless `status` is EAI_SYSTEM. `result` is null unless `status` is 0.
 */
export type ResolverAnswer<T> = readonly [status: number, errno: number, result: T | null];
export type ResolverCallback<T> = (...answer: ResolverAnswer<T>) => void;

/**
 * The native calls.
 *
 * An `addressBuffer` is a view of `ADDRESS_BUFFER_SIZE` bytes. The call writes the length of an address and the address
 * to it; see sockaddr.ts.
 *
 * An `identity` is a number that {@link Calls.share} returned for a descriptor. A call that gets one returns EBADF if
 * the number of the descriptor now belongs to another file; see native/descriptors.c.
 */
export interface Calls {
  // Opening and closing. New descriptors are close-on-exec, non-blocking and owned by this thread's environment.
  socket(family: number, type: number, protocol: number): number;
  /** Writes two descriptors, as 32-bit numbers, to the 8 bytes of `pair`. */
  socketpair(family: number, type: number, protocol: number, pair: Uint8Array): number;
  /**
   * With `poll` 1, `addressBuffer` has one byte more, at `QUEUE_EMPTY_AT` (sockaddr.ts). The call stores 1 there if no
   * further connection waits, and 0 otherwise.
   */
  accept(fd: number, addressBuffer: Uint8Array, poll?: number): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  shutdown(fd: number, how: number): number;
  getsockname(fd: number, addressBuffer: Uint8Array): number;
  getpeername(fd: number, addressBuffer: Uint8Array): number;
  /** EBADF if this environment does not own the descriptor. */
  close(fd: number, identity?: number): number;
  /**
   * Gives up ownership of a descriptor, which stays open. With `blocking` 1 the call clears O_NONBLOCK first. If that
   * fails, the ownership does not change.
   */
  release(fd: number, blocking?: number, identity?: number): number;
  /**
   * Records that other code has the number of a descriptor that this environment owns. That code may close or replace
   * the descriptor. Returns the identity of its file.
   */
  share(fd: number): number;
  /** Takes ownership of a socket that was created elsewhere. EBUSY if this environment owns it already. */
  adopt(fd: number): number;
  dup(fd: number): number;

  // Bytes.
  /** Receives at most `length` bytes (default: the length of the view) into the start of the view. */
  recv(fd: number, view: Uint8Array, length?: number, flags?: number): number;
  /** Receives at most `length` bytes into the view, from `offset` on. */
  recvAt(fd: number, view: Uint8Array, offset: number, length: number): number;
  recvfrom(fd: number, view: Uint8Array, length: number, flags: number, addressBuffer: Uint8Array): number;
  /**
   * Writes two 32-bit numbers to `out`: the length of the control data, and the flags of the message. This environment
   * owns the descriptors in the message. The memory of `control` must begin at a multiple of 8.
   */
  recvmsg(
    fd: number,
    views: readonly Uint8Array[],
    flags: number,
    addressBuffer: Uint8Array | null,
    control: Uint8Array | null,
    out: Uint8Array,
  ): number;
  /** Bytes that the next read of a stream socket can return: SIOCINQ. */
  inq(fd: number): number;
  /** Bytes in the send queue: SIOCOUTQ. */
  outq(fd: number): number;
  /** Sends the bytes of the view from `offset` (default 0) on. */
  send(fd: number, view: Uint8Array, offset?: number, flags?: number): number;
  sendto(fd: number, view: Uint8Array, flags: number, address: Uint8Array): number;
  /** Sends the views one after the other, without the first `skip` bytes. */
  sendmsg(
    fd: number,
    views: readonly Uint8Array[],
    skip: number,
    flags: number,
    address: Uint8Array | null,
    control: Uint8Array | null,
  ): number;

  // Many datagrams in one call. batch/table.ts describes `slab`, `table` and `control`.
  /**
   * Writes the bytes of the received datagrams to `slab`, their addresses and lengths to `table`, and their control
   * data to `control`. Returns the number of datagrams.
   */
  recvmmsg(fd: number, slab: Uint8Array, table: Uint8Array, control: Uint8Array, flags: number): number;
  /**
   * Sends the datagrams from index `first` to index `end - 1` in order. Returns the number that the kernel accepted.
   */
  sendmmsg(fd: number, slab: Uint8Array, table: Uint8Array, first: number, end: number, flags: number): number;

  // Moving bytes inside the kernel.
  /**
   * Sends bytes of the file from `offset` on. The offset of the descriptor does not change. Returns 0 at the end of the
   * file.
   */
  sendfile(to: number, file: number, offset: number, count: number): number;
  /** The length of a regular file, or 0 for a block device. EINVAL for all other files. */
  fileSize(fd: number): number;
  /** Creates a pipe of about `size` bytes and writes its read end and write end to `pair`. Returns its capacity. */
  pipe(size: number, pair: Uint8Array): number;
  /** Moves bytes without waiting. Returns 0 at the end of `from`. `from` or `to` must be a pipe. */
  splice(from: number, to: number, count: number): number;
  /**
   * Moves bytes from one socket through an empty pipe to another. Repeats that until it has read `maxBytes` bytes
   * (returns 1), the source ends (0), or an operation fails (-errno). Writes two 32-bit numbers to `out`: bytes read
   * from the source, and bytes written to the destination. If they differ, the destination accepts no more, and the
   * pipe has the difference. `flags` are the SPLICE_ flags of native/addon.h.
   */
  spliceThrough(
    from: number,
    readEnd: number,
    writeEnd: number,
    to: number,
    capacity: number,
    maxBytes: number,
    out: Uint8Array,
    flags?: number,
  ): number;
  /** Reads bytes that are left in a pipe. */
  read(fd: number, view: Uint8Array): number;

  // Options and readiness.
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** Writes the value to `buffer` and returns its length. */
  getsockopt(fd: number, level: number, name: number, buffer: Uint8Array): number;
  /** Returns revents, or 0 if the timeout ends first. Blocks the thread if the timeout (ms) is not 0. */
  poll(fd: number, events: number, timeout: number): number;
  /**
   * poll(2). `entries` is an array of struct pollfd: fd in 32 bits, events and revents in 16 bits each. The call writes
   * all revents and returns the number of entries whose revents are not 0. Blocks the thread if the timeout (ms) is not
   * 0.
   */
  pollEntries(entries: Uint8Array, timeout: number): number;
  /**
   * Creates a descriptor that is readable while one of the entries is ready. `entries` must not contain a descriptor
   * twice.
   */
  pollset(entries: Uint8Array): number;

  // The poller. An environment may have several pollers. openPoller() returns the array of a poller, whose layout
  // reactor/reactor.ts documents. One element is the number of the poller: the argument `poller` of the calls below.
  /**
   * Opens a poller. With `thread` 1 a thread waits for events, and with 0 libuv does. While no call waits, native code
   * has only weak references to the callback and the array, and the poller ends when the array is collected.
   */
  openPoller(callback: () => void, thread: number): Int32Array | number;
  /**
   * Registers a descriptor, edge-triggered, for all events, or with `withoutEpollout` 1 for all but EPOLLOUT. The
   * events of this registration report `slot` and `generation`.
   */
  pollerAdd(fd: number, slot: number, generation: number, withoutEpollout: number, poller: number): number;
  /** Changes a registration: `withoutEpollout` 0 adds EPOLLOUT. */
  pollerModify(fd: number, slot: number, generation: number, withoutEpollout: number, poller: number): number;
  pollerRemove(fd: number, poller: number, identity?: number): number;
  /** Makes the references of openPoller() strong. Until they are weak again, the poller keeps the process alive. */
  pollerRef(poller: number): number;
  /**
   * Reports that the loop has made a turn after a callback, or after the last waiting call has ended. If no call waits,
   * makes the references weak again. Returns 1 if the caller must call this function again in the next turn.
   */
  pollerTurned(poller: number): number;

  /** The current time in the unit of a relay's time word; see reactor/relay.ts. */
  relayClock(): number;

  // Signals for which the process has listeners. Only for the main thread; see sync/interrupts.ts.
  /**
   * From this call on, libuv reports to native code when the listeners of signals run. ENOTSUP without libuv, EPERM on
   * a worker.
   */
  watchSignals(): number;
  /**
   * Counts the signal `name` from now on, unless it is SIGCHLD or SIGWINCH. The function is a "newListener" listener of
   * `process`, so it is called for all names of events, and ignores those that are not signals.
   */
  countSignal(this: void, name: unknown): void;
  /** Returns how many signals have arrived since the previous call, without those whose listeners have run since. */
  takeSignals(): number;
  /** Returns how often `signal` has arrived since its listeners last ran. */
  pendingSignals(signal: number): number;
  /** Records that the listeners of all signals have run. For runtimes without libuv. */
  markSignalsHandled(): void;

  // The resolver. A call with a callback runs on a thread of the addon and returns a ticket. The ticket identifies the
  // lookup until the callback is called. A call named `…Sync` blocks this thread.
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
  /** EINVAL unless `address` has the length of an address of the family. */
  gethostbyaddr(address: Uint8Array, family: number, callback: ResolverCallback<HostEntry>): number;
  gethostbyaddrSync(address: Uint8Array, family: number): ResolverAnswer<HostEntry> | number;
  /**
   * Reports that no caller waits for a lookup any more. The lookup then does not keep the process alive. Returns 0 if
   * the lookup was still queued: it is removed, and its callback is never called. Returns 1 if the lookup has started:
   * its callback will be called. ENOENT if there is no such lookup.
   */
  abandonLookup(ticket: number): number;
  /** Reports that a caller waits again for an abandoned lookup that has started. ENOENT if there is no such lookup. */
  resumeLookup(ticket: number): number;
  gaiStrerror(status: number): string;

  // Databases and names of this machine, without a server. ENOENT if a database has no such entry.
  getservbyname(name: string, protocol: string | null): number;
  getservbyport(port: number, protocol: string | null): string | number;
  getprotobyname(name: string): number;
  if_nametoindex(name: string): number;
  if_indextoname(index: number): string | number;
  /** Returns the index and the name of each interface: `[1, "lo", 2, "eth0"]`. */
  if_nameindex(): readonly (string | number)[] | number;
  gethostname(): string | number;
  sethostname(name: string): number;
  /** Returns the address as a number in the host's byte order, or EINVAL for text that is not an address. */
  inet_aton(text: string): number;
}

/** The calls of this thread. A copy of the addon's exports, so that a test can replace an entry and restore it. */
export const calls: Calls = { ...addon };
