// Runs the compiled tests with node's test runner, a process for each file; the exit status is the runner's.
//
//   npm test                                   all of them
//   npm test -- fd/ addr/ipv4                  the files whose path contains one of these
//   npm test -- --test-name-pattern=octal      flags go to the runner
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "out", "test");

const withValue = new Set([
  "--test-concurrency",
  "--test-name-pattern",
  "--test-reporter",
  "--test-reporter-destination",
  "--test-shard",
  "--test-skip-pattern",
  "--test-timeout",
]);
const flags = [];
const filters = [];
const given = process.argv.slice(2);
while (given.length > 0) {
  const word = given.shift();
  if (!word.startsWith("-")) filters.push(word.replace(/^(\.\/)?(out\/)?/, "").replace(/\.ts$/, ".js"));
  else if (withValue.has(word) && given.length > 0) flags.push(`${word}=${given.shift()}`);
  else flags.push(word);
}

function testFiles() {
  try {
    return readdirSync(folder, { recursive: true })
      .filter((path) => path.endsWith(".test.js"))
      .map((path) => join("out", "test", path))
      .toSorted();
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

const files = testFiles().filter(
  (path) => filters.length === 0 || filters.some((part) => relative("out", path).includes(part)),
);
if (files.length === 0) {
  const which = filters.length > 0 ? ` that matches ${filters.map((part) => JSON.stringify(part)).join(" or ")}` : "";
  process.stderr.write(`test: no test file${which} under ${relative(root, folder)}\n`);
  process.exit(1);
}

const defaults = [
  ["--test-reporter", "spec"],
  ["--test-concurrency", "2"],
  // For each file: a test that waits for ever fails by name instead of holding the run.
  ["--test-timeout", "300000"],
].filter(([name]) => !flags.some((flag) => flag.startsWith(`${name}=`)));

const child = spawn(
  process.execPath,
  [
    "--expose-gc",
    "--unhandled-rejections=strict",
    "--test",
    ...defaults.map(([name, value]) => `${name}=${value}`),
    ...flags,
    ...files,
  ],
  { cwd: root, stdio: "inherit" },
);
// Ctrl-C reaches the runner as well; it ends its children, then we follow.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  process.stderr.write(`test: cannot run ${process.execPath}: ${error.message}\n`);
  process.exit(1);
});
child.on("close", (status, signal) => {
  if (signal !== null) process.stderr.write(`test: the runner was ended by ${signal}\n`);
  process.exit(status ?? 1);
});
