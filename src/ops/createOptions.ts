// create_connection and create_server: the check of their arguments, and the socket options that they set.

import { type Address, type AddressLike, AF_INET, AF_INET6, HostPort, toAddress } from "../addr/index.js";
import { checkOptions, flag, int32, quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { Calls } from "../sys/calls.js";
import { SOMAXCONN } from "../sys/constants.js";
import { getdefaulttimeout } from "./defaultTimeout.js";
import { IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT } from "../options/index.js";
import type { SocketOption } from "../options/index.js";
import { resolveNow } from "../netdb/resolve.js";
import { timeoutOf, WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";

/** Options of `create_connection`. */
export interface CreateConnectionOptions extends WaitOptions {
  /**
   * Deadline in ms of the resolver and of each attempt to connect. It is also the `timeout` of the new socket. The
   * default is `getdefaulttimeout()`.
   */
  readonly timeout?: number | null | undefined;
  /** The local address of the connection; with port 0 the kernel chooses the port. */
  readonly sourceAddress?: AddressLike | undefined;
  /** Rejects with an AggregateError of all attempts instead of the error of the last one. */
  readonly allErrors?: boolean | undefined;
}

/** The checked arguments of create_connection. */
export interface ConnectionRequest {
  readonly target: Address | HostPort;
  readonly source: Address | HostPort | undefined;
  readonly timeout: number | null;
  readonly allErrors: boolean;
}

export function connectionRequest(address: AddressLike, opts: CreateConnectionOptions | undefined): ConnectionRequest {
  const action = "create_connection";
  checkOptions(opts, action, [...WAIT_NAMES, "sourceAddress", "allErrors"]);
  return {
    target: toAddress(address),
    source: opts?.sourceAddress === undefined ? undefined : toAddress(opts.sourceAddress),
    timeout: timeoutOf(opts, getdefaulttimeout(), action),
    allErrors: flag(opts?.allErrors, false, action, "allErrors"),
  };
}

/**
 * The address of a target that needs no resolver, otherwise undefined. Undefined for the host "" too, so that the
 * caller queries the resolver and gets its error.
 */
export function knownAddress(calls: Calls, target: Address | HostPort): Address | undefined {
  if (target instanceof HostPort && target.host === "") return undefined;
  // For a host other than "" the family has no effect.
  return resolveNow(calls, target, { family: AF_INET6 });
}

/** The error of create_connection after all attempts have failed. */
export function allAttemptsError({ allErrors, target }: ConnectionRequest, errors: readonly SocketError[]): Error {
  if (!allErrors) return errors.at(-1)!;
  const text = `Cannot create_connection to ${String(target)}: all ${errors.length} attempts failed`;
  return new AggregateError(errors, text);
}

/** Options of `create_server`. `timeout` and `signal` are for `bind()`, which may resolve a name. */
export interface CreateServerOptions extends WaitOptions {
  /**
   * Such as `AF_INET6`. The default is `AF_INET6` with `dualstackIpv6`, otherwise the family of the address, and
   * `AF_INET` for a name and for `""`.
   */
  readonly family?: number | undefined;
  /** The argument of `listen()`. */
  readonly backlog?: number | undefined;
  /** SO_REUSEPORT: other sockets may listen at the same address, and the kernel distributes the connections. */
  readonly reusePort?: boolean | undefined;
  /** Accepts IPv4 connections too. Their peers have addresses such as `::ffff:192.0.2.1`. Requires `AF_INET6`. */
  readonly dualstackIpv6?: boolean | undefined;
}

/** A socket whose options can be set. */
export interface OptionTarget {
  setsockopt<Set>(option: SocketOption<unknown, Set>, value: NoInfer<Set>): void;
}

/** The checked arguments of create_server. */
export interface ServerRequest {
  readonly target: Address | HostPort;
  readonly family: number;
  readonly backlog: number;
  /** Sets the options that must be set before bind(). */
  readonly setOptions: (socket: OptionTarget) => void;
}

export function serverRequest(address: AddressLike, opts: CreateServerOptions | undefined): ServerRequest {
  const action = "create_server";
  checkOptions(opts, action, [...WAIT_NAMES, "family", "backlog", "reusePort", "dualstackIpv6"]);
  const target = toAddress(address);
  const reusePort = flag(opts?.reusePort, false, action, "reusePort");
  const dualstack = flag(opts?.dualstackIpv6, false, action, "dualstackIpv6");
  const family = opts?.family ?? (dualstack ? AF_INET6 : familyOf(target));
  if (dualstack && family !== AF_INET6) {
    throw new TypeError(`Cannot ${action}: family is ${quote(family)}, required AF_INET6 with dualstackIpv6`);
  }
  return {
    target,
    family,
    backlog: int32(opts?.backlog ?? SOMAXCONN, "listen", "backlog"),
    setOptions: (socket) => {
      socket.setsockopt(SO_REUSEADDR, true);
      if (reusePort) socket.setsockopt(SO_REUSEPORT, true);
      if (family === AF_INET6) socket.setsockopt(IPV6_V6ONLY, !dualstack);
    },
  };
}

/** The default family. A zone makes it AF_INET6, because only IPv6 addresses have zones. */
function familyOf(target: Address | HostPort): number {
  if (!(target instanceof HostPort)) return target.family;
  return target.zone === undefined ? AF_INET : AF_INET6;
}
