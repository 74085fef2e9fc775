// pending(): the calls that wait. Each part of the package that has waiting calls adds a source: a function that lists
// them. So the list works without the registry, which only adds the line of the program that made a call.

import { clock } from "../builtins.js";
import { describe, makeDescribable, Inspectable, type Description } from "./inspectable.js";
import { registry } from "./registry.js";

/** A waiting call, as a source lists it. */
export interface ListedCall {
  /** The name of the call. */
  readonly call: string;
  /** The object of the call. If its class is not describable, or the call has no object: a `Description`. */
  readonly object: object;
  /** The time at which the call began, in milliseconds of `clock()`. */
  readonly since: number;
  readonly keepsAlive: boolean;
  /** Identifies the call; see {@link Registry.addCall}. */
  readonly key: object;
}

type PendingSource = (list: (call: ListedCall) => void) => void;

const sources: PendingSource[] = [];

/** Adds a function that lists waiting calls. */
export function addPendingSource(source: PendingSource): void {
  sources.push(source);
}

/** The calls that wait, as the sources list them, in no particular order. */
export function listWaiting(): ListedCall[] {
  const found: ListedCall[] = [];
  for (const source of sources) source((call) => found.push(call));
  return found;
}

/** The fields of a {@link WaitingCall} in JSON. */
export interface WaitingCallDescription extends Description {
  readonly kind: "WaitingCall";
  readonly call: string;
  readonly object: Description;
  readonly since: number;
  readonly waited: number;
  readonly keepsAlive: boolean;
  readonly line: string | null;
}

/** A call that waits, as {@link pending} lists it. */
export class WaitingCall extends Inspectable<WaitingCallDescription> {
  /** The name of the call, as in its errors: `recv`, `accept`, `connect`, `getaddrinfo` and others. */
  readonly call: string;
  /** The object of the call: the fields that its `toJSON()` returns. */
  readonly object: Description;
  /** The time at which the call began, in milliseconds of `Date.now()`. */
  readonly since: number;
  /** How long the call has waited, in milliseconds. */
  readonly waited: number;
  /** Whether the call keeps the process alive: not after `unref()`. */
  readonly keepsAlive: boolean;
  /** The line of the program that made the call: file, line and column. Undefined if it was not recorded. */
  readonly line: string | undefined;

  static {
    makeDescribable<WaitingCall, WaitingCallDescription>(WaitingCall.prototype, "WaitingCall", (waiting) => {
      const { call, object, since, waited, keepsAlive, line = null } = waiting;
      return { call, object, since, waited, keepsAlive, line };
    });
  }

  /** @internal */
  constructor(listed: ListedCall, now: number, date: number) {
    // `now` is the time of clock(), and `date` that of Date.now().
    super();
    this.call = listed.call;
    this.object = describe(listed.object) ?? (listed.object as Description);
    this.waited = Math.max(0, Math.round(now - listed.since));
    this.since = Math.round(date - this.waited);
    this.keepsAlive = listed.keepsAlive;
    this.line = registry?.callOf(listed.key)?.line;
  }
}

/**
 * The calls of this thread that wait, the oldest first: on sockets, streams, listeners and UDP sockets, in `poll`,
 * `pump` and `forward`, and for the resolver. Calls that began in one millisecond are in any order. The list answers
 * the question "why does this process not end": each call with `keepsAlive` keeps the process alive. Each entry has the
 * object, the name of the call and its age; with {@link setTracing} also the line of the program that made the call.
 * Worker threads have a list of their own.
 *
 * @example
 * ```ts
 * import { pending, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * const received = left.recv(100);
 * for (const { call, object, keepsAlive } of pending()) console.log(call, object.kind, keepsAlive);
 * // prints: recv Socket true
 * right.close();
 * await received;
 * console.log(pending()); // prints: []
 * left.close();
 * ```
 */
export function pending(): WaitingCall[] {
  const found = listWaiting();
  const now = clock();
  const date = Date.now();
  found.sort((one, other) => one.since - other.since);
  return found.map((call) => new WaitingCall(call, now, date));
}
