// Every function of the addon with random arguments: it may throw or refuse, but the process must not end.
// BERKELEY_ROUNDS is the number of calls for each seed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { addon } from "#berkeley/sys/addon.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";
import { setting, testSeeds } from "../support/random.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-fuzz-"));
after(() => rmSync(folder, { recursive: true }));

const rounds = setting("BERKELEY_ROUNDS", 30_000);

testSeeds(`the addon takes ${rounds} calls with random arguments`, [1, 2], async (_random, seed) => {
  const mark = join(folder, `mark${seed}`);
  const place = join(folder, `place${seed}`);
  mkdirSync(place);
  const script = fileURLToPath(new URL("./fuzzCalls.js", import.meta.url));
  // No pipes: on a socket that blocks, a stray recv() could wait for ever.
  const child = spawn(process.execPath, [script, String(seed), String(rounds), mark], {
    stdio: "ignore",
    timeout: 60_000,
    // bind() with a random path makes a socket file where it stands, under any name.
    cwd: place,
  });
  const [status, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on("exit", (...end) => resolve(end)),
  );
  assert.deepEqual([status, signal], [0, null]);
  assert.equal(existsSync(`${mark}.log`) ? readFileSync(`${mark}.log`, "utf8") : "", "");
  assert.equal(readFileSync(mark, "utf8"), "", "calls that never got through their arguments' checks");
});

const TAKES_NOTHING = [
  "gethostname",
  "if_nameindex",
  "relayClock",
  "watchSignals",
  "takeSignals",
  "markSignalsHandled",
  // An event of any name at all is taken.
  "countSignal",
];

test("a native call without arguments, or with too few, throws a TypeError", () => {
  const before = openDescriptors();
  for (const [name, call] of Object.entries(addon)) {
    if (typeof call !== "function" || TAKES_NOTHING.includes(name)) continue;
    assert.throws(call as () => void, TypeError, name);
  }
  assert.deepEqual(openDescriptors(), before);
});

test("a native call does not change bytes outside its view", () => {
  const pair = new Uint8Array(8);
  assert.equal(addon.socketpair(1, 1, 0, pair), 0);
  const [left, right] = new Int32Array(pair.buffer) as unknown as [number, number];
  const memory = new Uint8Array(64).fill(0xee);
  assert.equal(addon.send(left, new Uint8Array(100)), 100);
  assert.equal(addon.recv(right, memory.subarray(16, 32), 1000, 0), 16, "a length beyond the view is cut");
  assert.equal(addon.recv(right, memory.subarray(48, 50)), 2);
  assert.deepEqual(
    [...memory.entries()].filter(([, byte]) => byte !== 0xee).map(([at]) => at),
    [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 48, 49],
  );
  assert.equal(addon.send(left, memory, 1000, 0), 0, "an offset beyond the view is its end");
  assert.throws(() => addon.recvfrom(right, memory, 1, 0, new Uint8Array(131)), RangeError);
  assert.throws(() => addon.getsockname(right, new Uint8Array(131)), RangeError);
  assert.throws(() => addon.bind(right, new Uint8Array(129)), RangeError);
  assert.throws(() => addon.socketpair(1, 1, 0, new Uint8Array(7)), RangeError);
  addon.close(left);
  addon.close(right);
});
