// A million random steps over a few hundred descriptors. BERKELEY_STEPS chooses another number.

import assert from "node:assert/strict";
import { defaultReactor } from "#berkeley/reactor/index.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";
import { setting, testSeeds } from "../support/random.js";
import { RandomSteps } from "./randomSteps.js";

checkLeaks();

const all = setting("BERKELEY_STEPS", 1_000_000);
/** The seed that is kept and the fresh one share the steps. */
const steps = process.env["BERKELEY_SEED"] ? all : Math.ceil(all / 2);
const connections = 150;

testSeeds(
  `${steps} random steps: nothing reaches the wrong socket, nothing is lost, nothing leaks`,
  [20_250_101],
  async (random, _seed, t) => {
    const rejections: unknown[] = [];
    const listen = (error: unknown): void => void rejections.push(error);
    process.on("unhandledRejection", listen);
    const before = openDescriptors();
    const began = performance.now();
    const model = new RandomSteps(random, connections);
    try {
      await model.run(steps);
    } finally {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      t.diagnostic(`${steps} steps in ${seconds} s: ${JSON.stringify(model.counts)}`);
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
  },
);
