// Runs the tests in another runtime: each compiled test file in a process of its own.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./variant.mjs";

/** The folder in which "berkeley" and "#berkeley/..." resolve to the compiled files. */
export const folder = existsSync(join(root, "out", "package.json")) ? join(root, "out") : root;
const prefix = folder === root ? join("out", "test") : "test";

/**
 * Writes an empty tsconfig.json beside the compiled files. Bun reads the nearest tsconfig.json above a program. With
 * the one of this project, whose `paths` resolve "berkeley" to src/, it would run the sources.
 */
export function withoutPaths() {
  writeFileSync(join(root, "out", "tsconfig.json"), "{}\n");
}

/** The compiled test files whose path begins with one of these, such as "reactor/" or "sync/socket". */
export function testFiles(beginnings) {
  return readdirSync(join(root, "out", "test"), { recursive: true })
    .filter((path) => path.endsWith(".test.js") && beginnings.some((start) => path.startsWith(start)))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .map((path) => ({ name: path.replace(/\.test\.js$/, ""), path: join(prefix, path) }));
}

/** Runs a program until it ends or `limit` ms have passed. Resolves with its output, and its exit status or signal. */
function finish(command, args, env, limit) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let text = "";
    let late = false;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (part) => (text += part));
    const timer = setTimeout(() => {
      late = true;
      // Kills its children too, because they hold the pipes open.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limit);
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ text, how: late ? `had not ended after ${limit / 1000} s` : (signal ?? status) });
    });
  });
}

/**
 * Runs test files, two at a time, and prints the results.
 *
 * `results` reads the output of a file: the names of tests that passed, failed and were skipped. `known` has the
 * failures that the runtime causes, each with its reason. Its keys are "FILE: TEST"; "*" as TEST is any test. A key
 * without such a test in the file is a failure too, because the test may have been renamed. The output of a file that
 * fails is written to the folder `logs`. Returns the exit status: 0 if all failures are known.
 */
export async function runFiles({ what, files, command, env, limit, logs, results, known }) {
  withoutPaths();
  mkdirSync(logs, { recursive: true });
  const sum = { files: 0, passed: 0, failed: 0, skipped: 0 };
  const expected = [];
  const unexpected = [];
  const unused = [];
  const waiting = [...files];
  const reasonOf = (file, test) => known[`${file}: ${test}`] ?? known[`${file}: *`];
  async function work() {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const [program, ...args] = command(file.path);
      const { text, how } = await finish(program, args, { ...process.env, ...env }, limit);
      const { passed, failed, skipped } = results(text);
      // A file that crashes, or fails after its tests, counts as one further failure.
      if (how !== 0 && failed.length === 0) failed.push(`(the file: ${how})`);
      sum.files++;
      sum.passed += passed.length;
      sum.failed += failed.length;
      sum.skipped += skipped.length;
      process.stdout.write(
        `${file.name}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped\n`,
      );
      if (failed.length > 0) writeFileSync(join(logs, `${file.name.replaceAll("/", "-")}.log`), text);
      for (const test of failed) {
        process.stdout.write(`  failed: ${test}\n`);
        const reason = reasonOf(file.name, test);
        if (reason === undefined) unexpected.push(`${file.name}: ${test}`);
        else expected.push(`${file.name}: ${test}: ${reason}`);
      }
      // The list of results is complete if the file ended by itself.
      if (typeof how === "number") {
        const names = new Set([...passed, ...failed, ...skipped, "*", "after the last test"]);
        for (const key of Object.keys(known)) {
          if (!key.startsWith(`${file.name}: `)) continue;
          const test = key.slice(file.name.length + 2);
          if (!names.has(test) && !test.startsWith("(the file: ")) unused.push(key);
        }
      }
      if (failed.some((test) => reasonOf(file.name, test) === undefined)) {
        process.stdout.write(`${text.slice(-4000).replace(/^/gm, "    ")}\n`);
      }
    }
  }
  await Promise.all([work(), work()]);
  const all = sum.passed + sum.failed;
  process.stdout.write(`${what}: ${sum.passed} of ${all} tests passed in ${sum.files} files, ${sum.skipped} skipped\n`);
  if (expected.length > 0)
    process.stdout.write(`known to fail there:\n${expected.map((line) => `  ${line}\n`).join("")}`);
  if (unexpected.length > 0) process.stdout.write(`failed:\n${unexpected.map((line) => `  ${line}\n`).join("")}`);
  if (unused.length > 0)
    process.stdout.write(`listed, but the file has no such test:\n${unused.map((line) => `  ${line}\n`).join("")}`);
  return unexpected.length + unused.length === 0 ? 0 : 1;
}
