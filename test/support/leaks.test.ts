// Tests checkLeaks(). Each case is a small test file that runs in a process of its own.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkLeaks } from "./leaks.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-leaks-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

interface Outcome {
  status: number | null;
  output: string;
}

/** Runs `body` as a test file, after a call of checkLeaks(). */
function runFile(body: string, ...flags: string[]): Promise<Outcome> {
  const source = `
    import { closeSync, openSync } from "node:fs";
    import { createServer } from "node:net";
    import { test } from "node:test";
    import { setTimeout as delay } from "node:timers/promises";
    import { checkLeaks } from ${JSON.stringify(new URL("./leaks.js", import.meta.url).href)};
    checkLeaks();
    ${body}`;
  const file = join(folder, `${++files}.test.mjs`);
  writeFileSync(file, source);
  const env = { ...process.env };
  // With this variable the child would print the protocol of a test runner.
  delete env["NODE_TEST_CONTEXT"];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, file], { env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
}

const listening = `const server = createServer(); await new Promise((done) => server.listen(0, "127.0.0.1", done));`;

test("checkLeaks() passes a file that closes what it opens", async () => {
  const { status, output } = await runFile(`
    test("a file", () => closeSync(openSync("/etc/passwd")));
    test("a server, closed without waiting for it", async () => { ${listening} server.close(); });`);
  assert.equal(status, 0, output);
});

test("checkLeaks() names a descriptor that is left open", async () => {
  const { status, output } = await runFile(`test("opens", () => { openSync("/etc/passwd"); });`);
  assert.notEqual(status, 0);
  assert.match(output, /left after the last test/);
  assert.match(output, /descriptor \d+ -> \/etc\/passwd/);
});

test("checkLeaks() fails the file in node's runner too", async () => {
  const { status, output } = await runFile(`test("opens", () => { openSync("/etc/passwd"); });`, "--test");
  assert.notEqual(status, 0);
  assert.match(output, /descriptor \d+ -> \/etc\/passwd/);
});

test("checkLeaks() reports a descriptor whose number was reused for another file", async () => {
  const { status, output } = await runFile(`
    test("closes standard input and opens a file in its place", () => { closeSync(0); openSync("/etc/passwd"); });`);
  assert.notEqual(status, 0);
  assert.match(output, /descriptor 0 -> \/etc\/passwd/);
});

test("checkLeaks() names a socket and the handle that holds it, and the file ends", async () => {
  const { status, output } = await runFile(`test("listens", async () => { ${listening} });`);
  assert.notEqual(status, 0);
  assert.match(output, /descriptor \d+ -> socket:\[\d+\]/);
  assert.match(output, /1 live TCPServerWrap/);
});

test("checkLeaks() names a timer that still runs", async () => {
  const { status, output } = await runFile(`test("forgets", () => { setTimeout(() => {}, 60_000); });`);
  assert.notEqual(status, 0);
  assert.match(output, /1 live Timeout/);
});
