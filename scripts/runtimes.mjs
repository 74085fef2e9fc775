// Runs the core tests under Bun and Deno, file by file. Counts the tests that pass, and checks that docs/platforms.md
// lists those that fail, with a reason.
//
//   npm run test:runtimes -- bun deno                all core tests under both
//   npm run test:runtimes -- deno socket/ reactor/   only the files whose path contains one of these
//   npm run test:runtimes -- bun --install           installs the runtime into out/runtimes first
//   npm run test:runtimes -- bun --limit=60          ends a file after this many seconds
//
// Each runtime has a test runner of its own, which runs tests that are written for node:test, and prints the result of
// each test. When a file crashes or takes too long, the results of its last tests are missing. This script then runs
// the file under Node for the names of its tests, and counts the missing ones as failed.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withoutPaths } from "./foreign.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tests = join(root, "out", "test");
const cache = join(root, "out", "runtimes");
const page = join(root, "docs", "platforms.md");

/**
 * The folders of test/ with the core tests: sockets, streams, UDP, endpoints, blocking sockets, and the layers below.
 */
const CORE = [
  "addr",
  "batch",
  "cmsg",
  "net",
  "netdb",
  "ops",
  "options",
  "reactor",
  "socket",
  "stream",
  "sync",
  "sys",
  "testing",
];
/** How many of the core tests must pass, in percent. */
const MIN_PERCENT = 95;

const packages = `${process.platform}-${process.arch}`;
const RUNTIMES = {
  bun: {
    title: "Bun",
    // The package "bun" only links the binary, in an install script. This package contains the binary.
    binaries: [`@oven/bun-${packages}/bin/bun`],
    command: (file) => ["test", "--timeout=60000", `--preload=${join(root, "scripts", "runtimes", "bun.mjs")}`, file],
    // A line has the names of the groups and of the test, with " > " between them.
    parse(line) {
      const found = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+ ?m?s\])?$/.exec(line);
      return found === null ? undefined : { name: found[2].split(" > ").at(-1), how: found[1] };
    },
    failed: (line) => line.startsWith("error: these are left after the last test"),
  },
  deno: {
    title: "Deno",
    binaries: [`@deno/${packages}-glibc/deno`],
    command: (file) => [
      "test",
      "--allow-all",
      "--no-check",
      "--v8-flags=--expose-gc",
      `--preload=${join(root, "scripts", "runtimes", "deno.mjs")}`,
      file,
    ],
    env: (binary) => ({ BERKELEY_DENO: denoForNode(binary) }),
    parse(line) {
      const found = /^\s*(.*) \.\.\. (ok|FAILED|ignored|cancelled)(?: .*)?$/.exec(line);
      if (found === null) return undefined;
      const how = { ok: "pass", ignored: "skip" }[found[2]] ?? "fail";
      return { name: found[1], how };
    },
    failed: (line) => /error: .*these are left after the last test/.test(line),
  },
};
const AFTER = "after the last test";

/** Writes a script that takes arguments of Node.js and starts Deno with the equivalent ones. Returns its path. */
function denoForNode(binary) {
  const path = join(cache, "deno-for-node");
  const script = `#!/bin/sh
deno='${binary}'
while [ $# -gt 0 ]; do
  case $1 in
    --input-type=* | --expose-gc | --unhandled-rejections=*) shift ;;
    -e | --eval) shift; exec "$deno" eval --v8-flags=--expose-gc "$@" ;;
    eval | run) exec "$deno" "$@" ;;
    -*) exec "$deno" "$@" ;;
    *) exec "$deno" run --allow-all --no-check --node-modules-dir=manual --v8-flags=--expose-gc "$@" ;;
  esac
done
exec "$deno"
`;
  mkdirSync(cache, { recursive: true });
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}

function fail(message) {
  process.stderr.write(`test:runtimes: ${message}\n`);
  process.exit(2);
}

const chosen = [];
const filters = [];
let install = false;
let limit = 120;
for (const word of process.argv.slice(2)) {
  const seconds = /^--limit=(\d+)$/.exec(word);
  if (word === "--install") install = true;
  else if (seconds !== null) limit = Number(seconds[1]);
  else if (word.startsWith("-")) fail(`unknown flag ${JSON.stringify(word)}: --install and --limit=SECONDS are known`);
  else if (Object.hasOwn(RUNTIMES, word)) chosen.push(word);
  else filters.push(word.replace(/^(\.\/)?(out\/)?(test\/)?/, "").replace(/\.ts$/, ".js"));
}
if (chosen.length === 0) fail(`no runtime is named: ${Object.keys(RUNTIMES).join(" and ")} are known`);

function binaryOf(name) {
  const { binaries } = RUNTIMES[name];
  const paths = [cache, root].flatMap((folder) => binaries.map((path) => join(folder, "node_modules", path)));
  return paths.find((path) => existsSync(path));
}

/** Installs the runtime's package without its scripts. Its binary is in an optional package for this platform. */
function installRuntime(name) {
  mkdirSync(cache, { recursive: true });
  if (!existsSync(join(cache, "package.json"))) writeFileSync(join(cache, "package.json"), '{ "private": true }\n');
  const args = ["install", "--prefix", cache, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", name];
  const result = spawnSync("npm", args, { stdio: ["ignore", "inherit", "inherit"] });
  if (result.status !== 0) fail(`npm ${args.join(" ")} ended with ${result.signal ?? `status ${result.status}`}`);
}

function filesOf(folder) {
  const under = join(tests, folder);
  if (!existsSync(under)) return [];
  return readdirSync(under, { recursive: true })
    .filter((path) => path.endsWith(".test.js"))
    .map((path) => join(folder, path))
    .toSorted();
}

const files = CORE.flatMap(filesOf).filter(
  (path) => filters.length === 0 || filters.some((part) => path.includes(part)),
);
if (files.length === 0) fail("no test file: run npm run setup, or choose another part of a path");

/** Runs a command until it ends or `limit` seconds have passed. Resolves with its lines, and how it ended. */
function run(command, args, more = {}) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...more, NO_COLOR: "1" };
    // Deno prints colors for any value of FORCE_COLOR.
    delete env.FORCE_COLOR;
    // A process group of its own, so that the programs that a test started can be killed too.
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (chunk) => {
        text += chunk;
      });
    }
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limit * 1000);
    child.on("error", reject);
    child.on("exit", () => {
      // A program that the child left behind may hold the pipes open, and "close" would never come.
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 1000).unref();
    });
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      const ended = late ? `ended after ${limit} s` : signal === null ? `status ${status}` : `ended by ${signal}`;
      resolve({ text, lines: text.split("\n"), ended, whole: !late && signal === null && status <= 1 });
    });
  });
}

/** The names of the tests in a file. Runs the file under Node. */
async function namesOnNode(file) {
  const { lines } = await run(process.execPath, ["--expose-gc", "--test-reporter=spec", join(tests, file)]);
  const names = lines.flatMap((line) => /^\s*[✔✖﹣] (.*?) \([\d.]+ms\)(?: # .*)?$/.exec(line)?.[1] ?? []);
  return [...new Set(names)];
}

/** Runs a file under a runtime. Resolves with the names of the failed tests, and the numbers of the others. */
async function runFile(runtime, binary, file) {
  const { command, env, parse, failed } = RUNTIMES[runtime];
  const result = await run(binary, command(join(tests, file)), env?.(binary));
  const how = new Map();
  for (const line of result.lines) {
    const test = parse(line);
    // Several tests may have the same name. If one of them failed, the name counts as failed.
    if (test !== undefined && how.get(test.name) !== "fail") how.set(test.name, test.how);
    if (failed(line)) how.set(AFTER, "fail");
  }
  if (!result.whole) for (const name of await namesOnNode(file)) if (!how.has(name)) how.set(name, "fail");
  if (!result.whole && ![...how.values()].includes("fail")) how.set(AFTER, "fail");
  if (result.whole && how.size === 0) how.set(AFTER, "fail");
  const named = (which) => [...how].flatMap(([name, one]) => (one === which ? [name] : []));
  const counts = { passed: named("pass").length, failed: named("fail"), skipped: named("skip").length };
  if (counts.failed.length > 0) {
    mkdirSync(cache, { recursive: true });
    writeFileSync(join(cache, `${runtime}-${file.replaceAll("/", "-")}.log`), result.text);
  }
  return { ...counts, ended: result.whole ? "" : result.ended };
}

/** The known failures of a runtime: the rows | file | test | reason | under its heading in docs/platforms.md. */
function knownFailures(title) {
  const rows = new Map();
  if (!existsSync(page)) return rows;
  const section = readFileSync(page, "utf8")
    .split(/^## /m)
    .find((part) => part.startsWith(`${title}\n`));
  for (const line of section?.split("\n") ?? []) {
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
    if (cells.length !== 5 || !cells[1].includes(".test.ts")) continue;
    rows.set(`${cells[1].replaceAll("`", "")}: ${cells[2]}`, cells[3]);
  }
  return rows;
}

withoutPaths();
let hasFailed = false;
for (const name of chosen) {
  const { title } = RUNTIMES[name];
  if (binaryOf(name) === undefined && install) installRuntime(name);
  const binary = binaryOf(name);
  if (binary === undefined) {
    fail(`${title} is not installed: npm install --prefix out/runtimes --ignore-scripts ${name}, or add --install`);
  }
  const version = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.split("\n")[0];
  const perFolder = new Map();
  const failures = [];
  for (const file of files) {
    const began = performance.now();
    const { passed, failed, skipped, ended } = await runFile(name, binary, file);
    const folder = file.split("/")[0];
    const sum = perFolder.get(folder) ?? { passed: 0, failed: 0, skipped: 0 };
    sum.passed += passed;
    sum.failed += failed.length;
    sum.skipped += skipped;
    perFolder.set(folder, sum);
    failures.push(...failed.map((test) => `${file.replace(/\.js$/, ".ts")}: ${test}`));
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const more = [failed.length > 0 ? `${failed.length} failed` : "", ended].filter((text) => text !== "").join(", ");
    process.stdout.write(`${title} ${file}: ${passed} passed${more === "" ? "" : `, ${more}`} (${seconds} s)\n`);
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  process.stdout.write(`\n${title} ${version}\n  ${"folder".padEnd(12)}passed  failed  skipped\n`);
  const row = (label, { passed, failed, skipped }) =>
    `  ${label.padEnd(12)}${String(passed).padStart(6)}${String(failed).padStart(8)}${String(skipped).padStart(9)}\n`;
  for (const [folder, sum] of perFolder) {
    for (const key of Object.keys(total)) total[key] += sum[key];
    process.stdout.write(row(folder, sum));
  }
  process.stdout.write(row("all", total));
  const ran = total.passed + total.failed;
  const percent = (100 * total.passed) / Math.max(ran, 1);
  process.stdout.write(`  ${percent.toFixed(1)} % of ${ran} core tests pass, required ${MIN_PERCENT} %\n`);
  const known = knownFailures(title);
  const unlisted = failures.filter((test) => !known.has(test));
  if (unlisted.length > 0) {
    process.stdout.write(`  not in docs/platforms.md:\n${unlisted.map((test) => `    ${test}\n`).join("")}`);
  }
  // These do not fail the run, because some tests fail only sometimes.
  const gone = [...known.keys()].filter(
    (test) => !failures.includes(test) && files.includes(test.split(": ")[0].replace(/\.ts$/, ".js")),
  );
  if (gone.length > 0) process.stdout.write(`  listed, and passed:\n${gone.map((test) => `    ${test}\n`).join("")}`);
  hasFailed ||= unlisted.length > 0 || (filters.length === 0 && percent < MIN_PERCENT);
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, `${name}.json`), `${JSON.stringify({ version, ...total, failures }, undefined, 2)}\n`);
}
process.exit(hasFailed ? 1 : 0);
