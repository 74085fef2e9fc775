// Resolves names for the awaitable calls, with a deadline and abort signals.

import type { Address, HostPort } from "../addr/index.js";
import type { Calls } from "../sys/calls.js";
import { within } from "../wait/within.js";
import { timeoutError } from "../wait/localError.js";
import { runLookup } from "../netdb/lookup.js";
import { type HasFamily, resolveAll } from "../netdb/resolve.js";
import { addressDetails } from "../sys/sockaddr.js";

export { type HasFamily, resolveNow } from "../netdb/resolve.js";

/** Resolves a name to at least one address of a family, or of both families with `AF_UNSPEC`. */
export function resolveNames(
  calls: Calls,
  target: HostPort,
  family: number,
  timeout: number | null,
  signals: readonly AbortSignal[],
): Promise<Address[]> {
  const onDeadline = (): Error => timeoutError("getaddrinfo", addressDetails(target));
  const pending = runLookup(resolveAll(calls, target, family));
  return within(pending.result, timeout, signals, onDeadline, pending.cancel);
}

/** Resolves a name to its first address of the socket's family. */
export async function resolveName(
  calls: Calls,
  target: HostPort,
  socket: HasFamily,
  timeout: number | null,
  signals: readonly AbortSignal[],
): Promise<Address> {
  const addresses = await resolveNames(calls, target, socket.family, timeout, signals);
  return addresses[0]!;
}
