// create_connection and create_server: their arguments, checked, and what their sockets are set to.

import { type Address, type AddressLike, AF_INET, AF_INET6, HostPort, toAddress } from "../addr/index.js";
import { checkOptions, flag, int32, quote } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import type { Calls } from "../sys/calls.js";
import { SOMAXCONN } from "../sys/constants.js";
import { getdefaulttimeout } from "./defaultTimeout.js";
import { IPV6_V6ONLY, SO_REUSEADDR, SO_REUSEPORT } from "../options/index.js";
import type { SocketOption } from "../options/index.js";
import { resolveNow } from "../netdb/resolve.js";
import { timeoutOf, type WaitOptions } from "../wait/waitOptions.js";

/** Options of `create_connection`. */
export interface CreateConnectionOptions extends WaitOptions {
  /**
   * Deadline in ms of the resolver, of each attempt to connect, and then, as its `timeout`, of every waiting call of the
   * new socket. Without it that of `getdefaulttimeout()`.
   */
  readonly timeout?: number | null | undefined;
  /** Where the connection is to come from; port 0 lets the kernel choose. */
  readonly sourceAddress?: AddressLike | undefined;
  /** Rejects with an AggregateError of all attempts instead of the error of the last one. */
  readonly allErrors?: boolean | undefined;
}

export interface ConnectionRequest {
  readonly target: Address | HostPort;
  readonly source: Address | HostPort | undefined;
  readonly timeout: number | null;
  readonly all: boolean;
}

export function connectionRequest(address: AddressLike, opts: CreateConnectionOptions | undefined): ConnectionRequest {
  const action = "create_connection";
  checkOptions(opts, action);
  return {
    target: toAddress(address),
    source: opts?.sourceAddress === undefined ? undefined : toAddress(opts.sourceAddress),
    timeout: timeoutOf(opts, getdefaulttimeout(), action),
    all: flag(opts?.allErrors, false, action, "allErrors"),
  };
}

/** The one address to connect to, if that takes no resolver. The wildcard is no destination; the resolver says so. */
export function onlyCandidate(calls: Calls, target: Address | HostPort): Address | undefined {
  if (target instanceof HostPort && target.host === "") return undefined;
  return resolveNow(calls, target, { family: AF_INET6 });
}

/** What create_connection fails with, when all attempts have. */
export function allFailed({ all, target }: ConnectionRequest, errors: readonly SocketError[]): Error {
  if (!all) return errors.at(-1)!;
  const text = `Cannot create_connection to ${String(target)}: all ${errors.length} attempts failed`;
  return new AggregateError(errors, text);
}

/** Options of `create_server`; `timeout` and `signal` are those of `bind()`, which resolves a name. */
export interface CreateServerOptions extends WaitOptions {
  /** `AF_INET`, `AF_INET6` …; without it that of the address, and `AF_INET` for a name and for `""`. */
  readonly family?: number | undefined;
  /** As `listen()` takes it. */
  readonly backlog?: number | undefined;
  /** SO_REUSEPORT: other sockets may listen at the same address, and the kernel shares the connections out. */
  readonly reusePort?: boolean | undefined;
  /** Takes IPv4 connections as well, whose peers then have addresses such as `::ffff:192.0.2.1`. Needs `AF_INET6`. */
  readonly dualstackIpv6?: boolean | undefined;
}

/** A socket whose options can be set. */
export interface OptionTarget {
  setsockopt<Set>(option: SocketOption<unknown, Set>, value: NoInfer<Set>): void;
}

export interface ServerRequest {
  readonly target: Address | HostPort;
  readonly family: number;
  readonly backlog: number;
  /** Sets the options that the socket is to have before it is bound. */
  readonly prepare: (socket: OptionTarget) => void;
}

export function serverRequest(address: AddressLike, opts: CreateServerOptions | undefined): ServerRequest {
  const action = "create_server";
  checkOptions(opts, action);
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
    prepare: (socket) => {
      socket.setsockopt(SO_REUSEADDR, true);
      if (reusePort) socket.setsockopt(SO_REUSEPORT, true);
      if (family === AF_INET6) socket.setsockopt(IPV6_V6ONLY, !dualstack);
    },
  };
}

function familyOf(target: Address | HostPort): number {
  if (!(target instanceof HostPort)) return target.family;
  return target.zone === undefined ? AF_INET : AF_INET6;
}
