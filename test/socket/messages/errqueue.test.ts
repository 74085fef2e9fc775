// The error queue: MSG_ERRQUEUE, at the same time as ordinary reads.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IP_RECVERR,
  IPV6_DONTFRAG,
  IPV6_MTU,
  IPV6_RECVERR,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  SO_EE_ORIGIN_ICMP,
  SO_EE_ORIGIN_ICMP6,
  SO_EE_ORIGIN_LOCAL,
  SOCK_DGRAM,
  Socket,
  socketpair,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { closing, only, udpPair } from "./support.js";

checkLeaks();

/** A UDP socket with an error queue, and an address without a receiver. */
async function refused(family: number): Promise<[socket: Socket, nobody: ReturnType<Socket["getsockname"]>]> {
  await using other = new Socket(family, SOCK_DGRAM);
  await other.bind([family === AF_INET ? "127.0.0.1" : "::1", 0]);
  const socket = new Socket(family, SOCK_DGRAM);
  await socket.bind([family === AF_INET ? "127.0.0.1" : "::1", 0]);
  if (family === AF_INET) socket.setsockopt(IP_RECVERR, true);
  else socket.setsockopt(IPV6_RECVERR, true);
  return [socket, other.getsockname()];
}

for (const [name, family, type, origin] of [
  ["IP_RECVERR", AF_INET, "IP_RECVERR", SO_EE_ORIGIN_ICMP],
  ["IPV6_RECVERR", AF_INET6, "IPV6_RECVERR", SO_EE_ORIGIN_ICMP6],
] as const) {
  test(`${name} has the host that refused a datagram, and the datagram`, async () => {
    const [made, nobody] = await refused(family);
    await using socket = made;
    await socket.sendto("is anybody there", nobody);
    const message = await socket.recvmsg(100, { flags: MSG_ERRQUEUE });
    assert.equal(message.data.toString(), "is anybody there");
    assert.equal(String(message.address), String(nobody));
    assert.ok((message.flags & MSG_ERRQUEUE) !== 0);
    const error = only(message.control, type);
    assert.equal(error.code, "ECONNREFUSED");
    assert.equal(error.ee_origin, origin);
    assert.ok(error.offender !== undefined && "host" in error.offender);
    assert.equal(error.offender.host, family === AF_INET ? "127.0.0.1" : "::1");
    assert.equal(error.ee_type, family === AF_INET ? 3 : 1);
    assert.equal(error.ee_code, family === AF_INET ? 3 : 4);
  });
}

test("the error for a datagram that is too large for the path has the MTU", async () => {
  const [made, nobody] = await refused(AF_INET6);
  await using socket = made;
  socket.setsockopt(IPV6_MTU, 1280);
  socket.setsockopt(IPV6_DONTFRAG, true);
  await assert.rejects(socket.sendto(Buffer.alloc(1400), nobody), { code: "EMSGSIZE" });
  const { control } = await socket.recvmsg(10, { flags: MSG_ERRQUEUE });
  const error = only(control, "IPV6_RECVERR");
  assert.equal(error.code, "EMSGSIZE");
  assert.equal(error.ee_origin, SO_EE_ORIGIN_LOCAL);
  assert.equal(error.ee_info, 1280);
});

test("a read of the error queue that waits holds no ordinary read up, nor the other way round", async () => {
  const [made, nobody] = await refused(AF_INET);
  await using socket = made;
  await using peer = new Socket(AF_INET, SOCK_DGRAM);
  const here = socket.getsockname();
  const first = socket.recvmsg(100, { flags: MSG_ERRQUEUE });
  const second = socket.recvmsg(100, { flags: MSG_ERRQUEUE });
  const ordinary = socket.recvmsg(100);
  await peer.sendto("ordinary", here);
  assert.equal((await ordinary).data.toString(), "ordinary");

  // A call that waits for data gets the error too. The error queue has the details, in the order of the sends.
  await socket.sendto("one", nobody);
  assert.equal((await first).data.toString(), "one");
  const late = socket.recv(100).catch((error: { code: string }) => error.code);
  await socket.sendto("two", nobody);
  assert.equal((await second).data.toString(), "two");
  if ((await Promise.race([late, new Promise((resolve) => setImmediate(resolve, "waits"))])) === "waits") {
    await peer.sendto("data", here);
    assert.equal(String(await late), "data");
  } else assert.equal(await late, "ECONNREFUSED");
});

test("EAGAIN from the error queue leaves ordinary reads as they are", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  receiver.setsockopt(IP_RECVERR, true);
  for (let i = 0; i < 3; i++) {
    await sender.send("data");
    await assert.rejects(receiver.recvmsg(10, { flags: MSG_ERRQUEUE | MSG_DONTWAIT }), { code: "EAGAIN" });
    await assert.rejects(receiver.recv(10, { flags: MSG_ERRQUEUE | MSG_DONTWAIT }), { code: "EAGAIN" });
    await assert.rejects(receiver.recvfrom(10, { flags: MSG_ERRQUEUE, timeout: 1 }), { code: "ETIMEDOUT" });
    assert.equal((await receiver.recv(10)).toString(), "data");
  }
});

test("recv() and recvfrom() read the error queue as well", async () => {
  const [made, nobody] = await refused(AF_INET);
  await using socket = made;
  const waiting = socket.recvfrom(100, { flags: MSG_ERRQUEUE });
  await socket.sendto("first", nobody);
  const [data, address] = await waiting;
  assert.equal(data.toString(), "first");
  assert.deepEqual(address, nobody);
  const buffer = Buffer.alloc(6);
  const into = socket.recvInto(buffer, { flags: MSG_ERRQUEUE });
  await socket.sendto("second", nobody).catch(() => socket.sendto("second", nobody));
  assert.equal(await into, 6);
  assert.equal(buffer.toString(), "second");
});

test("many errors are all reported", async () => {
  const [made, nobody] = await refused(AF_INET);
  await using socket = made;
  const told: string[] = [];
  const reading = (async () => {
    while (told.length < 50) told.push((await socket.recvmsg(100, { flags: MSG_ERRQUEUE })).data.toString());
  })();
  for (let i = 0; i < 50;) {
    // The next call returns a pending error, and then has sent nothing.
    const sent = await socket.sendto(`number ${i}`, nobody).catch(() => undefined);
    if (sent !== undefined) i++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await reading;
  assert.deepEqual(
    told,
    Array.from({ length: 50 }, (_, index) => `number ${index}`),
  );
});

test("MSG_ERRQUEUE means nothing to a UNIX socket, as to the kernel", async () => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_DGRAM));
  const [left, right] = pair;
  const waiting = right.recvmsg(100, { flags: MSG_ERRQUEUE });
  await left.send("ordinary");
  assert.equal((await waiting).data.toString(), "ordinary");
});
