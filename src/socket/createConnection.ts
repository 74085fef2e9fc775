// Connecting to a host by name: its addresses one after the other.

import { type Address, type AddressLike, AF_INET6, AF_UNSPEC, HostPort, quote, toAddress } from "../addr/index.js";
import { SocketError } from "../errors.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { getdefaulttimeout } from "../sys/defaultTimeout.js";
import { checkOptions, signalOf, timeoutOf, type WaitOptions } from "./options.js";
import { resolveNames, resolveNow } from "./resolve.js";
import { Socket } from "./socket.js";

/** Options of {@link create_connection}. */
export interface CreateConnectionOptions extends WaitOptions {
  /**
   * Deadline in ms of the resolver, of each attempt to connect, and then, as its `timeout`, of every waiting call of the
   * new socket. Without it that of `getdefaulttimeout()`.
   */
  readonly timeout?: number | null | undefined;
  /** Where the connection is to come from; port 0 lets the kernel choose. */
  readonly source_address?: AddressLike | undefined;
  /** Rejects with an AggregateError of all attempts instead of the error of the last one. */
  readonly all_errors?: boolean | undefined;
}

/**
 * A stream connection to the first address of a host that takes it: Python's `create_connection()`. The addresses are tried
 * one after the other, in the resolver's order; what was tried in vain is closed.
 *
 * @param address a host and a port, or any address that a stream socket connects to
 * @returns the connected socket
 * @throws SocketError that of the last attempt: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `EADDRNOTAVAIL` …; of the
 *   resolver: `EAI_NONAME`, `EAI_AGAIN` …
 * @throws AggregateError with `all_errors`: the errors of all attempts, in order, in `errors`
 * @see getaddrinfo(3), socket(2), bind(2), connect(2)
 * @example
 * ```ts
 * import { create_connection, create_server } from "berkeley";
 *
 * await using server = await create_server(["127.0.0.1", 8888]);
 * await using socket = await create_connection(["localhost", 8888], { timeout: 5_000 });
 * console.log(String(socket.getpeername())); // prints: 127.0.0.1:8888
 * ```
 */
export async function create_connection(address: AddressLike, opts?: CreateConnectionOptions): Promise<Socket> {
  const action = "create_connection";
  checkOptions(opts, action);
  const target = toAddress(address);
  const source = opts?.source_address === undefined ? undefined : toAddress(opts.source_address);
  const timeout = timeoutOf(opts, getdefaulttimeout(), action);
  const signal = signalOf(opts, action);
  const all: unknown = opts?.all_errors ?? false;
  if (typeof all !== "boolean") {
    throw new TypeError(`Cannot ${action}: all_errors is ${quote(all)}, required true or false`);
  }
  signal?.throwIfAborted();

  const errors: SocketError[] = [];
  for (const candidate of await candidates(target, timeout, signal)) {
    let socket: Socket | undefined;
    try {
      socket = new Socket(candidate.family, SOCK_STREAM);
      socket.timeout = timeout;
      if (source !== undefined) await socket.bind(source, { signal });
      await socket.connect(candidate, { signal });
      return socket;
    } catch (error) {
      socket?.close();
      signal?.throwIfAborted();
      if (!(error instanceof SocketError)) throw error;
      errors.push(error);
    }
  }
  if (!all) throw errors.at(-1)!;
  throw new AggregateError(errors, `Cannot ${action} to ${String(target)}: all ${errors.length} attempts failed`);
}

async function candidates(
  target: Address | HostPort,
  timeout: number | null,
  signal: AbortSignal | undefined,
): Promise<readonly Address[]> {
  // The wildcard is no destination; the resolver says so.
  const known =
    target instanceof HostPort && target.host === "" ? undefined : resolveNow(calls, target, { family: AF_INET6 });
  if (known !== undefined) return [known];
  return resolveNames(calls, target as HostPort, AF_UNSPEC, timeout, signal === undefined ? [] : [signal]);
}
