// Happy Eyeballs, version 2 (RFC 8305): the order and the times of the attempts to connect to a host.
//
// A host may have addresses of both families, and perhaps some of them do not answer. connect(2) to a silent address
// waits for minutes. So the attempts start one after the other with a short delay, and run at the same time. The first
// connection wins, and the other attempts are cancelled. The algorithm, with the sections of the RFC:
//
// - If each family has its own lookup, both lookups start at the same time, IPv6 first (3). The answer for IPv6 starts
//   the first attempt at once. If the answer for IPv4 comes first, it waits for the answer for IPv6, at most for the
//   resolution delay. A negative answer for IPv6 ends this wait. Addresses of a later answer are appended to those that
//   have no attempt yet.
// - If one lookup returns both families, its answer starts the first attempt. The system's resolver is called in this
//   way, because only then does it sort both families together, by RFC 6724 and gai.conf(5) (4).
// - Within a family, the order is that of the resolver (4).
// - The families take turns: the First Address Family Count is 1 (4). If each family has its own lookup, IPv6 has the
//   first turn. Otherwise the family of the first address has it.
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
  /** Makes the error of a race without a winner. The errors of the attempts are in the order of the attempts. */
  combineErrors(lookups: readonly unknown[], attempts: readonly unknown[]): unknown;
}

/** The delays in ms, and the maximum number of attempts. */
export interface RaceLimits {
  readonly resolutionDelay: number;
  readonly attemptDelay: number;
  readonly maxAttempts: number;
}

/** An address to which an attempt was started. `failed` has the error of the attempt; absent until it fails. */
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
  #ended = false;

  /** Addresses without an attempt, by family; the preferred family comes first. */
  readonly #untried = new Map<number, A[]>();
  #preferredAnswered = false;
  readonly #lookupErrors: unknown[] = [];
  /** The number of lookups that have not returned. */
  #pendingLookups: number;
  /** Whether the wait before the first attempt is over. */
  #started = false;

  readonly #attempts: StartedAttempt<A, C>[] = [];
  #runningAttempts = 0;
  #lastFamily: number | undefined;
  /** Whether the next attempt starts as soon as a lookup returns an address, because no address is left. */
  #startsAtAnswer = false;
  /** The resolution delay before the first attempt, then the attempt delay. */
  #timer: unknown;

  constructor(operations: RaceOperations<A, C>, limits: RaceLimits, clock: Clock) {
    this.#operations = operations;
    this.#limits = limits;
    this.#clock = clock;
    this.#pendingLookups = operations.families.length;
    // Puts the preferred family first in the map, even if the answer for the other family comes first.
    if (operations.families.length > 1) for (const family of operations.families) this.#untried.set(family, []);
    this.result = new Promise<C>((resolve) => (this.#resolve = resolve));
    for (const family of operations.families) {
      operations.lookup(family).then(
        (addresses) => this.#addAnswer(family, addresses),
        (error: unknown) => {
          this.#lookupErrors.push(error);
          this.#addAnswer(family, []);
        },
      );
    }
  }

  /** The attempts so far, in the order of their start. */
  get attempts(): readonly AttemptState<A>[] {
    return this.#attempts;
  }

  /** Ends the race: cancels all attempts, and rejects `result` with this error. */
  cancel(error: unknown): void {
    if (!this.#end()) return;
    this.#resolve(rejection(error));
  }

  #addAnswer(family: number, addresses: readonly A[]): void {
    if (this.#ended) return;
    this.#pendingLookups--;
    for (const address of addresses) {
      // The answer of a lookup of both families has addresses of both.
      const addressFamily = this.#operations.familyOf(address);
      const untried = this.#untried.get(addressFamily);
      if (untried === undefined) this.#untried.set(addressFamily, [address]);
      else untried.push(address);
    }
    if (family === this.#operations.families[0]) this.#preferredAnswered = true;
    if (this.#started) {
      if (this.#startsAtAnswer) this.#startNext();
      return;
    }
    if (this.#preferredAnswered || this.#pendingLookups === 0) this.#startFirst();
    else if (addresses.length > 0 && this.#timer === undefined) {
      this.#timer = this.#clock.setTimeout(() => this.#startFirst(), this.#limits.resolutionDelay);
    }
  }

  /** Starts the first attempt, unless no address is known and a lookup is pending. */
  #startFirst(): void {
    // The preferred family has no addresses. The answer of the other lookup starts the first attempt.
    if (this.#pendingLookups > 0 && this.#nextFamily() === undefined) return;
    this.#started = true;
    this.#startNext();
  }

  /**
   * The family of the next attempt: another one than that of the last attempt, if possible. Undefined if no address is
   * left.
   */
  #nextFamily(): number | undefined {
    const families = [...this.#untried.keys()].filter((family) => this.#untried.get(family)!.length > 0);
    return families.find((family) => family !== this.#lastFamily) ?? families[0];
  }

  /** Starts the next attempt, or fails the race if no attempt runs and no address can come. */
  #startNext(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const family = this.#attempts.length < this.#limits.maxAttempts ? this.#nextFamily() : undefined;
    this.#startsAtAnswer = family === undefined;
    if (family === undefined) {
      const noneFollows = this.#attempts.length === this.#limits.maxAttempts || this.#pendingLookups === 0;
      if (noneFollows && this.#runningAttempts === 0) this.#fail();
      return;
    }
    this.#lastFamily = family;
    this.#timer = this.#clock.setTimeout(() => this.#startNext(), this.#limits.attemptDelay);
    this.#startAttempt(this.#untried.get(family)!.shift() as A);
  }

  #startAttempt(address: A): void {
    const attempt = this.#operations.attempt(address);
    const started: StartedAttempt<A, C> = { address, attempt };
    this.#attempts.push(started);
    this.#runningAttempts++;
    attempt.promise.then(
      (winner) => {
        // If the race has ended before, #end() has cancelled this attempt, which closes the connection.
        if (this.#end(started)) this.#resolve(winner);
      },
      (error: unknown) => {
        started.failed = { error };
        this.#runningAttempts--;
        if (!this.#ended) this.#startNext();
      },
    );
  }

  #fail(): void {
    this.#end();
    const errors = this.#attempts.map(({ failed }) => failed?.error);
    this.#resolve(rejection(this.#operations.combineErrors(this.#lookupErrors, errors)));
  }

  /** Ends the race, and cancels all attempts except the winner. Returns false if the race has already ended. */
  #end(winner?: StartedAttempt<A, C>): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#clock.clearTimeout(this.#timer);
    for (const started of this.#attempts)
      if (started !== winner && started.failed === undefined) started.attempt.cancel();
    return true;
  }
}
