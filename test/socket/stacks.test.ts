// The stack of the error of a waiting call: the lines of the program that await it, and none of the package.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BerkeleyError,
  bindUdp,
  connect,
  create_connection,
  getaddrinfo,
  listen,
  Socket,
  socketpair,
  Stream,
  wrapTls,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const calls: Readonly<Record<string, () => Promise<unknown>>> = {
  "recv()": async () => {
    const [left, right] = socketpair();
    return left.recv(1, { timeout: 1 }).finally(() => (left.close(), right.close()));
  },
  "accept() of a socket": async () => {
    await using server = new Socket();
    await server.bind("127.0.0.1:0");
    server.listen();
    return await server.accept({ timeout: 1 });
  },
  "accept() of a listener": async () => {
    await using listener = await listen("tcp://127.0.0.1:0");
    return await listener.accept({ timeout: 1 });
  },
  "connect()": () => connect("tcp://127.0.0.1:1"),
  "connect() to a name": () => connect("tcp://localhost:1"),
  "create_connection()": () => create_connection(["127.0.0.1", 1]),
  "getaddrinfo()": () => getaddrinfo("no-such-host.invalid", null),
  "receive() of a UDP socket": async () => {
    await using udp = await bindUdp("udp://127.0.0.1:0");
    return await udp.receive({ timeout: 1 });
  },
  "readLine() of a stream in memory": async () => {
    const [a, b] = memoryPair();
    return new Stream(a).readLine({ timeout: 1 }).finally(() => (a.abort(), b.abort()));
  },
  "wrapTls()": async () => {
    const [a, b] = memoryPair();
    return wrapTls(a, { servername: "host.example", handshakeTimeout: 20 }).finally(() => (a.abort(), b.abort()));
  },
};

for (const [name, call] of Object.entries(calls)) {
  test(`the stack of ${name} has the line that awaits it, and no file of the package`, async () => {
    async function lineOfTheProgram(): Promise<unknown> {
      const value = await call();
      return value;
    }
    const error: unknown = await lineOfTheProgram().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof BerkeleyError, String(error));
    assert.match(error.stack ?? "", /at async lineOfTheProgram/);
    assert.doesNotMatch(error.stack ?? "", /\/(?:dist|out\/lib)\//);
    assert.ok(error.stack!.startsWith(String(error)));
  });
}
