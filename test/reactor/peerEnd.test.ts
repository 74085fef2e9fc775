// The wait for the end of the peer, on a fake kernel: which events end it, and that it reads nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SocketConn } from "#berkeley/socket/socketConn.js";
import { POLLERR, POLLHUP, POLLIN, POLLRDHUP } from "#berkeley/sys/constants.js";
import { ERR, fakeKernel, HUP, IN, keepAlive, RDHUP, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("arriving bytes do not end the wait, and the end of the peer does, also while a read waits", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.always("poll", () => 0);
  const ended = watch(new SocketConn(conn).whenEnded());
  const reading = watch(conn.recv(10));
  await turn();
  assert.deepEqual([ended.state, reading.state], ["pending", "pending"]);
  sys.script("recv", Buffer.from("bytes"));
  fire(IN, conn);
  await turn();
  assert.deepEqual([ended.state, reading.state], ["pending", "resolved"]);
  const { length } = sys.callsOf("recv");
  sys.always("poll", () => POLLIN | POLLRDHUP);
  fire(IN | RDHUP, conn);
  await turn();
  assert.deepEqual([ended.state, ended.value], ["resolved", undefined]);
  assert.equal(sys.callsOf("recv").length, length, "nothing was read");
});

test("a reset is reported without a read, and in the same way after a read has failed with it", async () => {
  for (const read of [false, true]) {
    const { sys, socket, fire } = fakeKernel();
    const conn = socket();
    sys.always("poll", () => 0);
    const waits = [new SocketConn(conn).whenEnded(), new SocketConn(conn).whenBroken()].map((call) => watch(call));
    const reading = read ? watch(conn.recv(10)) : undefined;
    await turn();
    // The read clears the error of the socket, so poll(2) reports none.
    sys.always("poll", () => POLLHUP | POLLRDHUP | (read ? 0 : POLLERR));
    if (read) sys.script("recv", "ECONNRESET");
    fire(IN | RDHUP | HUP | ERR, conn);
    await turn();
    await turn();
    for (const { state, value } of waits) {
      const { code, syscall } = value as { code: string; syscall: string };
      assert.deepEqual([state, code, syscall], ["resolved", "ECONNRESET", "poll"]);
    }
    if (reading !== undefined) assert.equal((reading.error as { code: string }).code, "ECONNRESET");
  }
});

test("an event of the error queue, or the end of this side, is not the end of the peer", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  sys.always("poll", () => POLLERR);
  const ended = watch(new SocketConn(conn).whenEnded());
  await turn();
  fire(IN | ERR, conn);
  await turn();
  assert.equal(ended.state, "pending");
  sys.always("poll", () => POLLERR | POLLRDHUP);
  fire(IN | ERR | RDHUP, conn);
  await turn();
  assert.deepEqual([ended.state, ended.value], ["resolved", undefined]);
});
