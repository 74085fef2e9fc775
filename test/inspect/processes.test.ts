// Processes and threads that are watched: workers, children, ends. JSON lines, and captures that tshark reads.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test, after as afterAll } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { Worker, type WorkerOptions } from "node:worker_threads";
import { connect, listen, Socket, AF_INET, SOCK_DGRAM, socketpair } from "berkeley";
import { type SocketReport, startInspector, type TableUpdate } from "berkeley/inspect";
import { checkLeaks } from "../support/leaks.js";
import { compiled, Program } from "../support/program.js";
import { complaints, fields, follow } from "../support/tshark.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));

function linesOf(file: string): TableUpdate[] {
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as TableUpdate);
}

/** A worker that ends with its test, also if that fails: its sockets would be in the tables of the tests behind it. */
function startWorker(t: TestContext, program: string | URL, options: WorkerOptions = {}): Worker {
  const worker = new Worker(program, options);
  t.after(() => worker.terminate());
  return worker;
}

/** The rows that a reader of updates has at the end. */
function tableOf(updates: readonly TableUpdate[]): Map<string, SocketReport> {
  const table = new Map<string, SocketReport>();
  for (const { whole, changed, removed } of updates) {
    if (whole) table.clear();
    for (const row of changed) table.set(row.id, row);
    for (const id of removed) table.delete(id);
  }
  return table;
}

async function until(passes: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (passes()) return;
    await after(20);
  }
  assert.fail("it does not come to that");
}

test("the sockets of a worker that has the inspector are in the table until it closes them or is terminated", async (t) => {
  await using inspector = await startInspector();
  const program = `void (async () => {
    const { parentPort } = await import("node:worker_threads");
    const { Socket, socketpair } = await import("berkeley");
    const { startInspector } = await import("berkeley/inspect");
    const { url } = await startInspector();
    const [left, right] = socketpair();
    const more = new Socket();
    await left.sendAll("from a worker");
    parentPort.on("message", () => more.close());
    parentPort.postMessage(url ?? "no page");
  })();`;
  const worker = startWorker(t, program, { eval: true });
  assert.deepEqual(await once(worker, "message"), ["no page"]);
  const rows = (): SocketReport[] => inspector.sockets().filter(({ thread }) => thread === worker.threadId);
  await until(() => rows().some(({ sent }) => sent.bytes === 13));
  assert.equal(rows().length, 3);
  const detail = await inspector.socket(rows().find(({ sent }) => sent.bytes === 13)!.id);
  assert.deepEqual(
    detail?.calls.map(({ call }) => call),
    ["socketpair", "socketpair", "send"],
  );
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that of windows has an origin
  worker.postMessage("close one");
  await until(() => rows().length === 2);
  await worker.terminate();
  await until(() => inspector.sockets().length === 0);
});

test("workers of a program that --import watches are in its table, without a change of their code", async () => {
  const file = join(folder, "workers.jsonl");
  const worker = `void (async () => {
    const { socketpair } = await import("berkeley");
    globalThis.pair = socketpair();
    await globalThis.pair[0].sendAll("worker");
    const { parentPort } = await import("node:worker_threads");
    parentPort.once("message", () => process.exit());
  })();`;
  const program = `import { Worker } from "node:worker_threads";
    import { sockets } from "berkeley/inspect";
    const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
    const timer = setInterval(() => {
      if (!sockets().some(({ thread, sent }) => thread > 0 && sent.bytes === 6)) return;
      clearInterval(timer);
      worker.postMessage("end");
    }, 50);
    worker.on("exit", () => setTimeout(() => console.log(sockets().length), 50));`;
  await using watched = new Program(
    process.execPath,
    ["--import", "berkeley/inspect", "--input-type=module", "--eval", program],
    { env: { BERKELEY_INSPECT_FILE: file } },
  );
  const { status, stdout, stderr } = await watched.ended;
  assert.deepEqual([status, stdout, stderr], [0, "0\n", ""]);
});

test("a worker that is started with --import in its execArgv is seen by an inspector that the program has started", async (t) => {
  await using inspector = await startInspector();
  const file = join(folder, "worker.mjs");
  writeFileSync(
    file,
    `import { parentPort } from "node:worker_threads";
     import { socketpair } from ${JSON.stringify(import.meta.resolve("berkeley"))};
     globalThis.pair = socketpair();
     parentPort.on("message", () => {});`,
  );
  const worker = startWorker(t, file, { execArgv: ["--import", import.meta.resolve("berkeley/inspect")] });
  await until(() => inspector.sockets().filter(({ thread }) => thread === worker.threadId).length === 2);
  await worker.terminate();
  await until(() => inspector.sockets().length === 0);
});

test("a connection between threads has both ends, with the calls of both, from either end", async (t) => {
  await using inspector = await startInspector();
  await using listener = await listen("tcp://127.0.0.1:0");
  const program = `void (async () => {
    const { parentPort, workerData } = require("node:worker_threads");
    const { connect } = await import("berkeley");
    const { startInspector } = await import("berkeley/inspect");
    await startInspector();
    const stream = await connect(workerData);
    await stream.write("hello");
    parentPort.on("message", (gate) => void Atomics.wait(new Int32Array(gate), 0, 0));
    parentPort.postMessage("sent");
  })();`;
  const worker = startWorker(t, program, { eval: true, workerData: `tcp://${String(listener.address)}` });
  const [server] = await Promise.all([listener.accept(), once(worker, "message")]);
  await server.read();
  const ofWorker = (): SocketReport | undefined =>
    inspector.sockets().find(({ thread, sent }) => thread === worker.threadId && sent.bytes === 5);
  await until(() => ofWorker() !== undefined);
  const client = ofWorker()!;
  const own = inspector.sockets().find(({ peer }) => peer === client.local)!;
  for (const [id, other] of [
    [own.id, client.id],
    [client.id, own.id],
  ] as const) {
    const detail = (await inspector.socket(id))!;
    assert.equal(detail.other?.id, other);
    const names = detail.calls.map(({ socket, call }) => `${socket === own.id ? "server" : "client"} ${call}`);
    for (const name of ["client connect", "client send", "server accept", "server recv"]) {
      assert.ok(names.includes(name), names.join());
    }
    for (const [at, { start }] of detail.calls.slice(1).entries()) assert.ok(start >= detail.calls[at]!.start);
  }
  // A worker that is blocked for a while answers when it is free: for longer than a page would wait.
  const gate = new Int32Array(new SharedArrayBuffer(4));
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that of windows has an origin
  worker.postMessage(gate.buffer);
  const asked = inspector.socket(own.id);
  await after(400);
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  assert.ok((await asked)?.calls.some(({ socket, call }) => socket === client.id && call === "connect"));
  await worker.terminate();
  await server.close();
});

test("an inspector that is closed while a page shows the socket of a worker throws nothing into the program", async (t) => {
  const inspector = await startInspector();
  const program = `void (async () => {
    const { parentPort } = require("node:worker_threads");
    const { socketpair } = await import("berkeley");
    const { startInspector } = await import("berkeley/inspect");
    await startInspector();
    globalThis.pair = socketpair();
    parentPort.on("message", () => {});
  })();`;
  const worker = startWorker(t, program, { eval: true });
  await until(() => inspector.sockets().length === 2);
  const path = `/events?socket=${encodeURIComponent(inspector.sockets()[0]!.id)}&`;
  const asked = get(inspector.url!.replace("/?", path), { agent: false });
  asked.on("error", () => {});
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.on("error", () => {});
  const closed = new Promise((resolve) => response.on("close", resolve));
  await once(response, "data");
  // The test runner fails a test for an exception that nothing catches.
  await inspector.close();
  await closed;
  await after(20);
  await worker.terminate();
});

test("children of a program with a chosen port have a page each, on another port", async () => {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address() as { readonly port: number };
  free.close();
  await once(free, "close");
  await using program = new Program(
    process.execPath,
    [
      "--import",
      "berkeley/inspect",
      "--input-type=module",
      "--eval",
      `import { spawnSync } from "node:child_process";
       const { stderr } = spawnSync(process.execPath, ["--import", "berkeley/inspect", "--eval", "0"]);
       process.stderr.write(stderr);`,
    ],
    { env: { BERKELEY_INSPECT_PORT: String(port) } },
  );
  const { status, stderr } = await program.ended;
  assert.equal(status, 0);
  // The child may print first.
  const ports = [...stderr.matchAll(/is at http:\/\/127\.0\.0\.1:(\d+)\//g)].map(([, text]) => Number(text));
  assert.equal(ports.length, 2, stderr);
  assert.equal(ports.filter((one) => one === port).length, 1, stderr);
});

test("a program whose standard error nobody reads runs on", async () => {
  const [mine, its] = socketpair();
  mine.close();
  const child = spawn(
    process.execPath,
    ["--import", "berkeley/inspect", "--eval", "setTimeout(() => process.exit(3), 50)"],
    { stdio: ["ignore", "ignore", its.fileno()], cwd: compiled, env: { ...process.env, NODE_TEST_CONTEXT: undefined } },
  );
  const [status] = (await once(child, "exit")) as [number];
  its.close();
  assert.equal(status, 3);
});

test("JSON lines have the whole table first, then changes, and the last state of a program that ends", async () => {
  const file = join(folder, "lines.jsonl");
  await using program = new Program(
    process.execPath,
    [
      "--import",
      "berkeley/inspect",
      "--input-type=module",
      "--eval",
      `import { socketpair } from "berkeley";
       const [left, right] = socketpair();
       await left.sendAll("x".repeat(1000));
       right.recv(10);
       process.exit(3);`,
    ],
    { env: { BERKELEY_INSPECT_FILE: file } },
  );
  const { status, stderr } = await program.ended;
  assert.equal(status, 3);
  assert.equal(stderr, "", "headless, it prints no address");
  const updates = linesOf(file);
  assert.equal(updates[0]!.whole, true);
  const table = tableOf(updates);
  assert.deepEqual(
    [...table.values()].map(({ sent, received }) => [sent.bytes, received.bytes]),
    [
      [1000, 0],
      [0, 10],
    ],
  );
});

test("a child that a watched program forks is watched too, and writes lines of its own", async () => {
  const file = join(folder, "fork.jsonl");
  await using program = new Program(
    process.execPath,
    [
      "--import",
      "berkeley/inspect",
      "--input-type=module",
      "--eval",
      `import { execFileSync } from "node:child_process";
       import { Socket, socketpair } from "berkeley";
       const socket = new Socket();
       execFileSync(process.execPath, [...process.execArgv.slice(0, 2), "--input-type=module", "--eval",
         'import { socketpair } from "berkeley"; socketpair();']);`,
    ],
    { env: { BERKELEY_INSPECT_FILE: file } },
  );
  const { status, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const pids = new Map<number, number>();
  for (const update of linesOf(file)) pids.set(update.process.pid, update.changed.length);
  assert.equal(pids.size, 2);
  assert.deepEqual(
    [...pids.values()].toSorted((a, b) => a - b),
    [1, 2],
  );
});

test("the inspector that BERKELEY_INSPECT=0 turns off prints nothing, and a wrong option is a warning", async () => {
  const run = async (env: NodeJS.ProcessEnv): Promise<{ readonly status: unknown; readonly stderr: string }> => {
    await using program = new Program(
      process.execPath,
      [
        "--import",
        "berkeley/inspect",
        "--input-type=module",
        "--eval",
        `import { Socket } from "berkeley"; new Socket().close();`,
      ],
      { env },
    );
    return await program.ended;
  };
  const off = await run({ BERKELEY_INSPECT: "0" });
  assert.deepEqual([off.status, off.stderr], [0, ""]);
  const wrong = await run({ BERKELEY_INSPECT_PORT: "many" });
  assert.equal(wrong.status, 0);
  assert.match(
    wrong.stderr,
    /InspectorWarning: The inspector did not start: .*BERKELEY_INSPECT_PORT is "many", required a whole number/,
  );
});

test("a capture of TCP has the same bytes both ways, real addresses, and the calls with their lines", async () => {
  const file = join(folder, "tcp.pcapng");
  const question = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
  const answer = Buffer.from("and back\n".repeat(5000));
  const inspector = await startInspector({ record: file });
  await using listener = await listen("tcp://127.0.0.1:0");
  const client = await connect(listener.address);
  const server = await listener.accept();
  const [asked] = await Promise.all([server.readExactly(question.length), client.write(question)]);
  const [got] = await Promise.all([client.readExactly(answer.length), server.write(answer)]);
  await client.end();
  await server.end();
  await inspector.close();
  assert.deepEqual(Buffer.from(asked), question);
  assert.deepEqual(Buffer.from(got), answer);
  assert.equal(complaints(file), "");
  assert.deepEqual(follow(file), { client: question, server: answer });
  const packets = fields(file, ["tcp.dstport", "tcp.flags.str", "frame.comment"]);
  assert.equal(packets[0]![0], String(listener.address.port));
  const comments = packets.map(([, , comment]) => comment ?? "").filter((comment) => comment !== "");
  assert.ok(
    comments.some((comment) => /^send at .*processes\.test\.(js|ts):\d+:\d+$/.test(comment)),
    comments.join("\n"),
  );
  assert.ok(packets.some(([, flags]) => flags!.includes("F")));
});

test("a capture of UDP has each datagram once, with its bytes", async () => {
  const file = join(folder, "udp.pcapng");
  const inspector = await startInspector({ record: file });
  const one = new Socket(AF_INET, SOCK_DGRAM);
  const other = new Socket(AF_INET, SOCK_DGRAM);
  await one.bind(["127.0.0.1", 0]);
  await other.bind(["127.0.0.1", 0]);
  await one.sendto("question", other.getsockname());
  const [, from] = await other.recvfrom(100);
  await other.sendto("answer", from);
  await one.recvfrom(100);
  const [near, far] = [one.getsockname(), other.getsockname()].map((address) =>
    String((address as { port: number }).port),
  );
  one.close();
  other.close();
  await inspector.close();
  assert.equal(complaints(file), "");
  assert.deepEqual(fields(file, ["udp.srcport", "udp.dstport", "udp.payload"]), [
    [near, far, Buffer.from("question").toString("hex")],
    [far, near, Buffer.from("answer").toString("hex")],
  ]);
});

test("a capture has UNIX sockets too, and a worker and a child have files of their own", async () => {
  const file = join(folder, "unix.pcapng");
  await using program = new Program(
    process.execPath,
    [
      "--import",
      "berkeley/inspect",
      "--input-type=module",
      "--eval",
      `import { execFileSync } from "node:child_process";
       import { socketpair } from "berkeley";
       const [left, right] = socketpair();
       await left.sendAll("ping");
       await right.recv(10);
       await right.sendAll("pong");
       await left.recv(10);
       left.close();
       right.close();
       if (process.env.CHILD === undefined) {
         execFileSync(process.execPath, [...process.execArgv], { env: { ...process.env, CHILD: "1" }, stdio: "ignore" });
       }`,
    ],
    { env: { BERKELEY_INSPECT_RECORD: file, BERKELEY_INSPECT_FILE: join(folder, "unix.jsonl") } },
  );
  const { status, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const files = readdirSync(folder).filter((name) => name.startsWith("unix") && name.endsWith(".pcapng"));
  assert.equal(files.length, 2, files.join());
  for (const name of files) {
    assert.equal(complaints(join(folder, name)), "");
    assert.deepEqual(follow(join(folder, name)), { client: Buffer.from("ping"), server: Buffer.from("pong") });
  }
});

test("a socket from before the inspector is in the table from its first call on", async () => {
  const [before, peer] = socketpair();
  await using inspector = await startInspector();
  assert.equal(inspector.sockets().length, 0);
  await before.sendAll("x");
  assert.deepEqual(
    inspector.sockets().map(({ family, sent, line }) => [family, sent.bytes, line]),
    [["AF_UNIX", 1, null]],
  );
  before.close();
  peer.close();
  assert.equal(inspector.sockets().length, 0);
});
