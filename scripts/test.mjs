// Runs the compiled tests with Node's test runner, which starts a process for each file. The exit status is that of the
// runner.
//
//   npm test                                   all tests
//   npm test -- reactor/ addr/ipv4             only the files whose path contains one of these
//   npm test -- --test-name-pattern=octal      passes a flag to the runner
//   npm test -- --unpacked                     runs all tests against the compiled files, without packing the package
//
// A test file that imports public entries only runs against the packed package (scripts/packed.mjs). The others test
// internals; they run against the compiled files, where "berkeley" and "#berkeley/..." are one copy.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { stage } from "./packed.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, "out");
const folder = join(out, "test");

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
let unpacked = false;
const given = process.argv.slice(2);
while (given.length > 0) {
  const word = given.shift();
  if (word === "--unpacked") unpacked = true;
  else if (!word.startsWith("-")) filters.push(word.replace(/^(\.\/)?(out\/)?/, "").replace(/\.ts$/, ".js"));
  else if (withValue.has(word) && given.length > 0) flags.push(`${word}=${given.shift()}`);
  else flags.push(word);
}

function testFiles() {
  try {
    return readdirSync(folder, { recursive: true })
      .filter((path) => path.endsWith(".test.js"))
      .map((path) => join("test", path))
      .toSorted();
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

const chosen = testFiles().filter((path) => filters.length === 0 || filters.some((part) => path.includes(part)));
if (chosen.length === 0) {
  const which = filters.length > 0 ? ` that matches ${filters.map((part) => JSON.stringify(part)).join(" or ")}` : "";
  process.stderr.write(`test: no test file${which} under ${relative(root, folder)}\n`);
  process.exit(1);
}

const defaults = [
  ["--test-reporter", "spec"],
  ["--test-concurrency", "2"],
  // In milliseconds, for each file. A test that never ends then fails, and its name is printed.
  ["--test-timeout", "300000"],
].filter(([name]) => !flags.some((flag) => flag.startsWith(`${name}=`)));

const known = new Map();

/** Whether a compiled file imports an internal: directly, or through a compiled file whose path is in its text. */
function importsInternals(path) {
  const before = known.get(path);
  if (before !== undefined) return before;
  // Ends the recursion when files import each other.
  known.set(path, false);
  const text = readFileSync(path, "utf8");
  const named = [...text.matchAll(/["']([\w./-]+\.js)["']/g)]
    .map((match) => resolve(dirname(path), match[1]))
    .filter((file) => file.startsWith(out + sep) && !file.startsWith(join(out, "lib") + sep) && existsSync(file));
  const result = /["']#berkeley\//.test(text) || named.some(importsInternals);
  known.set(path, result);
  return result;
}

const isInternal = (path) => importsInternals(join(out, path));

// Only tests in the folders of lower layers, and tests named *.internals.test.ts, may import internals. All other tests
// run against the packed package, as users have it.
const lowerLayers = /^test\/(addr|batch|cmsg|native|netdb|ops|options|reactor|sys)\//;
const misnamed = testFiles().filter(
  (path) => !lowerLayers.test(path) && !path.endsWith(".internals.test.js") && isInternal(path),
);
if (misnamed.length > 0) {
  process.stderr.write(
    `test: these files import internals ("#berkeley/..."), directly or through another file: ${misnamed.join(", ")}\n` +
      `test: import "berkeley" instead, or move the tests that need the internal to a file named *.internals.test.ts\n`,
  );
  process.exit(1);
}
const groups = [
  { what: "test the packed package", cwd: join(root, "packed"), files: chosen.filter((path) => !isInternal(path)) },
  { what: "test internals", cwd: out, files: chosen.filter(isInternal) },
];
if (unpacked) {
  for (const group of groups) group.cwd = out;
} else if (groups[0].files.length > 0) {
  try {
    stage();
  } catch (error) {
    process.stderr.write(`test: cannot make packed/: ${error.message}\n`);
    process.exit(1);
  }
}

/** Runs Node's test runner in `cwd`. Resolves with its exit status. */
function run({ cwd, files }) {
  return new Promise((settle) => {
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
      { cwd, stdio: "inherit" },
    );
    // The runner ends its children on these signals. This process ends after it.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => child.kill(signal));
    child.on("error", (error) => {
      process.stderr.write(`test: cannot run ${process.execPath}: ${error.message}\n`);
      settle(1);
    });
    child.on("close", (status, signal) => {
      if (signal !== null) process.stderr.write(`test: the runner was ended by ${signal}\n`);
      settle(status ?? 1);
    });
  });
}

let status = 0;
for (const group of groups) {
  if (group.files.length > 0) status = (await run(group)) || status;
}
process.stdout.write(
  `test: ${groups.map(({ what, files }) => `${files.length} files ${what}`).join(", ")}; node ${process.version}, ${
    status === 0 ? "all passed" : "some failed"
  }\n`,
);
process.exit(status);
