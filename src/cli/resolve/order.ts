// Sorts the addresses of a name as connect() attempts them (RFC 8305, section 4): the families alternate, and the
// family of the resolver's first address is first.

import { AF_INET6, Inet6Address, InetAddress, SOCK_DGRAM, Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import { type Candidate, explainOrder } from "./rules.js";

/** The default `attemptDelay` of connect() in ms. */
const ATTEMPT_DELAY = 250;
/** The default `maxAttempts` of connect(). */
const MAX_ATTEMPTS = 32;

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

interface Routed extends Candidate {
  readonly error?: string;
}

/** Finds the source address by connect(2) of a datagram socket, which sends nothing (RFC 6724, section 4). */
async function findRoute(address: HostAddress): Promise<Routed> {
  await using socket = new Socket(address.family, SOCK_DGRAM);
  try {
    // The port does not matter, but must not be 0.
    await socket.connect(
      address instanceof InetAddress ? [address.host, 9] : [address.host, 9, address.flowinfo, address.scopeid],
    );
    const source = socket.getsockname();
    return { address, source: source instanceof InetAddress || source instanceof Inet6Address ? source : undefined };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return { address, source: undefined, error: error.code };
  }
}

/**
 * The addresses in the order of connect(), with reasons. `found` is in the resolver's order. `literal` says whether the
 * name was an address itself.
 */
export async function orderAddresses(found: readonly HostAddress[], literal: boolean): Promise<Answer[]> {
  const candidates = await Promise.all(found.map(findRoute));
  /** The places of the remaining candidates, by family. */
  const remaining = new Map<number, number[]>();
  for (const [place, { address }] of candidates.entries()) {
    const same = remaining.get(address.family);
    if (same === undefined) remaining.set(address.family, [place]);
    else same.push(place);
  }
  const answers: Answer[] = [];
  let lastFamily: number | undefined;
  while (answers.length < candidates.length) {
    const families = [...remaining].filter(([, places]) => places.length > 0);
    const [family, places] = families.find(([one]) => one !== lastFamily) ?? families[0]!;
    const place = places.shift()!;
    const index = answers.length;
    const { address, source, error } = candidates[place]!;
    const isTried = index < MAX_ATTEMPTS;
    answers.push({
      attempt: isTried ? index + 1 : null,
      address: hostOf(address),
      family: nameOf(family),
      after: isTried ? index * ATTEMPT_DELAY : null,
      place: place + 1,
      source: source === undefined ? null : hostOf(source),
      ...(error === undefined ? {} : { error }),
      reason: [...turnReason(index, place, family, lastFamily), ...resolverReason(candidates, place, literal)].join(
        "; ",
      ),
    });
    lastFamily = family;
  }
  return answers;
}

const nameOf = (family: number): "IPv4" | "IPv6" => (family === AF_INET6 ? "IPv6" : "IPv4");

/** Why connect() tries the address at this position, if the resolver's answer has another address there. */
function turnReason(index: number, place: number, family: number, lastFamily: number | undefined): string[] {
  if (index >= MAX_ATTEMPTS) return [`connect tries ${MAX_ATTEMPTS} addresses at most`];
  if (lastFamily !== undefined && lastFamily !== family)
    return [`the turn of ${nameOf(family)} after ${nameOf(lastFamily)}`];
  return place === index ? [] : [`no address of the other family is left`];
}

/** Why the resolver returned the address at `place` before the next one. */
function resolverReason(candidates: readonly Candidate[], place: number, literal: boolean): string[] {
  if (literal) return ["an address, for which no resolver is asked"];
  if (candidates.length === 1) return ["the only address"];
  const next = candidates[place + 1];
  if (next === undefined) return ["the resolver's last"];
  const first = place === 0 ? "the resolver's first, " : "";
  return [`${first}${explainOrder(candidates[place]!, next)}`];
}
