// The table of native calls. All other layers make system calls through this table, and tests replace its entries.
//
// Each call returns a number >= 0 or -errno. A call that would block returns -EAGAIN and throws nothing. C checks the
// arguments against the views that were passed. So a wrong offset or length throws, and C never accesses memory outside
// a view.

import { addon } from "./addon.js";

/** One result of getaddrinfo(3): family, type, protocol, the bytes of the sockaddr, the canonical name or null. */
export type AddrinfoEntry = readonly [
  family: number,
  type: number,
  protocol: number,
  address: Uint8Array,
  canonname: string | null,
];

/** The result of getnameinfo(3). */
export type HostAndService = readonly [host: string, service: string];

/** The result of gethostbyname(3) and gethostbyaddr(3). The addresses are the bytes of IPv4 or IPv6 addresses. */
export type HostEntry = readonly [name: string, aliases: readonly string[], addresses: readonly Uint8Array[]];

/** `status` is 0 or an EAI_ number. `errno` is valid only with EAI_SYSTEM. */
export type ResolverAnswer<T> = readonly [status: number, errno: number, result: T | null];
export type ResolverCallback<T> = (...answer: ResolverAnswer<T>) => void;

/**
 * The native calls. An `addressBuffer` is a view of `ADDRESS_BUFFER_SIZE` bytes, to which the call writes the length of
 * an address and the address; see sockaddr.ts.
 */
export interface Calls {
  // Opening and closing. New descriptors are close-on-exec, non-blocking and owned by this thread's environment.
  socket(family: number, type: number, protocol: number): number;
  /** Writes two descriptors, as 32-bit numbers, to the 8 bytes of `pair`. */
  socketpair(family: number, type: number, protocol: number, pair: Uint8Array): number;
  /** With `look` 1, the call also stores 1 at `QUEUE_EMPTY_AT` (sockaddr.ts) if no further connection waits, else 0. */
  accept(fd: number, addressBuffer: Uint8Array, look?: number): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  listen(fd: number, backlog: number): number;
  shutdown(fd: number, how: number): number;
  getsockname(fd: number, addressBuffer: Uint8Array): number;
  getpeername(fd: number, addressBuffer: Uint8Array): number;
  /**
   * EBADF when this environment does not own the descriptor, or the descriptor now refers to another file than `file`
   * (an id that `share` returned).
   */
  close(fd: number, file?: number): number;
  /**
   * Gives up ownership of a descriptor, which stays open. With `blocking` 1 the call clears O_NONBLOCK first; if that
   * fails, the ownership does not change.
   */
  release(fd: number, blocking?: number, file?: number): number;
  /**
   * Records that other code has the number of a descriptor that we own, and may replace or close the file behind it;
   * see native/descriptors.c. Returns an id of the file, which `close` compares.
   */
  share(fd: number): number;
  /** Takes ownership of a socket that was made elsewhere. EBUSY when this process owns it already. */
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
   * owns the descriptors that the message carries. The memory of `control` must begin at a multiple of 8.
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

  // Many datagrams in one call; batch/table.ts has the layout of the table.
  /**
   * Fills the slots, the entries and the control memory from the first datagram on; returns the number of datagrams.
   */
  recvmmsg(fd: number, slab: Uint8Array, table: Uint8Array, control: Uint8Array, flags: number): number;
  /** Sends the datagrams `from` to `to - 1` in order; returns how many the kernel accepted. */
  sendmmsg(fd: number, slab: Uint8Array, table: Uint8Array, from: number, to: number, flags: number): number;

  // Moving bytes inside the kernel.
  /**
   * Sends bytes of the file from `offset` on. The offset of the descriptor does not change. 0 at the end of the file.
   */
  sendfile(out: number, file: number, offset: number, count: number): number;
  /** The length of a regular file, or 0 for a block device. EINVAL for all other files. */
  fileSize(fd: number): number;
  /** Makes a pipe of about `size` bytes and writes its read end and write end to `pair`; returns its capacity. */
  pipe(size: number, pair: Uint8Array): number;
  /** Moves bytes without waiting. 0 at the end of `from`. `from` or `to` must be a pipe. */
  splice(from: number, to: number, count: number): number;
  /**
   * Moves bytes from one socket through an empty pipe to another, in chunks of at most `chunkSize` bytes. Returns 1
   * when it has read `budget` bytes, 0 at the end of the source, or -errno. Writes two 32-bit numbers to `out`: bytes
   * read from the source, and bytes written to the destination. If they differ, the destination accepts no more, and
   * the pipe has the difference. With `smallFirst` 1 the call begins with recv(2) and send(2), and uses splice(2) once a
   * chunk is larger.
   */
  spliceThrough(
    from: number,
    readEnd: number,
    writeEnd: number,
    to: number,
    chunkSize: number,
    budget: number,
    out: Uint8Array,
    smallFirst?: number,
  ): number;
  read(fd: number, view: Uint8Array): number;

  // Options and readiness.
  setsockopt(fd: number, level: number, name: number, value: Uint8Array): number;
  /** Writes the value to `buffer` and returns its length. */
  getsockopt(fd: number, level: number, name: number, buffer: Uint8Array): number;
  /** Returns revents, 0 when nothing is ready. Blocks the thread with a timeout (ms) other than 0. */
  poll(fd: number, events: number, timeout: number): number;
  /**
   * poll(2). `entries` is an array of struct pollfd: fd in 32 bits, events and revents in 16 bits each. The call fills
   * in revents and returns how many entries have some. Blocks the thread with a timeout (ms) other than 0.
   */
  pollEntries(entries: Uint8Array, timeout: number): number;
  /**
   * Makes a descriptor that is readable while one of the entries is ready. Each descriptor may occur once in `entries`.
   */
  pollset(entries: Uint8Array): number;

  // The poller. reactor/reactor.ts documents the layout of its array. An environment may have several pollers; the
  // array has the number of its poller.
  /**
   * Opens a poller. With `thread` 1 a thread waits for events, and with 0 libuv does. While no call waits, native code
   * holds neither the callback nor the array, and the poller ends when the array is collected.
   */
  openPoller(callback: () => void, thread: number): Int32Array | number;
  /** Registers a descriptor, edge-triggered, for both directions; with `readingOnly` 1 not for EPOLLOUT. */
  pollerAdd(fd: number, slot: number, generation: number, readingOnly: number, poller: number): number;
  pollerModify(fd: number, slot: number, generation: number, readingOnly: number, poller: number): number;
  /** EBADF when the descriptor now refers to another file than `file` (an id that `share` returned). */
  pollerRemove(fd: number, poller: number, file?: number): number;
  pollerRef(poller: number): number;
  /**
   * Reports that the loop has made a turn after the last callback, or after the last waiting call ended. Returns 1 when
   * the caller must call this function again in the next turn.
   */
  pollerTurned(poller: number): number;

  /** The current time in the unit of a relay's time word; see reactor/relay.ts. */
  relayClock(): number;

  // Signals that the process has listeners for, on the main thread; see sync/interrupts.ts.
  /** From this call on, libuv reports when the listeners of signals run. ENOTSUP without libuv, EPERM on a worker. */
  watchSignals(): number;
  /**
   * Records that the event `name` has a listener. Ignores SIGCHLD, SIGWINCH, and names that are not those of signals.
   */
  signalListened(this: void, name: unknown): void;
  /** Number of signals since the last call of this function whose listeners have not run yet. */
  takeSignals(): number;
  /** Number of times that `signal` has arrived and its listeners have not run yet. */
  pendingSignals(signal: number): number;
  /** Records that the listeners of all signals have run; for runtimes without libuv. */
  forgetSignals(): void;

  // The resolver. A call with a callback uses a thread of the addon and returns a ticket, which identifies the lookup
  // until the callback is called. A call named `…Sync` blocks this thread.
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
   * Says that no caller waits for the lookup any more; it then does not keep the process alive. Returns 0 when the
   * lookup left the queue: its callback will not be called. Returns 1 when it runs already: its callback will be
   * called. ENOENT when there is no such lookup.
   */
  abandonLookup(ticket: number): number;
  /** Says that a caller waits again for an abandoned lookup that still runs. ENOENT when there is no such lookup. */
  resumeLookup(ticket: number): number;
  gaiStrerror(status: number): string;

  // Databases and names of this machine, without a server. ENOENT where a database has no such entry.
  getservbyname(name: string, protocol: string | null): number;
  getservbyport(port: number, protocol: string | null): string | number;
  getprotobyname(name: string): number;
  if_nametoindex(name: string): number;
  if_indextoname(index: number): string | number;
  if_nameindex(): readonly (string | number)[] | number;
  gethostname(): string | number;
  sethostname(name: string): number;
  /** The address as a number in the host's byte order. EINVAL for text that is not an address. */
  inet_aton(text: string): number;
}

/**
 * The calls of this thread. The object is a copy of the addon's exports, so a test that needs `EMFILE` or a short write
 * can replace an entry, and restore it afterwards.
 */
export const calls: Calls = { ...addon };
