// Writes that wait on a socket for which the poller relays bytes (reactor/relay.ts).

import assert from "node:assert/strict";
import { test } from "node:test";
import { descriptorOf } from "#berkeley/socket/promiseRunner.js";
import { RelayTable } from "#berkeley/reactor/relay.js";
import { fakeKernel, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

// native/relay.c
const FLAGS = 0;
const OPEN = 1;
const WANTS_OUT = 2;
const BLOCKED = 4;
const MISSED_OUT = 8;

function relay(): { words: Int32Array; open: NonNullable<ReturnType<RelayTable["makeRelay"]>> } {
  const words = new Int32Array(20_000);
  const open = RelayTable.at(words, 0)!.makeRelay(0, 0)!;
  open.open(1, 2, 0, false, false, false);
  return { words, open };
}

test("a write that waits for buffer space goes before bytes that the relay sends to the same socket", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const { words, open } = relay();
  descriptorOf(conn).inflow = open;
  sys.script("send", 2, "EAGAIN");
  const sending = watch(conn.sendAll(Buffer.from("abcd")));
  assert.equal(words[FLAGS], OPEN | BLOCKED);
  fire(OUT, conn);
  await turn();
  assert.equal(sending.state, "resolved");
});

test("a partly sent write that only waits for its turn goes before them too", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  const { words, open } = relay();
  descriptorOf(conn).inflow = open;
  // A part is sent, and uses up the budget of this turn.
  sys.script("send", 5 << 20);
  const sending = watch(conn.sendAll(Buffer.alloc(6 << 20)));
  assert.equal(sending.state, "pending");
  assert.equal(sys.count("send"), 1);
  assert.equal(words[FLAGS], OPEN | BLOCKED);
  await turn();
  assert.equal(sending.state, "resolved");
});

test("a write that waits on a relay source gets the event that was stored for it", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  const { words, open } = relay();
  descriptorOf(conn).outflow = open;
  words[FLAGS] = OPEN | MISSED_OUT;
  sys.script("send", "EAGAIN");
  const sending = watch(conn.sendAll(Buffer.from("abcd")));
  assert.equal(words[FLAGS], OPEN | WANTS_OUT);
  await turn();
  assert.equal(sending.state, "resolved");
});
