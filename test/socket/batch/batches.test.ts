// recvmmsg() and sendmmsg() on the real kernel.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import type { SocketError } from "berkeley";
import {
  AF_INET,
  AF_UNIX,
  DatagramBatch,
  type InetAddress,
  IP_RECVERR,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  Socket,
  socketpair,
  UnixAddress,
} from "berkeley";
import { datagram, families, networkFamilies, pattern, socketPath } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

for (const family of families) {
  const over = `over ${family.name}`;

  test(`datagrams of all sizes ${over} go out and come in as a batch, byte for byte`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    two.setsockopt(SO_RCVBUF, 1 << 20);
    const sizes = [0, 1, 2, 7, 8, 9, 500, 1472, 2047, 2048];
    const out = new DatagramBatch({ capacity: sizes.length });
    for (const [i, size] of sizes.entries()) assert.ok(out.add(pattern(size, i + 1), two.getsockname()));
    const batch = new DatagramBatch();
    assert.equal(await one.sendmmsg(out), sizes.length);
    assert.equal(out.count, sizes.length);
    assert.equal(await two.recvmmsg(batch), sizes.length);
    assert.equal(batch.count, sizes.length);
    for (const [i, size] of sizes.entries()) {
      assert.equal(batch.length(i), size);
      assert.ok(batch.data(i).equals(pattern(size, i + 1)), `datagram ${i} differs`);
      assert.deepEqual(batch.address(i), one.getsockname());
      assert.equal(batch.flags(i), 0);
      assert.equal(batch.truncated(i), false);
      assert.equal(batch.segmentSize(i), 0);
      assert.deepEqual(batch.control(i), []);
    }
    assert.equal(batch.address(0), batch.address(1), "one peer is one object");
  });

  test(`a batch ${over} goes back to where it came from, untouched`, async () => {
    await using server = await datagram(family);
    await using one = await datagram(family);
    await using two = await datagram(family);
    const to = server.getsockname();
    const expected = new Map([
      [one, ["1a", "1b", ""]],
      [two, ["2a", "2b"]],
    ]);
    for (const [client, texts] of expected) for (const text of texts) await client.sendto(text, to);
    const batch = new DatagramBatch({ capacity: 3 });
    for (let echoed = 0; echoed < 5;) {
      echoed += await server.recvmmsg(batch);
      assert.equal(await server.sendmmsg(batch), batch.count);
    }
    for (const [client, texts] of expected) {
      for (const text of texts) {
        const [data, from] = await client.recvfrom(10);
        assert.equal(data.toString(), text);
        assert.deepEqual(from, to);
      }
    }
  });

  test(`a waiting recvmmsg() ${over} returns the datagrams that arrive, and waits after a batch that was not full`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    const batch = new DatagramBatch();
    for (let round = 0; round < 20; round++) {
      const received = two.recvmmsg(batch);
      await one.sendto(`round ${round}`, two.getsockname());
      assert.equal(await received, 1);
      assert.equal(batch.data(0).toString(), `round ${round}`);
    }
    await assert.rejects(two.recvmmsg(batch, { timeout: 1 }), { code: "ETIMEDOUT", syscall: "recvmmsg" });
    await one.sendto("after", two.getsockname());
    assert.equal(await two.recvmmsg(batch, { timeout: 1000 }), 1);
  });

  test(`datagrams ${over} that are longer than a slot are cut, and say so`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    for (const text of ["short", "exactly8", "nine byte"]) await one.sendto(text, two.getsockname());
    const batch = new DatagramBatch({ size: 8 });
    assert.equal(await two.recvmmsg(batch), 3);
    assert.deepEqual(
      [...batch].map(([data]) => data.toString()),
      ["short", "exactly8", "nine byt"],
    );
    assert.deepEqual(
      [0, 1, 2].map((i) => batch.truncated(i)),
      [false, false, true],
    );
    await one.sendto("nine byte", two.getsockname());
    assert.equal(await two.recvmmsg(batch, { flags: MSG_TRUNC }), 1);
    assert.deepEqual([batch.length(0), batch.wholeLength(0)], [8, 9]);
  });
}

test("more datagrams than a batch holds come in several", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  const batch = new DatagramBatch({ capacity: 4, size: 16 });
  for (let i = 0; i < 10; i++) await one.send(String(i));
  const texts: string[] = [];
  for (const expected of [4, 4, 2]) {
    assert.equal(await two.recvmmsg(batch), expected);
    for (const [data] of batch) texts.push(data.toString());
  }
  assert.deepEqual(texts, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  one.close();
  two.close();
});

test("a batch of more than 1024 is sent and received with several calls", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  const out = new DatagramBatch({ capacity: 3000, size: 4 });
  for (let i = 0; i < 3000; i++) out.add(String(i));
  const sent = one.sendmmsg(out);
  const batch = new DatagramBatch({ capacity: 3000, size: 4 });
  for (let next = 0; next < 3000;) {
    const count = await two.recvmmsg(batch);
    assert.ok(count <= 1024);
    for (const [data] of batch) assert.equal(data.toString(), String(next++));
  }
  assert.equal(await sent, 3000);
  one.close();
  two.close();
});

test("the unsent tail of a batch is sent when there is room again", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  one.setsockopt(SO_SNDBUF, 1);
  const out = new DatagramBatch({ capacity: 64, size: 512 });
  for (let i = 0; i < 64; i++) out.add(pattern(512, i + 1));
  let done = false;
  const sent = one.sendmmsg(out).finally(() => (done = true));
  const batch = new DatagramBatch({ capacity: 2, size: 512 });
  let calls = 0;
  for (let next = 0; next < 64; calls++) {
    assert.ok(!done || next + 20 > 64, "all of it was taken at once: the buffer was no limit");
    await two.recvmmsg(batch);
    for (const [data] of batch) assert.ok(data.equals(pattern(512, ++next)));
  }
  assert.ok(calls >= 32);
  assert.equal(await sent, 64);
  one.close();
  two.close();
});

test("the error of a timeout of sendmmsg() has the number of sent datagrams, and sending can continue there", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  one.setsockopt(SO_SNDBUF, 1);
  const out = new DatagramBatch({ size: 512 });
  for (let i = 0; i < 64; i++) out.add(pattern(512, i + 1));
  const error = await one.sendmmsg(out, { timeout: 5 }).then(
    () => assert.fail("it fitted"),
    (reason: unknown) => reason as SocketError,
  );
  assert.equal(error.code, "ETIMEDOUT");
  const { transferred } = error;
  assert.ok(transferred !== undefined && transferred > 0 && transferred < 64, String(transferred));
  assert.equal(error.message, `sendmmsg ETIMEDOUT: the timeout has passed (${transferred} datagrams had been sent)`);
  const rest = one.sendmmsg(out, { start: transferred });
  const batch = new DatagramBatch({ size: 512 });
  for (let next = 0; next < 64;) {
    await two.recvmmsg(batch);
    for (const [data] of batch) assert.ok(data.equals(pattern(512, ++next)));
  }
  assert.equal(await rest, 64 - transferred);
  one.close();
  two.close();
});

test("the reason of an abort of sendmmsg() has the number of sent datagrams", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  one.setsockopt(SO_SNDBUF, 1);
  const out = new DatagramBatch({ size: 512 });
  for (let i = 0; i < 64; i++) out.add(pattern(512, i + 1));
  const controller = new AbortController();
  const sent = one.sendmmsg(out, { signal: controller.signal });
  const reason = new Error("enough") as Error & { transferred?: number };
  controller.abort(reason);
  await assert.rejects(sent, (error) => error === reason);
  const batch = new DatagramBatch({ size: 512 });
  let arrived = 0;
  while (arrived < reason.transferred!) arrived += await two.recvmmsg(batch);
  assert.equal(arrived, reason.transferred);
  await assert.rejects(two.recvmmsg(batch, { flags: MSG_DONTWAIT }), { code: "EAGAIN" });
  one.close();
  two.close();
});

test("sendmmsg() waits for a full queue of the receiver, although there is no event for it", async () => {
  await using receiver = await datagram(families[2]);
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  // The queue of a UNIX datagram socket has room for net.unix.max_dgram_qlen datagrams, 10 to 512 by default.
  const count = 1200;
  const out = new DatagramBatch({ capacity: count, size: 8 });
  for (let i = 0; i < count; i++) out.add(String(i), receiver.getsockname());
  const sent = sender.sendmmsg(out);
  const batch = new DatagramBatch({ size: 8 });
  for (let next = 0; next < count;) {
    await receiver.recvmmsg(batch);
    for (const [data] of batch) assert.equal(data.toString(), String(next++));
  }
  assert.equal(await sent, count);
});

test("a refused datagram ends the batch there, and `start` continues after it", async () => {
  await using receiver = await datagram();
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  const to = receiver.getsockname();
  const out = new DatagramBatch({ capacity: 5, size: 65_536 });
  out.add("first", to);
  out.add("second", to);
  out.add(Buffer.alloc(65_536), to);
  out.add("fourth", to);
  out.add("fifth", "255.255.255.255:9");
  await assert.rejects(sender.sendmmsg(out), { code: "EMSGSIZE", syscall: "sendmmsg", transferred: 2 });
  await assert.rejects(sender.sendmmsg(out, { start: 3 }), { code: "EACCES", transferred: 1 });
  const batch = new DatagramBatch();
  assert.equal(await receiver.recvmmsg(batch), 3);
  assert.deepEqual(
    [...batch].map(([data]) => data.toString()),
    ["first", "second", "fourth"],
  );
});

test("skipRefused skips refused datagrams, and records the reason", async () => {
  await using receiver = await datagram();
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  const to = receiver.getsockname();
  const out = new DatagramBatch({ capacity: 5, size: 65_536 });
  out.add(Buffer.alloc(65_536), to);
  out.add("second", to);
  out.add("third", "255.255.255.255:9");
  out.add("fourth", to);
  out.add(Buffer.alloc(65_536), to);
  assert.equal(await sender.sendmmsg(out, { skipRefused: true }), 2);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((i) => out.error(i)?.code),
    ["EMSGSIZE", undefined, "EACCES", undefined, "EMSGSIZE"],
  );
  assert.equal(out.error(0)?.syscall, "sendmmsg");
  const batch = new DatagramBatch();
  assert.equal(await receiver.recvmmsg(batch), 2);
  assert.deepEqual(
    [...batch].map(([data]) => data.toString()),
    ["second", "fourth"],
  );
  out.clear();
  out.add("now it fits", to);
  assert.equal(await sender.sendmmsg(out, { skipRefused: true }), 1);
  assert.equal(out.error(0), undefined, "what was noted belongs to that call");
});

for (const family of networkFamilies) {
  test(`an error that belongs to an earlier datagram over ${family.name} costs no datagram of a batch`, async () => {
    await using sender = await datagram(family);
    const gone = await datagram(family);
    const address = gone.getsockname() as InetAddress;
    gone.close();
    await sender.connect(address);
    await sender.send("into the void");
    // The refusal is there: it has an event of its own.
    await sender.readable();
    await using receiver = new Socket(family.family, SOCK_DGRAM);
    await receiver.bind([address.host, address.port]);
    const out = new DatagramBatch();
    for (let i = 0; i < 3; i++) out.add(String(i));
    await assert.rejects(sender.sendmmsg(out), { code: "ECONNREFUSED", transferred: 0 });
    assert.equal(await sender.sendmmsg(out), 3, "it was told once, and none is lost");
    const batch = new DatagramBatch();
    assert.equal(await receiver.recvmmsg(batch), 3);
  });

  test(`skipRefused sends a datagram again that was refused for an earlier one over ${family.name}`, async () => {
    await using sender = await datagram(family);
    const gone = await datagram(family);
    const address = gone.getsockname() as InetAddress;
    gone.close();
    await sender.connect(address);
    await sender.send("into the void");
    await sender.readable();
    await using receiver = new Socket(family.family, SOCK_DGRAM);
    await receiver.bind([address.host, address.port]);
    const out = new DatagramBatch();
    for (let i = 0; i < 3; i++) out.add(String(i));
    assert.equal(await sender.sendmmsg(out, { skipRefused: true }), 3);
    assert.equal(out.error(0), undefined);
    assert.equal(await receiver.recvmmsg(new DatagramBatch()), 3);
  });

  test(`recvmmsg() over ${family.name} reports that a datagram was refused`, async () => {
    await using sender = await datagram(family);
    const gone = await datagram(family);
    const address = gone.getsockname();
    gone.close();
    await sender.connect(address);
    const received = sender.recvmmsg(new DatagramBatch());
    await sender.send("into the void");
    await assert.rejects(received, { code: "ECONNREFUSED", syscall: "recvmmsg" });
  });
}

test("an empty batch is sent without a call", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  assert.equal(await socket.sendmmsg(new DatagramBatch()), 0);
  const out = new DatagramBatch();
  out.add("x");
  assert.equal(await socket.sendmmsg(out, { start: 1 }), 0);
  await assert.rejects(socket.sendmmsg(out), { code: "EDESTADDRREQ", syscall: "sendmmsg", transferred: 0 });
});

test("the error queue is received in batches too, each with the kernel's description", async () => {
  await using sender = await datagram();
  sender.setsockopt(IP_RECVERR, true);
  const gone = await datagram();
  const address = gone.getsockname();
  gone.close();
  const batch = new DatagramBatch({ control: 512 });
  const waiting = sender.recvmmsg(batch, { flags: MSG_ERRQUEUE });
  await sender.sendto("nobody", address);
  assert.equal(await waiting, 1);
  assert.equal(batch.data(0).toString(), "nobody");
  assert.deepEqual(batch.address(0), address);
  assert.ok(batch.flags(0) & MSG_ERRQUEUE);
  const [error] = batch.control(0);
  assert.ok(error?.type === "IP_RECVERR");
  assert.equal(error.code, "ECONNREFUSED");
});

test("MSG_PEEK leaves the datagrams where they are", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  await one.send("stay");
  const batch = new DatagramBatch({ capacity: 1 });
  assert.equal(await two.recvmmsg(batch, { flags: MSG_PEEK }), 1);
  assert.equal(await two.recvmmsg(batch), 1);
  assert.equal(batch.data(0).toString(), "stay");
  one.close();
  two.close();
});

test("messages of a SOCK_SEQPACKET connection come in batches too", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  const out = new DatagramBatch();
  out.add("one");
  out.add("two");
  assert.equal(await one.sendmmsg(out), 2);
  const batch = new DatagramBatch();
  assert.equal(await two.recvmmsg(batch), 2);
  assert.deepEqual(
    [...batch].map(([data, address]) => [data.toString(), address]),
    [
      ["one", undefined],
      ["two", undefined],
    ],
  );
  one.close();
  two.close();
});

test("descriptors that come with a datagram of a batch are closed", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  await using passed = new Socket(AF_INET, SOCK_DGRAM);
  const before = readdirSync("/proc/self/fd").length;
  await one.sendmsg("with one", { control: [{ type: "SCM_RIGHTS", fds: [passed, passed] }] });
  await one.send("without");
  const batch = new DatagramBatch();
  assert.equal(await two.recvmmsg(batch), 2);
  assert.equal(readdirSync("/proc/self/fd").length, before);
  const [message] = batch.control(0);
  assert.ok(message?.type === "SCM_RIGHTS");
  assert.equal(message.fds.length, 0);
  const small = new DatagramBatch({ control: 0 });
  await one.sendmsg("no room", { control: [{ type: "SCM_RIGHTS", fds: [passed] }] });
  await two.recvmmsg(small);
  assert.ok(small.flags(0) & MSG_CTRUNC);
  assert.deepEqual(small.control(0), []);
  assert.equal(readdirSync("/proc/self/fd").length, before);
  one.close();
  two.close();
});

test("close() ends calls on batches with ECANCELED, later ones get EBADF", async () => {
  const socket = await datagram();
  const waiting = socket.recvmmsg(new DatagramBatch());
  socket.close();
  await assert.rejects(waiting, { code: "ECANCELED", syscall: "recvmmsg" });
  await assert.rejects(socket.recvmmsg(new DatagramBatch()), { code: "EBADF", syscall: "recvmmsg" });
  const out = new DatagramBatch();
  out.add("x", "127.0.0.1:9");
  await assert.rejects(socket.sendmmsg(out), { code: "EBADF", syscall: "sendmmsg" });
});

test("an abort of recvmmsg() loses no datagram", async () => {
  await using one = await datagram();
  await using two = await datagram();
  const controller = new AbortController();
  const waiting = two.recvmmsg(new DatagramBatch(), { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  await one.sendto("kept", two.getsockname());
  const batch = new DatagramBatch();
  assert.equal(await two.recvmmsg(batch), 1);
  assert.equal(batch.data(0).toString(), "kept");
});

test("a batch whose memory was transferred away is EFAULT, and takes no datagram", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  const batch = new DatagramBatch();
  batch.add("x");
  const waiting = two.recvmmsg(batch);
  structuredClone(batch.buffer.buffer, { transfer: [batch.buffer.buffer as ArrayBuffer] });
  await one.send("kept");
  await assert.rejects(waiting, { code: "EFAULT", syscall: "recvmmsg" });
  await assert.rejects(one.sendmmsg(batch), { code: "EFAULT", syscall: "sendmmsg" });
  assert.throws(() => batch.add("y"), TypeError);
  assert.equal((await two.recv(10)).toString(), "kept");
  one.close();
  two.close();
});

test("wrong arguments are rejections that name the call, before any call", async () => {
  await using socket = await datagram();
  const batch = new DatagramBatch();
  await assert.rejects(socket.recvmmsg(Buffer.alloc(10) as never), {
    name: "TypeError",
    message: /^Cannot recvmmsg: batch is .*, required a DatagramBatch$/,
  });
  await assert.rejects(socket.sendmmsg([] as never), { name: "TypeError", message: /^Cannot sendmmsg: batch is/ });
  await assert.rejects(socket.sendmmsg(batch, { start: 1 }), RangeError);
  await assert.rejects(socket.sendmmsg(batch, { skipRefused: 1 as never }), TypeError);
  await assert.rejects(socket.sendmmsg(batch, { flags: "x" as never }), TypeError);
  await assert.rejects(socket.recvmmsg(batch, 5 as never), TypeError);
});

test("thousands of datagrams both ways at once arrive in order, and none twice", async () => {
  const [one, two] = socketpair(AF_UNIX, SOCK_DGRAM);
  const total = 5000;
  const send = async (socket: Socket): Promise<void> => {
    const out = new DatagramBatch({ capacity: 37, size: 8 });
    for (let next = 0; next < total;) {
      out.clear();
      while (next < total && out.add(String(next))) next++;
      await socket.sendmmsg(out);
    }
  };
  const receive = async (socket: Socket): Promise<void> => {
    const batch = new DatagramBatch({ capacity: 23, size: 8 });
    for (let next = 0; next < total;) {
      await socket.recvmmsg(batch);
      for (const [data] of batch) assert.equal(data.toString(), String(next++));
    }
  };
  await Promise.all([send(one), send(two), receive(one), receive(two)]);
  one.close();
  two.close();
});

test("an unnamed sender has no path, a bound one has its own", async () => {
  await using receiver = await datagram(families[2]);
  await using unnamed = new Socket(AF_UNIX, SOCK_DGRAM);
  await using named = new Socket(AF_UNIX, SOCK_DGRAM);
  const path = socketPath();
  await named.bind(new UnixAddress(path));
  await unnamed.sendto("u", receiver.getsockname());
  await named.sendto("n", receiver.getsockname());
  const batch = new DatagramBatch();
  assert.equal(await receiver.recvmmsg(batch), 2);
  assert.equal((batch.address(0) as UnixAddress | undefined)?.path ?? "", "");
  assert.equal((batch.address(1) as UnixAddress).path, path);
});
