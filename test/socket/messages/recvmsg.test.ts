// recvmsg() and recvmsgInto(): data, addresses, flags, and truncation.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  Message,
  MessageHeader,
  MSG_PEEK,
  MSG_TRUNC,
  type RecvmsgOptions,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  Socket,
  socketpair,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { closing, tcpPair, udpPair } from "./support.js";

checkLeaks();

test("recvmsg() gives data, address and flags", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.send("hello");
  const message = await receiver.recvmsg(100);
  assert.ok(message instanceof Message);
  assert.equal(message.data.toString(), "hello");
  assert.equal(message.bytes, 5);
  assert.equal(message.length, 5);
  assert.deepEqual(message.address, sender.getsockname());
  assert.equal(message.flags, 0);
  assert.equal(message.truncated, false);
  assert.equal(message.controlTruncated, false);
  assert.deepEqual(message.control, []);
});

test("recvmsg() waits for a message", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const waiting = receiver.recvmsg(100);
  await sender.send("late");
  assert.equal((await waiting).data.toString(), "late");
});

test("recvmsg() reports a datagram that is larger than its room", async () => {
  for (const ends of [
    await udpPair(),
    closing(socketpair(AF_UNIX, SOCK_DGRAM)),
    closing(socketpair(AF_UNIX, SOCK_SEQPACKET)),
  ]) {
    await using pair = ends;
    const [receiver, sender] = pair;
    await sender.send("longer than that");
    await sender.send("longer than that");
    await sender.send("next");
    const cut = await receiver.recvmsg(6);
    assert.equal(cut.data.toString(), "longer");
    assert.equal(cut.bytes, 6);
    assert.equal(cut.length, 6);
    assert.ok(cut.truncated);
    assert.ok((cut.flags & MSG_TRUNC) !== 0);
    const known = await receiver.recvmsg(6, { flags: MSG_TRUNC });
    assert.equal(known.data.toString(), "longer");
    assert.equal(known.length, 16);
    assert.ok(known.truncated);
    const whole = await receiver.recvmsg(100);
    assert.equal(whole.data.toString(), "next");
    assert.equal(whole.truncated, false);
  }
});

test("recvmsg() gives an empty datagram as one, and goes on", async () => {
  for (const ends of [await udpPair(), closing(socketpair(AF_UNIX, SOCK_DGRAM))]) {
    await using pair = ends;
    const [receiver, sender] = pair;
    await sender.send("");
    await sender.send("more");
    const empty = await receiver.recvmsg(100);
    assert.equal(empty.data.length, 0);
    assert.equal(empty.truncated, false);
    assert.equal((await receiver.recvmsg(100)).data.toString(), "more");
    // A read with an empty buffer waits for a datagram and takes it.
    await sender.send("gone");
    const nothing = await receiver.recvmsg(0);
    assert.equal(nothing.data.length, 0);
    assert.ok(nothing.truncated);
  }
});

test("recvmsg() on a stream gives an empty message at the end", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  await client.send("last");
  client.close();
  const message = await accepted.recvmsg(100);
  assert.equal(message.data.toString(), "last");
  assert.equal(message.address, undefined);
  assert.equal((await accepted.recvmsg(100)).data.length, 0);
});

test("recvmsg() takes large messages, and a small piece keeps no large buffer alive", async () => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_SEQPACKET));
  const [left, right] = pair;
  const large = Buffer.alloc(150_000, "x");
  await left.send(large);
  assert.deepEqual((await right.recvmsg(200_000)).data, large);
  await left.send("small");
  const { data } = await right.recvmsg(10 << 20);
  assert.equal(data.toString(), "small");
  assert.ok(data.buffer.byteLength < 1 << 20);
});

test("recvmsg() with MSG_PEEK leaves the message", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.send("peeked");
  assert.equal((await receiver.recvmsg(100, { flags: MSG_PEEK })).data.toString(), "peeked");
  assert.equal((await receiver.recvmsg(3, { flags: MSG_PEEK | MSG_TRUNC })).length, 6);
  assert.equal((await receiver.recvmsg(100)).data.toString(), "peeked");
});

test("recvmsgInto() scatters a message over its buffers", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.send("headerbodyrest");
  const parts = [Buffer.alloc(6), new Uint8Array(0), Buffer.alloc(4), Buffer.alloc(10, "-")];
  const message = await receiver.recvmsgInto(parts);
  assert.ok(message instanceof MessageHeader && !(message instanceof Message));
  assert.equal(message.bytes, 14);
  assert.equal(message.truncated, false);
  assert.deepEqual(message.address, sender.getsockname());
  assert.deepEqual(parts.map(String), ["header", "", "body", "rest------"]);
  await sender.send("headerbodyrest");
  const one = Buffer.alloc(6);
  const cut = await receiver.recvmsgInto(one, { flags: MSG_TRUNC });
  assert.equal(cut.bytes, 6);
  assert.equal(cut.length, 14);
  assert.ok(cut.truncated);
  assert.equal(one.toString(), "header");
});

test("recvmsgInto() writes into a part of a larger memory and nowhere else", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const memory = new Uint8Array(30).fill(1);
  await sender.send(Buffer.alloc(20, 2));
  const { bytes } = await receiver.recvmsgInto([memory.subarray(5, 8), memory.subarray(20, 22)]);
  assert.equal(bytes, 5);
  assert.deepEqual(
    [...memory.keys()].filter((at) => memory[at] === 2),
    [5, 6, 7, 20, 21],
  );
});

test("recvmsgInto() fails when its buffers are detached while it waits, and takes nothing", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const buffer = new Uint8Array(100);
  const waiting = receiver.recvmsgInto([buffer]);
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  await sender.send("kept");
  await assert.rejects(waiting, { code: "EFAULT" });
  assert.equal((await receiver.recv(10)).toString(), "kept");
});

test("a recvmsg() that times out or is aborted leaves the message in the kernel", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await assert.rejects(receiver.recvmsg(10, { timeout: 1 }), { code: "ETIMEDOUT", syscall: "recvmsg" });
  const controller = new AbortController();
  const waiting = receiver.recvmsg(10, { signal: controller.signal });
  const next = receiver.recvmsgInto(Buffer.alloc(10));
  controller.abort("no");
  await assert.rejects(waiting, (reason) => reason === "no");
  await sender.send("here");
  assert.equal((await next).bytes, 4);
});

test("recvmsg() refuses wrong arguments with a rejection", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  const wrong: readonly [unknown, unknown, string, RegExp][] = [
    ["5", undefined, "TypeError", /size is "5"/],
    [-1, undefined, "RangeError", /size is -1/],
    [1, 5, "TypeError", /options are 5/],
    [1, { controlSize: -1 }, "RangeError", /controlSize is -1/],
    [1, { controlSize: "8" }, "TypeError", /controlSize is "8"/],
    [1, { controlSize: 2 ** 30 }, "RangeError", /controlSize/],
    [1, { flags: {} }, "TypeError", /flags/],
  ];
  for (const [size, opts, name, message] of wrong) {
    await assert.rejects(socket.recvmsg(size as number, opts as RecvmsgOptions), { name, message });
  }
  await assert.rejects(socket.recvmsgInto(5 as unknown as Uint8Array), { name: "TypeError", message: /buffers are 5/ });
  await assert.rejects(socket.recvmsgInto([new Uint8Array(1), "x" as unknown as Uint8Array]), {
    name: "TypeError",
    message: /buffers\[1\] is "x"/,
  });
  const many = Array.from({ length: 1025 }, () => new Uint8Array(1));
  await assert.rejects(socket.recvmsgInto(many), {
    name: "RangeError",
    message: /1025 buffers, required at most 1024/,
  });
});

test("recvmsg() on a closed socket rejects with EBADF, and with ECANCELED when it is closed meanwhile", async () => {
  const socket = new Socket(AF_INET, SOCK_DGRAM);
  const waiting = socket.recvmsg(10);
  const errors = socket.recvmsg(10, { flags: 0x2000 });
  socket.close();
  await assert.rejects(waiting, { code: "ECANCELED", syscall: "recvmsg" });
  await assert.rejects(errors, { code: "ECANCELED", syscall: "recvmsg" });
  await assert.rejects(socket.recvmsg(10), { code: "EBADF", syscall: "recvmsg" });
  await assert.rejects(socket.recvmsg(10, { flags: 0x2000 }), { code: "EBADF", syscall: "recvmsg" });
});
