import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Address,
  HostPort,
  Inet6Address,
  InetAddress,
  isAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "#berkeley/addr/address.js";

const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);

const table: readonly [Address | HostPort, string, object][] = [
  [new InetAddress("127.0.0.1", 8888), "127.0.0.1:8888", { family: 2, host: "127.0.0.1", port: 8888 }],
  [new Inet6Address("::1", 8888), "[::1]:8888", { family: 10, host: "::1", port: 8888, flowinfo: 0, scopeid: 0 }],
  [
    new Inet6Address("fe80::1", 80, 7, 2),
    "[fe80::1%2]:80",
    { family: 10, host: "fe80::1", port: 80, flowinfo: 7, scopeid: 2 },
  ],
  [new UnixAddress("/run/x.sock"), "unix:/run/x.sock", { family: 1, path: "/run/x.sock" }],
  [new UnixAddress("x.sock"), "unix:x.sock", { family: 1, path: "x.sock" }],
  [new UnixAddress("\0abstract"), "unix:@abstract", { family: 1, path: "\0abstract" }],
  [new UnixAddress("\0"), "unix:@", { family: 1, path: "\0" }],
  [new UnixAddress(""), "unix:", { family: 1, path: "" }],
  [new UnixAddress("@file"), "unix:./@file", { family: 1, path: "@file" }],
  [new UnixAddress("//x"), "unix:////x", { family: 1, path: "//x" }],
  [new VsockAddress(2, 1024), "vsock:2:1024", { family: 40, cid: 2, port: 1024 }],
  [new NetlinkAddress(0, 1), "netlink:0:1", { family: 16, pid: 0, groups: 1 }],
  [
    new PacketAddress(0x800, 2, 1, 4, mac),
    "packet:2:0x0800:02:00:00:00:00:09",
    { family: 17, protocol: 0x800, ifindex: 2, hatype: 1, pkttype: 4, addr: "02:00:00:00:00:09" },
  ],
  [
    new PacketAddress(3, 1, 0, 0, new Uint8Array(0)),
    "packet:1:0x0003",
    { family: 17, protocol: 3, ifindex: 1, hatype: 0, pkttype: 0, addr: "" },
  ],
  [new OpaqueAddress(31, Uint8Array.of(1, 254)), "family 31:01fe", { family: 31, data: "01fe" }],
  [new HostPort("localhost", 80), "localhost:80", { host: "localhost", port: 80, flowinfo: 0, scopeid: 0 }],
  [new HostPort("", 80), "*:80", { host: "", port: 80, flowinfo: 0, scopeid: 0 }],
  [
    new HostPort("fe80::1", 80, 0, 0, "eth0"),
    "[fe80::1%eth0]:80",
    { host: "fe80::1", port: 80, flowinfo: 0, scopeid: 0, zone: "eth0" },
  ],
];

for (const [address, text, plain] of table) {
  test(`${address.constructor.name} prints ${text} and becomes a plain object`, () => {
    assert.equal(String(address), text);
    assert.deepEqual(address.toJSON(), plain);
    assert.equal(Object.getPrototypeOf(address.toJSON()), Object.prototype);
    assert.deepEqual(JSON.parse(JSON.stringify(address)), plain);
  });

  test(`isAddress() recognizes whether ${text} (${address.constructor.name}) is an address`, () => {
    assert.equal(isAddress(address), !(address instanceof HostPort));
  });
}

test("isAddress() is false for plain objects and other values", () => {
  for (const value of [undefined, null, "127.0.0.1:80", 5, {}, { family: 2, host: "127.0.0.1", port: 80 }]) {
    assert.equal(isAddress(value), false);
  }
});

test("addresses compare by their fields", () => {
  assert.deepEqual(new InetAddress("127.0.0.1", 1), new InetAddress("127.0.0.1", 1));
  assert.notDeepEqual(new InetAddress("127.0.0.1", 1), new InetAddress("127.0.0.1", 2));
  assert.deepEqual(Object.keys(new HostPort("h", 1)), ["host", "port", "flowinfo", "scopeid"]);
});
