// The limits of a server: which connections it accepts, how many, and for how long.

import type { BlockList } from "node:net";
import { AsyncResource } from "node:async_hooks";
import type { Address } from "../addr/index.js";
import { integer, quote } from "../check/index.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import { checkAddressList, type AddressList } from "./clientKey.js";
import type { ServerEvent } from "./serverEvents.js";
import { type CheckedProxyProtocol, checkProxyProtocol, type ProxyProtocolOptions } from "./proxyGate.js";

/** Why a connection was refused: the name of the option, or `"draining"` after the start of a drain. */
export type RefusalReason =
  | "allow"
  | "deny"
  | "maxConnections"
  | "maxConnectionsPerAddress"
  | "proxyProtocol"
  | "draining";

/** A connection that the server accepted, and then reset without serving it. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** The address of the other end of the connection. */
  readonly peer: Address | undefined;
  /** The address of the client: that of the header of the PROXY protocol, or else `peer`. */
  readonly client: Address | undefined;
  /** Why the header of the PROXY protocol could not be read; absent for a refusal with another cause. */
  readonly error?: unknown;
}

/** The beginning or the end of a shortage of descriptors or memory, during which a server accepts no connections. */
export interface PressureEvent {
  readonly state: "begin" | "end";
  /** The code of the shortage: `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM`. */
  readonly code: string;
}

/** The limits that `serve()` and `forward()` share. */
export interface AdmissionOptions {
  /** Maximum number of connections at a time; see `whenFull`. */
  readonly maxConnections?: number | undefined;
  /**
   * Maximum number of connections at a time from one address; null for no limit. Further ones are reset. IPv6 addresses
   * count by their /64, and mapped IPv4 addresses as IPv4. Clients of UNIX sockets and vsock are not counted.
   */
  readonly maxConnectionsPerAddress?: number | null | undefined;
  /**
   * Maximum number of connections that are accepted per second; null for no limit. A burst of this number is allowed.
   * Further connections wait in the accept queue. Default null.
   */
  readonly acceptRate?: number | null | undefined;
  /**
   * While `maxConnections` connections are open, `"queue"` leaves further ones in the accept queue, and `"refuse"`
   * accepts and resets them. Default `"queue"`.
   */
  readonly whenFull?: "queue" | "refuse" | undefined;
  /**
   * Milliseconds without a byte in either direction after which a connection is reset; null for no limit. Default
   * 300,000.
   */
  readonly idleTimeout?: number | null | undefined;
  /** Milliseconds after which a connection is reset, also if it is in use; null for no limit. Default null. */
  readonly maxLifetime?: number | null | undefined;
  /**
   * The only clients that may connect; others are reset. Default: all. Clients without an internet address may connect.
   */
  readonly allow?: AddressList | undefined;
  /** Clients that are reset, even if `allow` has them. Default: none. */
  readonly deny?: AddressList | undefined;
  /**
   * Requires that each connection begins with a header of the PROXY protocol, version 1 or 2, which has the address of
   * the client. A connection from an address that is not in `from`, or without a valid header in time, is reset. The
   * limits and lists of addresses then apply to the address in the header. Default: no header is read.
   */
  readonly proxyProtocol?: ProxyProtocolOptions | undefined;
  /**
   * Descriptors that the server leaves to the handlers of its connections, for files or connections to other servers.
   * While fewer are free, it accepts no connections. If each handler opens one, use half of RLIMIT_NOFILE. Default: 16,
   * or an eighth of RLIMIT_NOFILE if that is less.
   */
  readonly reserve?: number | undefined;
  /** Called when a connection is refused. An error of this function becomes a warning; see docs/errors.md. */
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
  /** Called when descriptors or memory run short, and when the shortage is over. Its errors become warnings. */
  readonly onPressure?: ((event: PressureEvent) => void) | undefined;
  /**
   * Called with a record for each event of the server except `"connection"`: an object of numbers and strings, for a
   * structured log. Its errors become warnings. The channels of `node:diagnostics_channel` get the same records; see
   * docs/metrics.md.
   */
  readonly log?: ((event: ServerEvent) => void) | undefined;
}

/** `AdmissionOptions`, checked. */
export interface CheckedAdmission {
  readonly maxConnections: number;
  /** Infinity for no limit. */
  readonly maxConnectionsPerAddress: number;
  /** Connections per second; Infinity for no limit. */
  readonly acceptRate: number;
  /** Whether `whenFull` is `"refuse"`. */
  readonly refusesWhenFull: boolean;
  /** Milliseconds; null for no limit. */
  readonly idleTimeout: number | null;
  /** Milliseconds; null for no limit. */
  readonly maxLifetime: number | null;
  readonly allow: BlockList | undefined;
  readonly deny: BlockList | undefined;
  readonly proxyProtocol: CheckedProxyProtocol | undefined;
  /** Undefined for the default. */
  readonly reserve: number | undefined;
  readonly onRefused: ((refusal: Refusal) => void) | undefined;
  readonly onPressure: ((event: PressureEvent) => void) | undefined;
  readonly log: ((event: ServerEvent) => void) | undefined;
}

/** The largest value of each limit that is a number of connections, descriptors or connections per second. */
const MAX_LIMIT = 1_000_000;

/** Checks a callback, and returns it bound to the asynchronous context of the caller. */
export function bindCallback<F extends (...args: never[]) => void>(
  value: F | undefined,
  action: string,
  name: string,
): F | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "function") {
    throw new TypeError(`Cannot ${action}: ${name} is ${quote(value)}, required a function`);
  }
  return AsyncResource.bind(value as unknown as (...args: unknown[]) => void) as unknown as F;
}

/** Checks a limit that is a number or null. Returns Infinity for null. */
function checkLimit(
  value: number | null | undefined,
  defaultValue: number | null,
  action: string,
  name: string,
): number {
  const limit = value === undefined ? defaultValue : value;
  return limit === null ? Infinity : integer(limit, action, name, 1, MAX_LIMIT);
}

/** Checks the options, and fills in the defaults. */
export function checkAdmission(
  opts: AdmissionOptions,
  action: string,
  defaults: { readonly maxConnections: number; readonly maxConnectionsPerAddress: number | null },
): CheckedAdmission {
  const { maxConnections = defaults.maxConnections, whenFull = "queue" } = opts;
  if (whenFull !== "queue" && whenFull !== "refuse") {
    throw new TypeError(`Cannot ${action}: whenFull is ${quote(whenFull)}, required "queue" or "refuse"`);
  }
  return {
    maxConnections: integer(maxConnections, action, "maxConnections", 1, MAX_LIMIT),
    maxConnectionsPerAddress: checkLimit(
      opts.maxConnectionsPerAddress,
      defaults.maxConnectionsPerAddress,
      action,
      "maxConnectionsPerAddress",
    ),
    acceptRate: checkLimit(opts.acceptRate, null, action, "acceptRate"),
    refusesWhenFull: whenFull === "refuse",
    idleTimeout: millisecondsOr(opts.idleTimeout, 300_000, action, "idleTimeout"),
    maxLifetime: millisecondsOr(opts.maxLifetime, null, action, "maxLifetime"),
    allow: checkAddressList(opts.allow, action, "allow"),
    deny: checkAddressList(opts.deny, action, "deny"),
    proxyProtocol: checkProxyProtocol(opts.proxyProtocol, action),
    reserve: opts.reserve === undefined ? undefined : integer(opts.reserve, action, "reserve", 0, MAX_LIMIT),
    onRefused: bindCallback(opts.onRefused, action, "onRefused"),
    onPressure: bindCallback(opts.onPressure, action, "onPressure"),
    log: bindCallback(opts.log, action, "log"),
  };
}
