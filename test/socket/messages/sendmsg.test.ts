// sendmsg(): data of several parts, addresses, flags, and refusals.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  type Data,
  MSG_DONTWAIT,
  MSG_MORE,
  type SendmsgOptions,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  socketpair,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { closing, tcpPair, udpPair } from "./support.js";

checkLeaks();

test("sendmsg() sends the parts of data as one message", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  assert.equal(await sender.sendmsg(["gäther", Buffer.from([0, 1]), "", "ed"]), 11);
  assert.deepEqual(
    await receiver.recv(100),
    Buffer.concat([Buffer.from("gäther"), Buffer.from([0, 1]), Buffer.from("ed")]),
  );
  assert.equal(await sender.sendmsg("text"), 4);
  assert.equal((await receiver.recv(100)).toString(), "text");
});

test("sendmsg() sends more parts than the kernel takes at once as one datagram", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  assert.equal(await sender.sendmsg(Array.from({ length: 3000 }, () => "ab")), 6000);
  assert.equal((await receiver.recv(10_000)).length, 6000);
});

test("sendmsg() goes to the address it is given, in each form", async () => {
  await using pair = await udpPair();
  const [receiver, connected] = pair;
  connected.close();
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  const address = receiver.getsockname();
  assert.ok("port" in address);
  for (const one of [
    address,
    String(address),
    ["localhost", address.port] as const,
    { host: "127.0.0.1", port: address.port },
  ]) {
    assert.equal(await sender.sendmsg("x", { address: one }), 1);
    assert.equal((await receiver.recv(10)).toString(), "x");
  }
});

test("sendmsg() sends a datagram without bytes", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  assert.equal(await sender.sendmsg(""), 0);
  assert.equal(await sender.sendmsg([]), 0);
  assert.equal(await sender.sendmsg("end"), 3);
  for (const length of [0, 0, 3]) assert.equal((await receiver.recv(10)).length, length);
});

test("sendmsg() with MSG_MORE keeps data back until there is more", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.sendmsg("one ", { flags: MSG_MORE });
  await sender.sendmsg("datagram");
  assert.equal((await receiver.recv(100)).toString(), "one datagram");
});

test("sendmsg() waits for room on a stream, and takes a part", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  const block = Buffer.alloc(4 << 20, 7);
  let sent = 0;
  for (;;) {
    const taken = await client.sendmsg(block, { timeout: 5 }).catch((error: { code: string }) => error.code);
    if (taken === "ETIMEDOUT") break;
    assert.equal(typeof taken, "number");
    sent += Number(taken);
  }
  const waiting = client.sendmsg(["more", "than"]);
  let received = 0;
  while (received < sent + 8) received += (await accepted.recv(1 << 20)).length;
  assert.equal(await waiting, 8);
  assert.equal(received, sent + 8);
});

test("sendmsg() with MSG_DONTWAIT rejects with EAGAIN at once", async () => {
  for (const type of [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]) {
    await using pair = closing(socketpair(AF_UNIX, type));
    const [left] = pair;
    await assert.rejects(
      async () => {
        for (;;) await left.sendmsg(Buffer.alloc(60_000), { flags: MSG_DONTWAIT });
      },
      { name: "SocketError", code: "EAGAIN", syscall: "sendmsg" },
    );
  }
});

test("sendmsg() with MSG_DONTWAIT to a UNIX address whose queue is full rejects with EAGAIN", async () => {
  await using receiver = new Socket(AF_UNIX, SOCK_DGRAM);
  await receiver.bind("");
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  const opts: SendmsgOptions = { address: receiver.getsockname(), flags: MSG_DONTWAIT };
  await assert.rejects(
    async () => {
      for (;;) await sender.sendmsg("x", opts);
    },
    { code: "EAGAIN", syscall: "sendmsg" },
  );
  // Without the flag it waits until there is room.
  const waiting = sender.sendmsg("last", { address: receiver.getsockname() });
  for (let data = ""; data !== "last";) data = (await receiver.recv(10)).toString();
  assert.equal(await waiting, 4);
});

test("sendmsg() gives the kernel's own errors, with the address", async () => {
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  await assert.rejects(sender.sendmsg("x"), { code: "EDESTADDRREQ", syscall: "sendmsg" });
  await assert.rejects(sender.sendmsg(Buffer.alloc(70_000), { address: "127.0.0.1:9" }), {
    code: "EMSGSIZE",
    address: "127.0.0.1",
    port: 9,
    message: "sendmsg EMSGSIZE 127.0.0.1:9: message too long",
  });
  await assert.rejects(sender.sendmsg("x", { address: "127.0.0.1:9", control: [{ type: "IP_TTL", ttl: 0 }] }), {
    code: "EINVAL",
  });
  await assert.rejects(sender.sendmsg("x", { address: "unix:/no/such/path/here" }), { code: "EAFNOSUPPORT" });
});

test("sendmsg() refuses wrong arguments with a rejection, before any call", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const wrong: readonly [unknown, unknown, string, RegExp][] = [
    [5, undefined, "TypeError", /data is 5/],
    [["a", 5], undefined, "TypeError", /data\[1\] is 5/],
    ["a", 5, "TypeError", /options are 5/],
    ["a", { control: {} }, "TypeError", /control is/],
    ["a", { control: [{ type: "IP_TTL", ttl: 1e9 }] }, "RangeError", /ttl/],
    ["a", { flags: 1.5 }, "RangeError", /flags/],
    ["a", { timeout: -1 }, "RangeError", /timeout/],
    ["a", { signal: {} }, "TypeError", /signal/],
    ["a", { address: "nonsense" }, "TypeError", /address/],
  ];
  for (const [data, opts, name, message] of wrong) {
    await assert.rejects(sender.sendmsg(data as Data, opts as SendmsgOptions), { name, message });
  }
  await assert.rejects(receiver.recv(10, { timeout: 0 }), { code: "ETIMEDOUT" });
});

test("sendmsg() on a closed socket rejects with EBADF", async () => {
  const socket = new Socket(AF_INET, SOCK_DGRAM);
  socket.close();
  await assert.rejects(socket.sendmsg("x"), { code: "EBADF", syscall: "sendmsg" });
  await assert.rejects(socket.sendmsg("x", { address: "127.0.0.1:9" }), { code: "EBADF" });
});

test("sendmsg() does not send a buffer that was detached while it waited", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  while ((await left.send(Buffer.alloc(1 << 20), { timeout: 1 }).catch(() => 0)) > 0);
  const bytes = new Uint8Array(100);
  const waiting = left.sendmsg([bytes]);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  const failed = assert.rejects(waiting, { code: "EFAULT" });
  const drain = async (): Promise<void> => {
    for (;;) await right.recv(1 << 20, { timeout: 100 });
  };
  await assert.rejects(drain(), { code: "ETIMEDOUT" });
  await failed;
});

test("sendmsg() can be aborted while it waits", async () => {
  await using pair = closing(socketpair());
  const [left] = pair;
  while ((await left.send(Buffer.alloc(1 << 20), { timeout: 1 }).catch(() => 0)) > 0);
  const controller = new AbortController();
  const waiting = left.sendmsg("x", { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
});
