// Happy Eyeballs, version 2 (RFC 8305): the order and the times of the attempts to connect to a host.
//
// A host may have addresses of both families, IPv4 and IPv6, and some of them may not answer. connect(2) to a silent
// address waits for minutes. So the attempts start one after the other with a short delay, and run at the same time.
// The first connection wins, and the other attempts are cancelled. The algorithm, with the sections of the RFC in
// parentheses:
//
// - If each family has its own lookup, both lookups start at the same time, IPv6 first (3). The answer for IPv6 starts
//   the first attempt at once. If the answer for IPv4 comes first, the race waits for the answer for IPv6, at most for
//   the resolution delay. An answer for IPv6 without addresses ends this wait. Addresses of a later answer are appended
//   to those that have no attempt yet.
// - If one lookup returns both families, its answer starts the first attempt. The system's resolver sorts both families
//   together, by RFC 6724 and gai.conf(5) (4), but only if one lookup requests both.
// - Within a family, the order is that of the resolver (4).
// - The families take turns: the "First Address Family Count" of the RFC is 1 (4). If each family has its own lookup,
//   IPv6 has the first turn. Otherwise the family of the first address has the first turn.
// - The next attempt starts when one has failed, or after the connection attempt delay (5). The RFC recommends 250 ms,
//   with bounds of 10 ms and 2 s (8).
//
// Two parts of the RFC are left out. Sorting by earlier round-trip times (4) would need a store of these times. Address
// synthesis for NAT64 (7) is a task of the system's resolver.
//
// This file uses no socket and no resolver. The caller passes functions that use them, and the clock.

import type { Clock } from "../wait/clock.js";
import { rejection } from "../wait/rejection.js";

/** An attempt that has started. */
export interface Attempt<C> {
  /** Resolves with the connection. */
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
  /**
   * Makes the error of a race without a winner, from the errors of its lookups and attempts. The errors of the attempts
   * are in the order of the attempts.
   */
  combineErrors(lookupErrors: readonly unknown[], attemptErrors: readonly unknown[]): unknown;
}

/** The delays in ms, and the maximum number of attempts. */
export interface RaceLimits {
  readonly resolutionDelay: number;
  readonly attemptDelay: number;
  readonly maxAttempts: number;
}

/** An address to which an attempt was started. `failure` has the error of the attempt; absent until it fails. */
export interface AttemptState<A> {
  readonly address: A;
  readonly failure?: { readonly error: unknown };
}

interface StartedAttempt<A, C> extends AttemptState<A> {
  readonly attempt: Attempt<C>;
  failure?: { readonly error: unknown };
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
  /** Whether the lookup of the preferred family has returned. */
  #preferredAnswered = false;
  readonly #lookupErrors: unknown[] = [];
  /** The number of lookups that have not returned. */
  #pendingLookups: number;
  /** Whether the wait before the first attempt is over. */
  #waitIsOver = false;

  readonly #attempts: StartedAttempt<A, C>[] = [];
  #runningAttempts = 0;
  #lastFamily: number | undefined;
  /** Whether the next answer of a lookup starts an attempt at once, because no address is left. */
  #startsAtNextAnswer = false;
  /** The timer of the resolution delay; after the first attempt, that of the attempt delay. */
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
    if (this.#end()) this.#resolve(rejection(error));
  }

  /** Stores the addresses of an answer, and starts an attempt if the race waits for this answer. */
  #addAnswer(family: number, addresses: readonly A[]): void {
    if (this.#ended) return;
    this.#pendingLookups--;
    for (const address of addresses) {
      // The answer of a lookup of AF_UNSPEC has addresses of both families.
      const addressFamily = this.#operations.familyOf(address);
      const untried = this.#untried.get(addressFamily);
      if (untried === undefined) this.#untried.set(addressFamily, [address]);
      else untried.push(address);
    }
    if (family === this.#operations.families[0]) this.#preferredAnswered = true;
    if (this.#waitIsOver) {
      if (this.#startsAtNextAnswer) this.#startNext();
      return;
    }
    if (this.#preferredAnswered || this.#pendingLookups === 0) this.#startFirst();
    else if (addresses.length > 0 && this.#timer === undefined) {
      this.#timer = this.#clock.setTimeout(() => this.#startFirst(), this.#limits.resolutionDelay);
    }
  }

  /** Starts the first attempt, unless no address is known and a lookup is pending. */
  #startFirst(): void {
    // The answer for the preferred family had no addresses. The answer of the pending lookup calls this method again.
    if (this.#pendingLookups > 0 && this.#nextFamily() === undefined) return;
    this.#waitIsOver = true;
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

  /** Starts the next attempt. The race fails if there is no next attempt, none runs, and no answer can add one. */
  #startNext(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const limitReached = this.#attempts.length === this.#limits.maxAttempts;
    const family = limitReached ? undefined : this.#nextFamily();
    this.#startsAtNextAnswer = family === undefined;
    if (family === undefined) {
      const noAttemptFollows = limitReached || this.#pendingLookups === 0;
      if (noAttemptFollows && this.#runningAttempts === 0) this.#fail();
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
        // #end() returns false if the race has already ended. Then it has cancelled this attempt, which closes the
        // connection.
        if (this.#end(started)) this.#resolve(winner);
      },
      (error: unknown) => {
        started.failure = { error };
        this.#runningAttempts--;
        if (!this.#ended) this.#startNext();
      },
    );
  }

  #fail(): void {
    this.#end();
    const errors = this.#attempts.map(({ failure }) => failure?.error);
    this.#resolve(rejection(this.#operations.combineErrors(this.#lookupErrors, errors)));
  }

  /** Ends the race, and cancels all attempts except the winner. Returns false if the race has already ended. */
  #end(winner?: StartedAttempt<A, C>): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#clock.clearTimeout(this.#timer);
    for (const started of this.#attempts)
      if (started !== winner && started.failure === undefined) started.attempt.cancel();
    return true;
  }
}
