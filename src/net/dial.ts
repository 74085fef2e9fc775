// One TCP connection to a host: the addresses that may do, a socket for each attempt, and one error for all that failed.

import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, AF_INET, AF_INET6, AF_UNSPEC, HostPort } from "../addr/index.js";
import { SocketError, restated } from "../errors/index.js";
import type { Socket } from "../socket/index.js";
import type { Clock } from "../wait/clock.js";
import { localError, timeoutError } from "../wait/localError.js";
import { calls } from "../sys/calls.js";
import { resolveNow } from "../netdb/resolve.js";
import { addressDetails, decodeAddressBuffer } from "../sys/sockaddr.js";
import { Dial, type DialWay, isWildcard } from "./attempt.js";
import { type Attempt, type Course, type Pace, Race } from "./happyEyeballs.js";
import type { CheckedWait } from "./endpointOptions.js";
import { type HostAddress, type HostFamily, resolveFamily, type Resolver } from "./customResolver.js";

/** How to dial; checked. */
export interface DialPlan extends CheckedWait, DialWay {
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
  const known = addressNow(target, plan);
  return known === undefined ? dialName(target as HostPort, plan) : dialAddress(target, known, plan);
}

/**
 * The address of a host, if no resolver has to be asked.
 *
 * @throws TypeError when `family` and `localAddress` do not go with it, or with each other
 */
export function addressNow(
  target: HostAddress | HostPort,
  plan: Pick<DialPlan, "family" | "local">,
): HostAddress | undefined {
  const families = familiesFor(plan);
  if (families.length === 0) {
    throw new TypeError(
      `Cannot connect to ${String(target)}: localAddress is ${String(plan.local)}, which does not go with it`,
    );
  }
  // An interface's name as the zone takes a system call, but no resolver.
  const known = target instanceof HostPort ? resolveNow(calls, target, { family: AF_INET6 }) : target;
  if (known !== undefined && !families.includes(known.family as HostFamily)) {
    throw new TypeError(`Cannot connect to ${String(target)}: family or localAddress is of the other family`);
  }
  return known as HostAddress | undefined;
}

/** To a single address: there is nothing to race, and nothing that a race costs. */
function dialAddress(target: HostAddress | HostPort, address: HostAddress, plan: DialPlan): Promise<Dialled> {
  const { deadline, signal } = plan;
  return new Promise((resolve, reject) => {
    let member: { aborted: (reason: unknown) => void } | undefined;
    const way = new Dial(address, plan, {
      connected: (done) => {
        const dialled = dialledBy(done, address);
        if (member !== undefined) offAbort(signal!, member);
        resolve(dialled);
      },
      refused: (_dial, error) => {
        if (member !== undefined) offAbort(signal!, member);
        reject(signal?.aborted === true && error === signal.reason ? error : failureOf(target, [], [error]));
      },
    });
    if (signal !== undefined) onAbort(signal, (member = { aborted: (reason) => way.cancel(reason) }));
    way.start(deadline.left() ?? null);
  });
}

/** What connecting has come to; to be asked for within `connected`, when the local address is at hand. */
function dialledBy({ socket }: Dial, address: HostAddress): Dialled {
  const local = decodeAddressBuffer();
  return { socket, local, remote: isWildcard(address) ? socket.getpeername() : address };
}

/** An attempt in a race. */
function attempt(address: HostAddress, plan: DialPlan): Attempt<Dialled> {
  let way!: Dial;
  const promise = new Promise<Dialled>((resolve, reject) => {
    way = new Dial(address, plan, {
      connected: (done) => resolve(dialledBy(done, address)),
      refused: (_dial, error) => reject(error),
    });
    way.start(null);
  });
  return { promise, cancel: () => way.cancel() };
}

async function dialName(name: HostPort, plan: DialPlan): Promise<Dialled> {
  const families = familiesFor(plan);
  const { signal, clock, resolver } = plan;
  const timeout = plan.deadline.left();
  const unneeded = new AbortController();
  const course: Course<HostAddress, Dialled> = {
    families: resolver === undefined && families.length > 1 ? [AF_UNSPEC] : families,
    lookup: (family) => resolveFamily(name, family as HostFamily | typeof AF_UNSPEC, resolver, unneeded.signal),
    familyOf: ({ family }) => family,
    attempt: (address) => attempt(address, plan),
    failure: (lookups, attempts) => failureOf(name, lookups, attempts),
  };
  const race = new Race<HostAddress, Dialled>(course, plan.pace, clock);
  const member = { aborted: (reason: unknown): void => race.cancel(reason) };
  const timer = timeout === undefined ? undefined : clock.setTimeout(() => race.cancel(lateError(name, race)), timeout);
  // To look a name up may run code of users, who may have ended it with that.
  if (signal !== undefined && signal.aborted) race.cancel(signal.reason);
  else if (signal !== undefined) onAbort(signal, member);
  try {
    return await race.result;
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
    if (signal !== undefined) offAbort(signal, member);
    unneeded.abort();
  }
}

function familiesFor({ family, local }: Pick<DialPlan, "family" | "local">): HostFamily[] {
  const both: HostFamily[] = [AF_INET6, AF_INET];
  const bound = local === undefined || local instanceof HostPort ? AF_UNSPEC : local.family;
  return both.filter((one) => (family === AF_UNSPEC || family === one) && (bound === AF_UNSPEC || bound === one));
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
    return telling ?? localError("EAI_NODATA", "getaddrinfo", host);
  }
  const telling = failed.findLast(({ code }) => !LOCAL_CODES.has(code)) ?? failed.at(-1)!;
  const all = [...missing.filter(({ code }) => !NO_ADDRESS_CODES.has(code)), ...failed];
  return restated(telling, telling.syscall, {
    address: telling.address,
    port: telling.port,
    cause: allOf(target, all),
  });
}

/** The error of a timeout, with what became of each attempt. */
function lateError(target: HostAddress | HostPort, race: Race<HostAddress, Dialled>): SocketError {
  const details = addressDetails(target);
  if (race.tried.length === 0) return timeoutError("getaddrinfo", details);
  const errors = race.tried.map(
    ({ address, failed }) => failed?.error ?? timeoutError("connect", addressDetails(address)),
  );
  return timeoutError("connect", { ...details, cause: allOf(target, errors) });
}

function allOf(target: HostAddress | HostPort, errors: readonly unknown[]): AggregateError {
  return new AggregateError(errors, `Cannot connect to ${String(target)}: no attempt of ${errors.length} succeeded`);
}
