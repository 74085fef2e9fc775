// Runs the compiled tests with node's test runner, a process for each file; the exit status is the runner's.
//
//   npm test                                   all of them
//   npm test -- reactor/ addr/ipv4                  the files whose path contains one of these
//   npm test -- --test-name-pattern=octal      flags go to the runner
//   npm test -- --unpacked                     all against the compiled files, which is quicker to make
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
  // For each file: a test that waits for ever fails by name instead of holding the run.
  ["--test-timeout", "300000"],
].filter(([name]) => !flags.some((flag) => flag.startsWith(`${name}=`)));

const known = new Map();

/** Whether a compiled file imports an internal, itself or by way of the files of ours that it names. */
function importsInternals(path) {
  const before = known.get(path);
  if (before !== undefined) return before;
  // Of two files that name each other the first is still being looked at.
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

// A test of what users see runs against what users get. A test of an internal is in the folder of an inner room, or its
// name says so.
const innerRooms = /^test\/(addr|batch|cmsg|native|netdb|ops|options|reactor|sys)\//;
const disguised = testFiles().filter(
  (path) => !innerRooms.test(path) && !path.endsWith(".internals.test.js") && isInternal(path),
);
if (disguised.length > 0) {
  process.stderr.write(
    `test: these import internals ("#berkeley/..."), themselves or by way of a file of theirs: ${disguised.join(", ")}\n` +
      `test: import "berkeley" instead, or move what needs the internal to a file named *.internals.test.ts\n`,
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

/** Runs node's test runner in `cwd`; its exit status. */
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
    // Ctrl-C reaches the runner as well; it ends its children, then we follow.
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
