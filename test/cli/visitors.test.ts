// `berkeley steps` after the steps: a server for any client.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { SHUT_WR, SO_LINGER } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { ask, rest, serve, visitor } from "./support.js";

checkLeaks();

const missing = (command: string): string | false =>
  spawnSync("sh", ["-c", `command -v ${command}`]).status === 0 ? false : `${command} is not installed`;

const WELCOME = "Welcome to my server";

test("the server answers text with the welcome, and a line with a line", async () => {
  await using serving = await serve();
  assert.equal(await ask(serving.port, "Hello, Server"), WELCOME);
  assert.equal(await ask(serving.port, "Hello, Server\n"), `${WELCOME}\n`);
  await serving.program.line(/visitor 2 +await conn\.end\(\) +finished/);
  const { stdout } = serving.program;
  for (const line of [
    /visitor 1 +const \[conn, address\] = await server\.accept\(\) +127\.0\.0\.1:\d+ +ESTABLISHED +rtt \d+\.\d\d ms$/m,
    /visitor 1 +await conn\.recv\(1024\) +"Hello, Server" +[A-Z_]+/m,
    /visitor 1 +await conn\.sendAll\("Welcome to my server"\) +nothing: all 20 bytes taken +[A-Z_]+/m,
    /visitor 1 +await conn\.end\(\) +finished, 0 bytes dropped/m,
  ]) {
    assert.match(stdout, line);
  }
});

test("steps prints the address of the page, which has the lessons", async () => {
  await using serving = await serve();
  const [, address = ""] = await serving.program.line(/(http:\/\/127\.0\.0\.1:\d+\/\?token=\S+)#\/tour$/);
  const headers = { connection: "close" };
  assert.match(await (await fetch(address, { headers })).text(), /<title>berkeley inspector<\/title>/);
  const lessons = new URL(address);
  lessons.pathname = "/api/lessons";
  assert.equal(((await (await fetch(lessons, { headers })).json()) as unknown[]).length, 6);
});

test("the server answers nc", { skip: missing("nc") }, async () => {
  await using serving = await serve();
  await using nc = new Program("nc", ["127.0.0.1", String(serving.port)], { input: "hello from nc\n" });
  const { status, stdout } = await nc.ended;
  assert.deepEqual({ status, stdout }, { status: 0, stdout: `${WELCOME}\n` });
  assert.match(serving.program.stdout, /visitor 1 +await conn\.recv\(1024\) +"hello from nc\\n"/);
});

test("the server answers Python, with the line that it prints for that", async () => {
  await using serving = await serve();
  const [, code = ""] = await serving.program.line(/^ +python3 -c '(.*)'$/);
  await using python = new Program("python3", ["-c", code]);
  assert.deepEqual(await python.ended, { status: 0, stdout: `${WELCOME}\n`, stderr: "" });
});

test(
  "the server answers curl with a page, HEAD without its body, and POST with 405",
  { skip: missing("curl") },
  async () => {
    await using serving = await serve();
    const url = `http://127.0.0.1:${serving.port}/a?b=c`;
    const curl = async (...args: string[]): Promise<string> => {
      await using program = new Program("curl", ["-sS", "-i", "--noproxy", "*", ...args, url]);
      const { status, stdout, stderr } = await program.ended;
      assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      return stdout;
    };
    const got = await curl();
    assert.match(got, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(got, /\r\nContent-Type: text\/html; charset=utf-8\r\n/);
    assert.match(got, /\r\n\r\n<!doctype html>\n[^]*<h1>Welcome to my server<\/h1>[^]*<\/html>\n$/);
    const head = await curl("-I");
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
    assert.ok(!head.includes("<"));
    assert.match(await curl("-d", "x=1"), /^HTTP\/1\.1 405 Method Not Allowed\r\n[^]*\r\nAllow: GET, HEAD\r\n/);
  },
);

test("the server answers fetch() as it would a browser", async () => {
  await using serving = await serve();
  const response = await fetch(`http://127.0.0.1:${serving.port}/`);
  assert.equal(response.status, 200);
  assert.match(await response.text(), /<h1>Welcome to my server<\/h1>/);
  await serving.program.line(
    /visitor 1 +await conn\.sendAll\("HTTP\/1\.1 200 OK"\.\.\.\) +nothing: all \d+ bytes taken/,
  );
});

test("the server waits for the rest of a request that comes in pieces", async () => {
  await using serving = await serve();
  await using socket = await visitor(serving.port);
  for (const piece of ["GET / HT", "TP/1.1\r", "\nHost: x\r\n\r", "\n"]) {
    await socket.sendAll(piece);
    // Read before the next one is sent, so that it comes by itself.
    const shown = JSON.stringify(piece).replace(/[\\/.]/g, "\\$&");
    await serving.program.line(new RegExp(`visitor 1 +await conn\\.recv\\(1024\\) +${shown} `));
  }
  assert.match(await rest(socket), /^HTTP\/1\.1 200 OK\r\n/);
});

test("the server takes what only begins like a request for text when no more comes", async () => {
  await using serving = await serve();
  assert.equal(await ask(serving.port, "GET lost"), WELCOME);
  assert.equal(await ask(serving.port, "GET lost\n"), `${WELCOME}\n`);
});

test("the server refuses a request without end", async () => {
  await using serving = await serve();
  await using socket = await visitor(serving.port);
  await socket.sendAll(`GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}`);
  assert.match(await rest(socket), /^HTTP\/1\.1 431 /);
  socket.close();
  assert.equal(await ask(serving.port, "still there?"), WELCOME);
});

test("the server goes on after visitors that reset, say nothing, or send rubbish", async () => {
  await using serving = await serve();
  const { program, port } = serving;

  const resets = await visitor(port);
  await program.line(/visitor 1 +const/);
  resets.setsockopt(SO_LINGER, 0);
  resets.close();
  await program.line(/visitor 1 +await conn\.recv\(1024\) +ECONNRESET: the visitor is gone/);

  const silent = await visitor(port);
  silent.shutdown(SHUT_WR);
  assert.equal(await rest(silent), "");
  silent.close();
  await program.line(/visitor 2 +await conn\.recv\(1024\) +0 bytes: the visitor has finished/);

  assert.equal(
    await ask(
      port,
      Uint8Array.from({ length: 256 }, (_, index) => index),
    ),
    WELCOME,
  );

  // Leaves with the answer unread.
  const hasty = await visitor(port);
  await hasty.sendAll("hello");
  hasty.setsockopt(SO_LINGER, 0);
  hasty.close();

  assert.equal(await ask(port, "Hello, Server"), WELCOME);
});

test("the server prints received bytes without control characters", async () => {
  await using serving = await serve();
  await ask(serving.port, "\u001b[31m\u009b\r\u0007\u202e");
  await serving.program.line(/visitor 1 +await conn\.end/);
  assert.doesNotMatch(serving.program.stdout, /[^\P{C}\n]/u);
  assert.match(serving.program.stdout, /"\\u001b\[31m\\u\{9b\}\\r\\u0007\\u\{202e\}"/);
});

test("the server gives a visitor --visitor-timeout, and no more", async () => {
  await using serving = await serve(["--visitor-timeout", "50"]);
  await using silent = await visitor(serving.port);
  assert.equal(await rest(silent), "");
  await serving.program.line(/visitor 1 +await conn\.recv\(1024\) +ETIMEDOUT: the visitor's time is over/);
});

test("the server has --max-visitors at a time, and the others wait in the kernel's queue", async () => {
  await using serving = await serve(["--max-visitors", "1"]);
  await using first = await visitor(serving.port);
  await serving.program.line(/visitor 1 +const/);
  await using second = await visitor(serving.port);
  await second.sendAll("me too");
  await first.sendAll("first");
  assert.equal(await rest(first), WELCOME);
  first.close();
  assert.equal(await rest(second), WELCOME);
  const lines = serving.program.stdout.split("\n");
  const closed = lines.findIndex((line) => /visitor 1 +await conn\.end/.test(line));
  const accepted = lines.findIndex((line) => /visitor 2 +const/.test(line));
  assert.ok(closed > 0 && closed < accepted, serving.program.stdout);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`${signal} ends the server with 0, visitors and all, and gives the port back`, async () => {
    await using serving = await serve();
    await using silent = await visitor(serving.port);
    await serving.program.line(/visitor 1 +const/);
    // npm passes on what the terminal has sent already.
    serving.program.kill(signal);
    serving.program.kill(signal);
    const { status, stdout, stderr } = await serving.program.ended;
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    assert.match(stdout, /\n\n {3}server +server\.close\(\) +nothing\n$/);
    assert.equal(await rest(silent), "");
    await assert.rejects(visitor(serving.port), { code: "ECONNREFUSED" });
  });
}
