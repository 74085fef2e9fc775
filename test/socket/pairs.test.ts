// socketpair(): two connected sockets of each type.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  socketpair,
  UnixAddress,
} from "berkeley";
import { pattern, receiveAll } from "../support/families.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

test("socketpair() gives two connected streams", async () => {
  const [left, right] = socketpair();
  assert.ok(left instanceof Socket);
  assert.equal(left.family, AF_UNIX);
  assert.equal(left.type, SOCK_STREAM);
  assert.deepEqual(left.getsockname(), new UnixAddress(""));
  assert.deepEqual(left.getpeername(), new UnixAddress(""));
  const sent = pattern(1 << 20);
  const there = left.sendAll(sent).then(() => left.shutdown(SHUT_WR));
  const back = right.sendAll(sent).then(() => right.shutdown(SHUT_WR));
  const [a, b] = await Promise.all([receiveAll(right), receiveAll(left), there, back]);
  assert.ok(a.equals(sent) && b.equals(sent));
  left.close();
  right.close();
});

for (const [name, type] of [
  ["SOCK_DGRAM", SOCK_DGRAM],
  ["SOCK_SEQPACKET", SOCK_SEQPACKET],
] as const) {
  test(`a pair of ${name} keeps messages apart, and waits when the peer does not read`, async () => {
    const [left, right] = socketpair(AF_UNIX, type);
    assert.equal(left.type, type);
    const messages = Array.from({ length: 2000 }, (_, index) => pattern(1 + (index % 997), index));
    const sending = (async () => {
      for (const message of messages) assert.equal(await left.send(message), message.length);
    })();
    for (const message of messages) assert.ok((await right.recv(1000)).equals(message));
    await sending;
    left.close();
    right.close();
  });
}

test("a pair of SOCK_SEQPACKET has an end", async () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  await left.send("message");
  left.close();
  assert.equal((await right.recv(100)).toString(), "message");
  assert.equal((await right.recv(100)).length, 0);
  right.close();
});

test("a pair that the kernel does not make is refused, and leaves nothing open", () => {
  const before = openDescriptors().size;
  assert.throws(() => socketpair(AF_INET), { code: "EOPNOTSUPP", syscall: "socketpair" });
  assert.throws(() => socketpair(AF_UNIX, 99), { code: /^E(SOCKTNOSUPPORT|INVAL)$/ });
  assert.throws(() => socketpair(12345), { code: "EAFNOSUPPORT" });
  assert.equal(openDescriptors().size, before);
});
