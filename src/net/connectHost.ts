// Connects to a host over TCP: resolves its name, attempts its addresses, and combines the errors of failed attempts.

import { offAbort, onAbort } from "../wait/aborts.js";
import { type Address, AF_INET, AF_INET6, AF_UNSPEC, HostPort } from "../addr/index.js";
import { SocketError, attemptsError, restateError } from "../errors/index.js";
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
import { type HostAddress, type HostFamily, resolveFamily, type Resolver } from "./resolveHost.js";

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
  // An async function would make a second promise for each connection.
  try {
    checked.signal?.throwIfAborted();
    const literal = addressWithoutLookup(target, checked);
    return literal === undefined ? connectName(target as HostPort, checked) : connectAddress(target, literal, checked);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Returns the address of a host if it is a literal; undefined if a lookup is necessary.
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
  // The zone of a literal may be the name of an interface. To find its index, resolveNow() makes a system call.
  // resolveNow() uses its family only for the wildcard, which is no target.
  const literal = target instanceof HostPort ? resolveNow(calls, target, { family: AF_INET6 }) : target;
  if (literal !== undefined && !families.includes(literal.family as HostFamily)) {
    throw new TypeError(
      `Cannot connect to ${String(target)}: family or localAddress excludes the family of the target, required ` +
        "the same family",
    );
  }
  return literal as HostAddress | undefined;
}

/** Connects to a single address, without the cost of a race. @param target for errors */
function connectAddress(
  target: HostAddress | HostPort,
  address: HostAddress,
  checked: CheckedConnect,
): Promise<ConnectedSocket> {
  const { deadline, signal } = checked;
  return new Promise((resolve) => {
    let abortListener: { onAborted: (reason: unknown) => void } | undefined;
    const attempt = new ConnectAttempt(address, checked, {
      onConnected: ({ socket }) => {
        const connected = connectedSocketOf(socket, address);
        if (abortListener !== undefined) offAbort(signal!, abortListener);
        resolve(connected);
      },
      onAttemptFailed: (_attempt, error) => {
        if (abortListener !== undefined) offAbort(signal!, abortListener);
        // An aborted call rejects with the reason of its signal, unchanged.
        const aborted = signal?.aborted === true && error === signal.reason;
        resolve(rejection(aborted ? error : mostSpecificError(target, [], [error])));
      },
    });
    if (signal !== undefined) onAbort(signal, (abortListener = { onAborted: (reason) => attempt.cancel(reason) }));
    attempt.start(deadline.remainingTime() ?? null);
  });
}

/**
 * Returns the connected socket with its addresses. Call it only in `onConnected()`, while `addressBuffer` has the local
 * address.
 */
function connectedSocketOf(socket: Socket, address: HostAddress): ConnectedSocket {
  const local = decodeAddressBuffer();
  // connect(2) replaces a wildcard by an address of this machine.
  return { socket, local, remote: isWildcard(address) ? socket.getpeername() : address };
}

/** Starts an attempt as a part of a race. */
function startAttempt(address: HostAddress, checked: CheckedConnect): Attempt<ConnectedSocket> {
  let attempt!: ConnectAttempt;
  const promise = new Promise<ConnectedSocket>((resolve, reject) => {
    attempt = new ConnectAttempt(address, checked, {
      onConnected: ({ socket }) => resolve(connectedSocketOf(socket, address)),
      onAttemptFailed: (_attempt, error) => reject(error),
    });
    attempt.start(null);
  });
  return { promise, cancel: () => attempt.cancel() };
}

/** Connects to a name: a lookup, and a race of its addresses. */
async function connectName(name: HostPort, checked: CheckedConnect): Promise<ConnectedSocket> {
  const families = familiesFor(checked);
  const { signal, clock, resolver } = checked;
  const timeout = checked.deadline.remainingTime();
  /** Aborted at the end of the race, to end the lookups that still run. */
  const raceEnd = new AbortController();
  const operations: RaceOperations<HostAddress, ConnectedSocket> = {
    // The system's resolver finds the addresses of both families in one lookup.
    families: resolver === undefined && families.length > 1 ? [AF_UNSPEC] : families,
    lookup: (family) => resolveFamily(name, family as HostFamily | typeof AF_UNSPEC, resolver, raceEnd.signal),
    familyOf: ({ family }) => family,
    attempt: (address) => startAttempt(address, checked),
    combineErrors: (lookupErrors, attemptErrors) => mostSpecificError(name, lookupErrors, attemptErrors),
  };
  const race = new Race<HostAddress, ConnectedSocket>(operations, checked.limits, clock);
  const abortListener = { onAborted: (reason: unknown): void => race.cancel(reason) };
  const timer =
    timeout === undefined ? undefined : clock.setTimeout(() => race.cancel(connectTimeoutError(name, race)), timeout);
  // The constructor of Race has called the resolver, which may be code of users and may have aborted the signal.
  if (signal !== undefined && signal.aborted) race.cancel(signal.reason);
  else if (signal !== undefined) onAbort(signal, abortListener);
  try {
    return await race.result;
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
    if (signal !== undefined) offAbort(signal, abortListener);
    raceEnd.abort();
  }
}

/** The families that both `family` and the family of `localAddress` allow. */
function familiesFor({ family, local }: Pick<CheckedConnect, "family" | "local">): HostFamily[] {
  const preferredFirst: HostFamily[] = [AF_INET6, AF_INET];
  const localFamily = local === undefined || local instanceof HostPort ? AF_UNSPEC : local.family;
  const allows = (option: number, candidate: HostFamily): boolean => option === AF_UNSPEC || option === candidate;
  return preferredFirst.filter((candidate) => allows(family, candidate) && allows(localFamily, candidate));
}

/** Codes of errors of this machine, such as a missing route. An error that comes from the host is more specific. */
const LOCAL_CODES: ReadonlySet<string> = new Set([
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EINVAL",
  "ENETDOWN",
  "ENETUNREACH",
]);
/** Codes of a lookup that has found no address of its family. The other family may have addresses. */
const NO_ADDRESS_CODES: ReadonlySet<string> = new Set(["EAI_ADDRFAMILY", "EAI_NODATA", "EAI_NONAME"]);

/**
 * The error of a call whose lookups or attempts have failed:
 *
 * 1. the first error that is no SocketError: a resolver of the caller has thrown it,
 * 2. of the errors of attempts, the last one that comes from the host, or else the last one,
 * 3. without attempts, the last error of a lookup, if possible one of another kind than "no address".
 *
 * In case 2, if there are several errors, `cause` has those of the attempts, and those of lookups except "no address".
 */
function mostSpecificError(
  target: HostAddress | HostPort,
  lookupErrors: readonly unknown[],
  attemptErrors: readonly unknown[],
): unknown {
  const otherError = [...lookupErrors, ...attemptErrors].find((error) => !(error instanceof SocketError));
  if (otherError !== undefined) return otherError;
  const failedLookups = lookupErrors as readonly SocketError[];
  const failedAttempts = attemptErrors as readonly SocketError[];
  if (failedAttempts.length === 0) {
    const reported = failedLookups.findLast(({ code }) => !NO_ADDRESS_CODES.has(code)) ?? failedLookups.at(-1);
    const details = target instanceof HostPort ? { address: target.host } : undefined;
    return reported ?? localError("EAI_NODATA", "getaddrinfo", details);
  }
  const reported = failedAttempts.findLast(({ code }) => !LOCAL_CODES.has(code)) ?? failedAttempts.at(-1)!;
  const all = [...failedLookups.filter(({ code }) => !NO_ADDRESS_CODES.has(code)), ...failedAttempts];
  return restateError(reported, reported.syscall, {
    address: reported.address,
    port: reported.port,
    cause: causeOf(target, all),
  });
}

/** The error of a timeout. If there were several attempts, its `cause` has an error for each. */
function connectTimeoutError(target: HostAddress | HostPort, race: Race<HostAddress, ConnectedSocket>): SocketError {
  const details = addressDetails(target);
  if (race.attempts.length === 0) return timeoutError("getaddrinfo", details);
  const errors = race.attempts.map(
    ({ address, failure }) => failure?.error ?? timeoutError("connect", addressDetails(address)),
  );
  return timeoutError("connect", { ...details, cause: causeOf(target, errors) });
}

/** An AggregateError of several errors. Undefined for a single one, because the error of the call has its details. */
function causeOf(target: HostAddress | HostPort, errors: readonly unknown[]): AggregateError | undefined {
  return errors.length < 2 ? undefined : attemptsError(`Cannot connect to ${String(target)}`, errors);
}
