// Addresses as bytes of a sockaddr: encoded and decoded, compared with those of the kernel, and random bytes.

import assert from "node:assert/strict";
import { endianness } from "node:os";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_UNSPEC,
  AF_VSOCK,
  type Address,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "berkeley";
import * as constants from "#berkeley/sys/constants.js";
import { addressDetails, decodeAddress, decodeAddressBuffer, encodeAddress } from "#berkeley/sys/sockaddr.js";
import { testSeeds } from "../support/random.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const little = endianness() === "LE";
const short = (value: number): number[] => (little ? [value & 255, value >> 8] : [value >> 8, value & 255]);

test("the families of addr/ are those of the headers", () => {
  const own = { AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK };
  for (const [name, value] of Object.entries(own)) {
    assert.equal(value, (constants as unknown as Record<string, number>)[name], name);
  }
});

test("encodeAddress() lays sockaddr_in, sockaddr_in6 and sockaddr_un out as the headers do", () => {
  assert.deepEqual(
    [...encodeAddress(new InetAddress("1.2.3.4", 0x1234))],
    [...short(AF_INET), 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
  );
  const six = [...encodeAddress(new Inet6Address("2001:db8::ff", 80, 0x0abcdef0, 7))];
  assert.equal(six.length, 28);
  assert.deepEqual(six.slice(0, 8), [...short(AF_INET6), 0, 80, 0x0a, 0xbc, 0xde, 0xf0]);
  assert.deepEqual(six.slice(8, 24), [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff]);
  assert.deepEqual(six.slice(24), little ? [7, 0, 0, 0] : [0, 0, 0, 7]);
  assert.deepEqual([...encodeAddress(new UnixAddress("/a"))], [...short(AF_UNIX), 0x2f, 0x61, 0]);
  assert.deepEqual([...encodeAddress(new UnixAddress("\0a"))], [...short(AF_UNIX), 0, 0x61]);
  assert.deepEqual([...encodeAddress(new UnixAddress(""))], short(AF_UNIX));
});

const addresses: readonly Address[] = [
  new InetAddress("0.0.0.0", 0),
  new InetAddress("255.255.255.255", 65535),
  new Inet6Address("::", 0),
  new Inet6Address("::ffff:1.2.3.4", 65535),
  new Inet6Address("fe80::1", 443, 0x0fff_ffff, 0xffff_ffff),
  new UnixAddress(""),
  new UnixAddress("/run/x.sock"),
  new UnixAddress(`/${"x".repeat(106)}`),
  new UnixAddress("\0abstract"),
  new UnixAddress("\0with\0nul"),
  new UnixAddress("\0"),
  new UnixAddress("/tmp/gr\u00f6\u00dfe \u20ac"),
  new VsockAddress(0xffff_ffff, 1024),
  new NetlinkAddress(0xffff_fffe, 0x8000_0001),
  new PacketAddress(0x0800, 2, 1, 4, Uint8Array.of(2, 0, 0, 0, 0, 9)),
  new PacketAddress(0x86dd, -1, 0xffff, 0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
  new OpaqueAddress(31, Uint8Array.of(1, 2, 3)),
];

for (const address of addresses) {
  test(`${JSON.stringify(String(address))} as bytes and back is the same`, () => {
    const bytes = encodeAddress(address);
    assert.deepEqual(decodeAddress(bytes), address);
    // In the middle of a larger buffer, as calls return it.
    const from = new Uint8Array(4 + 128).fill(0xaa);
    new DataView(from.buffer).setUint32(0, bytes.length, little);
    from.set(bytes, 4);
    assert.deepEqual(decodeAddressBuffer(from), address);
  });
}

testSeeds(
  "an address that is too short for its family is handed out as it is, and nothing is read past its end",
  [7],
  (random) => {
    for (const address of addresses) {
      const bytes = encodeAddress(address);
      for (let length = 0; length < bytes.length; length++) {
        const decoded = decodeAddress(bytes.slice(0, length));
        if (length < 2) assert.deepEqual(decoded, new OpaqueAddress(0, new Uint8Array(0)));
        else assert.equal(decoded.family, address.family);
      }
    }
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: random(130) }, () => random(256));
      if (bytes.length >= 2 && random(2) === 0)
        bytes.set(short([AF_UNIX, AF_INET, AF_INET6, AF_PACKET, AF_VSOCK][random(5)]!));
      const decoded = decodeAddress(bytes);
      assert.equal(typeof String(decoded), "string");
      assert.equal(typeof JSON.stringify(decoded), "string");
    }
  },
);

test("encodeAddress() refuses a value that is not an address", () => {
  assert.throws(() => encodeAddress(new InetAddress("localhost", 1)), TypeError);
  assert.throws(() => encodeAddress(new Inet6Address("1.2.3.4", 1)), TypeError);
  assert.throws(() => encodeAddress(new UnixAddress("x".repeat(108))), RangeError);
});

test("addressDetails() returns the properties of an error for an address", () => {
  assert.deepEqual(addressDetails(new InetAddress("1.2.3.4", 5)), { address: "1.2.3.4", port: 5 });
  assert.deepEqual(addressDetails(new Inet6Address("fe80::1", 5, 0, 2)), { address: "fe80::1%2", port: 5 });
  assert.deepEqual(addressDetails(new UnixAddress("/x")), { path: "/x" });
  assert.deepEqual(addressDetails(new VsockAddress(1, 2)), { address: "vsock:1:2" });
  assert.equal(addressDetails(undefined), undefined);
});
