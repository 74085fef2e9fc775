// Options that connect(), listen() and the UDP calls share: checked before any system call, then set on sockets.

import { clock } from "../builtins.js";
import {
  type Address,
  type AddressLike,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  AF_VSOCK,
  HostPort,
  toAddress,
} from "../addr/index.js";
import { checkNames, flag, integer, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";
import { isTcp, type Socket } from "../socket/index.js";
import type { StreamOptions } from "../stream/index.js";
import { abortSignal, MAX_TIMER_DELAY, milliseconds, millisecondsWithin } from "../wait/waitOptions.js";
import { SO_KEEPALIVE, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY } from "../options/index.js";

/** When the kernel probes an idle connection; tcp(7). The system has a default for each absent member. */
export interface KeepAlive {
  /** Milliseconds without data before the first probe: a multiple of 1000. */
  readonly idle?: number | undefined;
  /** Milliseconds between two probes: a multiple of 1000. */
  readonly interval?: number | undefined;
  /** Number of unanswered probes after which the kernel ends the connection. */
  readonly count?: number | undefined;
}

/** Options of TCP connections, for clients and listeners. */
export interface TcpOptions {
  /** Sends small writes at once: TCP_NODELAY. Default true. */
  readonly noDelay?: boolean | undefined;
  /** Probes an idle connection: SO_KEEPALIVE. Default false. */
  readonly keepAlive?: boolean | KeepAlive | undefined;
}

/** `TcpOptions`, checked. */
export interface CheckedTcp {
  readonly noDelay: boolean;
  /** Here the times are in seconds, as the kernel takes them. */
  readonly keepAlive: KeepAlive | undefined;
}

/** The deadline of a call that has several steps. */
export class Deadline {
  /** As of `clock()`; Infinity if there is no deadline. */
  readonly #at: number;

  constructor(timeout: number | null) {
    this.#at = timeout === null ? Infinity : clock() + timeout;
  }

  /** The remaining milliseconds, 0 after the deadline, undefined if there is no deadline. */
  remainingTime(): number | undefined {
    if (this.#at === Infinity) return undefined;
    return Math.min(Math.max(0, this.#at - clock()), MAX_TIMER_DELAY);
  }
}

/** `IoOptions`, checked. The timeout runs from the check on. */
export interface CheckedWait {
  readonly deadline: Deadline;
  readonly signal: AbortSignal | undefined;
}

/** Maximum of TCP_KEEPIDLE and TCP_KEEPINTVL in seconds: MAX_TCP_KEEPIDLE of the kernel. */
const MAX_KEEPALIVE_SECONDS = 32_767;
/** MAX_TCP_KEEPCNT of the kernel. */
const MAX_KEEPALIVE_PROBES = 127;
/** Maximum bytes of the name of an interface: IFNAMSIZ without the NUL. */
const MAX_DEVICE_NAME_LENGTH = 15;

/** Checks `timeout` and `signal`. The timeout runs from this call on. */
export function checkWait(opts: IoOptions, action: string): CheckedWait {
  const signal = abortSignal(opts.signal, action);
  return { deadline: new Deadline(milliseconds(opts.timeout, action)), signal };
}

/** The options for the next step of the call: the remaining time, and the signal. */
export function remainingWait({ deadline, signal }: CheckedWait): IoOptions {
  return { timeout: deadline.remainingTime(), signal };
}

/** Throws if the option is neither a function nor undefined. */
export function checkFunction(value: unknown, action: string, name: string): void {
  if (value === undefined || typeof value === "function") return;
  throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a function`);
}

/** Checks the size of a buffer. The kernel doubles the size, and stores it as an int. */
export function checkBufferSize(value: unknown, action: string, name: string): number | undefined {
  return value === undefined ? undefined : integer(value, action, name, 1, 0x3fff_ffff);
}

export function checkTcp(opts: TcpOptions, action: string): CheckedTcp {
  return { noDelay: flag(opts.noDelay, true, action, "noDelay"), keepAlive: checkKeepAlive(opts.keepAlive, action) };
}

/** Checks the option `keepAlive`, and converts its times to seconds. */
function checkKeepAlive(value: unknown, action: string): KeepAlive | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return {};
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `Cannot ${action}: keepAlive is ${quote(value)}, required true, false or { idle, interval, count }`,
    );
  }
  checkNames(value, ["idle", "interval", "count"], action, "keepAlive");
  const { idle, interval, count } = value as KeepAlive;
  return {
    idle: idle === undefined ? undefined : toSeconds(idle, action, "keepAlive.idle"),
    interval: interval === undefined ? undefined : toSeconds(interval, action, "keepAlive.interval"),
    count: count === undefined ? undefined : integer(count, action, "keepAlive.count", 1, MAX_KEEPALIVE_PROBES),
  };
}

/** Checks a time in ms and converts it to whole seconds. */
function toSeconds(value: unknown, action: string, name: string): number {
  const ms = millisecondsWithin(value, 0, action, name, 1000, MAX_KEEPALIVE_SECONDS * 1000);
  if (ms % 1000 === 0) return ms / 1000;
  throw new RangeError(`Cannot ${action}: ${name} is ${ms}, required a multiple of 1000`);
}

const STREAM_LIMITS = ["readSize", "maxLine", "maxFrame", "maxOutbox", "maxOutboxWrites"] as const;

/** Checks the limits of a stream before there is a connection. */
export function checkStreamLimits(opts: StreamOptions, action: string): StreamOptions {
  const { readSize, maxLine, maxFrame, maxOutbox, maxOutboxWrites, now } = opts;
  for (const name of STREAM_LIMITS) {
    const value: unknown = opts[name];
    // `maxOutbox` may be 0: then no write may wait for another one.
    const min = name === "maxOutbox" ? 0 : 1;
    if (value !== undefined) integer(value, action, name, min, Number.MAX_SAFE_INTEGER);
  }
  checkFunction(now, action, "now");
  return { readSize, maxLine, maxFrame, maxOutbox, maxOutboxWrites, now };
}

/** The names of the options that `checkTcp` checks. */
export const TCP_OPTIONS: readonly string[] = ["noDelay", "keepAlive"];

/** The names of the options that `checkStreamLimits` checks. */
export const STREAM_OPTIONS: readonly string[] = [...STREAM_LIMITS, "now"];

/** Checks the name of an interface. */
export function checkDevice(value: unknown, action: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^[^\0/\s]+$/.test(value)) {
    throw new TypeError(`Cannot ${action}: bindToDevice is ${quote(value)}, required the name of an interface`);
  }
  if (Buffer.byteLength(value) <= MAX_DEVICE_NAME_LENGTH) return value;
  throw new RangeError(
    `Cannot ${action}: bindToDevice is ${quote(value)}, required at most ${MAX_DEVICE_NAME_LENGTH} bytes`,
  );
}

/** Checks an address for bind(2), which must be numeric, or a port of the wildcard (`["", port]`). */
export function checkLocal(value: unknown, action: string): Address | HostPort | undefined {
  if (value === undefined) return undefined;
  const address = toAddress(value as AddressLike);
  // toAddress() makes a HostPort of a name, of the wildcard, and of a literal with a zone.
  const isName = address instanceof HostPort && address.host !== "" && address.zone === undefined;
  if (!isName) return address;
  throw new TypeError(`Cannot ${action}: localAddress is ${quote(value)}, required a numeric address`);
}

/** The families of stream endpoints. */
export const STREAM_FAMILIES: readonly number[] = [AF_INET, AF_INET6, AF_UNIX, AF_VSOCK];

/** Whether a socket is a TCP socket. */
export function isTcpSocket({ family, type, protocol }: Socket): boolean {
  return isTcp(family, type, protocol);
}

/** Sets the options on a TCP socket. Accepted connections inherit them from the listening socket. */
export function applyTcp(socket: Socket, { noDelay, keepAlive }: CheckedTcp): void {
  if (noDelay) socket.setsockopt(TCP_NODELAY, true);
  if (keepAlive === undefined) return;
  const { idle, interval, count } = keepAlive;
  if (idle !== undefined) socket.setsockopt(TCP_KEEPIDLE, idle);
  if (interval !== undefined) socket.setsockopt(TCP_KEEPINTVL, interval);
  if (count !== undefined) socket.setsockopt(TCP_KEEPCNT, count);
  socket.setsockopt(SO_KEEPALIVE, true);
}

/** Refuses a local address that is not of `family`. */
export function checkSameFamily(local: Address | HostPort | undefined, family: number, action: string): void {
  if (local === undefined || (!(local instanceof HostPort) && local.family === family)) return;
  throw new TypeError(`Cannot ${action}: localAddress is ${String(local)}, required one of the same family`);
}

/** Checks the option `family`. */
export function checkFamily(value: unknown, action: string): number {
  if (value === undefined || value === AF_UNSPEC || value === AF_INET || value === AF_INET6) return value ?? AF_UNSPEC;
  throw new TypeError(`Cannot ${action}: family is ${quote(value)}, required AF_INET or AF_INET6`);
}
