// Tests TestClock, the time that tests control.

import assert from "node:assert/strict";
import { test } from "node:test";
import { socketpair } from "berkeley";
import { TestClock } from "./clock.js";
import { checkLeaks } from "./leaks.js";

checkLeaks();

test("advance() runs timers in the order of their times, and moves performance.now()", async () => {
  using clock = new TestClock();
  const start = performance.now();
  const seen: [string, number][] = [];
  setTimeout(() => seen.push(["late", performance.now() - start]), 20);
  setTimeout(() => seen.push(["early", performance.now() - start]), 10).unref();
  clearTimeout(setTimeout(() => seen.push(["cleared", 0]), 5));
  setTimeout(() => seen.push(["overflow", performance.now() - start]), 2 ** 40);
  await clock.advance(9);
  assert.deepEqual(seen, [["overflow", 1]]);
  await clock.advance(11);
  assert.deepEqual(seen, [
    ["overflow", 1],
    ["early", 10],
    ["late", 20],
  ]);
  assert.equal(performance.now() - start, 20);
  assert.equal(clock.pending, 0);
});

test("a deadline of the package passes when the test advances the time, and not before", async () => {
  using clock = new TestClock();
  const [left, right] = socketpair();
  let over = false;
  const call = left
    .recv(1, { timeout: 60_000 })
    .catch((error: unknown) => error)
    .finally(() => (over = true));
  await clock.advance(59_999);
  assert.equal(over, false);
  await clock.advance(1);
  assert.equal(over, true);
  assert.equal(((await call) as { code?: string }).code, "ETIMEDOUT");
  left.close();
  right.close();
});

test("a timer that is pending at disposal continues in the system's time, and can be cleared", async () => {
  const seen: string[] = [];
  const clock = new TestClock();
  const cleared = setTimeout(() => seen.push("cleared"), 1);
  const over = new Promise<void>((resolve) => void setTimeout(resolve, 2));
  clock[Symbol.dispose]();
  clearTimeout(cleared);
  assert.equal(clock.pending, 1);
  await over;
  assert.equal(clock.pending, 0);
  assert.deepEqual(seen, []);
});

test("disposal restores the time of the system", () => {
  const { setTimeout: timeout } = globalThis;
  const { now } = performance;
  {
    using clock = new TestClock();
    assert.notEqual(globalThis.setTimeout, timeout);
    assert.equal(clock.pending, 0);
  }
  assert.deepEqual([globalThis.setTimeout, performance.now], [timeout, now]);
});
