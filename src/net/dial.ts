// One TCP connection to a host: the addresses that may do, a socket for each attempt, and one error for all that failed.

import { offAbort, onAbort } from "../aborts.js";
import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  HostPort,
  type Inet6Address,
  type InetAddress,
} from "../addr/index.js";
import { SocketError } from "../errors.js";
import { Socket } from "../socket/index.js";
import type { Clock } from "../stream/clock.js";
import { socketError } from "../stream/wait.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { IP_BIND_ADDRESS_NO_PORT, SO_BINDTODEVICE, SO_REUSEADDR } from "../sys/options/index.js";
import { resolveNow } from "../sys/resolve.js";
import { addressDetails } from "../sys/sockaddr.js";
import { type Attempt, type Course, type Pace, Race } from "./happyEyeballs.js";
import { applyTcp, type CheckedTcp, type CheckedWait } from "./options.js";
import { type HostAddress, type HostFamily, resolveFamily, type Resolver } from "./resolver.js";

/** How to dial; checked. */
export interface DialPlan extends CheckedWait {
  readonly tcp: CheckedTcp;
  readonly local: Address | HostPort | undefined;
  readonly device: string | undefined;
  /** `AF_UNSPEC` for both. */
  readonly family: number;
  readonly resolver: Resolver | undefined;
  readonly pace: Pace;
  readonly clock: Clock;
}

/** A socket that is connected. */
export interface Dialled {
  readonly socket: Socket;
  readonly local: Address;
  readonly remote: Address;
}

/** Connects to a host: to the first of its addresses that answers. */
export function dial(target: HostAddress | HostPort, plan: DialPlan): Promise<Dialled> {
  try {
    return start(target, plan);
  } catch (error) {
    return Promise.reject(error);
  }
}

function start(target: HostAddress | HostPort, plan: DialPlan): Promise<Dialled> {
  plan.signal?.throwIfAborted();
  const families = familiesFor(plan);
  if (families.length === 0) {
    throw new TypeError(
      `Cannot connect to ${String(target)}: localAddress is ${String(plan.local)}, which does not go with it`,
    );
  }
  // An interface's name as the zone takes a system call, but no resolver.
  const known = target instanceof HostPort ? resolveNow(calls, target, { family: AF_INET6 }) : target;
  if (known === undefined) return dialName(target as HostPort, families, plan);
  if (!families.includes(known.family as HostFamily)) {
    throw new TypeError(`Cannot connect to ${String(target)}: family or localAddress is of the other family`);
  }
  return dialAddress(target, known as HostAddress, plan);
}

/** To a single address: there is nothing to race, and nothing that a race costs. */
async function dialAddress(target: HostAddress | HostPort, address: HostAddress, plan: DialPlan): Promise<Dialled> {
  const { signal } = plan;
  try {
    return await new Dial(address, plan, plan.deadline.left() ?? null, signal).promise;
  } catch (error) {
    throw signal?.aborted === true && error === signal.reason ? error : failureOf(target, [], [error]);
  }
}

async function dialName(name: HostPort, families: readonly HostFamily[], plan: DialPlan): Promise<Dialled> {
  const { signal, clock, resolver } = plan;
  const timeout = plan.deadline.left();
  const unneeded = new AbortController();
  const course: Course<HostAddress, Dialled> = {
    families,
    lookup: (family) => resolveFamily(name, family as HostFamily, resolver, unneeded.signal),
    attempt: (address) => new Dial(address, plan, null, undefined),
    failure: (lookups, attempts) => failureOf(name, lookups, attempts),
  };
  const race = new Race<HostAddress, Dialled>(course, plan.pace, clock);
  const member = { aborted: (reason: unknown): void => race.cancel(reason) };
  const timer = timeout === undefined ? undefined : clock.setTimeout(() => race.cancel(lateError(name, race)), timeout);
  if (signal !== undefined) onAbort(signal, member);
  try {
    return await race.result;
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
    if (signal !== undefined) offAbort(signal, member);
    unneeded.abort();
  }
}

function familiesFor({ family, local }: DialPlan): HostFamily[] {
  const both: HostFamily[] = [AF_INET6, AF_INET];
  const bound = local === undefined || local instanceof HostPort ? AF_UNSPEC : local.family;
  return both.filter((one) => (family === AF_UNSPEC || family === one) && (bound === AF_UNSPEC || bound === one));
}

/** A socket on its way to one address. */
class Dial implements Attempt<Dialled> {
  readonly promise: Promise<Dialled>;
  #socket: Socket | undefined;

  /** @param timeout for the attempt alone, where nobody else looks after it; the same goes for `signal` */
  constructor(address: HostAddress, plan: DialPlan, timeout: number | null, signal: AbortSignal | undefined) {
    this.promise = this.#run(address, plan, timeout, signal);
  }

  async #run(
    address: HostAddress,
    plan: DialPlan,
    timeout: number | null,
    signal: AbortSignal | undefined,
  ): Promise<Dialled> {
    const { family } = address;
    try {
      const socket = (this.#socket = new Socket(family, SOCK_STREAM));
      applyTcp(socket, plan.tcp);
      if (plan.device !== undefined) socket.setsockopt(SO_BINDTODEVICE, plan.device);
      if (plan.local !== undefined) await bindLocal(socket, plan.local);
      await socket.connect(address, { timeout, signal });
      const local = socket.getsockname() as HostAddress;
      // The wildcard as a destination is this machine; which address of it, only the kernel knows.
      const wildcard = address.host === "::" || address.host === "0.0.0.0";
      const remote = wildcard ? (socket.getpeername() as HostAddress) : address;
      // Where nobody listens at a port that the kernel also gives to who connects, it may give that very port, and then the
      // socket is connected to itself: RFC 9293, section 3.5, simultaneous open.
      if (local.port === remote.port && String(local) === String(remote)) {
        throw socketError("ECONNREFUSED", "connect", addressDetails(address));
      }
      return { socket, local, remote };
    } catch (error) {
      this.cancel();
      throw error;
    }
  }

  cancel(): void {
    this.#socket?.close();
  }
}

async function bindLocal(socket: Socket, local: Address | HostPort): Promise<void> {
  const { port } = local as InetAddress | Inet6Address | HostPort;
  // A port is chosen by connect(), which can give the same one to different destinations; ip(7).
  if (port === 0) socket.setsockopt(IP_BIND_ADDRESS_NO_PORT, true);
  // Attempts that run at the same time share the port that was asked for.
  else socket.setsockopt(SO_REUSEADDR, true);
  await socket.bind(local);
}

/** What says more of this machine than of the host: another attempt that came further is more telling. */
const LOCAL_CODES: ReadonlySet<string> = new Set([
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EINVAL",
  "ENETDOWN",
  "ENETUNREACH",
]);
/** No addresses in one family, which is no error where the other has some. */
const NO_ADDRESS_CODES: ReadonlySet<string> = new Set(["EAI_ADDRFAMILY", "EAI_NODATA", "EAI_NONAME"]);

/** The most telling of the errors of all attempts, with all of them in `cause`. */
function failureOf(target: HostAddress | HostPort, lookups: readonly unknown[], attempts: readonly unknown[]): unknown {
  const odd = [...lookups, ...attempts].find((error) => !(error instanceof SocketError));
  if (odd !== undefined) return odd;
  const missing = lookups as readonly SocketError[];
  const failed = attempts as readonly SocketError[];
  if (failed.length === 0) {
    const telling = missing.findLast(({ code }) => !NO_ADDRESS_CODES.has(code)) ?? missing.at(-1);
    const host = target instanceof HostPort ? { address: target.host } : undefined;
    return telling ?? socketError("EAI_NODATA", "getaddrinfo", host);
  }
  const telling = failed.findLast(({ code }) => !LOCAL_CODES.has(code)) ?? failed.at(-1)!;
  const all = [...missing.filter(({ code }) => !NO_ADDRESS_CODES.has(code)), ...failed];
  return new SocketError(telling.code, telling.errno, telling.syscall, {
    address: telling.address,
    port: telling.port,
    cause: allOf(target, all),
  });
}

/** The error of a timeout, with what became of each attempt. */
function lateError(target: HostAddress | HostPort, race: Race<HostAddress, Dialled>): SocketError {
  const details = addressDetails(target);
  if (race.tried.length === 0) return socketError("ETIMEDOUT", "getaddrinfo", details);
  const errors = race.tried.map(
    ({ address, failed }) => failed?.error ?? socketError("ETIMEDOUT", "connect", addressDetails(address)),
  );
  return socketError("ETIMEDOUT", "connect", { ...details, cause: allOf(target, errors) });
}

function allOf(target: HostAddress | HostPort, errors: readonly unknown[]): AggregateError {
  return new AggregateError(errors, `Cannot connect to ${String(target)}: no attempt of ${errors.length} succeeded`);
}
