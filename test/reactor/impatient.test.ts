// Calls with MSG_DONTWAIT and refused calls: none gets a wrong EAGAIN, and a loop of them does not block the event
// loop.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_UNIX, DatagramBatch, MSG_DONTWAIT, SOCK_DGRAM } from "berkeley";
import { fakeKernel, IN, keepAlive, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

const flags = MSG_DONTWAIT;

test("calls with MSG_DONTWAIT that are made when the budget is spent wait for their turn, and do not fail with EAGAIN", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  const sent = Array.from({ length: 600 }, () => watch(conn.send("x", { flags })));
  for (let i = 0; i < 5; i++) await turn();
  assert.deepEqual(new Set(sent.map(({ state }) => state)), new Set(["resolved"]));
  assert.equal(sys.count("send"), 600);
});

test("after a call that has to wait, calls with MSG_DONTWAIT get EAGAIN and the others keep waiting", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  for (let i = 0; i < 256; i++) void conn.send("x");
  const one = watch(conn.recv(4));
  const two = watch(conn.recv(4, { flags }));
  const three = watch(conn.recv(4));
  await turn();
  await turn();
  assert.deepEqual([one.state, two.state, three.state], ["pending", "rejected", "pending"]);
  assert.equal((two.error as NodeJS.ErrnoException).code, "EAGAIN");
  sys.script("recv", Buffer.from("aaaa"), Buffer.from("bbbb"));
  fire(IN, conn);
  await turn();
  assert.deepEqual([one.value?.toString(), three.value?.toString()], ["aaaa", "bbbb"]);
});

/** Whether a timer runs while `call` is repeated in a loop. */
async function leavesTurns(call: () => Promise<unknown>): Promise<void> {
  let over = false;
  const timer = setTimeout(() => (over = true), 5);
  let rounds = 0;
  // The loop is limited, so that the test fails instead of running for ever.
  while (!over && rounds++ < 2_000_000) await call().catch(() => undefined);
  clearTimeout(timer);
  assert.ok(over, "the timer had no turn");
}

test("a loop of calls with MSG_DONTWAIT after a waiting call does not block the event loop", async () => {
  const { socket } = fakeKernel();
  const conn = socket();
  const waiting = watch(conn.recv(1));
  await leavesTurns(() => conn.recv(1, { flags }));
  assert.equal(waiting.state, "pending");
  conn.close();
  await turn();
});

test("a loop of calls on a closed socket, or with an aborted signal, does not block the event loop", async () => {
  const { socket } = fakeKernel();
  const conn = socket();
  const signal = AbortSignal.abort();
  await leavesTurns(() => conn.recv(1, { signal }));
  conn.close();
  await leavesTurns(() => conn.recv(1));
});

test("a send of datagrams with MSG_DONTWAIT to a UNIX receiver with a full queue does not wait", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket(AF_UNIX, SOCK_DGRAM);
  sys.always("sendmmsg", "EAGAIN");
  const batch = new DatagramBatch();
  batch.add("x", "unix:/nowhere");
  const sent = watch(conn.sendmmsg(batch, { flags }));
  await turn();
  assert.equal((sent.error as NodeJS.ErrnoException | undefined)?.code, "EAGAIN");
  assert.equal(sys.waiting, 0);
});
