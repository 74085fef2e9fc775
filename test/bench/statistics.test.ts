import assert from "node:assert/strict";
import { test } from "node:test";

import { bootstrapInterval, inRounds, median, paired, seededRandom, summarize } from "../../bench/lib/statistics.js";

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

test("paired() compares within a turn, so a slow turn cancels", () => {
  assert.deepEqual(paired([2, 20, 2], [1, 10, 1], "ratio"), [2, 2, 2]);
  assert.deepEqual(paired([2, 20, 2], [1, 10, 3], "difference"), [1, 10, -1]);
});

test("paired() refuses unequal counts", () => {
  assert.throws(() => paired([1, 2], [1], "ratio"), /found 1 and 2/);
});

test("inRounds() keeps the turns of a round together and in order", () => {
  assert.deepEqual(inRounds([1, 2, 3, 4, 5, 6], 3), [
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
  assert.throws(() => inRounds([1, 2, 3], 2), /found 3 in 2/);
  assert.throws(() => inRounds([], 2), RangeError);
});

test("seededRandom() yields the same numbers for the same seed, spread evenly from 0 up to 1", () => {
  const draw = (seed: number): number[] => Array.from({ length: 20_000 }, seededRandom(seed));
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
  const numbers = draw(7);
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  const tenths = Array.from({ length: 10 }, (_, tenth) =>
    numbers.filter((number) => Math.floor(number * 10) === tenth),
  );
  // 2000 are expected in each, with a standard deviation of 42.
  for (const { length } of tenths) assert.ok(Math.abs(length - 2000) < 250, `${length} of 20000 in a tenth`);
  // Neighbours must be independent, or a resample would repeat patterns: the mean of their product is a quarter.
  const products = numbers.slice(1).map((number, i) => number * (numbers[i] as number));
  assert.ok(Math.abs(products.reduce((sum, product) => sum + product, 0) / products.length - 0.25) < 0.01);
});

test("bootstrapInterval() has the same ends for the same seed", () => {
  const rounds = [[1], [2], [3], [4], [5], [6], [7]];
  assert.deepEqual(bootstrapInterval(rounds, 1), bootstrapInterval(rounds, 1));
});

test("bootstrapInterval() lies around the median and within the values", () => {
  const rounds = Array.from({ length: 21 }, (_, i) => [i]);
  const [low, high] = bootstrapInterval(rounds, 1)!;
  // By the binomial distribution the 95 % interval of the median of 21 values goes from the 6th to the 16th.
  assert.ok(low >= 4 && low <= 7, `low end ${low}`);
  assert.ok(high >= 13 && high <= 16, `high end ${high}`);
});

test("bootstrapInterval() is a point if all rounds are equal, even if the turns in a round are not", () => {
  assert.deepEqual(
    bootstrapInterval(
      [
        [1, 2, 3],
        [3, 2, 1],
        [2, 1, 3],
      ],
      1,
    ),
    [2, 2],
  );
});

test("bootstrapInterval() draws whole rounds: turns that repeat their round do not make it narrower", () => {
  const values = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const once = bootstrapInterval(
    values.map((value) => [value]),
    3,
  );
  const four = bootstrapInterval(
    values.map((value) => [value, value, value, value]),
    3,
  );
  assert.deepEqual(four, once);
});

test("bootstrapInterval() holds the true median of about 95 of 100 measurements", () => {
  const random = seededRandom(5);
  let held = 0;
  for (let measurement = 0; measurement < 200; measurement++) {
    const rounds = Array.from({ length: 15 }, () => [random() + random() + random()]);
    const [low, high] = bootstrapInterval(rounds, measurement + 1)!;
    if (low <= 1.5 && 1.5 <= high) held++;
  }
  assert.ok(held >= 180 && held <= 200, `${held} of 200`);
});

test("bootstrapInterval() has none for one round", () => {
  assert.equal(bootstrapInterval([[1, 2, 3, 4]], 1), undefined);
});
