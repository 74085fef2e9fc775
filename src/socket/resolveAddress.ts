// Resolves names for the awaitable calls, with a deadline and abort signals.

import type { Address, HostPort } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { within } from "../wait/within.js";
import { timeoutError } from "../wait/localError.js";
import { inquire } from "../netdb/lookup.js";
import { type Kind, resolveAll } from "../netdb/resolve.js";
import { addressDetails } from "../sys/sockaddr.js";

export { type Kind, resolveNow } from "../netdb/resolve.js";

/** Resolves a name to at least one address of a family, or of both families with `AF_UNSPEC`. */
export function resolveNames(
  calls: Calls,
  target: HostPort,
  family: number,
  timeout: number | null,
  signals: readonly AbortSignal[],
): Promise<Address[]> {
  const onDeadline = (): Error => timeoutError("getaddrinfo", addressDetails(target));
  const pending = inquire(resolveAll(calls, target, family));
  return within(pending.result, timeout, signals, onDeadline, pending.cancel);
}

/** Resolves a name to its first address of the socket's family. */
export async function resolveName(
  calls: Calls,
  target: HostPort,
  kind: Kind,
  timeout: number | null,
  signals: readonly AbortSignal[],
): Promise<Address> {
  const addresses = await resolveNames(calls, target, kind.family, timeout, signals);
  return addresses[0]!;
}
