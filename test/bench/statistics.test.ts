import assert from "node:assert/strict";
import { test } from "node:test";

import { median, pairedRatio, summarize } from "../../bench/lib/statistics.js";

test("median() takes the middle of an odd count, in any order", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 9, 2]), 9);
});

test("median() takes the mean of the middle two of an even count", () => {
  assert.equal(median([4, 1, 3, 100]), 3.5);
});

test("median() leaves its argument as it was", () => {
  const values = [3, 1, 2];
  median(values);
  assert.deepEqual(values, [3, 1, 2]);
});

test("median() refuses no values", () => {
  assert.throws(() => median([]), RangeError);
});

test("summarize() gives the median and both ends", () => {
  assert.deepEqual(summarize([7, 3, 5]), { median: 5, least: 3, most: 7 });
});

test("pairedRatio() compares within a round, so a slow round cancels", () => {
  assert.equal(pairedRatio([2, 20, 2], [1, 10, 1]), 2);
  assert.equal(pairedRatio([1, 2, 9], [2, 2, 3]), 1);
});

test("pairedRatio() refuses unequal counts", () => {
  assert.throws(() => pairedRatio([1, 2], [1]), /found 1 and 2/);
});
