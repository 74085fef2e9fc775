// UNIX sockets: each type, with a path, an abstract name, and a name that the kernel chooses.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { type AddressLike, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, Socket, UnixAddress } from "berkeley";
import { socketPath } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

let names = 0;
const kinds: readonly [name: string, address: () => AddressLike, check: (bound: UnixAddress) => void][] = [
  ["a path", () => ({ path: socketPath() }), ({ path }) => assert.ok(existsSync(path))],
  [
    "an abstract name",
    () => `unix:@berkeley families ${process.pid} ${++names} ä`,
    ({ path }) => assert.ok(path.startsWith("\0berkeley families ") && path.endsWith("ä")),
  ],
  ["a name that the kernel chooses", () => "", ({ path }) => assert.match(path, /^\0[0-9a-f]{5}$/)],
  [
    "a name that the kernel chooses for an address without one",
    () => new UnixAddress(""),
    ({ path }) => assert.match(path, /^\0[0-9a-f]{5}$/),
  ],
];

for (const [name, address, check] of kinds) {
  for (const [typeName, type] of [
    ["SOCK_STREAM", SOCK_STREAM],
    ["SOCK_SEQPACKET", SOCK_SEQPACKET],
  ] as const) {
    test(`${typeName} connects by ${name}`, async () => {
      await using server = new Socket(AF_UNIX, type);
      await server.bind(address());
      const bound = server.getsockname();
      check(bound);
      server.listen(1);
      await using client = new Socket(AF_UNIX, type);
      await client.connect(bound);
      const [accepted, peer] = await server.accept();
      await using conn = accepted;
      assert.equal(conn.type, type);
      assert.deepEqual(peer, new UnixAddress(""));
      assert.deepEqual(client.getpeername(), bound);
      await client.send("one");
      await client.send("two");
      if (type === SOCK_SEQPACKET) assert.equal((await conn.recv(100)).toString(), "one");
      assert.match((await conn.recv(100)).toString(), /two$/);
    });
  }

  test(`SOCK_DGRAM answers by ${name}`, async () => {
    await using receiver = new Socket(AF_UNIX, SOCK_DGRAM);
    await receiver.bind(address());
    const bound = receiver.getsockname();
    check(bound);
    await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
    await sender.bind(address());
    await sender.sendto("question", bound);
    const message = await receiver.recvmsg(100);
    assert.equal(message.data.toString(), "question");
    assert.deepEqual(message.address, sender.getsockname());
    await receiver.sendmsg("answer", { address: message.address });
    const [data, from] = await sender.recvfrom(100);
    assert.equal(data.toString(), "answer");
    assert.deepEqual(from, bound);
  });
}

test("a datagram of a socket without a name has no address", async () => {
  await using receiver = new Socket(AF_UNIX, SOCK_DGRAM);
  await receiver.bind("");
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  await sender.sendto("x", receiver.getsockname());
  assert.equal((await receiver.recvmsg(10)).address, undefined);
});

test("names that the kernel chooses differ", async () => {
  await using one = new Socket(AF_UNIX, SOCK_STREAM);
  await using other = new Socket(AF_UNIX, SOCK_STREAM);
  await one.bind("");
  await other.bind("");
  assert.notDeepEqual(one.getsockname(), other.getsockname());
  await using none = new Socket(AF_UNIX);
  assert.deepEqual(none.getsockname(), new UnixAddress(""));
});

test("a path of 107 bytes is taken whole, and one of 108 refused before any call", async () => {
  await using socket = new Socket(AF_UNIX, SOCK_DGRAM);
  const abstract = `\0${"n".repeat(107)}`;
  await socket.bind({ path: abstract });
  assert.deepEqual(socket.getsockname(), new UnixAddress(abstract));
  await using other = new Socket(AF_UNIX, SOCK_DGRAM);
  await assert.rejects(other.bind({ path: `${abstract}n` }), { name: "RangeError" });
  await assert.rejects(other.bind({ path: `/${"n".repeat(107)}` }), { name: "RangeError" });
});

test("UNIX sockets give the kernel's errors with the path", async () => {
  const path = socketPath();
  await using server = new Socket(AF_UNIX, SOCK_STREAM);
  await server.bind({ path });
  await using other = new Socket(AF_UNIX, SOCK_STREAM);
  await assert.rejects(other.bind({ path }), { code: "EADDRINUSE", path });
  await assert.rejects(other.connect({ path }), { code: "ECONNREFUSED", path });
  await assert.rejects(other.connect({ path: `${path}-none` }), { code: "ENOENT" });
  await using datagram = new Socket(AF_UNIX, SOCK_DGRAM);
  server.listen(1);
  await assert.rejects(datagram.connect({ path }), { code: "EPROTOTYPE", path });
});
