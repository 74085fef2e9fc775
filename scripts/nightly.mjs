// What takes too long for each change: npm run nightly [-- NAME...]
//
// Every step runs, whatever the others did; the last lines say how each ended.
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** [name, script of package.json with its arguments, variables of the environment] */
const STEPS = [
  ["nodes", ["test:nodes", "--", "20", "22", "24", "26"], {}],
  ["thread", ["test", "--", "--unpacked"], { BERKELEY_POLLER: "thread" }],
  ["runtimes", ["test:runtimes", "--", "--install", "bun", "deno"], {}],
  ["arm64", ["test:arm64"], {}],
  ["musl", ["test:musl"], {}],
  ["sanitize", ["test:sanitize"], {}],
  ["coverage", ["coverage"], {}],
  // The seed is another each time, and printed by the test.
  [
    "random",
    ["test", "--", "socket/randomSteps"],
    { BERKELEY_SEED: String(Date.now() % 2 ** 31), BERKELEY_STEPS: "5000000" },
  ],
];

const given = process.argv.slice(2);
const unknown = given.find((name) => !STEPS.some(([known]) => known === name));
if (unknown !== undefined) {
  const names = STEPS.map(([name]) => name).join(", ");
  process.stderr.write(`nightly: Cannot run ${JSON.stringify(unknown)}: required ${names}\n`);
  process.exit(2);
}

const results = STEPS.filter(([name]) => given.length === 0 || given.includes(name)).map(([name, args, env]) => {
  process.stdout.write(`nightly: ${name}\n`);
  const began = performance.now();
  const { status } = spawnSync("npm", ["run", ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
  return [name, status === 0, Math.round((performance.now() - began) / 1000)];
});
for (const [name, passed, seconds] of results) {
  process.stdout.write(`nightly: ${name} ${passed ? "passed" : "failed"} in ${seconds} s\n`);
}
process.exit(results.every(([, passed]) => passed) ? 0 : 1);
