// Runs the checks that take too long for each change: npm run nightly [-- NAME...]
//
// All steps run, even after a failure. The last lines are the results.
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @type {readonly { name: string, args: readonly string[], env?: Record<string, string> }[]} */
const STEPS = [
  { name: "nodes", args: ["test:nodes", "--", "20", "22", "24", "26"] },
  { name: "thread", args: ["test", "--", "--unpacked"], env: { BERKELEY_POLLER: "thread" } },
  { name: "runtimes", args: ["test:runtimes", "--", "--install", "bun", "deno"] },
  { name: "arm64", args: ["test:arm64"] },
  { name: "musl", args: ["test:musl"] },
  { name: "sanitize", args: ["test:sanitize"] },
  { name: "coverage", args: ["coverage"] },
  { name: "random", args: ["test", "--", "socket/randomSteps"], env: { BERKELEY_STEPS: "5000000" } },
  { name: "soak", args: ["soak"] },
];

const given = process.argv.slice(2);
const unknown = given.find((name) => !STEPS.some((step) => step.name === name));
if (unknown !== undefined) {
  const names = STEPS.map(({ name }) => name).join(", ");
  process.stderr.write(`nightly: Cannot run ${JSON.stringify(unknown)}: required ${names}\n`);
  process.exit(2);
}

const results = STEPS.filter(({ name }) => given.length === 0 || given.includes(name)).map(({ name, args, env }) => {
  process.stdout.write(`nightly: ${name}\n`);
  const began = performance.now();
  const settings = { cwd: root, env: { ...process.env, ...env }, stdio: /** @type {const} */ ("inherit") };
  const passed = spawnSync("npm", ["run", ...args], settings).status === 0;
  return { name, passed, seconds: Math.round((performance.now() - began) / 1000) };
});
for (const { name, passed, seconds } of results) {
  process.stdout.write(`nightly: ${name} ${passed ? "passed" : "failed"} in ${seconds} s\n`);
}
process.exit(results.every(({ passed }) => passed) ? 0 : 1);
