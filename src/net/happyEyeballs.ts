// Happy Eyeballs, version 2: RFC 8305. Which address of a host to try, and when.
//
// A host that is to be reached may have addresses of both families of which some do not answer, and a SYN without an answer
// costs minutes. So the addresses are attempts in a row with a short delay between them, all attempts go on until the first
// one succeeds, and the rest is closed. The algorithm, with the sections of the RFC:
//
// - Where each family is a question of its own, both are looked up at the same time, IPv6 first (3). The answer for IPv6 starts
//   the first attempt at once. One for IPv4 that comes before it waits for it, but no longer than the resolution delay; a
//   negative answer ends that wait. What is answered later joins the addresses that were not attempts yet.
// - Where one question has both families, the answer starts the first attempt. The system's resolver is asked so: only then does it
//   sort both families together, by RFC 6724 and by what the machine's owner has set in gai.conf(5) (4).
// - Within a family the order is the resolver's (4).
// - The families take turns: a First Address Family Count of 1 (4). The first turn has IPv6 where each family was a question of its
//   own, and otherwise the family of the first address.
// - An attempt is followed by the next when it has failed, or else after the connection attempt delay (5). The RFC asks
//   for 250 ms, and for 10 ms to 2 s as bounds (8).
//
// What is not done: the sorting of section 4 by round trip times of the past (nobody keeps them here), and the synthesis of
// addresses behind NAT64 (7), which systems that need it do in their resolver.
//
// Here is no socket and no resolver, only the order of events; both are handed in, and so is the clock.

import type { Clock } from "../wait/clock.js";

/** An attempt under way. */
export interface Attempt<C> {
  readonly promise: Promise<C>;
  /** Gives the attempt up, or closes what it has come to. */
  cancel(): void;
}

/** What is raced for. */
export interface RaceOperations<A, C> {
  /** The families that are looked up, the preferred one first; AF_UNSPEC for both in one question. */
  readonly families: readonly number[];
  /** The addresses of a family, in order; none is an empty list or a rejection. */
  lookup(family: number): Promise<readonly A[]>;
  familyOf(address: A): number;
  attempt(address: A): Attempt<C>;
  /** The error when no attempt is left: those of lookups, and those of attempts in the order of their beginning. */
  failure(lookups: readonly unknown[], attempts: readonly unknown[]): unknown;
}

/** The delays, in ms, and how many addresses are attempts at most. */
export interface RaceLimits {
  readonly resolutionDelay: number;
  readonly attemptDelay: number;
  readonly maxAttempts: number;
}

/** What became of an address that was attempts: its error, or none while the attempt goes on. */
export interface AttemptState<A> {
  readonly address: A;
  readonly failed?: { readonly error: unknown };
}

interface StartedAttempt<A, C> extends AttemptState<A> {
  readonly attempt: Attempt<C>;
  failed?: { readonly error: unknown };
}

/** One race. It begins at once; `result` is its winner. */
export class Race<A, C> {
  readonly result: Promise<C>;
  readonly #operations: RaceOperations<A, C>;
  readonly #limits: RaceLimits;
  readonly #clock: Clock;
  #resolve!: (winner: C) => void;
  #reject!: (error: unknown) => void;
  #over = false;

  /** Addresses that were not attempts, by family; the preferred family first. */
  readonly #waiting = new Map<number, A[]>();
  #preferredAnswered = false;
  readonly #lookupErrors: unknown[] = [];
  #unanswered: number;
  /** The first attempt has been made, or could be but for a lack of addresses. */
  #begun = false;

  readonly #attempts: StartedAttempt<A, C>[] = [];
  #running = 0;
  #lastFamily: number | undefined;
  /** The next attempt is due, but there was no address for it. */
  #due = false;
  #timer: unknown;

  constructor(operations: RaceOperations<A, C>, limits: RaceLimits, clock: Clock) {
    this.#operations = operations;
    this.#limits = limits;
    this.#clock = clock;
    this.#unanswered = operations.families.length;
    if (operations.families.length > 1) for (const family of operations.families) this.#waiting.set(family, []);
    this.result = new Promise<C>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
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

  /** What was attempts so far, in order. */
  get attempts(): readonly AttemptState<A>[] {
    return this.#attempts;
  }

  /** Ends the race without a winner. */
  cancel(error: unknown): void {
    if (!this.#end()) return;
    this.#reject(error);
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
    // The preferred family has nothing: without addresses of the other one there is nothing to begin with yet.
    if (this.#unanswered > 0 && this.#available() === undefined) return;
    this.#begun = true;
    this.#next();
  }

  /** The family that has the next turn: not that of the last attempt, if another has addresses. */
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
        // One that comes in when the race is over has been cancelled, and with that closed.
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
    this.#reject(this.#operations.failure(this.#lookupErrors, errors));
  }

  /** Stops everything but the winner; false when that was done before. */
  #end(winner?: StartedAttempt<A, C>): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#clock.clearTimeout(this.#timer);
    for (const started of this.#attempts)
      if (started !== winner && started.failed === undefined) started.attempt.cancel();
    return true;
  }
}
