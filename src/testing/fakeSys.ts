// A kernel by script: a table of native calls whose results are written down beforehand, and a poller that is fired by
// hand. With it a test has EMFILE, EINTR, ECONNABORTED, a short write or a stale event exactly when it wants one.
//
// Results are scripted per call and used up in order; what is not scripted behaves like a kernel with nothing to do: reads
// and accept say EAGAIN, writes take everything, the rest succeeds. A socket is writable for poll(2) once a call to a UNIX address was
// refused with EAGAIN, for it is the peer's queue that is full. Every call is recorded, but for `share`.
//
// The layout of the poller's array is that of reactor/reactor.ts: [0] calls that wait, [1] whether the poller keeps the loop
// alive, [2] number of events, [3] whether the batch follows another in the same turn, from [4] on slot, generation, events
// for each.

import { constants } from "node:os";

import type { Calls } from "../sys/calls.js";

const MAX_EVENTS = 1024;
const FIRST = 6;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const AF_UNIX = 1;
const AF_INET = 2;
const POLLOUT = 0x4;

/** Calls that can be scripted: those that return a number. */
export type FakeCall = {
  [Name in keyof Calls]: Calls[Name] extends (...args: never[]) => number ? Name : never;
}[keyof Calls];

/**
 * What a call does when its turn has come: a number is returned as it is; the name of an errno, such as `"EAGAIN"`, as
 * `-errno`; bytes are received, and their count is returned; a function is called with the arguments.
 */
export type Outcome = number | string | Uint8Array | ((...args: readonly unknown[]) => number);

/** A call that was made. */
export interface RecordedCall {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly result: number;
}

/** Where the address stands among the arguments of a call. */
const ADDRESS: Readonly<Record<string, number>> = { connect: 1, sendto: 3, sendmsg: 4 };

/** Whether a call is to a UNIX address. */
function goesToUnix(name: FakeCall, args: readonly unknown[]): boolean {
  let address = args[ADDRESS[name] ?? -1];
  if (name === "sendmmsg") {
    // batch/table.ts
    const entry = (args[2] as Uint8Array).subarray(192 * (args[3] as number));
    if (new DataView(entry.buffer, entry.byteOffset).getUint32(16, LITTLE) === 0) return false;
    address = entry.subarray(32);
  }
  if (!(address instanceof Uint8Array)) return false;
  return new DataView(address.buffer, address.byteOffset).getUint16(0, LITTLE) === AF_UNIX;
}

/** Who an event is for: a registration of the poller, as it was at some time. */
export interface FakeToken {
  readonly slot: number;
  readonly generation: number;
}

/** An event: whose, and epoll(7)'s bits. */
export type FakeEvent = readonly [token: FakeToken, events: number];

/** Linux' numbers of what Node has no name for. */
const MORE_ERRNOS: Readonly<Record<string, number>> = { ENONET: 64, EHOSTDOWN: 112 };

function errno(name: string): number {
  const value = (constants.errno as Readonly<Record<string, number>>)[name] ?? MORE_ERRNOS[name];
  if (value === undefined) throw new TypeError(`Cannot script ${JSON.stringify(name)}: it is not the name of an errno`);
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
  /** Stands in for the table of native calls. */
  readonly calls: Calls;
  /** Every call that was made, in order. */
  readonly log: RecordedCall[] = [];
  /** Descriptors that are open. */
  readonly open: Set<number> = new Set();
  /** Descriptors whose call to a UNIX address was refused. */
  readonly #refused = new Set<number>();
  #scripts = new Map<string, Outcome[]>();
  #always = new Map<string, Outcome>();
  #tokens = new Map<number, FakeToken>();
  #sent = new Map<number, Buffer[]>();
  #shared = new Int32Array(FIRST + 3 * MAX_EVENTS);
  #callback: (() => void) | undefined;
  #nextFd: number;

  /** @param firstFd the number of the first descriptor; far from what the process has open itself */
  constructor(firstFd: number = 1000) {
    this.#nextFd = firstFd;
    this.calls = this.#table();
  }

  /** Writes down what the next calls of `name` do, after what is written down already. */
  script(name: FakeCall, ...outcomes: readonly Outcome[]): this {
    for (const outcome of outcomes) if (typeof outcome === "string") errno(outcome);
    const script = this.#scripts.get(name);
    if (script === undefined) this.#scripts.set(name, [...outcomes]);
    else script.push(...outcomes);
    return this;
  }

  /** What calls of `name` do for which nothing is written down. */
  always(name: FakeCall, outcome: Outcome): this {
    this.#always.set(name, outcome);
    return this;
  }

  /** How often `name` was called, or the calls of `name` that a test wants to look at. */
  count(name: keyof Calls): number {
    return this.made(name).length;
  }

  /** The calls of `name`, in order. */
  made(name: keyof Calls): RecordedCall[] {
    return this.log.filter((call) => call.name === name);
  }

  /** A new descriptor that is open, as if `socket` had made it. */
  newFd(): number {
    const fd = this.#nextFd++;
    this.open.add(fd);
    return fd;
  }

  /** What was taken of writes to `fd`, one after the other. */
  sent(fd: number): Buffer {
    return Buffer.concat(this.#sent.get(fd) ?? []);
  }

  /** The registration of `fd`. It stays what it is when the descriptor is closed, so a stale event can be fired. */
  token(fd: number): FakeToken {
    const token = this.#tokens.get(fd);
    if (token === undefined) throw new Error(`descriptor ${fd} is not registered`);
    return token;
  }

  /** Whether `fd` is registered. */
  registered(fd: number): boolean {
    return this.#tokens.has(fd);
  }

  /** One turn of the loop with these events, as one batch. */
  fire(...batch: readonly FakeEvent[]): void {
    this.#dispatch(batch, 0);
  }

  /** These events as a batch that follows another one in the same turn of the loop. */
  fireMore(...batch: readonly FakeEvent[]): void {
    this.#dispatch(batch, 1);
  }

  #dispatch(batch: readonly FakeEvent[], follows: number): void {
    if (this.#callback === undefined) throw new Error("the poller was not opened");
    let at = FIRST;
    for (const [{ slot, generation }, events] of batch) {
      this.#shared[at++] = slot;
      this.#shared[at++] = generation;
      this.#shared[at++] = events;
    }
    this.#shared[2] = batch.length;
    this.#shared[3] = follows;
    this.#callback();
  }

  /** epoll_wait(2) fails for good with this errno. */
  fail(name: string): void {
    if (this.#callback === undefined) throw new Error("the poller was not opened");
    this.#shared[2] = errno(name);
    this.#callback();
  }

  /** Number of calls that wait, as the reactor has written it. */
  get waiting(): number {
    return this.#shared[0]!;
  }

  /** What the native side does before the loop would block; returns whether the poller keeps the process alive. */
  block(): boolean {
    if (this.#shared[0] === 0) this.#shared[1] = 0;
    return this.#shared[1] === 1;
  }

  /** Does what is scripted for `name`, or `otherwise`; bytes go into `view`. */
  #run(name: FakeCall, args: readonly unknown[], otherwise: () => number, view?: Uint8Array, length?: number): number {
    const outcome = this.#scripts.get(name)?.shift() ?? this.#always.get(name);
    let result: number;
    if (outcome === undefined) result = otherwise();
    else if (typeof outcome === "number") result = outcome;
    else if (typeof outcome === "string") result = errno(outcome);
    else if (typeof outcome === "function") result = outcome(...args);
    else {
      const count = Math.min(outcome.length, length ?? view?.length ?? 0);
      view?.set(outcome.subarray(0, count));
      result = count;
    }
    this.log.push({ name, args, result });
    if (result === errno("EAGAIN") && goesToUnix(name, args)) this.#refused.add(args[0] as number);
    return result;
  }

  /** A write: what was taken of `data` is kept. */
  #write(name: FakeCall, args: readonly unknown[], fd: number, data: Uint8Array): number {
    const result = this.#run(name, args, () => data.length);
    if (result > 0) {
      const taken = Buffer.from(data.subarray(0, result));
      this.#sent.set(fd, [...(this.#sent.get(fd) ?? []), taken]);
    }
    return result;
  }

  #accept(room: Uint8Array, fd: number): number {
    if (fd < 0) return fd;
    this.open.add(fd);
    // From 127.0.0.1, port 7.
    const out = new DataView(room.buffer, room.byteOffset, room.byteLength);
    out.setUint32(0, 16, LITTLE);
    out.setUint16(4, AF_INET, LITTLE);
    out.setUint16(6, 7);
    room.set([127, 0, 0, 1], 8);
    return fd;
  }

  #end(fd: number): number {
    // As the kernel does with what has no duplicate.
    this.#tokens.delete(fd);
    return this.open.delete(fd) ? 0 : errno("EBADF");
  }

  #add(fd: number, slot: number, generation: number): number {
    if (this.#tokens.has(fd)) return errno("EEXIST");
    this.#tokens.set(fd, { slot, generation });
    return 0;
  }

  #table(): Calls {
    const again = (): number => errno("EAGAIN");
    const good = (): number => 0;
    const missing = (): number => errno("ENOSYS");
    const table: Partial<Calls> = {
      socket: (...args) => this.#run("socket", args, () => this.newFd()),
      socketpair: (...args) =>
        this.#run("socketpair", args, () => {
          const pair = new DataView(args[3].buffer, args[3].byteOffset, args[3].byteLength);
          pair.setInt32(0, this.newFd(), LITTLE);
          pair.setInt32(4, this.newFd(), LITTLE);
          return 0;
        }),
      accept: (...args) => this.#accept(args[1], this.#run("accept", args, again)),
      bind: (...args) => this.#run("bind", args, good),
      connect: (...args) => this.#run("connect", args, good),
      listen: (...args) => this.#run("listen", args, good),
      shutdown: (...args) => this.#run("shutdown", args, good),
      getsockname: (...args) => this.#run("getsockname", args, good),
      getpeername: (...args) => this.#run("getpeername", args, good),
      close: (...args) => this.#run("close", args, () => this.#end(args[0])),
      release: (...args) => this.#run("release", args, () => this.#end(args[0])),
      share: good,
      adopt: (...args) => this.#run("adopt", args, () => (this.open.add(args[0]), args[0])),
      dup: (...args) => this.#run("dup", args, () => this.newFd()),
      recv: (...args) => this.#run("recv", args, again, args[1], args[2] ?? args[1].length),
      recvAt: (...args) => this.#run("recvAt", args, again, args[1].subarray(args[2]), args[3]),
      recvfrom: (...args) => this.#run("recvfrom", args, again, args[1], args[2]),
      recvmsg: (...args) => this.#run("recvmsg", args, again, args[1][0]),
      send: (...args) => this.#write("send", args, args[0], args[1].subarray(args[2] ?? 0)),
      sendto: (...args) => this.#write("sendto", args, args[0], args[1]),
      sendmsg: (...args) => this.#write("sendmsg", args, args[0], Buffer.concat(args[1]).subarray(args[2])),
      setsockopt: (...args) => this.#run("setsockopt", args, good),
      getsockopt: (...args) => this.#run("getsockopt", args, good, args[3]),
      poll: (...args) => this.#run("poll", args, () => (this.#refused.has(args[0]) ? args[1] & POLLOUT : 0)),
      openPoller: (callback) => {
        this.log.push({ name: "openPoller", args: [callback], result: 0 });
        this.#callback = callback;
        return this.#shared;
      },
      pollerAdd: (...args) => this.#run("pollerAdd", args, () => this.#add(args[0], args[1], args[2])),
      pollerModify: (...args) =>
        this.#run("pollerModify", args, () => (this.#tokens.has(args[0]) ? 0 : errno("ENOENT"))),
      pollerRemove: (...args) =>
        this.#run("pollerRemove", args, () => (this.#tokens.delete(args[0]) ? 0 : errno("ENOENT"))),
      pollerRef: () =>
        this.#run("pollerRef", [], () => {
          this.#shared[1] = 1;
          return 0;
        }),
      getaddrinfo: (...args) => this.#run("getaddrinfo", args, missing),
      getnameinfo: (...args) => this.#run("getnameinfo", args, missing),
      gaiStrerror: (status) => `status ${status}`,
      if_nametoindex: (...args) => this.#run("if_nametoindex", args, () => errno("ENODEV")),
      if_indextoname: () => errno("ENXIO"),
      if_nameindex: () => [],
      gethostname: () => "fake",
    };
    // What has no line above can be scripted too, and is otherwise missing, as in an old kernel.
    const other =
      (name: string): unknown =>
      (...args: readonly unknown[]) =>
        this.#run(name as FakeCall, args, missing);
    return new Proxy(table, {
      get: (known, name) => (name in known ? known[name as keyof Calls] : other(String(name))),
    }) as Calls;
  }
}
