// The command `bench`, with servers of the test.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bindUdp, listen, type SocketListener, type Stream } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { checkGolden } from "./golden.js";
import { listening, objects, run, start } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-bench-"));
after(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly mode: string;
  readonly loop: string;
  readonly turns: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly missed: number;
  readonly cpu: number;
  readonly errors: Record<string, number>;
  readonly latency: Record<"min" | "p50" | "p75" | "p90" | "p99" | "max", number>;
}

async function bench(...args: readonly string[]): Promise<Result> {
  const { status, stdout, stderr } = await run(["bench", ...args, "--json"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  return objects(stdout)[0] as unknown as Result;
}

/** Serves each connection with `handle`, until it is closed. */
async function serving(handle: (stream: Stream) => Promise<void>): Promise<SocketListener> {
  const listener = await listen("tcp://127.0.0.1:0");
  void (async () => {
    for await (const stream of listener) void handle(stream).catch(() => stream.abort());
  })();
  return listener;
}

async function echo(stream: Stream, before: () => Promise<void> = async () => {}): Promise<void> {
  for await (const chunk of stream) {
    await before();
    await stream.write(chunk);
  }
  await stream.close();
}

test("each mode counts its turns and bytes", async () => {
  await using server = start(["echo", "0", "-q", "--json"]);
  const target = await listening(server);
  const echoed = await bench(target, "-d", "300ms", "-s", "100", "-c", "3");
  assert.deepEqual([echoed.mode, echoed.loop, echoed.lost, echoed.errors], ["echo", "closed", 0, {}]);
  assert.ok(echoed.turns > 10);
  assert.equal(echoed.sent, echoed.turns * 100);
  assert.equal(echoed.received, echoed.sent);
  assert.ok(Math.abs(echoed.perSecond - echoed.turns / echoed.seconds) < echoed.perSecond / 100);
  const { min, p50, p99, max } = echoed.latency;
  assert.ok(0 < min && min <= p50 && p50 <= p99 && p99 <= max);

  const requestRun = await bench(
    target,
    "-d",
    "200ms",
    "-m",
    "request",
    "--request",
    "PING\\r\\n",
    "--until",
    "\\r\\n",
  );
  assert.equal(requestRun.received, requestRun.turns * 6);
  const connected = await bench(target, "-d", "200ms", "-m", "connect", "-c", "2");
  assert.ok(connected.turns > 5);
  assert.equal(connected.sent, 0);
  // The echo server sends everything back, which has to be read for it to go on.
  const bulk = await bench(target, "-d", "300ms", "-m", "bulk", "-s", "64KiB", "-c", "1");
  assert.equal(bulk.sent, bulk.turns * 65_536);
  assert.ok(bulk.received > 0);
  // More than the buffers of both sides hold.
  const large = await bench(target, "-d", "300ms", "-s", "20MiB", "-c", "1");
  assert.ok(large.turns > 0);
});

test("datagrams without an answer are lost", async () => {
  await using server = await bindUdp("udp://127.0.0.1:0");
  let count = 0;
  void (async () => {
    for await (const { data, address } of server) if (++count % 2 === 0) await server.send(data, address);
  })();
  const result = await bench(String(server.address).replace(/^/, "udp://"), "-d", "500ms", "-c", "1", "-w", "20ms");
  assert.equal(result.mode, "udp");
  // On a busy machine an answer may be late, and count as lost too.
  assert.ok(result.turns >= 1 && result.lost >= Math.floor(count / 2) - 1, `${result.lost} of ${count}`);
  assert.ok(Math.abs(result.lost + result.turns - count) <= 1, `${result.lost} + ${result.turns} of ${count}`);
});

test("an open loop charges a stall with every turn that was due, and a closed loop with one", async () => {
  /** Stalls once, a moment after the first message. */
  const stalling = (): Promise<SocketListener> => {
    let messages = 0;
    return serving((stream) => echo(stream, async () => (++messages === 20 ? sleep(600) : undefined)));
  };
  await using first = await stalling();
  const open = await bench(String(first.address), "-c", "1", "-d", "1500ms", "--rate", "100");
  await using second = await stalling();
  const closed = await bench(String(second.address), "-c", "1", "-d", "1500ms");
  assert.deepEqual([open.loop, closed.loop], ["open", "closed"]);
  assert.ok(open.latency.max >= 550 && closed.latency.max >= 550);
  // 60 of 150 turns were due during the stall.
  assert.ok(open.latency.p75 >= 50, `p75 of the open loop is ${open.latency.p75} ms`);
  assert.ok(open.latency.p90 >= 200, `p90 of the open loop is ${open.latency.p90} ms`);
  assert.ok(closed.latency.p75 < open.latency.p75 / 2, `p75 of the closed loop is ${closed.latency.p75} ms`);
  assert.ok(open.turns <= 151, String(open.turns));
});

test("a rate that the server can't serve is reported", async () => {
  await using server = await serving((stream) => echo(stream, () => sleep(50)));
  const result = await bench(String(server.address), "-c", "1", "-d", "500ms", "--rate", "1000");
  assert.ok(result.turns <= 12);
  assert.ok(result.missed >= 480, String(result.missed));
});

test("the result has the CPU that the load used", async () => {
  await using server = await serving((stream) => echo(stream, () => sleep(50)));
  const { cpu } = await bench(String(server.address), "-c", "1", "-d", "1s");
  assert.ok(cpu > 0 && cpu < 0.5, String(cpu));
});

test("the report has the percentiles, a histogram and the kind of loop, and --svg a picture", async () => {
  await using server = start(["echo", "0", "-q", "--json"]);
  const target = await listening(server);
  const svg = join(folder, "latency.svg");
  const { status, stdout, stderr } = await run(["bench", target, "-d", "200ms", "--svg", svg, "--rate", "200"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, /^\d+ turns in \d+ ms, [\d.]+ a second, by 10 connections\nsent /);
  assert.match(stdout, /^open loop of 200 a second: .* without coordinated omission/m);
  for (const part of ["50", "75", "90", "99", "99.9", "99.99"])
    assert.match(stdout, new RegExp(`^ +${part} % {2}\\d`, "m"));
  assert.match(stdout, /^ *< \S+ .s {2}#+ +\d+$/m);
  const picture = readFileSync(svg, "utf8");
  const checked = spawnSync("python3", ["-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])", svg]);
  assert.equal(checked.status, 0, checked.stderr.toString());
  assert.match(picture, /^<svg .*\n[^]*<polyline [^>]*points="[\d., ]+"\/>\n<\/svg>\n$/);
});

test("turns that fail are counted by code, and end with status 1", async () => {
  await using server = await serving(async (stream) => {
    await stream.read();
    stream.abort();
  });
  const { status, stdout } = await run(["bench", String(server.address), "-d", "200ms", "-c", "1", "--json"]);
  assert.equal(status, 1);
  const { turns, errors } = objects(stdout)[0] as unknown as Result;
  assert.equal(turns, 0);
  assert.ok(errors["ECONNRESET"]! >= 1);
});

test("Ctrl-C ends the load, and the results are printed", async () => {
  await using server = await serving((stream) => echo(stream));
  await using program = start(["bench", String(server.address), "-d", "1m", "-c", "1", "--verbose"]);
  await program.line(/^berkeley: 1 connection is open/, "stderr");
  program.kill("SIGINT");
  const { status, stdout } = await program.ended;
  assert.equal(status, 130);
  assert.match(stdout, /^\d+ turns in /);
});

test("errors of bench are those of the golden file", async () => {
  const lines: string[] = [];
  for (const args of [
    ["bench"],
    ["bench", "127.0.0.1:1"],
    ["bench", "localhost:1", "--mode", "ecko"],
    ["bench", "localhost:1", "--mode", "request"],
    ["bench", "localhost:1", "--request", "x"],
    ["bench", "udp://localhost:1", "--mode", "bulk"],
    ["bench", "udp://localhost:1", "--size", "3"],
    ["bench", "fd:3"],
    ["bench", "localhost:1", "--svg", "/nowhere/x.svg"],
  ]) {
    const { status, stderr, stdout } = await run(args, { input: "" });
    lines.push(`$ berkeley ${args.join(" ")}`, `${stdout}${stderr.trimEnd()}`, `status ${status}`, "");
  }
  checkGolden("errors-bench.txt", lines.join("\n"));
});
