// Sorts the addresses of a name in the order in which connect() tries them (RFC 8305, section 4): the families
// alternate, and the family of the resolver's first address is first.

import { AF_INET6, Inet6Address, InetAddress, SOCK_DGRAM, Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import { type Candidate, explainOrder } from "./rules.js";

/** The default `attemptDelay` of connect() in ms. */
const ATTEMPT_DELAY = 250;
/** The default `maxAttempts` of connect(). */
const MAX_ATTEMPTS = 32;
/** Any port except 0: the port does not change the route. */
const ANY_PORT = 9;

/** An address of the name, and the attempt of connect() to connect to it. */
export interface Answer {
  /** The number of connect()'s attempt, from 1; null above `maxAttempts`. */
  readonly attempt: number | null;
  readonly address: string;
  readonly family: "IPv4" | "IPv6";
  /** Milliseconds after the first attempt, if no attempt fails or succeeds earlier; null without an attempt. */
  readonly after: number | null;
  /** The position of the address in the resolver's answer, from 1. */
  readonly place: number;
  /** The source address; null without a route. */
  readonly source: string | null;
  /** The error code of connect(2), if there is no route. */
  readonly error?: string;
  readonly reason: string;
}

interface RoutedCandidate extends Candidate {
  /** The error code of connect(2), if there is no route. */
  readonly error?: string;
}

/** Finds the source address by connect(2) of a datagram socket, which sends nothing (RFC 6724, section 4). */
async function findRoute(address: HostAddress): Promise<RoutedCandidate> {
  await using socket = new Socket(address.family, SOCK_DGRAM);
  try {
    const { host } = address;
    await socket.connect(
      address instanceof InetAddress ? [host, ANY_PORT] : [host, ANY_PORT, address.flowinfo, address.scopeid],
    );
    const source = socket.getsockname();
    return { address, source: source instanceof InetAddress || source instanceof Inet6Address ? source : undefined };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return { address, source: undefined, error: error.code };
  }
}

/**
 * Returns the addresses in the order of connect(), with reasons.
 *
 * @param found the addresses in the resolver's order
 * @param options `isLiteral`: the name was an address itself
 */
export async function orderAddresses(
  found: readonly HostAddress[],
  { isLiteral }: { readonly isLiteral: boolean },
): Promise<Answer[]> {
  const candidates = await Promise.all(found.map(findRoute));
  /** By family, the indexes in `candidates` of the addresses that have no place in `answers` yet. */
  const remaining = new Map<number, number[]>();
  for (const [index, { address }] of candidates.entries()) {
    const indexes = remaining.get(address.family);
    if (indexes === undefined) remaining.set(address.family, [index]);
    else indexes.push(index);
  }
  const answers: Answer[] = [];
  let lastFamily: number | undefined;
  while (answers.length < candidates.length) {
    const families = [...remaining].filter(([, indexes]) => indexes.length > 0);
    const [family, indexes] = families.find(([otherFamily]) => otherFamily !== lastFamily) ?? families[0]!;
    const resolverIndex = indexes.shift()!;
    const attemptIndex = answers.length;
    const { address, source, error } = candidates[resolverIndex]!;
    const isTried = attemptIndex < MAX_ATTEMPTS;
    const resolverReason = isLiteral
      ? "NAME is an address, so no resolver is used"
      : resolverOrder(candidates, resolverIndex);
    answers.push({
      attempt: isTried ? attemptIndex + 1 : null,
      address: hostOf(address),
      family: nameOf(family),
      after: isTried ? attemptIndex * ATTEMPT_DELAY : null,
      place: resolverIndex + 1,
      source: source === undefined ? null : hostOf(source),
      ...(error === undefined ? {} : { error }),
      reason: [...positionReasons(attemptIndex, resolverIndex, family, lastFamily), resolverReason].join("; "),
    });
    lastFamily = family;
  }
  return answers;
}

const nameOf = (family: number): "IPv4" | "IPv6" => (family === AF_INET6 ? "IPv6" : "IPv4");

/** Why connect() tries an address at this position. Empty if the resolver's order explains it. */
function positionReasons(
  attemptIndex: number,
  resolverIndex: number,
  family: number,
  lastFamily: number | undefined,
): string[] {
  if (attemptIndex >= MAX_ATTEMPTS) return [`connect tries ${MAX_ATTEMPTS} addresses at most`];
  if (lastFamily !== undefined && lastFamily !== family)
    return [`the turn of ${nameOf(family)} after ${nameOf(lastFamily)}`];
  return resolverIndex === attemptIndex ? [] : [`no address of the other family is left`];
}

/** Why the resolver returned the address at this index before the next one. */
function resolverOrder(candidates: readonly Candidate[], index: number): string {
  if (candidates.length === 1) return "the only address";
  const next = candidates[index + 1];
  if (next === undefined) return "the resolver's last";
  return `${index === 0 ? "the resolver's first, " : ""}${explainOrder(candidates[index]!, next)}`;
}
