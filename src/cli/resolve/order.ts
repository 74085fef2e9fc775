// The addresses of a name in the order in which connect() tries them: RFC 8305, section 4. The families take turns, beginning with
// that of the resolver's first address.

import { AF_INET6, Inet6Address, InetAddress, SOCK_DGRAM, Socket, SocketError } from "berkeley";

import { type HostAddress, hostOf } from "../frame/hosts.js";
import { type Candidate, whyBefore } from "./rules.js";

/** ms from an attempt to the next, unless the attempt fails sooner: the default of connect(). */
const ATTEMPT_DELAY = 250;
/** Attempts at most: the default of connect(). */
const MAX_ATTEMPTS = 32;

export interface Answer {
  /** Which attempt of connect() it is, from 1; null when connect() would not come to it. */
  readonly attempt: number | null;
  readonly address: string;
  readonly family: "IPv4" | "IPv6";
  /** ms after the first attempt, when none fails or succeeds before; null without an attempt. */
  readonly after: number | null;
  /** Its place in the resolver's answer, from 1. */
  readonly place: number;
  /** The address that this machine would send from; null when it has no route. */
  readonly source: string | null;
  /** What connect(2) said of the route. */
  readonly error?: string;
  readonly reason: string;
}

interface Routed extends Candidate {
  readonly error?: string;
}

/** Asks the kernel for the source address, with a datagram socket that sends nothing: RFC 6724, section 4. */
async function route(address: HostAddress): Promise<Routed> {
  await using socket = new Socket(address.family, SOCK_DGRAM);
  try {
    // Any port will do, but 0 is refused.
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

/** @param found in the resolver's order */
export async function inOrder(found: readonly HostAddress[], literal: boolean): Promise<Answer[]> {
  const candidates = await Promise.all(found.map(route));
  const waiting = new Map<number, number[]>();
  for (const [place, { address }] of candidates.entries()) {
    const same = waiting.get(address.family);
    if (same === undefined) waiting.set(address.family, [place]);
    else same.push(place);
  }
  const answers: Answer[] = [];
  let last: number | undefined;
  while (answers.length < candidates.length) {
    const ready = [...waiting].filter(([, places]) => places.length > 0);
    const [family, places] = ready.find(([one]) => one !== last) ?? ready[0]!;
    const place = places.shift()!;
    const index = answers.length;
    const { address, source, error } = candidates[place]!;
    const tried = index < MAX_ATTEMPTS;
    answers.push({
      attempt: tried ? index + 1 : null,
      address: hostOf(address),
      family: nameOf(family),
      after: tried ? index * ATTEMPT_DELAY : null,
      place: place + 1,
      source: source === undefined ? null : hostOf(source),
      ...(error === undefined ? {} : { error }),
      reason: [...turn(index, place, family, last), ...rank(candidates, place, literal)].join("; "),
    });
    last = family;
  }
  return answers;
}

const nameOf = (family: number): "IPv4" | "IPv6" => (family === AF_INET6 ? "IPv6" : "IPv4");

/** What the turns of the families have to do with it. */
function turn(index: number, place: number, family: number, last: number | undefined): string[] {
  if (index >= MAX_ATTEMPTS) return [`connect tries ${MAX_ATTEMPTS} addresses at most`];
  if (last !== undefined && last !== family) return [`the turn of ${nameOf(family)} after ${nameOf(last)}`];
  return place === index ? [] : [`no address of the other family is left`];
}

/** Why the resolver has it before the next. */
function rank(candidates: readonly Candidate[], place: number, literal: boolean): string[] {
  if (literal) return ["an address, for which no resolver is asked"];
  if (candidates.length === 1) return ["the only address"];
  const next = candidates[place + 1];
  if (next === undefined) return ["the resolver's last"];
  const first = place === 0 ? "the resolver's first, " : "";
  return [`${first}${whyBefore(candidates[place]!, next)}`];
}
