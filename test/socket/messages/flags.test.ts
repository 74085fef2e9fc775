// The effects of MSG_PEEK, MSG_WAITALL, MSG_OOB, MSG_DONTWAIT, MSG_TRUNC and MSG_EOR.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_UNIX,
  CMSG_SPACE,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  SHUT_WR,
  SO_LINGER,
  SO_OOBINLINE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  type Socket,
  socketpair,
} from "berkeley";
import { turn } from "../../support/clock.js";
import { checkLeaks } from "../../support/leaks.js";
import { closing, only, type Pair, tcpPair, udpPair } from "./support.js";

checkLeaks();

function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++) bytes[index] = index * 7 + (index >> 8);
  return bytes;
}

async function streams(): Promise<[name: string, ends: Pair][]> {
  return [
    ["tcp", await tcpPair()],
    ["unix", closing(socketpair())],
  ];
}

/** Sends in small pieces, each in a turn of its own. */
async function trickle(socket: Socket, data: Buffer, piece: number): Promise<void> {
  for (let at = 0; at < data.length; at += piece) {
    await socket.sendAll(data.subarray(at, at + piece));
    await turn();
  }
}

test("MSG_WAITALL waits for all bytes, however they come", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const data = pattern(5000);
    const sending = trickle(sender, Buffer.concat([data, data, data, data]), 333);
    assert.deepEqual(await receiver.recv(5000, { flags: MSG_WAITALL }), data, name);
    const into = Buffer.alloc(5000);
    assert.equal(await receiver.recvInto(into, { flags: MSG_WAITALL }), 5000, name);
    assert.deepEqual(into, data, name);
    const [from] = await receiver.recvfrom(5000, { flags: MSG_WAITALL });
    assert.deepEqual(from, data, name);
    const parts = [Buffer.alloc(1000), Buffer.alloc(0), Buffer.alloc(3999), Buffer.alloc(1)];
    const message = await receiver.recvmsgInto(parts, { flags: MSG_WAITALL });
    assert.equal(message.bytes, 5000, name);
    assert.deepEqual(Buffer.concat(parts), data, name);
    await sending;
  }
});

test("MSG_WAITALL fills more than any receive buffer holds", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const data = pattern(24 << 20);
    const [got] = await Promise.all([receiver.recv(data.length, { flags: MSG_WAITALL }), sender.sendAll(data)]);
    assert.ok(got.equals(data), name);
  }
});

test("MSG_WAITALL gives fewer bytes at the end, and the end stays for the next call", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const waiting = receiver.recv(100, { flags: MSG_WAITALL });
    await sender.sendAll("not");
    await turn();
    await sender.sendAll(" enough");
    sender.shutdown(SHUT_WR);
    assert.equal((await waiting).toString(), "not enough", name);
    assert.equal((await receiver.recv(100, { flags: MSG_WAITALL })).length, 0, name);
    const { data } = await receiver.recvmsg(100, { flags: MSG_WAITALL });
    assert.equal(data.length, 0, name);
  }
});

test("MSG_WAITALL returns the bytes before an error, and the next call rejects with the error", async () => {
  await using pair = await tcpPair();
  const [receiver, sender] = pair;
  const waiting = receiver.recv(100, { flags: MSG_WAITALL });
  await sender.sendAll("before");
  await turn();
  await turn();
  sender.setsockopt(SO_LINGER, 0);
  sender.close();
  assert.equal((await waiting).toString(), "before");
  await assert.rejects(receiver.recv(100, { flags: MSG_WAITALL }), { code: "ECONNRESET" });
});

test("an interrupted MSG_WAITALL resolves with the bytes that have arrived, and rejects without any", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const flags = MSG_WAITALL;
    await assert.rejects(receiver.recv(10, { flags, timeout: 1 }), { code: "ETIMEDOUT" }, name);
    await sender.sendAll("abc");
    assert.equal((await receiver.recv(10, { flags, timeout: 5 })).toString(), "abc", name);

    const controller = new AbortController();
    const aborted = receiver.recvmsg(10, { flags, signal: controller.signal });
    const next = receiver.recv(3, { flags });
    await sender.sendAll("de");
    await turn();
    await turn();
    controller.abort();
    assert.equal((await aborted).data.toString(), "de", name);
    await sender.sendAll("fgh");
    assert.equal((await next).toString(), "fgh", name);

    const other = new AbortController();
    const nothing = receiver.recvInto(Buffer.alloc(5), { flags, signal: other.signal });
    other.abort("stop");
    await assert.rejects(nothing, (reason) => reason === "stop", name);

    const closed = receiver.recv(10, { flags });
    await sender.sendAll("ij");
    await turn();
    await turn();
    receiver.close();
    assert.equal((await closed).toString(), "ij", name);
  }
});

test("MSG_WAITALL with MSG_PEEK waits until there is enough to see, and takes nothing", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const flags = MSG_WAITALL | MSG_PEEK;
    const peeking = receiver.recv(9, { flags });
    const behind = receiver.recv(3);
    for (const part of ["one", "two", "six"]) {
      await sender.sendAll(part);
      await turn();
    }
    assert.equal((await peeking).toString(), "onetwosix", name);
    assert.equal((await behind).toString(), "one", name);
    // An interrupted call leaves all bytes to the calls after it.
    const cut = receiver.recvmsg(100, { flags, timeout: 5 });
    const after = receiver.recv(100);
    await assert.rejects(cut, { code: "ETIMEDOUT" }, name);
    assert.equal((await after).toString(), "twosix", name);
    const last = receiver.recv(100, { flags });
    await sender.sendAll("end");
    sender.shutdown(SHUT_WR);
    assert.equal((await last).toString(), "end", name);
  }
});

test("MSG_WAITALL changes nothing for datagrams, nor with MSG_DONTWAIT", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.send("short");
  assert.equal((await receiver.recv(100, { flags: MSG_WAITALL })).toString(), "short");
  const [right, left] = socketpair();
  await left.sendAll("part");
  assert.equal((await right.recv(100, { flags: MSG_WAITALL | MSG_DONTWAIT })).toString(), "part");
  await assert.rejects(right.recv(100, { flags: MSG_WAITALL | MSG_DONTWAIT }), { code: "EAGAIN" });
  left.close();
  right.close();
});

test("MSG_WAITALL stops after bytes that brought descriptors, which belong to them", async () => {
  await using pair = closing(socketpair());
  const [right, left] = pair;
  await left.sendAll("ab");
  await left.sendmsg("cd", { control: [{ type: "SCM_RIGHTS", fds: [left] }] });
  await left.sendAll("ef");
  using message = await right.recvmsg(6, { flags: MSG_WAITALL, controlSize: CMSG_SPACE(4) });
  assert.equal(message.data.toString(), "abcd");
  assert.equal(only(message.control, "SCM_RIGHTS").fds.length, 1);
  assert.equal((await right.recv(2, { flags: MSG_WAITALL })).toString(), "ef");
});

test("MSG_DONTWAIT rejects with EAGAIN at once, and receives what there is", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  const flags = MSG_DONTWAIT;
  const calls = [
    () => receiver.recv(10, { flags }),
    () => receiver.recv(1 << 20, { flags }),
    () => receiver.recvInto(Buffer.alloc(10), { flags }),
    () => receiver.recvfrom(10, { flags }),
    () => receiver.recvfrom(1 << 20, { flags }),
    () => receiver.recvfromInto(Buffer.alloc(10), { flags }),
    () => receiver.recvmsg(10, { flags }),
    () => receiver.recvmsgInto(Buffer.alloc(10), { flags }),
  ];
  for (const call of calls) {
    // Twice: the second call makes a system call although the queue is known to be empty.
    await assert.rejects(call(), { name: "SocketError", code: "EAGAIN" });
    await assert.rejects(call(), { code: "EAGAIN" });
    await sender.send("here");
    await call();
  }
  const waiting = receiver.recv(10);
  await assert.rejects(receiver.recv(10, { flags }), { code: "EAGAIN" });
  await sender.send("for the one that waits");
  assert.equal((await waiting).toString(), "for the on");
});

test("MSG_DONTWAIT in a loop leaves turns to others", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  let turns = 0;
  const immediate = setInterval(() => turns++, 1);
  for (let i = 0; i < 3000; i++) {
    await sender.send("x");
    await receiver.recv(10, { flags: MSG_DONTWAIT });
  }
  clearInterval(immediate);
  assert.ok(turns > 0);
});

test("MSG_DONTWAIT on sending rejects with EAGAIN when there is no room", async () => {
  await using pair = closing(socketpair());
  const [left] = pair;
  const flags = MSG_DONTWAIT;
  const block = Buffer.alloc(1 << 20);
  await assert.rejects(left.sendAll(block, { flags }), (error: { code: string; transferred: number }) => {
    assert.equal(error.code, "EAGAIN");
    assert.ok(error.transferred > 0 && error.transferred < block.length);
    return true;
  });
  await assert.rejects(left.send("x", { flags }), { code: "EAGAIN", syscall: "send" });
  await assert.rejects(left.send("x", { flags, timeout: 1000 }), { code: "EAGAIN" });
});

test("MSG_OOB sends and reads urgent data, without waiting for ordinary reads", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  await assert.rejects(accepted.recv(1, { flags: MSG_OOB }), { code: "EINVAL" });
  const ordinary = accepted.recv(100);
  await client.send("!", { flags: MSG_OOB });
  // The read ends at the mark without a byte only when there is one before it; here there is none, so it waits on.
  let urgent = "";
  while (urgent === "") urgent = (await accepted.recv(1, { flags: MSG_OOB }).catch(() => "")).toString();
  assert.equal(urgent, "!");
  await client.send("after");
  assert.equal((await ordinary).toString(), "after");
});

test("SO_OOBINLINE leaves urgent data in line", async () => {
  await using pair = await tcpPair();
  const [accepted, client] = pair;
  accepted.setsockopt(SO_OOBINLINE, true);
  await client.send("ab");
  await client.send("!", { flags: MSG_OOB });
  await client.send("cd");
  let all = "";
  while (all.length < 5) all += (await accepted.recv(100)).toString();
  assert.equal(all, "ab!cd");
  await assert.rejects(accepted.recv(1, { flags: MSG_OOB }), { code: "EINVAL" });
});

test("MSG_OOB works on UNIX streams as far as the kernel goes", async () => {
  await using pair = closing(socketpair());
  const [left, right] = pair;
  await assert.rejects(right.recv(1, { flags: MSG_OOB }), { code: "EINVAL" });
  await left.send("urgent", { flags: MSG_OOB });
  assert.equal((await right.recv(1, { flags: MSG_OOB })).toString(), "t");
  assert.equal((await right.recv(10)).toString(), "urgen");
});

test("MSG_TRUNC returns the length of a datagram, and no bytes of other data", async () => {
  await using pair = await udpPair();
  const [receiver, sender] = pair;
  await sender.send("0123456789");
  await sender.send("0123456789");
  assert.equal(await receiver.recvInto(Buffer.alloc(4), { flags: MSG_TRUNC }), 10);
  assert.equal((await receiver.recv(4, { flags: MSG_TRUNC })).toString(), "0123");

  // On TCP it throws bytes away (tcp(7)); what comes back must not be what another call received before.
  await using connection = await tcpPair();
  const [accepted, client] = connection;
  await client.sendAll("secret of another");
  assert.equal((await accepted.recv(100)).toString(), "secret of another");
  for (const size of [100, 1 << 20]) {
    await client.sendAll("thrown away");
    assert.deepEqual(await accepted.recv(size, { flags: MSG_TRUNC }), Buffer.alloc(11));
    await client.sendAll("thrown away");
    assert.deepEqual((await accepted.recvfrom(size, { flags: MSG_TRUNC }))[0], Buffer.alloc(11));
    await client.sendAll("thrown away");
    assert.deepEqual((await accepted.recvmsg(size, { flags: MSG_TRUNC })).data, Buffer.alloc(11));
  }
  await client.sendAll("kept");
  assert.equal((await accepted.recv(100)).toString(), "kept");
});

test("MSG_PEEK leaves data for the next call, in order", async () => {
  for (const [name, ends] of await streams()) {
    await using pair = ends;
    const [receiver, sender] = pair;
    const peeked = receiver.recv(3, { flags: MSG_PEEK });
    const again = receiver.recvfrom(100, { flags: MSG_PEEK });
    const taken = receiver.recv(100);
    await sender.sendAll("look");
    assert.equal((await peeked).toString(), "loo", name);
    assert.equal((await again)[0].toString(), "look", name);
    assert.equal((await taken).toString(), "look", name);
  }
});

test("MSG_EOR is taken by sequenced packets, and a packet is a record", async () => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_SEQPACKET));
  const [left, right] = pair;
  assert.equal(await left.send("record", { flags: MSG_EOR }), 6);
  assert.equal(await left.sendmsg("another", { flags: MSG_EOR }), 7);
  assert.equal((await right.recvmsg(100)).data.toString(), "record");
  const half = await right.recvmsg(3);
  assert.ok(half.truncated);
  assert.equal(half.data.toString(), "ano");
});

test("a small receive buffer does not keep MSG_WAITALL from its bytes", async () => {
  await using pair = await tcpPair(4096);
  const [receiver, sender] = pair;
  const data = pattern(1 << 20);
  const [got] = await Promise.all([receiver.recv(data.length, { flags: MSG_WAITALL }), sender.sendAll(data)]);
  assert.ok(got.equals(data));
});

test("datagram pairs keep messages apart with every flag", async () => {
  await using pair = closing(socketpair(AF_UNIX, SOCK_DGRAM));
  const [left, right] = pair;
  await left.send("one");
  await left.send("two");
  assert.equal((await right.recv(10, { flags: MSG_PEEK | MSG_WAITALL })).toString(), "one");
  assert.equal((await right.recv(10, { flags: MSG_WAITALL })).toString(), "one");
  assert.equal((await right.recv(10, { flags: MSG_DONTWAIT })).toString(), "two");
});
