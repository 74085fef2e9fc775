// The options of serveUdp(), and their checks.

import type { BlockList } from "node:net";
import { checkAddressList, type AddressList, bindCallback, type ServerEvent } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { checkNames, checkOptions, integer, quote } from "../check/index.js";
import type { BindUdpOptions } from "../net/index.js";
import { abortSignal, millisecondsOr } from "../wait/waitOptions.js";
import type { ServedBatch } from "./servedBatch.js";
import type { ServedDatagram } from "./servedDatagram.js";

/** Why a datagram was refused: the name of the option, or `"draining"` when the server starts no more handlers. */
export type DatagramRefusalReason = "allow" | "deny" | "ratePerAddress" | "maxPending" | "maxSize" | "draining";

/** A datagram that was received and dropped. */
export interface DatagramRefusal {
  readonly reason: DatagramRefusalReason;
  /** The address of the sender, which may be forged. */
  readonly peer: Address | undefined;
}

/** Options of {@link serveUdp}. */
export interface ServeUdpOptions {
  /**
   * Maximum number of datagrams per second from one address; null for no limit. A burst may have the datagrams of one
   * second. Further ones are dropped. IPv6 addresses count by their /64, and mapped IPv4 addresses as IPv4. Default
   * 10,000.
   */
  readonly ratePerAddress?: number | null | undefined;
  /** The only clients whose datagrams are accepted. Default: all. */
  readonly allow?: AddressList | undefined;
  /** Clients whose datagrams are dropped, even if `allow` has them. Default: none. */
  readonly deny?: AddressList | undefined;
  /**
   * Maximum number of bytes of all replies to a datagram, as a multiple of its bytes, until its source is validated;
   * null for no limit. Default 1.
   */
  readonly amplification?: number | null | undefined;
  /** Maximum number of handlers that run at a time; see `whenFull`. Default 1,000. */
  readonly maxPending?: number | undefined;
  /**
   * While `maxPending` handlers run, `"queue"` leaves further datagrams in the receive buffer of the kernel. When this
   * buffer is full, the kernel drops datagrams. `"refuse"` receives and drops them. Default `"queue"`.
   */
  readonly whenFull?: "queue" | "refuse" | undefined;
  /**
   * Milliseconds for a handler; null for no limit. After this time the signal of the handler is aborted, and
   * `maxPending` does not count the handler any more. Default 30,000.
   */
  readonly handlerTimeout?: number | null | undefined;
  /** Maximum number of bytes of a datagram; longer ones are dropped. Default 65,535: all are received. */
  readonly maxSize?: number | undefined;
  /** Maximum number of datagrams that one system call receives. Default 64. */
  readonly batchSize?: number | undefined;
  /** Options of `bindUdp()`. Not for a socket that exists already. */
  readonly bind?: BindUdpOptions | undefined;
  /** Closes the server, as `close()` does. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the error that a handler has thrown or rejected with. Without this function, the process emits a
   * `CallbackWarning`, at most once a second.
   */
  readonly onError?: ((error: unknown, datagram: ServedDatagram | ServedBatch) => void) | undefined;
  /** Called when a datagram is refused, so for each datagram of a flood. Errors of this function become warnings. */
  readonly onRefused?: ((refusal: DatagramRefusal) => void) | undefined;
  /**
   * Called with each event of the server, for a structured log. Dropped datagrams and failed handlers are reported once
   * a second at most. The channels of `node:diagnostics_channel` get the same records; see docs/metrics.md.
   */
  readonly log?: ((event: ServerEvent) => void) | undefined;
}

/** The options of serveUdp(), checked. */
export interface CheckedServeUdp {
  /** Datagrams per second; Infinity for no limit. */
  readonly ratePerAddress: number;
  readonly allow: BlockList | undefined;
  readonly deny: BlockList | undefined;
  /** Infinity for no limit. */
  readonly amplification: number;
  readonly maxPending: number;
  readonly refusesWhenFull: boolean;
  /** Milliseconds; Infinity for no limit. */
  readonly handlerTimeout: number;
  readonly maxSize: number;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
  readonly onError: ServeUdpOptions["onError"];
  readonly onRefused: ServeUdpOptions["onRefused"];
  readonly log: ServeUdpOptions["log"];
}

const SERVE_UDP_OPTIONS = [
  "ratePerAddress",
  "allow",
  "deny",
  "amplification",
  "maxPending",
  "whenFull",
  "handlerTimeout",
  "maxSize",
  "batchSize",
  "bind",
  "signal",
  "onError",
  "onRefused",
  "log",
];
/** Maximum of `ratePerAddress` and of `maxPending`. */
const MAX_LIMIT = 1_000_000;

function checkAmplification(value: unknown, action: string): number {
  if (value === undefined) return 1;
  if (value === null) return Infinity;
  if (typeof value === "number" && value >= 0 && value < Infinity) return value;
  const message = `Cannot ${action}: amplification is ${quote(value)}, required a number from 0, or null for no limit`;
  throw typeof value === "number" ? new RangeError(message) : new TypeError(message);
}

export function checkServeUdp(opts: ServeUdpOptions, action: string): CheckedServeUdp {
  checkOptions(opts, action);
  checkNames(opts, SERVE_UDP_OPTIONS, action, "serveUdp");
  const { ratePerAddress: rate = 10_000, whenFull = "queue" } = opts;
  if (whenFull !== "queue" && whenFull !== "refuse") {
    throw new TypeError(`Cannot ${action}: whenFull is ${quote(whenFull)}, required "queue" or "refuse"`);
  }
  return {
    ratePerAddress: rate === null ? Infinity : integer(rate, action, "ratePerAddress", 1, MAX_LIMIT),
    allow: checkAddressList(opts.allow, action, "allow"),
    deny: checkAddressList(opts.deny, action, "deny"),
    amplification: checkAmplification(opts.amplification, action),
    maxPending: integer(opts.maxPending ?? 1_000, action, "maxPending", 1, MAX_LIMIT),
    refusesWhenFull: whenFull === "refuse",
    handlerTimeout: millisecondsOr(opts.handlerTimeout, 30_000, action, "handlerTimeout") ?? Infinity,
    maxSize: integer(opts.maxSize ?? 0xffff, action, "maxSize", 1, 0xffff),
    batchSize: integer(opts.batchSize ?? 64, action, "batchSize", 1, 1024),
    signal: abortSignal(opts.signal, action),
    onError: bindCallback(opts.onError, action, "onError"),
    onRefused: bindCallback(opts.onRefused, action, "onRefused"),
    log: bindCallback(opts.log, action, "log"),
  };
}
