// The end of a blocking call: by a signal, by terminate(), by the end of the process, by data.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { programArguments } from "../support/program.js";

checkLeaks();

const cwd = fileURLToPath(new URL("../..", import.meta.url));

/** A program that blocks after it has said so. */
function start(code: string, stderr: "inherit" | "ignore" = "inherit"): ChildProcess {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const args = ["--input-type=module", "--eval", code];
  return spawn(process.execPath, programArguments(args), { cwd, env, stdio: ["ignore", "pipe", stderr] });
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

/**
 * Runs a program with a listener for SIGINT until it prints "ready", and sends Ctrl-C. Resolves with its output and its
 * end.
 */
async function interruptedBy(
  code: string,
  signals: readonly NodeJS.Signals[] = ["SIGINT"],
): Promise<[string, unknown[]]> {
  const child = start(`${blocked}
    process.on("SIGINT", () => { writeSync(1, "handled "); process.exit(3); });
    process.on("SIGUSR2", () => { writeSync(1, "listened "); });
    // Between two of them the loop looks for events, whichever phase this runs in.
    const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    ${code}`);
  const exit = once(child, "exit");
  let said = "";
  let sent = 0;
  child.stdout!.on("data", (chunk: Buffer) => {
    said += chunk.toString();
    // One signal for each "ready", so that each finds the program where it shall.
    while (sent < signals.length && said.split("ready").length - 1 > sent) child.kill(signals[sent++]);
  });
  const status = await exit;
  return [said, status];
}

for (const [call, code] of [
  ["accept()", "server.accept()"],
  ["accept() with a timeout", "server.accept({ timeout: 60_000 })"],
  ["recv()", "socketpair()[0].recv(1)"],
  ["sendAll()", "socketpair()[0].sendAll(Buffer.alloc(64 << 20))"],
  ["the loop over connections", "for (const one of server) void one"],
  ["poll()", "poll([{ socket: server, events: 1 }])"],
  ["splice()", "splice(socketpair()[0], socketpair()[1])"],
  ["create_connection()", "create_connection(full.getsockname())"],
] as const) {
  test(`Ctrl-C ends a process that listens for it and is blocked in ${call}: EINTR, and the listener runs`, async () => {
    const [said, status] = await interruptedBy(`
      import { create_connection, create_server, poll, splice } from "berkeley/sync";
      // A queue that is full, so that a connection waits.
      const full = create_server(["127.0.0.1", 0], { backlog: 0 });
      const first = new Socket();
      first.connect(full.getsockname());
      writeSync(1, "ready ");
      try { ${code}; } catch (error) { writeSync(1, error.code + " "); }
      await turn();
      writeSync(1, "not reached");`);
    assert.deepEqual([said, status], ["ready EINTR handled ", [3, null]]);
  });
}

test("an uncaught EINTR ends the process", async () => {
  const child = start(`${blocked} process.on("SIGINT", () => {}); writeSync(1, "ready"); server.accept();`, "ignore");
  await once(child.stdout!, "data");
  const exit = once(child, "exit");
  child.kill("SIGINT");
  assert.deepEqual(await exit, [1, null]);
});

test("a signal interrupts one call, which may be made again, and the next signal the next one", async () => {
  const [said, status] = await interruptedBy(
    `
    const client = new Socket();
    for (let i = 0; i < 2; i++) {
      writeSync(1, "ready ");
      try { server.accept(); } catch (error) { writeSync(1, error.code + " "); }
    }
    // Neither listener has run, and no signal interrupts another call.
    try { server.accept({ timeout: 300 }); } catch (error) { writeSync(1, error.code + " "); }
    client.connect(server.getsockname());
    server.accept()[0].sendAll("x");
    writeSync(1, client.recv(1) + " ");
    await turn();`,
    ["SIGUSR2", "SIGINT"],
  );
  assert.deepEqual([said, status], ["ready EINTR ready EINTR ETIMEDOUT x listened handled ", [3, null]]);
});

test("a signal right after one whose listener has run interrupts too", async () => {
  const [said, status] = await interruptedBy(
    `
    for (let i = 0; i < 2; i++) {
      writeSync(1, "ready ");
      try { server.accept({ timeout: 10_000 }); } catch (error) { writeSync(1, error.code + " "); }
      await turn();
    }`,
    ["SIGUSR2", "SIGINT"],
  );
  assert.deepEqual([said, status], ["ready EINTR listened ready EINTR handled ", [3, null]]);
});

test("the error of an interrupted sendAll() has the number of sent bytes, and MSG_WAITALL returns the received bytes", async () => {
  const [said] = await interruptedBy(
    `
    import { MSG_WAITALL } from "berkeley/sync";
    const [left, right] = socketpair();
    writeSync(1, "ready ");
    try { left.sendAll(Buffer.alloc(64 << 20)); } catch (error) {
      let came = 0;
      try { for (;;) came += right.recv(1 << 20, { timeout: 0 }).length; } catch {}
      writeSync(1, error.code + " " + (error.transferred === came) + " ");
    }
    left.sendAll("abc");
    writeSync(1, "ready ");
    writeSync(1, right.recv(6, { flags: MSG_WAITALL }) + " ");
    await turn();`,
    ["SIGUSR2", "SIGINT"],
  );
  assert.equal(said, "ready EINTR true ready abc listened handled ");
});

test("the end of a child is no interruption", async () => {
  const child = start(`${blocked}
    import { spawn } from "node:child_process";
    spawn(process.execPath, ["--eval", ""], { stdio: "ignore" });
    try { server.accept({ timeout: 1000 }); } catch (error) { writeSync(1, error.code); }
    process.exit(0);`);
  const [said] = (await once(child.stdout!, "data")) as [Buffer];
  assert.equal(said.toString(), "ETIMEDOUT");
  await once(child, "exit");
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

test("a blocked worker gets the messages that arrive meanwhile", async () => {
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
