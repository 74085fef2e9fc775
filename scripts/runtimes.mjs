// The core tests under Bun and Deno, file by file: how many pass, and whether those that fail are the ones that docs/platforms.md
// lists with a reason.
//
//   npm run test:runtimes -- bun deno                all core tests under both
//   npm run test:runtimes -- deno socket/ reactor/        the files whose path contains one of these; nothing is missed then
//   npm run test:runtimes -- bun --install           installs the runtime into out/runtimes first
//   npm run test:runtimes -- bun --limit=60          seconds that a file may take
//
// Each runtime runs a file with its own test runner, which maps node:test to it, and says of each test how it ended. A file that
// crashes or takes too long says nothing of the tests behind that; their names come from Node, and they count as failed.
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { withoutPaths } from "./foreign.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tests = join(root, "out", "test");
const cache = join(root, "out", "runtimes");
const page = join(root, "docs", "platforms.md");

/** Folders of test/ that are the core: sockets, streams, UDP, endpoints, the blocking twin and what they stand on. */
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
/** The part of the core tests that has to pass, in percent. */
const LEAST = 95;

const packages = `${process.platform}-${process.arch}`;
const RUNTIMES = {
  bun: {
    title: "Bun",
    // The package "bun" has a script that links the binary; these have the binary itself.
    binaries: [`@oven/bun-${packages}/bin/bun`],
    command: (file) => ["test", "--timeout=60000", `--preload=${join(root, "scripts", "runtimes", "bun.mjs")}`, file],
    // A name of a group stands before the test's, with " > " between.
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

/** A script that takes arguments of Node.js and starts Deno with its own for the same; the path of the script. */
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

/** The binaries come with optional packages for each platform; nothing else of the runtime's package is needed. */
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

/** Runs a command to its end or its limit: its lines, and how it ended. */
function run(command, args, more = {}) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...more, NO_COLOR: "1" };
    // Deno takes any value of it for a yes.
    delete env.FORCE_COLOR;
    // A group of its own, so that what a test has started ends with it.
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
      // What it left behind holds the pipes.
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

/** The tests of a file, as Node runs it. */
async function namesOnNode(file) {
  const { lines } = await run(process.execPath, ["--expose-gc", "--test-reporter=spec", join(tests, file)]);
  const names = lines.flatMap((line) => /^\s*[✔✖﹣] (.*?) \([\d.]+ms\)(?: # .*)?$/.exec(line)?.[1] ?? []);
  return [...new Set(names)];
}

/** The tests that failed, each as "file: name", and counts. */
async function runFile(runtime, binary, file) {
  const { command, env, parse, failed } = RUNTIMES[runtime];
  const result = await run(binary, command(join(tests, file)), env?.(binary));
  const how = new Map();
  for (const line of result.lines) {
    const test = parse(line);
    // Of several tests with one name the worst counts.
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

/** What the page lists for a runtime: rows of a table under its heading, | file | test | reason |. */
function listed(title) {
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
let wrong = false;
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
  process.stdout.write(`  ${percent.toFixed(1)} % of ${ran} core tests pass, required ${LEAST} %\n`);
  const known = listed(title);
  const news = failures.filter((test) => !known.has(test));
  if (news.length > 0) {
    process.stdout.write(`  not in docs/platforms.md:\n${news.map((test) => `    ${test}\n`).join("")}`);
  }
  // A test that passes now and then is no fault of the list.
  const gone = [...known.keys()].filter(
    (test) => !failures.includes(test) && files.includes(test.split(": ")[0].replace(/\.ts$/, ".js")),
  );
  if (gone.length > 0) process.stdout.write(`  listed, and passed:\n${gone.map((test) => `    ${test}\n`).join("")}`);
  wrong ||= news.length > 0 || (filters.length === 0 && percent < LEAST);
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, `${name}.json`), `${JSON.stringify({ version, ...total, failures }, undefined, 2)}\n`);
}
process.exit(wrong ? 1 : 0);
