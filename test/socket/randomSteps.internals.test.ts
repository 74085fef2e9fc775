// A million random steps over a few hundred descriptors. BERKELEY_SEED and BERKELEY_STEPS choose others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultReactor } from "#berkeley/reactor/index.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";
import { seeded, setting } from "../support/random.js";
import { RandomSteps } from "./randomSteps.js";

checkLeaks();

const seed = setting("BERKELEY_SEED", 20_250_101);
const steps = setting("BERKELEY_STEPS", 1_000_000);
const connections = 150;

test(`${steps} random steps: nothing reaches the wrong socket, nothing is lost, nothing leaks`, async (t) => {
  const rejections: unknown[] = [];
  const listen = (error: unknown): void => void rejections.push(error);
  process.on("unhandledRejection", listen);
  const before = openDescriptors();
  const began = performance.now();
  const model = new RandomSteps(seeded(seed), connections);
  try {
    await model.run(steps);
  } finally {
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    t.diagnostic(`seed ${seed}, ${steps} steps in ${seconds} s: ${JSON.stringify(model.counts)}`);
    process.off("unhandledRejection", listen);
  }
  assert.deepEqual(rejections, []);
  assert.equal(defaultReactor().waiting, 0, "calls that wait");
  assert.equal(defaultReactor().registered, 0, "registered descriptors");
  const left = [...openDescriptors()].filter(
    ([fd, target]) => before.get(fd) !== target && target.startsWith("socket:"),
  );
  assert.deepEqual(left, []);
  for (const [what, count] of Object.entries(model.counts)) assert.ok(count > steps / 10_000, `${what}: ${count}`);
});
