// The detection of the runtime, and its poller.

import assert from "node:assert/strict";
import { test } from "node:test";
import { POLLER_VARIABLE, type ProcessLike, runtimeOf } from "#berkeley/sys/runtime.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const node = (version: string, more: Record<string, string> = {}): ProcessLike => ({
  versions: { node: version, v8: "11.3", uv: "1.46.0", napi: "9", ...more },
});

test("Node.js from 20 on waits with libuv, Bun and Deno with a thread", () => {
  for (const version of ["20.0.0", "22.23.3", "26.1.0", "100.0.0"]) {
    assert.deepEqual(runtimeOf(node(version), undefined), {
      name: "Node.js",
      version,
      libuv: true,
      poller: "uv",
    });
  }
  for (const [component, name] of [
    ["bun", "Bun"],
    ["deno", "Deno"],
  ] as const) {
    assert.deepEqual(runtimeOf(node("26.3.0", { [component]: "1.2.3" }), undefined), {
      name,
      version: "1.2.3",
      libuv: false,
      poller: "thread",
    });
  }
});

test("BERKELEY_POLLER chooses on Node.js, and another value is an error that quotes it", () => {
  assert.equal(runtimeOf(node("20.0.0"), "thread").poller, "thread");
  assert.equal(runtimeOf(node("20.0.0"), "thread").libuv, true);
  assert.equal(runtimeOf(node("20.0.0"), "uv").poller, "uv");
  assert.equal(runtimeOf(node("20.0.0"), "").poller, "uv");
  assert.equal(runtimeOf(node("26.3.0", { bun: "1.4.5" }), "thread").poller, "thread");
  for (const wanted of ["epoll", "UV", "thread ", "0"]) {
    for (const process of [node("20.0.0"), node("26.3.0", { deno: "2.9.6" })]) {
      assert.throws(() => runtimeOf(process, wanted), {
        name: "AddonError",
        code: "ERR_ADDON",
        reason: "poller",
        message: `Cannot load berkeley: BERKELEY_POLLER is "${wanted}", required "uv" or "thread"`,
      });
    }
  }
  assert.throws(() => runtimeOf(node("26.3.0", { bun: "1.4.5" }), "uv"), {
    message: 'Cannot load berkeley: BERKELEY_POLLER is "uv" under Bun, required "thread", or Node.js',
  });
});

test("every other runtime, and a Node.js that is too old, is refused by its name", () => {
  const required = "required Node.js 20 or later, Bun or Deno";
  for (const [process, found] of [
    [node("18.20.8"), "Node.js 18.20.8"],
    [node("0.10.48"), "Node.js 0.10.48"],
    [node("nonsense"), "Node.js nonsense"],
    [node("20.9.0", { electron: "28.0.0" }), "Electron 28.0.0"],
    [node("20.9.0", { graalvm: "24.1.0" }), "GraalVM 24.1.0"],
    [{ versions: { node: "22.0.0" } }, "an imitation of Node.js 22.0.0 without V8, libuv or Node-API"],
    [{ versions: {} }, "unknown"],
    [{}, "unknown"],
    [undefined, "unknown"],
  ] as const) {
    assert.throws(() => runtimeOf(process, undefined), {
      message: `Cannot load berkeley: the runtime is ${found}, ${required}`,
    });
  }
});

/**
 * Runs a program that imports the public entry: its output and its end, for a value of the variable and code before the
 * import.
 */
async function run(poller: string, before = ""): Promise<{ stdout: string; stderr: string; status: unknown }> {
  await using program = new Program(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `${before}
       const { socketpair } = await import("berkeley");
       const { readdirSync, readFileSync } = await import("node:fs");
       const threads = () => readdirSync("/proc/self/task").length;
       const [left, right] = socketpair();
       const before = threads();
       const received = right.recv(10);
       const more = threads() - before;
       await left.sendAll("over");
       console.log((await received).toString(), more);
       left.close();
       right.close();`,
    ],
    { env: { [POLLER_VARIABLE]: poller } },
  );
  return await program.ended;
}

test("a program waits with libuv by default, with a thread on request, and ends by itself with both", async () => {
  assert.deepEqual(await run("thread"), { stdout: "over 1\n", stderr: "", status: 0 });
  assert.deepEqual(await run("uv"), { stdout: "over 0\n", stderr: "", status: 0 });
});

test("an import with a wrong poller, or in another runtime, is an error and nothing else happens", async () => {
  const wrong = await run("kqueue");
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /Error: Cannot load berkeley: BERKELEY_POLLER is "kqueue", required "uv" or "thread"/);
  const other = await run(
    "",
    `Object.defineProperty(process, "versions", { value: { ...process.versions, electron: "40.0.0" } });`,
  );
  assert.equal(other.status, 1);
  assert.match(other.stderr, /Error: Cannot load berkeley: the runtime is Electron 40\.0\.0, required Node\.js 20/);
});
