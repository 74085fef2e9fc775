// The fake clock: timers run in the order of their times, and only when the clock is advanced.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("advance() runs the due timers in the order of their times, and equal times in the order of the calls", async () => {
  const clock = new FakeClock();
  const seen: string[] = [];
  clock.setTimeout(() => seen.push(`b ${clock.now()}`), 20);
  clock.setTimeout(() => seen.push(`a ${clock.now()}`), 10);
  clock.setTimeout(() => seen.push(`c ${clock.now()}`), 20);
  clock.setTimeout(() => seen.push("never"), 21);
  await clock.advance(20);
  assert.deepEqual(seen, ["a 10", "b 20", "c 20"]);
  assert.equal(clock.now(), 20);
  assert.equal(clock.pending, 1);
});

test("advance() runs timers that are set meanwhile, by timers and by code that awaits them", async () => {
  const clock = new FakeClock();
  const seen: number[] = [];
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => clock.setTimeout(resolve, ms));
  const work = (async () => {
    for (let round = 0; round < 3; round++) {
      await sleep(10);
      seen.push(clock.now());
    }
  })();
  await clock.advance(25);
  assert.deepEqual(seen, [10, 20]);
  await clock.advance(5);
  await work;
  assert.deepEqual(seen, [10, 20, 30]);
});

test("clearTimeout() cancels a timer", async () => {
  const clock = new FakeClock();
  let ran = false;
  clock.clearTimeout(clock.setTimeout(() => (ran = true), 5));
  await clock.advance(10);
  assert.equal(ran, false);
  assert.equal(clock.pending, 0);
});
