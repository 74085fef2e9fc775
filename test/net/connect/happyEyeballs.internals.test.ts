// The order of events in RFC 8305, on a test clock: which address is tried, when, and how the attempt ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "berkeley/testing";
import { type Attempt, type RaceLimits, Race } from "#berkeley/net/happyEyeballs.js";

const SIX = 6;
const FOUR = 4;
const PACE: RaceLimits = { resolutionDelay: 50, attemptDelay: 250, maxAttempts: 32 };

class Track implements Attempt<string> {
  readonly promise: Promise<string>;
  cancelled = false;
  resolve!: (winner: string) => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  cancel(): void {
    this.cancelled = true;
  }
}

/** A race whose lookups and attempts the test answers by hand. `log` has what was begun, with its time. */
class Meeting {
  readonly clock = new FakeClock();
  readonly log: string[] = [];
  readonly tracks = new Map<string, Track>();
  readonly race: Race<string, string>;
  readonly #answers = new Map<number, { resolve(list: string[]): void; reject(error: unknown): void }>();
  outcome: string | undefined;

  constructor(pace: Partial<RaceLimits> = {}, families: readonly number[] = [SIX, FOUR]) {
    this.race = new Race<string, string>(
      {
        families,
        lookup: (family) => {
          this.log.push(`${this.clock.now()} lookup ${family}`);
          return new Promise((resolve, reject) => this.#answers.set(family, { resolve, reject }));
        },
        familyOf: (address) => Number(address.at(-1)),
        attempt: (address) => {
          this.log.push(`${this.clock.now()} ${address}`);
          const track = new Track();
          this.tracks.set(address, track);
          return track;
        },
        combineErrors: (lookups, attempts) => new Error(`lookups: ${lookups.join()}; attempts: ${attempts.join()}`),
      },
      { ...PACE, ...pace },
      this.clock,
    );
    this.race.result.then(
      (winner) => (this.outcome = winner),
      (error: Error) => (this.outcome = `failed with ${error.message}`),
    );
  }

  async answer(family: number, ...addresses: string[]): Promise<void> {
    this.#answers.get(family)!.resolve(addresses);
    await this.clock.advance(0);
  }

  async refuse(family: number, error: string): Promise<void> {
    this.#answers.get(family)!.reject(error);
    await this.clock.advance(0);
  }

  async fail(address: string, error = "refused"): Promise<void> {
    this.tracks.get(address)!.reject(error);
    await this.clock.advance(0);
  }

  async succeed(address: string): Promise<void> {
    this.tracks.get(address)!.resolve(address);
    await this.clock.advance(0);
  }

  /** What was begun, lookups left out. */
  get begun(): string[] {
    return this.log.filter((line) => !line.includes("lookup"));
  }
}

test("Race looks up both families at once, the preferred one first", () => {
  assert.deepEqual(new Meeting().log, ["0 lookup 6", "0 lookup 4"]);
});

test("Race keeps the order of one answer for both families, but has the families take turns", async () => {
  const meeting = new Meeting({ attemptDelay: 100 }, [0]);
  assert.deepEqual(meeting.log, ["0 lookup 0"]);
  await meeting.answer(0, "a4", "b4", "c6", "d4", "e6");
  await meeting.clock.advance(400);
  assert.deepEqual(meeting.begun, ["0 a4", "100 c6", "200 b4", "300 e6", "400 d4"]);
  await meeting.succeed("d4");
  assert.equal(meeting.outcome, "d4");
});

test("Race fails at once when one answer for both families has no address", async () => {
  const meeting = new Meeting({}, [0]);
  await meeting.answer(0);
  assert.equal(meeting.outcome, "failed with lookups: ; attempts: ");
});

test("Race begins with IPv6 as soon as that is answered", async () => {
  const meeting = new Meeting();
  await meeting.clock.advance(10);
  await meeting.answer(SIX, "a6");
  assert.deepEqual(meeting.begun, ["10 a6"]);
  await meeting.succeed("a6");
  assert.equal(meeting.outcome, "a6");
  assert.equal(meeting.clock.pending, 0);
});

test("Race has IPv4 wait for IPv6 until the resolution delay is over", async () => {
  const meeting = new Meeting();
  await meeting.clock.advance(5);
  await meeting.answer(FOUR, "a4", "b4");
  await meeting.clock.advance(49);
  assert.deepEqual(meeting.begun, []);
  await meeting.clock.advance(1);
  assert.deepEqual(meeting.begun, ["55 a4"]);
});

test("Race takes IPv6 first when it is answered within the resolution delay", async () => {
  const meeting = new Meeting();
  await meeting.answer(FOUR, "a4");
  await meeting.clock.advance(49);
  await meeting.answer(SIX, "a6");
  assert.deepEqual(meeting.begun, ["49 a6"]);
  await meeting.clock.advance(250);
  assert.deepEqual(meeting.begun, ["49 a6", "299 a4"]);
});

test("Race ends the resolution delay when there is no IPv6", async () => {
  for (const negative of [(m: Meeting) => m.answer(SIX), (m: Meeting) => m.refuse(SIX, "no data")]) {
    const meeting = new Meeting();
    await meeting.answer(FOUR, "a4");
    await meeting.clock.advance(20);
    await negative(meeting);
    assert.deepEqual(meeting.begun, ["20 a4"]);
  }
});

test("Race begins with IPv4 at once when IPv6 was answered without addresses before", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX);
  assert.deepEqual(meeting.begun, []);
  await meeting.clock.advance(500);
  await meeting.answer(FOUR, "a4");
  assert.deepEqual(meeting.begun, ["500 a4"]);
});

test("Race alternates between the families, each in the resolver's order", async () => {
  const meeting = new Meeting();
  await meeting.answer(FOUR, "a4", "b4", "c4", "d4");
  await meeting.answer(SIX, "a6", "b6");
  await meeting.clock.advance(250 * 6);
  assert.deepEqual(meeting.begun, ["0 a6", "250 a4", "500 b6", "750 b4", "1000 c4", "1250 d4"]);
});

test("Race puts addresses that come later among those that were not tried", async () => {
  const meeting = new Meeting();
  await meeting.answer(FOUR, "a4", "b4", "c4");
  await meeting.clock.advance(50);
  await meeting.clock.advance(100);
  await meeting.answer(SIX, "a6", "b6");
  await meeting.clock.advance(250 * 4);
  assert.deepEqual(meeting.begun, ["50 a4", "300 a6", "550 b4", "800 b6", "1050 c4"]);
});

test("Race continues a slow attempt while the next one starts, and closes it when that one wins", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "slow6");
  await meeting.answer(FOUR, "a4");
  await meeting.clock.advance(249);
  assert.deepEqual(meeting.begun, ["0 slow6"]);
  await meeting.clock.advance(1);
  assert.deepEqual(meeting.begun, ["0 slow6", "250 a4"]);
  assert.equal(meeting.tracks.get("slow6")!.cancelled, false);
  await meeting.succeed("a4");
  assert.equal(meeting.outcome, "a4");
  assert.equal(meeting.tracks.get("slow6")!.cancelled, true);
  assert.equal(meeting.tracks.get("a4")!.cancelled, false);
  assert.equal(meeting.clock.pending, 0);
});

test("an early attempt can win the Race after a later one has begun", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "slow6");
  await meeting.answer(FOUR, "a4");
  await meeting.clock.advance(260);
  await meeting.succeed("slow6");
  assert.equal(meeting.outcome, "slow6");
  assert.equal(meeting.tracks.get("a4")!.cancelled, true);
});

test("Race closes an attempt that succeeds when another has won already", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6");
  await meeting.answer(FOUR, "a4");
  await meeting.clock.advance(250);
  // Both in one turn.
  meeting.tracks.get("a4")!.resolve("a4");
  await meeting.succeed("a6");
  assert.equal(meeting.outcome, "a4");
  assert.equal(meeting.tracks.get("a6")!.cancelled, true);
});

test("Race starts the next attempt at once when one fails, and counts the delay from there", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6", "b6");
  await meeting.answer(FOUR, "a4", "b4");
  await meeting.clock.advance(100);
  await meeting.fail("a6");
  await meeting.clock.advance(249);
  assert.deepEqual(meeting.begun, ["0 a6", "100 a4"]);
  await meeting.clock.advance(1);
  assert.deepEqual(meeting.begun, ["0 a6", "100 a4", "350 b6"]);
  await meeting.fail("a4");
  assert.deepEqual(meeting.begun, ["0 a6", "100 a4", "350 b6", "350 b4"]);
});

test("Race starts an attempt that was due as soon as there is an address for it", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6");
  await meeting.fail("a6");
  await meeting.clock.advance(1000);
  assert.equal(meeting.outcome, undefined);
  await meeting.answer(FOUR, "a4");
  assert.deepEqual(meeting.begun, ["0 a6", "1000 a4"]);
  await meeting.succeed("a4");
  assert.equal(meeting.outcome, "a4");
});

test("Race fails with the errors of all attempts in the order of their beginning", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6");
  await meeting.answer(FOUR, "a4");
  await meeting.clock.advance(250);
  await meeting.fail("a4", "second");
  assert.equal(meeting.outcome, undefined);
  await meeting.fail("a6", "first");
  assert.equal(meeting.outcome, "failed with lookups: ; attempts: first,second");
  assert.equal(meeting.clock.pending, 0);
});

test("Race fails when no lookup finds anything, and not before the last", async () => {
  const meeting = new Meeting();
  await meeting.refuse(FOUR, "no data");
  assert.equal(meeting.outcome, undefined);
  await meeting.refuse(SIX, "no name");
  assert.equal(meeting.outcome, "failed with lookups: no data,no name; attempts: ");

  const empty = new Meeting();
  await empty.answer(SIX);
  await empty.answer(FOUR);
  assert.equal(empty.outcome, "failed with lookups: ; attempts: ");
});

test("Race waits for a pending lookup when all attempts so far have failed", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6");
  await meeting.fail("a6");
  assert.equal(meeting.outcome, undefined);
  await meeting.refuse(FOUR, "try again");
  assert.equal(meeting.outcome, "failed with lookups: try again; attempts: refused");
});

test("Race tries no more addresses than it may", async () => {
  const meeting = new Meeting({ maxAttempts: 2 });
  await meeting.answer(SIX, "a6", "b6", "c6");
  await meeting.clock.advance(10_000);
  assert.deepEqual(meeting.begun, ["0 a6", "250 b6"]);
  await meeting.fail("a6");
  assert.equal(meeting.outcome, undefined);
  await meeting.fail("b6");
  assert.match(String(meeting.outcome), /attempts: refused,refused/);
});

test("cancel() closes the pending attempts, begins no more and rejects with its own error", async () => {
  const meeting = new Meeting();
  await meeting.answer(SIX, "a6", "b6");
  await meeting.clock.advance(250);
  await meeting.fail("a6");
  meeting.race.cancel(new Error("late"));
  await meeting.clock.advance(1000);
  await meeting.answer(FOUR, "a4");
  assert.equal(meeting.outcome, "failed with late");
  assert.deepEqual(meeting.begun, ["0 a6", "250 b6"]);
  assert.equal(meeting.tracks.get("b6")!.cancelled, true);
  assert.equal(meeting.tracks.get("a6")!.cancelled, false, "it had ended by itself");
  assert.deepEqual(
    meeting.race.attempts.map(({ address, failure }) => [address, failure?.error]),
    [
      ["a6", "refused"],
      ["b6", undefined],
    ],
  );
  assert.equal(meeting.clock.pending, 0);
});

test("Race with one family waits for no other", async () => {
  const meeting = new Meeting({}, [FOUR]);
  await meeting.answer(FOUR, "a4", "b4");
  await meeting.clock.advance(250);
  assert.deepEqual(meeting.begun, ["0 a4", "250 b4"]);
});
