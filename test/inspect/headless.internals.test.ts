// JSON lines to a pipe whose reader is slow, or never reads: the program does not wait, and lines are complete.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { HeadlessWriter } from "#berkeley/inspect/headless.js";
import type { TableUpdate } from "#berkeley/inspect/protocol.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-headless-"));
after(() => rmSync(folder, { recursive: true }));

let count = 0;

/** A pipe with a name, and its two ends. */
function pipe(): { readonly path: string; readonly reader: number; readonly writer: number } {
  const path = join(folder, `pipe-${++count}`);
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  // A descriptor that blocks, as a program inherits it.
  return { path, reader, writer: openSync(path, constants.O_WRONLY) };
}

/** Reads all bytes that are in the pipe. */
function drain(reader: number): string {
  const buffer = Buffer.alloc(1 << 20);
  let length = 0;
  for (;;) {
    try {
      const got = readSync(reader, buffer, length, buffer.length - length, null);
      if (got === 0) break;
      length += got;
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "EAGAIN");
      break;
    }
  }
  return buffer.toString("latin1", 0, length);
}

/** An update with so many bytes. */
const update = (bytes: number, name: string): TableUpdate => ({
  time: 0,
  whole: false,
  changed: [],
  removed: [name, "x".repeat(bytes)],
  dropped: 0,
  process: { pid: 0, title: "", node: "", threads: 1 },
});

interface Line {
  readonly removed: readonly string[];
  readonly skipped: number;
}
const linesOf = (text: string): [string, number][] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
    .map(({ removed, skipped }) => [removed[0]!, skipped]);

test("a line that the pipe does not take goes on when it has room, and the next one counts the looks without a line", async () => {
  using clock = new TestClock();
  const { reader, writer } = pipe();
  const lines = new HeadlessWriter(writer);
  lines.update(1, () => update(100_000, "first"));
  let text = drain(reader);
  assert.ok(text.length > 4096 && text.length < 100_000, String(text.length));
  for (const version of [2, 3]) lines.update(version, () => assert.fail("the line before is not whole"));
  for (let turn = 0; turn < 10; turn++) {
    await clock.advance(50);
    text += drain(reader);
  }
  lines.update(4, (since) => (assert.equal(since, 1), update(10, "second")));
  lines.update(5, () => update(10, "third"));
  text += drain(reader);
  assert.deepEqual(linesOf(text), [
    ["first", 0],
    ["second", 2],
    ["third", 0],
  ]);
  lines.close();
  closeSync(reader);
  closeSync(writer);
});

test("at the end a full pipe gets nothing more, and one with room gets the last line", () => {
  const { reader, writer } = pipe();
  const full = new HeadlessWriter(writer);
  full.update(1, () => update(1000, "whole"));
  full.update(2, () => update(200_000, "cut"));
  full.finish(3, () => assert.fail("the line before is not whole"));
  const text = drain(reader);
  assert.deepEqual(linesOf(text), [["whole", 0]]);
  full.close();

  const last = new HeadlessWriter(writer);
  last.update(1, () => update(1000, "one"));
  last.finish(2, () => update(1000, "last"));
  assert.deepEqual(linesOf(drain(reader)), [
    ["one", 0],
    ["last", 0],
  ]);
  last.close();
  closeSync(reader);
  closeSync(writer);
});

test("a named pipe that nothing reads is refused, and one that is read is no reason to wait", () => {
  const { path, reader, writer } = pipe();
  closeSync(writer);
  closeSync(reader);
  assert.throws(() => new HeadlessWriter(path), { code: "ENXIO" });
  const again = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const lines = new HeadlessWriter(path);
  lines.update(1, () => update(200_000, "large"));
  lines.close();
  lines.close();
  closeSync(again);
});

test("a program ends by itself although nothing reads its lines", async () => {
  const { reader, writer } = pipe();
  await using program = new Program(
    process.execPath,
    [
      "--import",
      "berkeley/inspect",
      "--input-type=module",
      "--eval",
      `import { socketpair } from "berkeley";
       globalThis.kept = Array.from({ length: 300 }, () => socketpair());
       setTimeout(() => console.log("over"), 2500);`,
    ],
    { env: { BERKELEY_INSPECT_FILE: "fd:3" }, descriptors: [writer], limit: 15_000 },
  );
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual([status, stdout, stderr], [0, "over\n", ""]);
  const text = drain(reader);
  assert.ok(text.length > 4096);
  // The lines before the one that the pipe did not take.
  linesOf(text);
  closeSync(reader);
  closeSync(writer);
});
