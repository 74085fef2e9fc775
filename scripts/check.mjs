// The gate: the checks before a commit. It stops at the first failing step, with its exit status.
//
//   npm run check                      all steps
//   npm run check -- --without-tests   all steps but the tests
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const given = process.argv.slice(2);
const unknown = given.filter((word) => word !== "--without-tests");
if (unknown.length > 0) {
  process.stderr.write(`check: unknown argument ${JSON.stringify(unknown[0])}: only --without-tests is known\n`);
  process.exit(2);
}

// Set-up is first: it installs the tools of the other steps, and compiles the types that the linter reads.
const steps = [
  ["types and build", "scripts/setup.mjs"],
  ["format", "node_modules/oxfmt/bin/oxfmt", "--check"],
  ["lint", "node_modules/oxlint/bin/oxlint", "--type-aware", "--deny-warnings"],
  ["public surface", "scripts/surface.mjs", "--check"],
  ...(given.includes("--without-tests")
    ? []
    : [
        // A quick test, run before the others because its errors may take long to repair.
        ["layers", "scripts/test.mjs", "out/test/layers"],
        ["tests", "scripts/test.mjs"],
      ]),
];

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const began = performance.now();
for (const [name, ...command] of steps) {
  process.stdout.write(`check: ${name}\n`);
  const stepBegan = performance.now();
  const { status, signal, error } = spawnSync(process.execPath, command, { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    process.stderr.write(`check: ${name} failed after ${seconds(stepBegan)}: ${error?.message ?? signal ?? status}\n`);
    process.exit(status ?? 1);
  }
  process.stdout.write(`check: ${name} passed in ${seconds(stepBegan)}\n`);
}
process.stdout.write(`check: all ${steps.length} steps passed in ${seconds(began)}\n`);
