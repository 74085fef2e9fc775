// Servers with 64 descriptors and 500 clients. The servers run in a process of their own with that limit.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, InetAddress, listen, type Stream } from "berkeley";
import { encodeProxyHeader } from "berkeley/server";
import { Program } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";
import { readToEnd } from "./support.js";

checkLeaks();

const CLIENTS = 500;
/** Milliseconds of the stuck phase, and the part of a CPU that it may use. The target is 5 %. */
const STUCK = 2000;
const MOST_CPU = 0.05;

// The servers print their events, and the CPU time of the stuck phase. "open" on the standard input ends that phase.
const COMMON = `
  import { execFileSync } from "node:child_process";
  // Loading the modules needs more.
  execFileSync("prlimit", ["--pid", String(process.pid), "--nofile=64"]);
  const events = [];
  const onPressure = ({ state, code }) => {
    if (events.length === 0) console.log("pressure", state, code);
    events.push(state);
  };
  const listening = { listen: { backlog: 600 }, onPressure };
  const stuck = () => setTimeout(() => {
    const before = process.cpuUsage();
    setTimeout(() => {
      const { user, system } = process.cpuUsage(before);
      console.log("cpu", (user + system) / 1000 / ${STUCK});
    }, ${STUCK});
  }, 500);
  process.stdin.setEncoding("utf8");
`;
const SERVE = `
  import { open } from "node:fs/promises";
  import { serve } from "berkeley/server";
  ${COMMON}
  let release;
  const released = new Promise((resolve) => (release = resolve));
  process.stdin.on("data", (text) => text.includes("open") ? release() : stuck());
  const server = await serve("tcp://127.0.0.1:0", async (stream) => {
    await stream.readLine();
    await released;
    // The reserve is for this file. All handlers that are there open it at the same time.
    const file = await open("/proc/self/status");
    await file.close();
    await stream.write("served\\n");
  }, { ...listening, reserve: 26 });
  console.log("port", server.address.port);
  process.on("SIGTERM", async () => {
    const { accepted, failed, shortages } = server.stats();
    await server.close();
    console.log("end", JSON.stringify({ accepted, failed, shortages, last: events.at(-1) }));
    process.exit();
  });
`;
const forwardTo = (target: string, opts: object = {}): string => `
  import { forward } from "berkeley";
  ${COMMON}
  process.stdin.on("data", stuck);
  const opts = { ...listening, ...${JSON.stringify(opts)} };
  const server = await forward("tcp://127.0.0.1:0", ${JSON.stringify(target)}, opts);
  console.log("port", server.address.port);
  process.on("SIGTERM", async () => {
    const { accepted, failed, shortages } = server.stats();
    await server.close();
    console.log("end", JSON.stringify({ accepted, failed, shortages, last: events.at(-1) }));
    process.exit();
  });
`;

const started = (code: string): Program => Program.node(["--input-type=module", "--eval", code], { openInput: true });

interface Run {
  /** Lets the connections that are stuck go on. */
  readonly release: () => void;
  /** What each client sends first. */
  readonly header?: Uint8Array;
}

async function run(program: Program, { header = Buffer.alloc(0), release }: Run): Promise<void> {
  const [, port] = await program.line(/^port (\d+)$/);
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => connect(["127.0.0.1", Number(port)], { timeout: 10_000 })),
  );
  // Each client closes its connection when it has its answer, so that the descriptor is free.
  const endings = clients.map(async (client) => {
    await client.write([header, "question\n"]);
    const result = await readToEnd(client);
    await client.close();
    return result;
  });
  const [, code] = await program.line(/^pressure begin (\w+)$/);
  assert.equal(code, "EMFILE");
  program.child.stdin!.write("stuck\n");
  const [, cpu] = await program.line(/^cpu (.*)$/);
  assert.ok(Number(cpu) < MOST_CPU, `CPU ${cpu}`);
  release();
  const counts = new Map<string, number>();
  for (const result of await Promise.all(endings)) counts.set(result, (counts.get(result) ?? 0) + 1);
  assert.deepEqual([...counts], [["end:served\n", CLIENTS]]);
  program.kill("SIGTERM");
  const [, text] = await program.line(/^end (.*)$/);
  const { accepted, failed, shortages } = JSON.parse(text!) as Record<string, number>;
  assert.deepEqual({ accepted, failed }, { accepted: CLIENTS, failed: 0 });
  assert.ok(shortages! > 0);
  await program.ended;
}

test("serve() with 64 descriptors serves 500 clients, and uses hardly any CPU while it can accept none", async () => {
  await using program = started(SERVE);
  await run(program, { release: () => program.child.stdin!.write("open\n") });
});

const ends = { source: new InetAddress("192.0.2.1", 51_000), destination: new InetAddress("198.51.100.2", 443) };

for (const [host, proxied] of [
  ["127.0.0.1", false],
  ["localhost", false],
  ["127.0.0.1", true],
] as const) {
  const from = proxied ? " behind a proxy" : "";
  test(`forward() with 64 descriptors to ${host} forwards 500 clients${from}, and resets none`, async () => {
    await using target = await listen("tcp://127.0.0.1:0", { backlog: 600 });
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    const answer = async (stream: Stream): Promise<void> => {
      await stream.readLine();
      await released;
      await stream.write("served\n");
      await stream.end();
    };
    const answers: Promise<void>[] = [];
    const serving = (async () => {
      for await (const stream of target) answers.push(answer(stream));
    })();
    // The connections whose header is pending will need a descriptor for the target, too.
    const opts = proxied ? { proxyProtocol: { from: ["127.0.0.1"] } } : {};
    await using program = started(forwardTo(`tcp://${host}:${String(target.address).split(":")[1]}`, opts));
    await run(program, proxied ? { release, header: encodeProxyHeader(ends) } : { release });
    await Promise.all(answers);
    await target.close();
    await serving;
  });
}
