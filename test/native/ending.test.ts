// The end of a process: the calls that keep it alive, exit() with waiting calls, and errors in continuations.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const prelude = `
  import { AF_UNIX, SOCK_STREAM, Socket, socketpair } from "berkeley";
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  const client = new Socket();
  await client.connect(server.getsockname());
  const [conn] = await server.accept();
  // The collector may run in any of these programs; nothing of theirs is to be collected while open.
  globalThis.kept = [server, client, conn];
  const quiet = (promise) => promise.catch((error) => console.log("rejected", error.code));
`;

/** Runs a module in a process of its own. */
const run = (body: string): Program => Program.node(["--expose-gc", "--input-type=module", "--eval", prelude + body]);

async function printed(body: string, status: number = 0): Promise<string> {
  await using program = run(body);
  const { status: found, stdout, stderr } = await program.ended;
  assert.equal(found, status, stderr);
  if (status === 0) assert.equal(stderr, "");
  return stdout;
}

const everythingWaits = `
  quiet(server.accept());
  quiet(client.recv(10));
  quiet(conn.recvInto(Buffer.alloc(10), { timeout: 100_000 }));
  quiet(conn.sendAll(Buffer.alloc(64 << 20)));
  quiet(server.readable({ signal: new AbortController().signal }));
  globalThis.resolving = Array.from({ length: 20 }, () => new Socket());
  for (const socket of globalThis.resolving) quiet(socket.connect(["localhost", 1]));
`;

test("a process with idle open sockets ends", async () => {
  assert.equal(await printed(`console.log("done");`), "done\n");
});

test("a process with sockets on which calls have waited, and do not any more, ends", async () => {
  const body = `
    const received = conn.recv(10);
    await client.sendAll("x");
    console.log(String(await received));
    await conn.recv(10, { timeout: 1 }).catch((error) => console.log(error.code));
    const controller = new AbortController();
    const aborted = conn.recv(10, { signal: controller.signal });
    controller.abort(new Error("aborted"));
    await aborted.catch((error) => console.log(error.message));`;
  assert.equal(await printed(body), "x\nETIMEDOUT\naborted\n");
});

test("a call that waits keeps the process alive until it has its answer", async () => {
  await using program = run(`
    console.log("port", server.getsockname().port);
    const [visitor] = await server.accept();
    const data = await visitor.recv(100);
    console.log("heard", String(data));`);
  const [, port] = await program.line(/^port (\d+)$/);
  // It waits; it would have ended by now if nothing held it.
  await using visitor = new Socket();
  await visitor.connect(["127.0.0.1", Number(port)]);
  await visitor.sendAll("hello");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /heard hello\n$/);
});

test("a call that waits with a timeout keeps the process alive until its deadline", async () => {
  const body = `
    const began = performance.now();
    await conn.recv(10, { timeout: 100 }).catch((error) => console.log(error.code, performance.now() - began >= 99));`;
  assert.equal(await printed(body), "ETIMEDOUT true\n");
});

test("a loop that has used up its budget keeps the process alive", async () => {
  const body = `
    const [left, right] = (globalThis.pair = socketpair());
    for (let i = 0; i < 5000; i++) { await left.send("x"); await right.recv(1); }
    console.log("looped");`;
  assert.equal(await printed(body), "looped\n");
});

test("close() of a socket with a waiting call lets the process end", async () => {
  const body = `quiet(conn.recv(10)); quiet(server.accept()); conn.close(); server.close();`;
  assert.equal(await printed(body), "rejected ECANCELED\nrejected ECANCELED\n");
});

test("process.exit() with calls of every kind waiting ends with its status", async () => {
  assert.equal(await printed(`${everythingWaits} console.log("leaving"); process.exit(0);`), "leaving\n");
  await printed(`${everythingWaits} process.exit(7);`, 7);
});

test("process.exit() in a later turn, and in the reaction to a call, ends with its status", async () => {
  const later = `${everythingWaits} setTimeout(() => process.exit(0), 20);`;
  assert.match(await printed(later), /^(rejected ECONNREFUSED\n)*$/);
  const reaction = `
    const [left, right] = socketpair();
    ${everythingWaits}
    right.recv(10).then(() => process.exit(0));
    left.send("x");`;
  assert.match(await printed(reaction), /^(rejected ECONNREFUSED\n)*$/);
});

test("an error that is thrown in the reaction to a call is an ordinary unhandled rejection", async () => {
  const body = `
    const [left, right] = socketpair();
    const heard = new Promise((resolve) => process.on("unhandledRejection", resolve));
    right.recv(10).then(() => { throw new Error("mine"); });
    await left.send("x");
    console.log("unhandled", (await heard).message);
    // The socket and the loop go on.
    const again = right.recv(10);
    await left.send("y");
    console.log(String(await again));`;
  assert.equal(await printed(body), "unhandled mine\ny\n");
});

test("without a handler such an error ends the process with status 1 and its stack", async () => {
  await using program = run(`
    ${everythingWaits}
    const [left, right] = socketpair();
    right.recv(10).then(() => { throw new Error("mine"); });
    await left.send("x");`);
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /Error: mine/);
});

test("an unhandled rejection of a call is reported with its error", async () => {
  await using program = run(`new Socket().recv(1);`);
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /SocketError: recv ENOTCONN/);
  assert.match(stderr, /code: 'ENOTCONN'/);
});
