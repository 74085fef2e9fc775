// Datagrams on the real kernel: UDP over IPv4 and IPv6, and UNIX.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  type Address,
  type InetAddress,
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  OpaqueAddress,
  SO_BROADCAST,
  SO_RCVBUF,
  SOCK_DGRAM,
  Socket,
  UnixAddress,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { datagram, families, type Family, networkFamilies, pattern } from "../support/families.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

for (const family of families) datagrams(family);

function datagrams(family: Family): void {
  const over = `over ${family.name}`;

  test(`sendto() and recvfrom() ${over} carry messages one by one, with the sender's address`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    assert.equal(await one.sendto("first", two.getsockname()), 5);
    assert.equal(await one.sendto(["sec", Buffer.from("ond")], two.getsockname()), 6);
    for (const text of ["first", "second"]) {
      const [data, from] = await two.recvfrom(100);
      assert.equal(data.toString(), text);
      assert.deepEqual(from, one.getsockname());
    }
    await two.sendto("back", one.getsockname());
    const buffer = Buffer.alloc(10);
    const [count, from] = await one.recvfromInto(buffer);
    assert.equal(buffer.toString("latin1", 0, count), "back");
    assert.deepEqual(from, two.getsockname());
  });

  test(`a connected socket ${over} sends without an address, and receives only from its peer`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    await using stranger = await datagram(family);
    await one.connect(two.getsockname());
    assert.deepEqual(one.getpeername(), two.getsockname());
    await one.send("ping");
    assert.equal((await two.recv(100)).toString(), "ping");
    if (family.family === AF_UNIX) {
      await assert.rejects(stranger.sendto("x", one.getsockname()), { code: "EPERM", syscall: "sendto" });
    } else {
      await stranger.sendto("x", one.getsockname());
    }
    await two.sendto("pong", one.getsockname());
    assert.equal((await one.recv(100)).toString(), "pong");
    // AF_UNSPEC ends the association (connect(2)).
    await one.connect(new OpaqueAddress(0, new Uint8Array(14)));
    assert.throws(() => one.getpeername(), { code: "ENOTCONN" });
    await assert.rejects(one.send("ping"), {
      code: family.family === AF_UNIX ? "ENOTCONN" : "EDESTADDRREQ",
      syscall: "send",
    });
  });

  test(`an empty datagram ${over} is a message of its own`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    assert.equal(await one.sendto("", two.getsockname()), 0);
    assert.equal(await one.sendto([], two.getsockname()), 0);
    assert.equal(await one.sendto(new Uint8Array(0), two.getsockname()), 0);
    await one.sendto("end", two.getsockname());
    for (let i = 0; i < 3; i++) assert.equal((await two.recvfrom(10))[0].length, 0);
    assert.equal((await two.recv(10)).toString(), "end");
  });

  test(`the rest of a datagram ${over} that is longer than the buffer is lost, and MSG_TRUNC returns its length`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    const to = two.getsockname();
    for (let i = 0; i < 4; i++) await one.sendto(`${i}23456789`, to);
    assert.equal((await two.recv(4)).toString(), "0234");
    assert.equal((await two.recv(4, { flags: MSG_PEEK })).toString(), "1234");
    const cut = await two.recv(4, { flags: MSG_TRUNC });
    assert.equal(cut.toString(), "1234", "never more than what was stored");
    assert.equal(await two.recvInto(Buffer.alloc(4), { flags: MSG_TRUNC }), 9);
    assert.equal((await two.recvfrom(4, { flags: MSG_TRUNC }))[0].toString(), "3234");
  });

  test(`recv(0) ${over} takes a datagram away`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    await one.sendto("lost", two.getsockname());
    await one.sendto("kept", two.getsockname());
    assert.equal((await two.recv(0)).length, 0);
    assert.equal((await two.recv(9)).toString(), "kept");
  });

  test(`a large datagram ${over} arrives whole, one that is too large is EMSGSIZE`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    two.setsockopt(SO_RCVBUF, 1 << 20);
    const sent = pattern(60_000);
    await one.sendto(sent, two.getsockname());
    assert.ok((await two.recv(100_000)).equals(sent));
    await one.sendto(sent, two.getsockname());
    assert.ok((await two.recvfrom(60_000))[0].equals(sent));
    const huge = Buffer.alloc(16 << 20);
    await assert.rejects(one.sendto(huge, two.getsockname()), { code: "EMSGSIZE", syscall: "sendto" });
    await one.connect(two.getsockname());
    await assert.rejects(one.sendAll(huge), { code: "EMSGSIZE", syscall: "send", transferred: 0 });
  });

  test(`a list of thousands of parts ${over} is one datagram`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    const parts = Array.from({ length: 3000 }, (_, index) => String(index % 10));
    assert.equal(await one.sendto(parts, two.getsockname()), 3000);
    assert.equal((await two.recv(10_000)).toString(), parts.join(""));
  });

  test(`receivers ${over} that wait are served in order`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    const waiting = Array.from({ length: 5 }, () => two.recvfrom(10));
    for (let i = 0; i < 5; i++) await one.sendto(String(i), two.getsockname());
    assert.deepEqual(
      (await Promise.all(waiting)).map(([data]) => data.toString()),
      ["0", "1", "2", "3", "4"],
    );
  });

  test(`datagrams ${over} wait in the kernel until they are received, and a timeout loses none`, async () => {
    await using one = await datagram(family);
    await using two = await datagram(family);
    await assert.rejects(two.recvfrom(10, { timeout: 1 }), { code: "ETIMEDOUT", syscall: "recvfrom" });
    await one.sendto("x", two.getsockname());
    assert.equal((await two.recvfrom(10, { timeout: 0 }))[0].toString(), "x");
    await assert.rejects(two.recv(10, { flags: MSG_DONTWAIT }), { code: "EAGAIN", syscall: "recv" });
  });
}

for (const family of networkFamilies) {
  test(`a datagram over ${family.name} to a port without a socket causes ECONNREFUSED`, async () => {
    await using one = await datagram(family);
    const gone = await datagram(family);
    const address = gone.getsockname() as InetAddress;
    gone.close();
    await one.connect(address);
    const waiting = one.recv(10);
    await one.send("anybody?");
    await assert.rejects(waiting, { code: "ECONNREFUSED", syscall: "recv" });
    // The socket is none the worse for it.
    await using back = await datagram(family);
    await one.connect(back.getsockname());
    await one.send("hello");
    assert.equal((await back.recv(10)).toString(), "hello");
  });

  test(`sendto() over ${family.name} by name resolves it each time`, async () => {
    await using one = await datagram(family);
    await using two = new Socket(family.family, SOCK_DGRAM);
    await two.bind(["", 0]);
    const { port } = two.getsockname() as InetAddress;
    const host = family.family === AF_INET ? "localhost" : "::1";
    assert.equal(await one.sendto("x", { host, port }), 1);
    assert.equal(await one.sendto("y", [host, port]), 1);
    assert.equal((await two.recv(10)).toString(), "x");
    assert.equal((await two.recv(10)).toString(), "y");
  });
}

test("a broadcast takes SO_BROADCAST", async () => {
  await using socket = await datagram(families[0]);
  await assert.rejects(socket.sendto("x", "255.255.255.255:9"), {
    code: "EACCES",
    syscall: "sendto",
    address: "255.255.255.255",
    port: 9,
    message: "sendto EACCES 255.255.255.255:9: permission denied",
  });
  socket.setsockopt(SO_BROADCAST, true);
  assert.equal(socket.getsockopt(SO_BROADCAST), true);
});

test("a sender without a name is seen without one", async () => {
  await using two = await datagram(families[2]);
  await using anonymous = new Socket(AF_UNIX, SOCK_DGRAM);
  await anonymous.sendto("x", two.getsockname());
  const [data, from] = await two.recvfrom(10);
  assert.equal(data.toString(), "x");
  assert.deepEqual<Address>(from, new UnixAddress(""));
});

test("a sender to a UNIX receiver with a full queue waits, and continues when there is space", async () => {
  await using receiver = await datagram(families[2]);
  await using filler = new Socket(AF_UNIX, SOCK_DGRAM);
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  const to = receiver.getsockname();
  let queued = 0;
  for (;;) {
    const error = await filler.sendto(`${queued}`, to, { timeout: 0 }).then(
      () => undefined,
      (reason: unknown) => reason as { code: string },
    );
    if (error !== undefined) {
      assert.equal(error.code, "ETIMEDOUT");
      break;
    }
    queued++;
  }
  let tries = 0;
  const sendto = calls.sendto.bind(calls);
  calls.sendto = (...args) => {
    tries++;
    return sendto(...args);
  };
  try {
    await assert.rejects(sender.sendto("late", to, { timeout: 100 }), {
      code: "ETIMEDOUT",
      path: (to as UnixAddress).path,
    });
    assert.ok(tries < 20, `${tries} tries in 100 ms`);
    const sending = sender.sendto("late", to);
    for (let i = 0; i < queued; i++) assert.equal((await receiver.recv(10)).toString(), `${i}`);
    await sending;
    assert.equal((await receiver.recv(10)).toString(), "late");
  } finally {
    calls.sendto = sendto;
  }
});

test("a connected UNIX sender waits for space in its peer's queue by an event of the kernel", async () => {
  await using receiver = await datagram(families[2]);
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  await sender.connect(receiver.getsockname());
  const total = 200;
  const sending = (async () => {
    for (let i = 0; i < total; i++) await sender.send(`${i}`);
  })();
  for (let i = 0; i < total; i++) assert.equal((await receiver.recv(10)).toString(), `${i}`);
  await sending;
});

test("accept() and listen() are nothing for datagrams", async () => {
  await using socket = await datagram(families[0]);
  assert.throws(() => socket.listen(), { code: "EOPNOTSUPP", syscall: "listen" });
  await assert.rejects(socket.accept(), { code: "EOPNOTSUPP", syscall: "accept" });
});
