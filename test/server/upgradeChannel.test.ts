// upgrade() with a program at the other end of the control channel that breaks the protocol: wrong bytes, missing
// fields and descriptors, and early ends.

import assert from "node:assert/strict";
import { existsSync, fstatSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  AF_UNIX,
  connect,
  connectUdp,
  type EndpointLike,
  send_fds,
  SOCK_SEQPACKET,
  Socket,
  socketpair,
} from "berkeley";
import { serve, serveUdp, upgrade, type UpgradeError } from "berkeley/server";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { deferred } from "./support.js";

checkLeaks();

const MODULES = { MAIN: import.meta.resolve("berkeley"), SERVER: import.meta.resolve("berkeley/server") };

/** A new program that speaks for itself: `messages` are the messages that it sends, one after the other. */
const FOREIGN = `
const { Socket, recv_fds } = await import(process.env.MAIN);
const control = Socket.fromfd(Number.parseInt(process.env.BERKELEY_UPGRADE, 10));
process.on("SIGTERM", () => process.exit(1));
setInterval(() => undefined, 1000);
try {
  for (const step of JSON.parse(process.env.STEPS)) {
    if (step === "receive") await recv_fds(control, 1 << 17, 64);
    else if (step === "exit") process.exit(0);
    else if (step === "close") control.close();
    else if (step === "tell") await fetch(process.env.TELL);
    else if (typeof step === "number") await control.send("x".repeat(step));
    else await control.send(typeof step === "string" ? step : JSON.stringify(step));
  }
} catch {
  // The old program has given up.
}
`;

const foreign = (steps: readonly unknown[], tell: string = "") => ({
  command: process.execPath,
  args: ["--input-type=module", "--eval", FOREIGN],
  env: { ...process.env, ...MODULES, STEPS: JSON.stringify(steps), TELL: tell },
  timeout: 20_000,
});

const HELLO = { type: "hello", protocol: 1 };
const CASES: readonly [string, readonly unknown[], RegExp][] = [
  ["garbage", ["garbage"], /is no program that uses upgrade\(\): the message is "garbage"/],
  ["a part of a message", ['{"type":"ready","pid":1'], /is no program/],
  ["no object", ["null"], /is no program/],
  ["a number", ["7"], /is no program/],
  ["a message that does not exist", [{ type: "later" }], /the message is .*later/],
  ["the name of a member of all objects", [{ type: "constructor" }], /is no program/],
  ["ready without its fields", [HELLO, "receive", { type: "ready", pid: 1 }], /is no program/],
  ["ready with wrong sockets", [HELLO, "receive", { type: "ready", pid: 1, taken: [-1, "x"] }], /is no program/],
  ["serving before ready", [{ type: "serving" }], /the message is "serving"/],
  ["messages of the old program", [{ type: "go" }], /the message is "go"/],
  ["a message that is too long", [140_000], /is no program/],
  ["nothing, and exits with status 0", ["exit"], /exited with status 0 before it was ready/],
  ["nothing, and closes the channel", ["close"], /before it was ready/],
  ["ready, and exits", [HELLO, "receive", { type: "ready", pid: 1, taken: [] }, "receive", "exit"], /status 0/],
];

for (const [name, steps, message] of CASES) {
  test(`a new program that sends ${name} leaves the old one as it was`, async () => {
    await using server = await serve("tcp://127.0.0.1:0", (stream) => stream.write("hello\n"));
    await assert.rejects(upgrade([server], foreign(steps)), (error: UpgradeError) => {
      assert.deepEqual([error.name, error.code], ["UpgradeError", "ERR_UPGRADE"]);
      assert.match(error.message, message);
      return true;
    });
    await using client = await connect(server.address as EndpointLike);
    assert.equal(await client.readLine(), "hello");
  });
}

/** Plays the old program: sends the messages to a new one, whose endpoints are in its text. */
async function asOldProgram(
  text: string,
  messages: readonly (readonly [message: object, sockets: readonly Socket[]])[],
  limit?: number,
): Promise<{ status: number | string; stdout: string; stderr: string }> {
  const [ours, theirs] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  const { ino } = fstatSync(theirs.fileno(), { bigint: true });
  const env = { ...MODULES, BERKELEY_UPGRADE: `3:${ino}`, ...(limit === undefined ? {} : { LIMIT: String(limit) }) };
  const descriptors = [theirs.fileno()];
  await using program = Program.node(["--input-type=module", "--eval", text], { env, descriptors });
  theirs.close();
  await ours.recv(1000);
  for (const [message, sockets] of messages) {
    if (sockets.length === 0) await ours.send(JSON.stringify(message));
    else await send_fds(ours, JSON.stringify(message), sockets);
  }
  const ended = await program.ended;
  ours.close();
  return ended;
}

/** With LIMIT, so many descriptors are left. */
const TAKES = `
const { readdirSync, readlinkSync } = await import("node:fs");
const { execFileSync } = await import("node:child_process");
const { listen } = await import(process.env.MAIN);
const files = () => readdirSync("/proc/self/fd").flatMap((fd) => {
  try {
    return [readlinkSync("/proc/self/fd/" + fd)];
  } catch {
    return [];
  }
});
const sockets = () => files().filter((file) => file.startsWith("socket:")).length;
const before = sockets();
const { LIMIT } = process.env;
if (LIMIT !== undefined) {
  execFileSync("prlimit", ["--pid=" + process.pid, "--nofile=" + (files().length + Number(LIMIT)) + ":"]);
}
await listen("tcp://127.0.0.1:1").catch(({ code, cause }) => console.log(code, cause?.message, before - sockets()));
`;

const limited = { skip: !existsSync("/usr/bin/prlimit") && "prlimit(1) is missing" };

test("a new program that lacks descriptors fails, and does not open the endpoints again", limited, async () => {
  const sockets = Array.from({ length: 60 }, () => new Socket());
  const described = sockets.map((_, id) => ({ id, names: [`tcp://127.0.0.1:${id}`] }));
  const { stdout } = await asOldProgram(TAKES, [[{ type: "sockets", sockets: described, more: false }, sockets]], 30);
  // The channel is closed.
  assert.match(stdout, /^EMFILE undefined 1$/m);
  for (const socket of sockets) socket.close();
});

test("descriptors that are not as described are closed, and the new program fails", async () => {
  const sockets = [new Socket(), new Socket()];
  const one = { id: 0, names: ["tcp://127.0.0.1:1"] };
  const run = async (list: readonly object[]): Promise<string> =>
    (await asOldProgram(TAKES, [[{ type: "sockets", sockets: list, more: false }, sockets]])).stdout;
  assert.match(await run([one]), /^ECANCELED 2 of 1 sockets came 1$/m);
  assert.match(await run([one, { id: "x", names: [] }]), /^EPROTO the message is .* 1$/m);
  for (const socket of sockets) socket.close();
});

/** The new program closes its server, or waits, before ready(). */
const REPLACED = `
const { serve, serveUdp } = await import(process.env.SERVER);
const { KIND, PLACE } = process.env;
const server = KIND === "unix"
  ? await serve(PLACE, () => undefined)
  : await serveUdp(PLACE, (datagram, reply) => void reply("new"));
if (KIND === "unix") await server.close();
else await fetch(process.env.TELL);
process.exit(4);
`;

test("a program that can't be started at all is an UpgradeError", async () => {
  await using server = await serve("tcp://127.0.0.1:0", () => undefined);
  const env = { ...process.env, HUGE: "x".repeat(1 << 20) };
  await assert.rejects(upgrade([server], { env }), { name: "UpgradeError", pid: undefined, message: /E2BIG/ });
});

test("a new program that closes its server before ready() leaves the file of the UNIX socket", async () => {
  const folder = mkdtempSync(join(tmpdir(), "upgrade-"));
  const place = `unix:${folder}/server.sock`;
  const server = await serve(place, (stream) => stream.write("hello\n"));
  const env = { ...process.env, ...MODULES, KIND: "unix", PLACE: place };
  const args = ["--input-type=module", "--eval", REPLACED];
  await assert.rejects(upgrade([server], { command: process.execPath, args, env }), { exitCode: 4 });
  await using client = await connect(place);
  assert.equal(await client.readLine(), "hello");
  await client.close();
  await server.close();
  assert.equal(existsSync(`${folder}/server.sock`), false);
  rmSync(folder, { recursive: true });
});

test("serveUdp() of the new program receives nothing before ready()", async () => {
  await using server = await serveUdp("udp://127.0.0.1:0", (_, reply) => void reply("old"));
  const requested = deferred<() => void>();
  const { createServer } = await import("node:http");
  const http = createServer((_, response) => requested.resolve(() => response.end()));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const tell = `http://127.0.0.1:${(http.address() as { port: number }).port}`;
  const env = { ...process.env, ...MODULES, KIND: "udp", PLACE: "udp://127.0.0.1:0", TELL: tell };
  const args = ["--input-type=module", "--eval", REPLACED];
  const upgrading = assert.rejects(upgrade([server], { command: process.execPath, args, env }), { exitCode: 4 });
  const answerRequest = await requested.promise;
  await using client = await connectUdp(server.address);
  for (let sent = 0; sent < 50; sent++) {
    await client.send("hello");
    assert.equal((await client.receive()).data.toString(), "old");
  }
  answerRequest();
  await upgrading;
  http.close();
});

test("the time until ready() and the time until the new program accepts have one deadline", async () => {
  using clock = new TestClock();
  const { createServer } = await import("node:http");
  let arrived = deferred<() => void>();
  const http = createServer((_, response) => arrived.resolve(() => response.end()));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as { port: number };
  await using server = await serve("tcp://127.0.0.1:0", (stream) => stream.write("hello\n"));
  const ready = { type: "ready", pid: process.pid, taken: [0] };
  const steps = [HELLO, "receive", "tell", ready, "receive", "tell"];
  const upgrading = assert.rejects(
    upgrade([server], foreign(steps, `http://127.0.0.1:${port}`)),
    (error: { code: string; cause: Error }) => {
      assert.equal(error.code, "ETIMEDOUT");
      assert.match(error.cause.message, /^the new program, process \d+, has called ready\(\), but .* 20000 ms$/);
      return true;
    },
  );
  const goOn = await arrived.promise;
  arrived = deferred();
  await clock.advance(15_000);
  goOn();
  // The new program has received `go`, and does not answer.
  await arrived.promise;
  await clock.advance(4_999);
  await clock.advance(1);
  await upgrading;
  http.closeAllConnections();
  http.close();
  await using client = await connect(server.address as EndpointLike);
  assert.equal(await client.readLine(), "hello");
});

// The last one: this process is replaced.
test("a server that is closed after the new program may accept does not end the upgrade", async () => {
  const requested = deferred<() => void>();
  const { createServer } = await import("node:http");
  const http = createServer((_, response) => requested.resolve(() => response.end()));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as { port: number };
  const server = await serve("tcp://127.0.0.1:0", () => undefined);
  const ready = { type: "ready", pid: process.pid, taken: [0] };
  const steps = [HELLO, "receive", ready, "receive", "tell", { type: "serving" }, "receive", "exit"];
  const upgrading = upgrade([server], foreign(steps, `http://127.0.0.1:${port}`));
  // The new program has got `go`.
  const answerRequest = await requested.promise;
  await server.close();
  answerRequest();
  const { drained } = await upgrading;
  await drained;
  http.close();
});
