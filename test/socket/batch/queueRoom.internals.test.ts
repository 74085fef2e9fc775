// A call that waits for space in a queue of datagrams gets it, however the calls before it end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_UNIX, DatagramQueue, SO_SNDBUF, SOCK_DGRAM, socketpair } from "berkeley";
import { turn, watch } from "../../support/fakeSocket.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

test("a datagram that is refused when its turn has come leaves its room to the next one", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  one.setsockopt(SO_SNDBUF, 1);
  const queue = new DatagramQueue(one, { maxQueue: 1, size: 512 });
  // Until the kernel accepts no more, and one datagram is in the queue.
  for (let turns = 0; turns < 3; turns = queue.trySend("fill") ? 0 : turns + 1) await turn();
  const wrong = watch(queue.send(7 as never));
  const right = watch(queue.send("right"));
  await turn();
  assert.deepEqual([wrong.state, right.state], ["pending", "pending"]);
  for (let i = 0; i < 100 && right.state === "pending"; i++) {
    await two.recv(512, { timeout: 20 }).catch(() => undefined);
    await turn();
  }
  assert.ok(wrong.error instanceof TypeError);
  assert.equal(right.state, "resolved");
  queue.close();
  one.close();
  two.close();
});
