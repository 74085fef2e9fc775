// Options about source and destination: devices, foreign addresses, ports. Each is tested by its effect.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  IP_BIND_ADDRESS_NO_PORT,
  IP_FREEBIND,
  IP_LOCAL_PORT_RANGE,
  IP_TRANSPARENT,
  IPV6_FREEBIND,
  IPV6_TRANSPARENT,
  SO_BINDTODEVICE,
  SO_BINDTOIFINDEX,
  SO_REUSEADDR,
  Socket,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "berkeley";
import { freePort } from "../support/freePort.js";
import { checkLeaks } from "../support/leaks.js";
import { codeOf, kernelHas, privileged } from "./support.js";

checkLeaks();

const patience = { timeout: 10_000 };
const skip = privileged() ? false : "needs CAP_NET_ADMIN or CAP_NET_RAW";
const portOf = (socket: Socket): number => (socket.getsockname() as { readonly port: number }).port;

/** A listener on 127.0.0.1, or another address of lo. */
async function listener(host = "127.0.0.1"): Promise<Socket> {
  const server = new Socket();
  await server.bind([host, 0]);
  server.listen(8);
  return server;
}

describe("SO_BINDTODEVICE and SO_BINDTOIFINDEX", { skip }, () => {
  for (const [name, bind, value] of [
    ["SO_BINDTODEVICE", (socket: Socket) => socket.setsockopt(SO_BINDTODEVICE, "lo"), "lo"],
    ["SO_BINDTOIFINDEX", (socket: Socket) => socket.setsockopt(SO_BINDTOIFINDEX, "lo"), "lo"],
  ] as const) {
    for (const first of [true, false]) {
      test(`${name}: the socket of the device gets the datagram, bound ${first ? "first" : "last"}`, async () => {
        using device = new Socket(AF_INET, SOCK_DGRAM);
        using any = new Socket(AF_INET, SOCK_DGRAM);
        using sender = new Socket(AF_INET, SOCK_DGRAM);
        for (const socket of [device, any]) socket.setsockopt(SO_REUSEADDR, true);
        bind(device);
        assert.equal(device.getsockopt(SO_BINDTODEVICE), value);
        assert.equal(device.getsockopt(SO_BINDTOIFINDEX), 1);
        const [one, two] = first ? [device, any] : [any, device];
        await one.bind("127.0.0.1:0");
        await two.bind(one.getsockname());
        await sender.sendto("for the device", one.getsockname());
        assert.equal(String(await device.recv(100, patience)), "for the device");
      });
    }
  }

  test("SO_BINDTODEVICE with an empty name takes the binding away", () => {
    using socket = new Socket();
    socket.setsockopt(SO_BINDTODEVICE, "lo");
    socket.setsockopt(SO_BINDTODEVICE, "");
    assert.equal(socket.getsockopt(SO_BINDTODEVICE), "");
  });

  test("SO_BINDTODEVICE gives ENODEV for a device that does not exist", () => {
    using socket = new Socket();
    assert.equal(
      codeOf(() => socket.setsockopt(SO_BINDTODEVICE, "no-such-if0")),
      "ENODEV",
    );
  });
});

/** Addresses of the networks for documentation (RFC 5737, RFC 3849), which no host has. */
const foreign = [
  [AF_INET, "192.0.2.77", IP_FREEBIND, IP_TRANSPARENT, "127.0.0.1"],
  [AF_INET6, "2001:db8::77", IPV6_FREEBIND, IPV6_TRANSPARENT, "::1"],
] as const;

for (const [family, host, freebind, transparent, loopback] of foreign) {
  describe(`the foreign address ${host}`, () => {
    test("bind() refuses it", async () => {
      using socket = new Socket(family, SOCK_STREAM);
      await assert.rejects(socket.bind([host, 0]), { code: "EADDRNOTAVAIL" });
    });

    test(`${freebind.name} lets it be bound`, async () => {
      using socket = new Socket(family, SOCK_STREAM);
      socket.setsockopt(freebind, true);
      await socket.bind([host, 0]);
      socket.listen(1);
      assert.equal((socket.getsockname() as { readonly host: string }).host, host);
    });

    test(`${transparent.name} lets a datagram come from it`, { skip }, async () => {
      using receiver = new Socket(family, SOCK_DGRAM);
      await receiver.bind([loopback, 0]);
      using sender = new Socket(family, SOCK_DGRAM);
      sender.setsockopt(transparent, true);
      await sender.bind([host, 0]);
      await sender.sendto("as if from elsewhere", receiver.getsockname());
      const [data, from] = await receiver.recvfrom(100, patience);
      assert.equal(String(data), "as if from elsewhere");
      assert.equal((from as { readonly host: string }).host, host);
    });
  });
}

describe("IP_BIND_ADDRESS_NO_PORT", () => {
  test("bind() to port 0 leaves the port to connect()", async () => {
    using server = await listener();
    using client = new Socket();
    client.setsockopt(IP_BIND_ADDRESS_NO_PORT, true);
    await client.bind("127.0.0.1:0");
    assert.equal(portOf(client), 0);
    await client.connect(server.getsockname());
    assert.notEqual(portOf(client), 0);
  });

  test("connections to different servers share the only port there is", { skip: !kernelHas("6.3") }, async () => {
    using one = await listener("127.0.0.1");
    using two = await listener("127.0.0.2");
    const only = await freePort();
    const clients = [new Socket(), new Socket()] as const;
    try {
      for (const client of clients) {
        client.setsockopt(IP_LOCAL_PORT_RANGE, [only, only]);
        client.setsockopt(IP_BIND_ADDRESS_NO_PORT, true);
        await client.bind("127.0.0.1:0");
      }
      await clients[0].connect(one.getsockname());
      await clients[1].connect(two.getsockname());
      assert.deepEqual(clients.map(portOf), [only, only]);
      // Without the option bind() tries the port at once, and the port is in use.
      using third = new Socket();
      third.setsockopt(IP_LOCAL_PORT_RANGE, [only, only]);
      await assert.rejects(third.bind("127.0.0.1:0"), { code: "EADDRINUSE" });
    } finally {
      for (const client of clients) client.close();
    }
  });
});

describe("IP_LOCAL_PORT_RANGE", { skip: !kernelHas("6.3") }, () => {
  test("bind() to port 0 stays inside the range", async () => {
    const low = await freePort();
    using socket = new Socket();
    socket.setsockopt(IP_LOCAL_PORT_RANGE, [low, low]);
    await socket.bind("127.0.0.1:0");
    assert.equal(portOf(socket), low);
  });
});
