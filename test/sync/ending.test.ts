// How a thread that is blocked ends: by a signal, by terminate(), by the end of the process, by data.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const cwd = fileURLToPath(new URL("../../..", import.meta.url));

/** A program that blocks after it has said so. */
function start(code: string): ChildProcess {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const args = ["--input-type=module", "--eval", code];
  return spawn(process.execPath, args, { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
}

const blocked = `
  import { writeSync } from "node:fs";
  import { Socket, socketpair } from "berkeley/sync";
  const server = new Socket();
  server.bind("127.0.0.1:0");
  server.listen();`;

test("Ctrl-C ends a process that is blocked in accept()", async () => {
  const child = start(`${blocked} writeSync(1, "ready"); server.accept();`);
  await once(child.stdout!, "data");
  const exit = once(child, "exit");
  child.kill("SIGINT");
  assert.deepEqual(await exit, [null, "SIGINT"]);
});

test("a listener for SIGINT runs when the call has returned", async () => {
  const child = start(`${blocked}
    process.on("SIGINT", () => { writeSync(1, "handled"); process.exit(3); });
    writeSync(1, "ready");
    try { server.accept({ timeout: 400 }); } catch (error) { writeSync(1, error.code); }
    setTimeout(() => {}, 10_000);`);
  let said = "";
  child.stdout!.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await once(child.stdout!, "data");
  const exit = once(child, "exit");
  child.kill("SIGINT");
  assert.deepEqual(await exit, [3, null]);
  assert.equal(said, "readyETIMEDOUThandled");
});

test("process.exit() does not wait for a worker that is blocked", async () => {
  const child = start(`
    import { Worker } from "node:worker_threads";
    const worker = new Worker(\`
      import("berkeley/sync").then(({ socketpair }) => {
        const [left] = socketpair();
        require("node:worker_threads").parentPort.postMessage("ready");
        left.recv(1);
      });\`, { eval: true, execArgv: [] });
    worker.once("message", () => process.exit(5));`);
  assert.deepEqual(await once(child, "exit"), [5, null]);
});

test("worker.terminate() ends a worker that is blocked", async () => {
  const worker = new Worker(
    `import("berkeley/sync").then(({ socketpair }) => {
       const [left] = socketpair();
       require("node:worker_threads").parentPort.postMessage("ready");
       left.recv(1);
     });`,
    { eval: true },
  );
  await once(worker, "message");
  assert.equal(await worker.terminate(), 1);
});

test("a worker that is blocked gets what comes meanwhile", async () => {
  const worker = new Worker(
    `import("berkeley/sync").then(({ create_server }) => {
       const server = create_server("127.0.0.1:0");
       const { parentPort } = require("node:worker_threads");
       parentPort.postMessage(String(server.getsockname()));
       const [conn] = server.accept();
       conn.sendAll(conn.recv(100));
       conn.close();
       server.close();
     });`,
    { eval: true },
  );
  const exit = once(worker, "exit");
  const [address] = (await once(worker, "message")) as [string];
  await using client = new Socket();
  await client.connect(address);
  await client.sendAll("echo");
  assert.equal((await client.recv(100)).toString(), "echo");
  assert.deepEqual(await exit, [0]);
});
