// Connects to a host over TCP: resolves its addresses, attempts them, and combines the errors of failed attempts.

import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, AF_INET, AF_INET6, AF_UNSPEC, HostPort } from "../addr/index.js";
import { SocketError, attemptsError, restated } from "../errors/index.js";
import type { Socket } from "../socket/index.js";
import type { Clock } from "../wait/clock.js";
import { localError, timeoutError } from "../wait/localError.js";
import { rejection } from "../wait/rejection.js";
import { calls } from "../sys/calls.js";
import { resolveNow } from "../netdb/resolve.js";
import { addressDetails, decodeAddressBuffer } from "../sys/sockaddr.js";
import { ConnectAttempt, type AttemptOptions, isWildcard } from "./connectAttempt.js";
import { type Attempt, type RaceOperations, type RaceLimits, Race } from "./happyEyeballs.js";
import type { CheckedWait } from "./endpointOptions.js";
import { type HostAddress, type HostFamily, resolveFamily, type Resolver } from "./customResolver.js";

/** The options of connect() for sockets, checked. */
export interface CheckedConnect extends CheckedWait, AttemptOptions {
  /** `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both. */
  readonly family: number;
  readonly resolver: Resolver | undefined;
  readonly limits: RaceLimits;
  readonly clock: Clock;
}

/** A connected socket and its addresses. */
export interface ConnectedSocket {
  readonly socket: Socket;
  readonly local: Address;
  readonly remote: Address;
}

/** Connects to the first address of a host that accepts the connection. */
export function connectHost(target: HostAddress | HostPort, checked: CheckedConnect): Promise<ConnectedSocket> {
  try {
    return start(target, checked);
  } catch (error) {
    return Promise.reject(error);
  }
}

function start(target: HostAddress | HostPort, checked: CheckedConnect): Promise<ConnectedSocket> {
  checked.signal?.throwIfAborted();
  const known = addressWithoutLookup(target, checked);
  return known === undefined ? connectName(target as HostPort, checked) : connectAddress(target, known, checked);
}

/**
 * The address of a host, if it is a literal; undefined if a lookup is necessary.
 *
 * @throws TypeError if `family`, `localAddress` and the address are not of one family
 */
export function addressWithoutLookup(
  target: HostAddress | HostPort,
  checked: Pick<CheckedConnect, "family" | "local">,
): HostAddress | undefined {
  const families = familiesFor(checked);
  if (families.length === 0) {
    throw new TypeError(
      `Cannot connect to ${String(target)}: localAddress is ${String(checked.local)}, required one of the same family`,
    );
  }
  // The name of an interface as a zone requires a system call, but no lookup.
  const known = target instanceof HostPort ? resolveNow(calls, target, { family: AF_INET6 }) : target;
  if (known !== undefined && !families.includes(known.family as HostFamily)) {
    throw new TypeError(
      `Cannot connect to ${String(target)}: family or localAddress is of the other family, required one of the same family`,
    );
  }
  return known as HostAddress | undefined;
}

/** Connects to a single address, without the cost of a race. */
function connectAddress(
  target: HostAddress | HostPort,
  address: HostAddress,
  checked: CheckedConnect,
): Promise<ConnectedSocket> {
  const { deadline, signal } = checked;
  return new Promise((resolve) => {
    let member: { aborted: (reason: unknown) => void } | undefined;
    const way = new ConnectAttempt(address, checked, {
      connected: (done) => {
        const connected = connectedSocketOf(done, address);
        if (member !== undefined) offAbort(signal!, member);
        resolve(connected);
      },
      refused: (_attempt, error) => {
        if (member !== undefined) offAbort(signal!, member);
        const aborted = signal?.aborted === true && error === signal.reason;
        resolve(rejection(aborted ? error : mostSpecificError(target, [], [error])));
      },
    });
    if (signal !== undefined) onAbort(signal, (member = { aborted: (reason) => way.cancel(reason) }));
    way.start(deadline.left() ?? null);
  });
}

/**
 * The connected socket with its addresses. Call it only in `connected()`, while `addressBuffer` has the local address.
 */
function connectedSocketOf({ socket }: ConnectAttempt, address: HostAddress): ConnectedSocket {
  const local = decodeAddressBuffer();
  return { socket, local, remote: isWildcard(address) ? socket.getpeername() : address };
}

/** Starts an attempt as a part of a race. */
function attempt(address: HostAddress, checked: CheckedConnect): Attempt<ConnectedSocket> {
  let way!: ConnectAttempt;
  const promise = new Promise<ConnectedSocket>((resolve, reject) => {
    way = new ConnectAttempt(address, checked, {
      connected: (done) => resolve(connectedSocketOf(done, address)),
      refused: (_attempt, error) => reject(error),
    });
    way.start(null);
  });
  return { promise, cancel: () => way.cancel() };
}

async function connectName(name: HostPort, checked: CheckedConnect): Promise<ConnectedSocket> {
  const families = familiesFor(checked);
  const { signal, clock, resolver } = checked;
  const timeout = checked.deadline.left();
  const unneeded = new AbortController();
  const operations: RaceOperations<HostAddress, ConnectedSocket> = {
    families: resolver === undefined && families.length > 1 ? [AF_UNSPEC] : families,
    lookup: (family) => resolveFamily(name, family as HostFamily | typeof AF_UNSPEC, resolver, unneeded.signal),
    familyOf: ({ family }) => family,
    attempt: (address) => attempt(address, checked),
    combineErrors: (lookups, attempts) => mostSpecificError(name, lookups, attempts),
  };
  const race = new Race<HostAddress, ConnectedSocket>(operations, checked.limits, clock);
  const member = { aborted: (reason: unknown): void => race.cancel(reason) };
  const timer =
    timeout === undefined ? undefined : clock.setTimeout(() => race.cancel(connectTimeoutError(name, race)), timeout);
  // The lookup may run code of users, which may abort the signal.
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

function familiesFor({ family, local }: Pick<CheckedConnect, "family" | "local">): HostFamily[] {
  const both: HostFamily[] = [AF_INET6, AF_INET];
  const bound = local === undefined || local instanceof HostPort ? AF_UNSPEC : local.family;
  return both.filter((one) => (family === AF_UNSPEC || family === one) && (bound === AF_UNSPEC || bound === one));
}

/**
 * Errors of this machine, such as a missing route. Errors of other attempts are preferred, because they come from the
 * host.
 */
const LOCAL_CODES: ReadonlySet<string> = new Set([
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EINVAL",
  "ENETDOWN",
  "ENETUNREACH",
]);
/** A family has no addresses. That is no error if the other family has some. */
const NO_ADDRESS_CODES: ReadonlySet<string> = new Set(["EAI_ADDRFAMILY", "EAI_NODATA", "EAI_NONAME"]);

/** The error that is reported. An error of the host is preferred to one of this machine. `cause` has all errors. */
function mostSpecificError(
  target: HostAddress | HostPort,
  lookups: readonly unknown[],
  attempts: readonly unknown[],
): unknown {
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
    cause: causeOf(target, all),
  });
}

/** The error of a timeout. Its `cause` has an error for each attempt. */
function connectTimeoutError(target: HostAddress | HostPort, race: Race<HostAddress, ConnectedSocket>): SocketError {
  const details = addressDetails(target);
  if (race.attempts.length === 0) return timeoutError("getaddrinfo", details);
  const errors = race.attempts.map(
    ({ address, failed }) => failed?.error ?? timeoutError("connect", addressDetails(address)),
  );
  return timeoutError("connect", { ...details, cause: causeOf(target, errors) });
}

/** The AggregateError of several attempts; undefined for a single one, whose error is that of the call. */
function causeOf(target: HostAddress | HostPort, errors: readonly unknown[]): AggregateError | undefined {
  return errors.length < 2 ? undefined : attemptsError(`Cannot connect to ${String(target)}`, errors);
}
