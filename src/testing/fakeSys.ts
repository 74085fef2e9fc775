// A fake kernel: a table of native calls whose results a test sets, and a poller whose events a test fires. So a test
// can produce EMFILE, EINTR, ECONNABORTED, a short write or a stale event at a chosen time.
//
// The results of a call are used in the order in which the test has set them. Without a scripted result, a call behaves
// as in a kernel without events: reads and accept return EAGAIN, writes take all bytes, and most other calls succeed.
// Calls without an implementation here return ENOSYS. If a call to a UNIX address returned EAGAIN, poll(2) reports the
// socket as writable: the queue of the receiver is full, and not the send buffer. Each call that can be scripted is
// recorded. `share` can't be scripted, and always returns 0.
//
// reactor/reactor.ts describes the layout of the poller's array.

import { constants } from "node:os";
import type { Calls } from "../sys/calls.js";

const MAX_EVENTS = 1024;
/** The indexes of the poller's array (see reactor/reactor.ts), and the length of an event in it. */
const WAITING = 0;
const REFERENCED = 1;
const COUNT = 2;
const SAME_TURN = 3;
const FIRST_EVENT = 6;
const EVENT_LENGTH = 3;
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const AF_UNIX = 1;
const AF_INET = 2;
const POLLOUT = 0x4;

/** The calls that can be scripted: those that return a number, except `share`. */
export type FakeCall = {
  [Name in Exclude<keyof Calls, "share">]: Calls[Name] extends (...args: never[]) => number ? Name : never;
}[Exclude<keyof Calls, "share">];

/**
 * The result of a call. A number is returned as it is. The name of an errno, such as `"EAGAIN"`, is returned as
 * `-errno`. Bytes are received, and the call returns their number. A function is called with the arguments, and its
 * result is returned.
 */
export type Outcome = number | string | Uint8Array | ((...args: readonly unknown[]) => number);

/** A call that was made. */
export interface RecordedCall {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly result: number;
}

/**
 * The layout of an entry of batch/table.ts in bytes: its size, and the offsets of the address length and of the
 * address.
 */
const ENTRY = { size: 248, addressLength: 16, address: 32 } as const;

/** The index of the address in the arguments of a call. */
const ADDRESS_ARGUMENT: Readonly<Record<string, number>> = { connect: 1, sendto: 3, sendmsg: 4 };

/** Whether a call sends or connects to a UNIX address. */
function goesToUnix(name: FakeCall, args: readonly unknown[]): boolean {
  let address = args[ADDRESS_ARGUMENT[name] ?? -1];
  if (name === "sendmmsg") {
    const entry = (args[2] as Uint8Array).subarray(ENTRY.size * (args[3] as number));
    if (new DataView(entry.buffer, entry.byteOffset).getUint32(ENTRY.addressLength, LITTLE_ENDIAN) === 0) return false;
    address = entry.subarray(ENTRY.address);
  }
  if (!(address instanceof Uint8Array)) return false;
  return new DataView(address.buffer, address.byteOffset).getUint16(0, LITTLE_ENDIAN) === AF_UNIX;
}

/** A registration of the poller, to which an event belongs. The registration may have ended. */
export interface FakeToken {
  readonly slot: number;
  readonly generation: number;
}

/** An event: its registration, and the bits of epoll(7). */
export type FakeEvent = readonly [token: FakeToken, events: number];

/** Errnos of Linux for which Node has no name. */
const LINUX_ERRNOS: Readonly<Record<string, number>> = { ENONET: 64, EHOSTDOWN: 112 };

/** The result of a call that fails with this errno: `-errno`. */
function failure(name: string): number {
  const value = (constants.errno as Readonly<Record<string, number>>)[name] ?? LINUX_ERRNOS[name];
  if (value === undefined) {
    throw new TypeError(`Cannot script a call: outcome is ${JSON.stringify(name)}, required the name of an errno`);
  }
  return -value;
}

/**
 * The fake kernel.
 *
 * @example
 * const fake = new FakeSys().script("recv", "EAGAIN", Buffer.from("hello"));
 * const reactor = new Reactor(fake.calls);
 * // … a recv on descriptor 7 waits …
 * fake.fire([fake.token(7), 0x1]); // EPOLLIN
 */
export class FakeSys {
  /** The replacement of the table of native calls. */
  readonly calls: Calls;
  /** All recorded calls, in their order. */
  readonly log: RecordedCall[] = [];
  /** The open descriptors. */
  readonly open: Set<number> = new Set();
  /** Descriptors on which a call to a UNIX address returned EAGAIN. */
  readonly #blockedOnUnix = new Set<number>();
  /** The scripted results of each call that are not used yet. */
  #scripts = new Map<string, Outcome[]>();
  /** The results of `always()`. */
  #always = new Map<string, Outcome>();
  /** The registration of each registered descriptor. */
  #tokens = new Map<number, FakeToken>();
  /** The bytes that writes to each descriptor have taken. */
  #sent = new Map<number, Buffer[]>();
  /** The poller's array. */
  #shared = new Int32Array(FIRST_EVENT + EVENT_LENGTH * MAX_EVENTS);
  /** The argument of `openPoller()`, which handles the events in the array. */
  #callback: (() => void) | undefined;
  #nextFd: number;

  /** @param firstFd the number of the first descriptor, above the numbers that the process itself uses */
  constructor(firstFd: number = 1000) {
    this.#nextFd = firstFd;
    this.calls = this.#makeTable();
  }

  /** Adds results for the next calls of `name`, after those that were added before. */
  script(name: FakeCall, ...outcomes: readonly Outcome[]): this {
    // Throws for an unknown name of an errno.
    for (const outcome of outcomes) if (typeof outcome === "string") failure(outcome);
    const script = this.#scripts.get(name);
    if (script === undefined) this.#scripts.set(name, [...outcomes]);
    else script.push(...outcomes);
    return this;
  }

  /** Sets the result of all calls of `name` that have no scripted result. */
  always(name: FakeCall, outcome: Outcome): this {
    this.#always.set(name, outcome);
    return this;
  }

  /** The number of calls of `name`. */
  count(name: keyof Calls): number {
    return this.callsOf(name).length;
  }

  /** The calls of `name`, in their order. */
  callsOf(name: keyof Calls): RecordedCall[] {
    return this.log.filter((call) => call.name === name);
  }

  /** Opens a descriptor, as `socket` does. */
  newFd(): number {
    const fd = this.#nextFd++;
    this.open.add(fd);
    return fd;
  }

  /** The bytes that writes to `fd` have taken. */
  sent(fd: number): Buffer {
    return Buffer.concat(this.#sent.get(fd) ?? []);
  }

  /** The registration of `fd`. A test keeps it beyond the close of the descriptor to fire a stale event. */
  token(fd: number): FakeToken {
    const token = this.#tokens.get(fd);
    if (token === undefined) throw new Error(`Cannot get the token: descriptor ${fd} is not registered`);
    return token;
  }

  /** Whether `fd` is registered. */
  isRegistered(fd: number): boolean {
    return this.#tokens.has(fd);
  }

  /** Runs a turn of the event loop with one batch of these events. */
  fire(...batch: readonly FakeEvent[]): void {
    this.#dispatch(batch, { sameTurn: false });
  }

  /** Dispatches a further batch in the same turn of the event loop. */
  fireMore(...batch: readonly FakeEvent[]): void {
    this.#dispatch(batch, { sameTurn: true });
  }

  #dispatch(batch: readonly FakeEvent[], { sameTurn }: { readonly sameTurn: boolean }): void {
    if (this.#callback === undefined) throw new Error("Cannot fire events: the poller is not open");
    let index = FIRST_EVENT;
    for (const [{ slot, generation }, events] of batch) {
      this.#shared[index++] = slot;
      this.#shared[index++] = generation;
      this.#shared[index++] = events;
    }
    this.#shared[COUNT] = batch.length;
    this.#shared[SAME_TURN] = sameTurn ? 1 : 0;
    try {
      this.#callback();
    } finally {
      // A function that handles an event may have called `fail()`, which stores a negative count. That count stays.
      if (this.#shared[COUNT] > 0) this.#shared[COUNT] = 0;
    }
  }

  /** Makes epoll_wait(2) fail with this errno. */
  fail(name: string): void {
    if (this.#callback === undefined) throw new Error("Cannot fire events: the poller is not open");
    this.#shared[COUNT] = failure(name);
    this.#callback();
  }

  /** The number of waiting calls that the reactor has written into the array. */
  get waiting(): number {
    return this.#shared[WAITING]!;
  }

  /** Simulates the addon's work before the event loop blocks. Returns whether the poller keeps the process alive. */
  block(): boolean {
    if (this.#shared[WAITING] === 0) this.#shared[REFERENCED] = 0;
    return this.#shared[REFERENCED] === 1;
  }

  /**
   * Records a call of `name`. Returns its scripted result, the result of `always()`, or that of `fallback`, in this
   * order. At most `length` scripted bytes are copied into `view`.
   */
  #run(name: FakeCall, args: readonly unknown[], fallback: () => number, view?: Uint8Array, length?: number): number {
    const outcome = this.#scripts.get(name)?.shift() ?? this.#always.get(name);
    let result: number;
    if (outcome === undefined) result = fallback();
    else if (typeof outcome === "number") result = outcome;
    else if (typeof outcome === "string") result = failure(outcome);
    else if (typeof outcome === "function") result = outcome(...args);
    else {
      const count = Math.min(outcome.length, length ?? view?.length ?? 0);
      view?.set(outcome.subarray(0, count));
      result = count;
    }
    this.log.push({ name, args, result });
    if (result === failure("EAGAIN") && goesToUnix(name, args)) this.#blockedOnUnix.add(args[0] as number);
    return result;
  }

  /** A write. The bytes of `data` that were taken are stored for `sent()`. */
  #write(name: FakeCall, args: readonly unknown[], fd: number, data: Uint8Array): number {
    const result = this.#run(name, args, () => data.length);
    if (result > 0) {
      const taken = Buffer.from(data.subarray(0, result));
      this.#sent.set(fd, [...(this.#sent.get(fd) ?? []), taken]);
    }
    return result;
  }

  /** Opens the descriptor that a call of accept has returned, and writes the address of the peer. */
  #accept(addressBuffer: Uint8Array, fd: number): number {
    if (fd < 0) return fd;
    this.open.add(fd);
    // The length of the address, and then the address of the peer as a sockaddr_in: 127.0.0.1, port 7.
    const view = new DataView(addressBuffer.buffer, addressBuffer.byteOffset, addressBuffer.byteLength);
    view.setUint32(0, 16, LITTLE_ENDIAN);
    view.setUint16(4, AF_INET, LITTLE_ENDIAN);
    view.setUint16(6, 7);
    addressBuffer.set([127, 0, 0, 1], 8);
    return fd;
  }

  #closeFd(fd: number): number {
    // As in the kernel, closing the only descriptor of a file ends its registration.
    this.#tokens.delete(fd);
    return this.open.delete(fd) ? 0 : failure("EBADF");
  }

  #register(fd: number, slot: number, generation: number): number {
    if (this.#tokens.has(fd)) return failure("EEXIST");
    this.#tokens.set(fd, { slot, generation });
    return 0;
  }

  #makeTable(): Calls {
    const wouldBlock = (): number => failure("EAGAIN");
    const success = (): number => 0;
    const notImplemented = (): number => failure("ENOSYS");
    const table: Partial<Calls> = {
      socket: (...args) => this.#run("socket", args, () => this.newFd()),
      socketpair: (...args) =>
        this.#run("socketpair", args, () => {
          const pair = new DataView(args[3].buffer, args[3].byteOffset, args[3].byteLength);
          pair.setInt32(0, this.newFd(), LITTLE_ENDIAN);
          pair.setInt32(4, this.newFd(), LITTLE_ENDIAN);
          return 0;
        }),
      accept: (...args) => this.#accept(args[1], this.#run("accept", args, wouldBlock)),
      bind: (...args) => this.#run("bind", args, success),
      connect: (...args) => this.#run("connect", args, success),
      listen: (...args) => this.#run("listen", args, success),
      shutdown: (...args) => this.#run("shutdown", args, success),
      getsockname: (...args) => this.#run("getsockname", args, success),
      getpeername: (...args) => this.#run("getpeername", args, success),
      close: (...args) => this.#run("close", args, () => this.#closeFd(args[0])),
      release: (...args) => this.#run("release", args, () => this.#closeFd(args[0])),
      share: success,
      adopt: (...args) =>
        this.#run("adopt", args, () => {
          this.open.add(args[0]);
          return args[0];
        }),
      dup: (...args) => this.#run("dup", args, () => this.newFd()),
      recv: (...args) => this.#run("recv", args, wouldBlock, args[1], args[2] ?? args[1].length),
      recvAt: (...args) => this.#run("recvAt", args, wouldBlock, args[1].subarray(args[2]), args[3]),
      recvfrom: (...args) => this.#run("recvfrom", args, wouldBlock, args[1], args[2]),
      recvmsg: (...args) => this.#run("recvmsg", args, wouldBlock, args[1][0]),
      send: (...args) => this.#write("send", args, args[0], args[1].subarray(args[2] ?? 0)),
      sendto: (...args) => this.#write("sendto", args, args[0], args[1]),
      sendmsg: (...args) => this.#write("sendmsg", args, args[0], Buffer.concat(args[1]).subarray(args[2])),
      setsockopt: (...args) => this.#run("setsockopt", args, success),
      getsockopt: (...args) => this.#run("getsockopt", args, success, args[3]),
      poll: (...args) => this.#run("poll", args, () => (this.#blockedOnUnix.has(args[0]) ? args[1] & POLLOUT : 0)),
      openPoller: (callback) => {
        this.log.push({ name: "openPoller", args: [callback], result: 0 });
        this.#callback = callback;
        return this.#shared;
      },
      pollerAdd: (...args) => this.#run("pollerAdd", args, () => this.#register(args[0], args[1], args[2])),
      pollerModify: (...args) =>
        this.#run("pollerModify", args, () => (this.#tokens.has(args[0]) ? 0 : failure("ENOENT"))),
      pollerRemove: (...args) =>
        this.#run("pollerRemove", args, () => (this.#tokens.delete(args[0]) ? 0 : failure("ENOENT"))),
      pollerRef: () =>
        this.#run("pollerRef", [], () => {
          this.#shared[REFERENCED] = 1;
          return 0;
        }),
      getaddrinfo: (...args) => this.#run("getaddrinfo", args, notImplemented),
      getnameinfo: (...args) => this.#run("getnameinfo", args, notImplemented),
      gaiStrerror: (status) => `status ${status}`,
      if_nametoindex: (...args) => this.#run("if_nametoindex", args, () => failure("ENODEV")),
      if_indextoname: () => failure("ENXIO"),
      if_nameindex: () => [],
      gethostname: () => "fake",
    };
    // All other calls can be scripted too. Without a script they return ENOSYS, as in an old kernel.
    const unimplemented =
      (name: string): unknown =>
      (...args: readonly unknown[]) =>
        this.#run(name as FakeCall, args, notImplemented);
    return new Proxy(table, {
      get: (known, name) => (name in known ? known[name as keyof Calls] : unimplemented(String(name))),
    }) as Calls;
  }
}
