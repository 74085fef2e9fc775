// An interface by index, by name and by address is the same interface, wherever the kernel takes an index.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  getnameinfo,
  if_nametoindex,
  IP_MULTICAST_IF,
  IP_UNICAST_IF,
  IPV6_MULTICAST_IF,
  IPV6_UNICAST_IF,
  NI_NUMERICHOST,
  NI_NUMERICSERV,
  parseAddress,
  SO_BINDTOIFINDEX,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
  SocketError,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { privileged } from "./support.js";

checkLeaks();

const lo = if_nametoindex("lo");

const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SocketError, String(error));
  assert.equal(error.code, expected);
  return true;
};

for (const [option, family] of [
  [IPV6_MULTICAST_IF, AF_INET6],
  [IPV6_UNICAST_IF, AF_INET6],
  [IP_UNICAST_IF, AF_INET],
  [SO_BINDTOIFINDEX, AF_INET],
] as const) {
  test(`${option.name} takes an index, a name, and an address of the interface`, { skip: !privileged() }, async () => {
    await using socket = new Socket(family, SOCK_DGRAM);
    for (const value of [lo, "lo", "127.0.0.1", "::1"]) {
      socket.setsockopt(option, 0);
      assert.equal(socket.getsockopt(option), 0);
      socket.setsockopt(option, value);
      assert.equal(socket.getsockopt(option), lo);
    }
    for (const unknown of [
      "no-such-if",
      "an-interface-name-that-is-too-long",
      "192.0.2.7",
      "2001:db8::7",
      "fe80::1%nope",
    ]) {
      assert.throws(() => socket.setsockopt(option, unknown), code("ENODEV"));
    }
    for (const wrong of ["", "l\0", "a b", "a/b", "1.2", "1.2.3.4.5", "::1::", null, {}]) {
      assert.throws(
        () => socket.setsockopt(option, wrong as string),
        /^TypeError: Cannot set \w+: value is .*, required the index, the name or a numeric address of an interface$/,
      );
    }
    assert.throws(() => socket.setsockopt(option, -1), RangeError);
  });
}

test("IP_MULTICAST_IF takes the same forms; an IPv4 address goes to the kernel, which returns it", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  for (const [value, read] of [
    ["127.0.0.1", "127.0.0.1"],
    ["lo", "0.0.0.0"],
    [lo, "0.0.0.0"],
    ["::1", "0.0.0.0"],
    [{ interface: "lo" }, "0.0.0.0"],
    [{ interface: "127.0.0.1" }, "0.0.0.0"],
    [{ interface: "lo", address: "127.0.0.1" }, "127.0.0.1"],
  ] as const) {
    socket.setsockopt(IP_MULTICAST_IF, value);
    assert.equal(socket.getsockopt(IP_MULTICAST_IF), read);
  }
  assert.throws(() => socket.setsockopt(IP_MULTICAST_IF, "no-such-if"), code("ENODEV"));
  assert.throws(() => socket.setsockopt(IP_MULTICAST_IF, "192.0.2.7"), code("EADDRNOTAVAIL"));
  assert.throws(() => socket.setsockopt(IP_MULTICAST_IF, "127.1"), /value is "127.1", required the index, the name/);
});

test("the scope id of an address may be a name", async () => {
  const zoned = parseAddress("[fe80::1%lo]:80");
  await using socket = new Socket(AF_INET6, SOCK_DGRAM);
  for (const address of [
    { host: "fe80::1", port: 80, scopeid: "lo" },
    ["fe80::1", 80, 0, "lo"],
    { host: "fe80::1", port: 80, scopeid: String(lo) },
    zoned,
  ] as const) {
    const numeric = await getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV);
    assert.deepEqual(numeric, ["fe80::1%lo", "80"]);
  }
  await assert.rejects(socket.connect({ host: "fe80::1", port: 80, scopeid: "no-such-if" }), code("ENODEV"));
  for (const [address, message] of [
    [{ host: "fe80::1", port: 80, scopeid: "" }, /scopeid is "", required a number, or the name of an interface/],
    [{ host: "127.0.0.1", port: 80, scopeid: "lo" }, /scopeid is "lo", required a number unless host is an IPv6/],
    [{ host: "fe80::1%eth0", port: 80, scopeid: "lo" }, /name different zones/],
  ] as const) {
    await assert.rejects(socket.connect(address), (error) => (assert.match(String(error), message), true));
  }
});

test("the device of a packet socket may be a name", { skip: !privileged() }, async () => {
  await using socket = new Socket(AF_PACKET, SOCK_RAW);
  const address = { protocol: 0x88b5, ifindex: "lo" };
  await socket.bind(address);
  const bound = socket.getsockname();
  assert.deepEqual([bound.ifindex, bound.ifname, bound.protocol], [lo, undefined, 0x88b5]);
  const frame = Buffer.alloc(60);
  frame.writeUInt16BE(0x88b5, 12);
  assert.equal(await socket.sendto(frame, { ...address, addr: "00:00:00:00:00:00" }), 60);
  assert.equal((await socket.recv(100, { timeout: 10_000 })).length, 60);
  await assert.rejects(socket.bind({ ifindex: "no-such-if" }), code("ENODEV"));
  for (const ifindex of ["", "a b", "an-interface-name-that-is-too-long"]) {
    await assert.rejects(socket.bind({ ifindex }), /ifindex is ".*", required the index or the name of an interface/);
  }
});
