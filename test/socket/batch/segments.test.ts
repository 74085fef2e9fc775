// Segmentation offload on loopback: UDP_SEGMENT out, UDP_GRO in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DatagramBatch, segments, SO_RCVBUF, Socket, UDP_GRO, UDP_SEGMENT } from "berkeley";
import { datagram, networkFamilies, pattern } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

for (const family of networkFamilies) {
  const over = `over ${family.name}`;

  test(`sendSegments() ${over} sends one buffer as datagrams of the size, the last shorter`, async () => {
    await using sender = await datagram(family);
    await using receiver = await datagram(family);
    const data = pattern(10_000);
    assert.equal(await sender.sendSegments(data, 1200, { address: receiver.getsockname() }), 10_000);
    const batch = new DatagramBatch();
    const parts: Buffer[] = [];
    while (Buffer.concat(parts).length < data.length) {
      await receiver.recvmmsg(batch);
      for (const [part, address] of batch) {
        parts.push(Buffer.from(part));
        assert.deepEqual(address, sender.getsockname());
      }
    }
    assert.deepEqual(
      parts.map((part) => part.length),
      [1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 400],
    );
    assert.ok(Buffer.concat(parts).equals(data));
  });

  test(`sendSegments() ${over} takes more than fits into one call`, async () => {
    await using sender = await datagram(family);
    await using receiver = await datagram(family);
    receiver.setsockopt(SO_RCVBUF, 4 << 20);
    await sender.connect(receiver.getsockname());
    const data = pattern(300_001);
    assert.equal(await sender.sendSegments([data.subarray(0, 5), data.subarray(5)], 1000), data.length);
    const parts: Buffer[] = [];
    for (let length = 0; length < data.length; length += parts.at(-1)!.length) parts.push(await receiver.recv(2000));
    assert.equal(parts.length, 301);
    assert.ok(parts.slice(0, -1).every((part) => part.length === 1000));
    assert.ok(Buffer.concat(parts).equals(data));
  });

  test(`UDP_GRO ${over} joins them again, and the batch says their size`, async () => {
    await using sender = await datagram(family);
    await using receiver = await datagram(family);
    receiver.setsockopt(UDP_GRO, true);
    receiver.setsockopt(SO_RCVBUF, 4 << 20);
    const data = pattern(44 * 1300);
    await sender.sendSegments(data, 1300, { address: receiver.getsockname() });
    await sender.sendto("alone", receiver.getsockname());
    const batch = new DatagramBatch({ capacity: 8, size: 65_536 });
    const parts: Buffer[] = [];
    let joined = 0;
    while (parts.length < 45) {
      const count = await receiver.recvmmsg(batch);
      for (let i = 0; i < count; i++) {
        if (batch.segmentSize(i) > 0) {
          joined++;
          assert.equal(batch.segmentSize(i), 1300);
        }
        for (const part of batch.segments(i)) parts.push(Buffer.from(part));
      }
    }
    assert.ok(joined > 0, "nothing was joined");
    assert.ok(parts.slice(0, 44).every((part) => part.length === 1300));
    assert.ok(Buffer.concat(parts.slice(0, 44)).equals(data));
    assert.equal(parts[44]!.toString(), "alone");
  });

  test(`a batch ${over} that was joined goes back as the datagrams that it was`, async () => {
    await using server = await datagram(family);
    server.setsockopt(UDP_GRO, true);
    await using client = await datagram(family);
    client.setsockopt(SO_RCVBUF, 4 << 20);
    const data = pattern(30 * 700 + 5);
    await client.sendSegments(data, 700, { address: server.getsockname() });
    const batch = new DatagramBatch({ capacity: 4, size: 65_536 });
    const parts: Buffer[] = [];
    for (let length = 0; length < data.length;) {
      await server.recvmmsg(batch);
      await server.sendmmsg(batch);
      for (let i = 0; i < batch.count; i++) length += batch.length(i);
    }
    for (let length = 0; length < data.length; length += parts.at(-1)!.length) parts.push(await client.recv(65_536));
    assert.deepEqual(
      parts.map((part) => part.length),
      [...Array.from({ length: 30 }, () => 700), 5],
    );
    assert.ok(Buffer.concat(parts).equals(data));
  });

  test(`a segment size of its own for each datagram of a batch ${over}`, async () => {
    await using sender = await datagram(family);
    await using receiver = await datagram(family);
    const to = receiver.getsockname();
    const out = new DatagramBatch({ capacity: 3, size: 1000 });
    out.add(pattern(900, 1), to, { segmentSize: 400 });
    out.add(pattern(900, 2), to);
    out.add(pattern(900, 3), to, { segmentSize: 300 });
    assert.equal(out.segmentSize(0), 400);
    assert.equal(await sender.sendmmsg(out), 3);
    const lengths: number[] = [];
    while (lengths.length < 7) lengths.push((await receiver.recv(2000)).length);
    assert.deepEqual(lengths, [400, 400, 100, 900, 300, 300, 300]);
  });

  test(`the option UDP_SEGMENT ${over} cuts what send() is given`, async () => {
    await using sender = await datagram(family);
    await using receiver = await datagram(family);
    await sender.connect(receiver.getsockname());
    sender.setsockopt(UDP_SEGMENT, 500);
    await sender.send(pattern(1200));
    const parts = [await receiver.recv(2000), await receiver.recv(2000), await receiver.recv(2000)];
    assert.deepEqual(
      parts.map((part) => part.length),
      [500, 500, 200],
    );
    assert.ok(Buffer.concat(parts).equals(pattern(1200)));
  });
}

test("sendSegments() of nothing is an empty datagram", async () => {
  await using sender = await datagram();
  await using receiver = await datagram();
  assert.equal(await sender.sendSegments("", 100, { address: receiver.getsockname() }), 0);
  assert.equal((await receiver.recvfrom(10))[0].length, 0);
});

test("the error of sendSegments() has the errno and the number of sent bytes", async () => {
  await using socket = await datagram();
  await assert.rejects(socket.sendSegments("data", 2), { code: "EDESTADDRREQ", syscall: "sendmsg", transferred: 0 });
  await assert.rejects(socket.sendSegments("data", 0), RangeError);
  await assert.rejects(socket.sendSegments("data", 70_000), RangeError);
  await assert.rejects(socket.sendSegments(5 as never, 10), TypeError);
  await assert.rejects(socket.sendSegments("data", 2, { address: "127.1:5" }), TypeError);
  await using stream = new Socket();
  await assert.rejects(stream.sendSegments("data", 2));
});

test("segments() divides a GRO buffer from recv() into datagrams", async () => {
  await using sender = await datagram();
  await using receiver = await datagram();
  receiver.setsockopt(UDP_GRO, true);
  await sender.sendSegments(pattern(2500), 1000, { address: receiver.getsockname() });
  const message = await receiver.recvmsg(65_536);
  const gro = message.control.find((one) => one.type === "UDP_GRO");
  assert.ok(gro?.type === "UDP_GRO");
  assert.deepEqual(
    [...segments(message.data, gro.gso_size)].map((part) => part.length),
    [1000, 1000, 500],
  );
});
