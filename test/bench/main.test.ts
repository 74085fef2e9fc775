// The whole benchmark command, with windows of a few milliseconds: it runs, writes its results, and leaves no process.
// The figures are not checked.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

import { compiledBench } from "../../bench/lib/paths.js";

const main = fileURLToPath(new URL("../../bench/main.js", import.meta.url));
const short = ["--rounds", "1", "--seconds", "0.05"];

async function bench(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { status, stdout, stderr };
}

test("bench without a name ends with status 2 and names the workloads", async () => {
  const { status, stderr } = await bench();
  assert.equal(status, 2);
  assert.match(stderr, /the name of a workload is required, one or more of: tcp-echo,/);
});

test("bench with an unknown name ends with status 2 and quotes it", async () => {
  const { status, stdout, stderr } = await bench("tcp-ecko");
  assert.equal(status, 2);
  assert.match(stderr, /unknown workload "tcp-ecko"/);
  assert.equal(stdout, "");
});

test("bench --list names workloads and subjects", async () => {
  const { status, stdout } = await bench("--list");
  assert.equal(status, 0);
  assert.match(stdout, /^tcp-echo\n.*\n +berkeley, berkeley-send, berkeley-recv, c, node:net,/m);
});

test("bench refuses a JSON file that can't be written, before it measures", async () => {
  const { status, stderr } = await bench("tcp-echo", "--json", join(tmpdir(), "no", "such", "folder", "x.json"));
  assert.equal(status, 3);
  assert.match(stderr, /ENOENT/);
});

test("bench writes the machine and the results as JSON", { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-bench-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "results.json");
  const { status, stdout, stderr } = await bench(
    "tcp-echo",
    "--subject",
    "c",
    "--subject",
    "node:net",
    "--json",
    file,
    ...short,
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /c \/ node:net/);
  const { machine, seed, results } = JSON.parse(await readFile(file, "utf8"));
  assert.equal(machine.node, process.version);
  assert.equal(seed, 1);
  assert.ok(results.length > 0);
  for (const result of results) {
    const figures = ["value", "peerValue", "ratio", "interval", "rounds"];
    assert.deepEqual(Object.keys(result), ["workload", "subject", "peer", "metric", ...figures]);
    assert.equal(result.interval, null);
    assert.deepEqual(
      result.rounds.map((round: number[]) => round.length),
      [4],
    );
    assert.deepEqual([result.workload, result.subject, result.peer], ["tcp-echo", "c", "node:net"]);
    for (const figure of [result.value, result.peerValue, result.ratio]) assert.equal(typeof figure, "number");
  }
  const metrics = results.map((result: { metric: string }) => result.metric);
  assert.ok(metrics.includes("cpu_us_per_echo") && metrics.includes("echoes_per_second"));
});

for (const workload of ["udp", "sendfile", "splice"]) {
  test(`bench ${workload} runs in C`, { timeout: 60_000 }, async () => {
    const { status, stderr } = await bench(workload, "--subject", "c", ...short);
    assert.equal(status, 0, stderr);
  });
}

test("bench import compares by difference, and says how each import ended", { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-bench-"));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, "results.json");
  const { status, stdout, stderr } = await bench("import", "--rounds", "2", "--json", file);
  // A limit may be missed on a busy machine, so the result is not checked.
  assert.ok(status === 0 || status === 1, stderr);
  assert.match(stdout, /berkeley - empty/);
  const { results } = JSON.parse(await readFile(file, "utf8"));
  const row = (subject: string, peer: string, metric: string): { difference: number; rounds: number[][] } =>
    results.find((result: Record<string, unknown>) =>
      Object.entries({ subject, peer, metric }).every(([name, value]) => result[name] === value),
    );
  for (const subject of ["berkeley", "berkeley/sync", "files"]) {
    const { difference, rounds } = row(subject, "empty", "max_rss_mb");
    assert.ok(difference > 1, `${subject} takes ${difference} MB more than nothing`);
    assert.deepEqual(
      rounds.map((round) => round.length),
      [1, 1],
    );
  }
  // A bundle reads a few files in place of more than two hundred.
  assert.ok(row("berkeley", "files", "max_rss_mb").difference < 0);
});

test("bench --node measures another Node and says its version", { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-bench-"));
  t.after(() => rm(folder, { recursive: true }));
  const node = join(folder, "node");
  const used = join(folder, "used");
  const script = `if [ "$1" = --print ]; then echo v99.0.1; else echo "$1" >>${used}; exec ${process.execPath} "$@"; fi`;
  await writeFile(node, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const { status, stdout, stderr } = await bench("tcp-echo", "--subject", "node:net", "--node", node, ...short);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /, Node v99\.0\.1, /);
  assert.match(await readFile(used, "utf8"), /servers\/tcp-echo-node\.js\n/);
});

test("bench --node refuses a program that is not Node", async () => {
  for (const path of ["/no/such/node", "/bin/true"]) {
    const { status, stderr } = await bench("tcp-echo", "--node", path);
    assert.equal(status, 2);
    assert.ok(stderr.startsWith(`bench: --node requires the path of a Node, found "${path}"\n`), stderr);
  }
});

const out = join(compiledBench, "..");

/** A version of ours whose main file is `code`, which may import the development files from `lib`. */
async function versionOf(t: TestContext, code: (lib: string) => string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "berkeley-bench-"));
  t.after(() => rm(folder, { recursive: true }));
  const manifest = { name: "berkeley", version: "0.0.7", type: "module", exports: { ".": "./index.js" } };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  await writeFile(join(folder, "index.js"), code(JSON.stringify(pathToFileURL(join(out, "lib", "index.js")).href)));
  return folder;
}

test("bench --against compares two versions and writes both to the JSON file", { timeout: 120_000 }, async (t) => {
  const old = await versionOf(t, (lib) => `export * from ${lib};`);
  const file = join(old, "results.json");
  const sides = ["--library", out, "--against", old];
  const { status, stdout, stderr } = await bench("stream", ...sides, ...short, "--json", file);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^new: \S+, .*\/out\/?$/m);
  assert.ok(stdout.includes(`old: 0.0.7, ${old}\n`));
  assert.match(stdout, /berkeley, CPU us\/echo +\d/);
  assert.match(stdout, /control: c, CPU us\/echo: \d/);
  assert.doesNotMatch(stdout, /node:net|limit/);
  const { versions, results } = JSON.parse(await readFile(file, "utf8"));
  assert.deepEqual(versions.old, { path: old, version: "0.0.7" });
  const pairs = new Set(results.map(({ subject, peer }: Record<string, string>) => `${subject} / ${peer}`));
  assert.deepEqual([...pairs], ["berkeley / berkeley (old)", "berkeley-chunks / berkeley-chunks (old)"]);
});

for (const [what, code, complaint] of [
  ["an export", () => "export const Socket = class {};", /SyntaxError: .*does not provide an export named '\w+'/],
  [
    "a method",
    (lib: string) => `import { Socket } from ${lib}; Socket.prototype.trySend = undefined; export * from ${lib};`,
    /TypeError: socket\.trySend is not a function/,
  ],
] as const) {
  test(`bench --against says in one line that a version lacks ${what}`, { timeout: 60_000 }, async (t) => {
    const old = await versionOf(t, code);
    const { status, stderr } = await bench("tcp-echo", "--library", out, "--against", old, ...short);
    assert.equal(status, 3);
    const lines = stderr.split("\n").filter((line) => line !== "" && !line.endsWith(": trying both versions"));
    assert.equal(lines.length, 1, stderr);
    assert.ok(lines[0]?.startsWith(`bench: tcp-echo: berkeley of ${old}: `), stderr);
    assert.match(stderr, complaint);
  });
}

test("bench --against refuses subjects of others and paths of others", async () => {
  const other = await bench("tcp-echo", "--library", out, "--against", out, "--subject", "c");
  assert.equal(other.status, 2);
  assert.match(other.stderr, /--against compares subjects of ours, and none is among c/);
  const missing = await bench("tcp-echo", "--against", "/no/such/clone");
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /^bench: Cannot measure a library: \/no\/such\/clone is missing/);
});

/** The children of a process, from proc(5). */
async function childrenOf(parent: number | undefined): Promise<string[]> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    processes.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // It may end meanwhile.
      return Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2]);
    }),
  );
  return processes.filter((_, i) => parents[i] === parent);
}

/** Starts a run of minutes and waits until its server and its load generator are there. */
async function runningBench(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [main, "tcp-echo", "--subject", "c", "--seconds", "100"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.resume();
  while ((await childrenOf(child.pid)).length < 2) {
    assert.equal(child.exitCode, null);
    await nextTurn();
  }
  return child;
}

// Whatever the command starts shares its standard error, so "close" comes only when all of it is gone.
for (const [signal, end] of [
  ["SIGINT", [130, null]],
  ["SIGTERM", [143, null]],
  ["SIGKILL", [null, "SIGKILL"]],
] as const) {
  test(`bench leaves no process after ${signal}`, { timeout: 30_000 }, async () => {
    const child = await runningBench();
    const closed = once(child, "close");
    child.kill(signal);
    assert.deepEqual(await closed, end);
  });
}
