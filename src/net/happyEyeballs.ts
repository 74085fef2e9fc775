// Happy Eyeballs, version 2 (RFC 8305): the order and the times of the attempts to connect to a host.
//
// A host may have addresses of both families, and some of them may not answer. Then connect(2) waits for minutes. So
// the attempts start one after the other with a short delay, and run at the same time. The first connection wins, and
// the other attempts are cancelled. The algorithm, with the sections of the RFC:
//
// - If each family has its own lookup, both lookups start at the same time, IPv6 first (3). An answer for IPv6 starts
//   the first attempt at once. An earlier answer for IPv4 waits for it during the resolution delay; a negative answer
//   ends this wait. Addresses of a later answer are appended to the addresses without an attempt.
// - If one lookup has both families, its answer starts the first attempt. The system's resolver is used in this way,
//   because only then it sorts both families together, by RFC 6724 and gai.conf(5) (4).
// - Within a family, the order is that of the resolver (4).
// - The families take turns: the First Address Family Count is 1 (4). The first turn is that of IPv6 if each family has
//   its own lookup, and otherwise that of the family of the first address.
// - The next attempt starts when one has failed, or after the connection attempt delay (5). The RFC recommends 250 ms,
//   with bounds of 10 ms and 2 s (8).
//
// Two parts of the RFC are left out. Sorting by earlier round-trip times (4) would need a store of them. Address
// synthesis for NAT64 (7) is a task of the system's resolver.
//
// This file has no socket and no resolver. The caller passes functions for both, and the clock.

import type { Clock } from "../wait/clock.js";
import { rejection } from "../wait/rejection.js";

/** An attempt that has started. */
export interface Attempt<C> {
  readonly promise: Promise<C>;
  /** Ends the attempt, or closes its connection. */
  cancel(): void;
}

/** The functions that a race calls. `A` is an address, `C` a connection. */
export interface RaceOperations<A, C> {
  /** The families to look up, the preferred one first; `[AF_UNSPEC]` for one lookup of both. */
  readonly families: readonly number[];
  /** The addresses of a family, in order. If there are none, it returns an empty list or rejects. */
  lookup(family: number): Promise<readonly A[]>;
  familyOf(address: A): number;
  attempt(address: A): Attempt<C>;
  /** Makes the error of a race without a winner. The errors of attempts are in the order of their start. */
  combineErrors(lookups: readonly unknown[], attempts: readonly unknown[]): unknown;
}

/** The delays in ms, and the maximum number of attempts. */
export interface RaceLimits {
  readonly resolutionDelay: number;
  readonly attemptDelay: number;
  readonly maxAttempts: number;
}

/** An address with an attempt. `failed` has its error; it is absent while the attempt runs. */
export interface AttemptState<A> {
  readonly address: A;
  readonly failed?: { readonly error: unknown };
}

interface StartedAttempt<A, C> extends AttemptState<A> {
  readonly attempt: Attempt<C>;
  failed?: { readonly error: unknown };
}

/** One race. The constructor starts it; `result` resolves with the first connection. */
export class Race<A, C> {
  readonly result: Promise<C>;
  readonly #operations: RaceOperations<A, C>;
  readonly #limits: RaceLimits;
  readonly #clock: Clock;
  #resolve!: (winner: C | Promise<never>) => void;
  #over = false;

  /** Addresses without an attempt, by family; the preferred family comes first. */
  readonly #waiting = new Map<number, A[]>();
  #preferredAnswered = false;
  readonly #lookupErrors: unknown[] = [];
  #unanswered: number;
  /** The delay before the first attempt is over. */
  #begun = false;

  readonly #attempts: StartedAttempt<A, C>[] = [];
  #running = 0;
  #lastFamily: number | undefined;
  /** The next attempt is due, but no address is left. It starts when a lookup returns one. */
  #due = false;
  #timer: unknown;

  constructor(operations: RaceOperations<A, C>, limits: RaceLimits, clock: Clock) {
    this.#operations = operations;
    this.#limits = limits;
    this.#clock = clock;
    this.#unanswered = operations.families.length;
    if (operations.families.length > 1) for (const family of operations.families) this.#waiting.set(family, []);
    this.result = new Promise<C>((resolve) => (this.#resolve = resolve));
    for (const family of operations.families) {
      operations.lookup(family).then(
        (addresses) => this.#answered(family, addresses),
        (error: unknown) => {
          this.#lookupErrors.push(error);
          this.#answered(family, []);
        },
      );
    }
  }

  /** The attempts so far, in the order of their start. */
  get attempts(): readonly AttemptState<A>[] {
    return this.#attempts;
  }

  /** Ends the race with this error. */
  cancel(error: unknown): void {
    if (!this.#end()) return;
    this.#resolve(rejection(error));
  }

  #answered(family: number, addresses: readonly A[]): void {
    if (this.#over) return;
    this.#unanswered--;
    for (const address of addresses) {
      const of = this.#operations.familyOf(address);
      const known = this.#waiting.get(of);
      if (known === undefined) this.#waiting.set(of, [address]);
      else known.push(address);
    }
    if (family === this.#operations.families[0]) this.#preferredAnswered = true;
    if (this.#begun) {
      if (this.#due) this.#next();
      return;
    }
    if (this.#preferredAnswered || this.#unanswered === 0) this.#begin();
    else if (addresses.length > 0 && this.#timer === undefined) {
      this.#timer = this.#clock.setTimeout(() => this.#begin(), this.#limits.resolutionDelay);
    }
  }

  #begin(): void {
    // The preferred family has no addresses, and the other lookup is not finished.
    if (this.#unanswered > 0 && this.#available() === undefined) return;
    this.#begun = true;
    this.#next();
  }

  /** The family of the next attempt: another one than that of the last attempt, if it has addresses. */
  #available(): number | undefined {
    const ready = [...this.#waiting.keys()].filter((family) => this.#waiting.get(family)!.length > 0);
    return ready.find((family) => family !== this.#lastFamily) ?? ready[0];
  }

  #next(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const family = this.#attempts.length < this.#limits.maxAttempts ? this.#available() : undefined;
    this.#due = family === undefined;
    if (family === undefined) {
      const over = this.#attempts.length === this.#limits.maxAttempts || this.#unanswered === 0;
      if (over && this.#running === 0) this.#fail();
      return;
    }
    this.#lastFamily = family;
    this.#timer = this.#clock.setTimeout(() => this.#next(), this.#limits.attemptDelay);
    this.#run(this.#waiting.get(family)!.shift() as A);
  }

  #run(address: A): void {
    const attempt = this.#operations.attempt(address);
    const started: StartedAttempt<A, C> = { address, attempt };
    this.#attempts.push(started);
    this.#running++;
    attempt.promise.then(
      (winner) => {
        // If the race is over, cancel() has closed this connection.
        if (this.#end(started)) this.#resolve(winner);
      },
      (error: unknown) => {
        started.failed = { error };
        this.#running--;
        if (!this.#over) this.#next();
      },
    );
  }

  #fail(): void {
    this.#end();
    const errors = this.#attempts.map(({ failed }) => failed?.error);
    this.#resolve(rejection(this.#operations.combineErrors(this.#lookupErrors, errors)));
  }

  /** Cancels all attempts except the winner. Returns false if the race was over before. */
  #end(winner?: StartedAttempt<A, C>): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#clock.clearTimeout(this.#timer);
    for (const started of this.#attempts)
      if (started !== winner && started.failed === undefined) started.attempt.cancel();
    return true;
  }
}
