// Tests the seeds of random tests: the fixed ones, a fresh one, and the one in BERKELEY_SEED.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "./leaks.js";
import { freshSeed, seeded, seedsFor, withSeed } from "./random.js";
import { Program } from "./program.js";

checkLeaks();

function draw(seed: number): number[] {
  const random = seeded(seed);
  return Array.from({ length: 20 }, () => random(1000));
}

/** Runs `body` with BERKELEY_SEED as given. */
async function withEnvironment(seed: string | undefined, body: () => void | Promise<void>): Promise<void> {
  const before = process.env["BERKELEY_SEED"];
  const set = (value: string | undefined): void => {
    if (value === undefined) delete process.env["BERKELEY_SEED"];
    else process.env["BERKELEY_SEED"] = value;
  };
  set(seed);
  try {
    await body();
  } finally {
    set(before);
  }
}

test("a seed gives the same numbers again, and another seed gives others", () => {
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test("seedsFor() adds a fresh seed to the fixed ones", async () => {
  await withEnvironment(undefined, () => {
    const [one, two] = [seedsFor([4, 44]), seedsFor([4, 44])];
    assert.deepEqual([one.length, one.slice(0, 2), two.slice(0, 2)], [3, [4, 44], [4, 44]]);
    // Two equal seeds of 32 bits in eight draws are as good as impossible.
    assert.equal(new Set(Array.from({ length: 8 }, freshSeed)).size, 8);
    assert.notEqual(one[2], two[2]);
  });
});

test("BERKELEY_SEED replaces all seeds, and is refused if it is not a whole number", async () => {
  await withEnvironment("123", () => assert.deepEqual(seedsFor([4, 44]), [123]));
  await withEnvironment("x", () => assert.throws(() => seedsFor([4]), RangeError));
});

test("the error of a random test names the seed, and has the test's own error as its cause", async () => {
  const own = new Error("two names, one string");
  await assert.rejects(
    withSeed(99, () => {
      throw own;
    }),
    { message: "seed 99 (BERKELEY_SEED=99 repeats it): two names, one string", cause: own },
  );
});

test("the output of a random test names a fresh seed, when it passes and when it fails", async () => {
  const random = new URL("./random.js", import.meta.url).href;
  const source = `
    import { testSeeds } from ${JSON.stringify(random)};
    testSeeds("passes", [], () => {});
    testSeeds("fails", [], () => { throw new Error("broken"); });`;
  const env = { BERKELEY_SEED: "" };
  await using program = Program.node(["--input-type=module", "--eval", source], { env });
  const { status, stdout } = await program.ended;
  assert.equal(status, 1, stdout);
  assert.equal(new Set(stdout.match(/(?<=# seed |ℹ seed )\d+/g)).size, 2, stdout);
  const [, seed, again] = /seed (\d+) \(BERKELEY_SEED=(\d+) repeats it\): broken/.exec(stdout) ?? [];
  assert.ok(seed !== undefined && seed === again, stdout);
});
