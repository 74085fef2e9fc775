import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Address,
  HostPort,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  OpaqueAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "#berkeley/addr/address.js";
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_UNSPEC, AF_VSOCK } from "#berkeley/addr/families.js";
import { type AddressLike, parseAddress, toAddress } from "#berkeley/addr/parse.js";
import { quote } from "#berkeley/check/quote.js";
import { pick, testSeeds } from "../support/random.js";
import { checkMessage, mutate, python, thrown } from "./support.js";

const long = "a".repeat(107);
const name253 = `${"a".repeat(63)}.`.repeat(3) + "b".repeat(61);

const texts: readonly [string, Address | HostPort][] = [
  ["127.0.0.1:8888", new InetAddress("127.0.0.1", 8888)],
  ["0.0.0.0:0", new InetAddress("0.0.0.0", 0)],
  ["255.255.255.255:65535", new InetAddress("255.255.255.255", 65535)],
  ["[::1]:8888", new Inet6Address("::1", 8888)],
  ["[::]:0", new Inet6Address("::", 0)],
  ["[2001:DB8:0:0::1]:80", new Inet6Address("2001:db8::1", 80)],
  ["[::ffff:127.0.0.1]:80", new Inet6Address("::ffff:127.0.0.1", 80)],
  ["[::FFFF:7f00:1]:80", new Inet6Address("::ffff:127.0.0.1", 80)],
  ["[fe80::1%2]:80", new Inet6Address("fe80::1", 80, 0, 2)],
  ["[fe80::1%4294967295]:80", new Inet6Address("fe80::1", 80, 0, 4294967295)],
  ["[fe80::1%0]:80", new Inet6Address("fe80::1", 80)],
  ["[FE80::1%eth0]:80", new HostPort("fe80::1", 80, 0, 0, "eth0")],
  ["localhost:8888", new HostPort("localhost", 8888)],
  ["example.org.:443", new HostPort("example.org.", 443)],
  ["_dns.my_host-1:53", new HostPort("_dns.my_host-1", 53)],
  ["bücher.example:80", new HostPort("bücher.example", 80)],
  ["3com.com:80", new HostPort("3com.com", 80)],
  ["1.2.3.4.in-addr.arpa:80", new HostPort("1.2.3.4.in-addr.arpa", 80)],
  ["0xcafe.example:80", new HostPort("0xcafe.example", 80)],
  ["x1:80", new HostPort("x1", 80)],
  ["1x:80", new HostPort("1x", 80)],
  ["a.0xg:80", new HostPort("a.0xg", 80)],
  [`${name253}:80`, new HostPort(name253, 80)],
  ["unix:/run/x.sock", new UnixAddress("/run/x.sock")],
  ["unix:///run/x.sock", new UnixAddress("/run/x.sock")],
  ["unix:////x", new UnixAddress("//x")],
  ["unix:x.sock", new UnixAddress("x.sock")],
  ["unix:./@x", new UnixAddress("./@x")],
  ["unix:/a b:c?d#e%20", new UnixAddress("/a b:c?d#e%20")],
  ["unix:@abstract", new UnixAddress("\0abstract")],
  ["unix:@a\0b/@", new UnixAddress("\0a\0b/@")],
  ["unix:@", new UnixAddress("\0")],
  ["unix:", new UnixAddress("")],
  ["unix:80", new UnixAddress("80")],
  [`unix:${long}`, new UnixAddress(long)],
  [`unix:@${long}`, new UnixAddress(`\0${long}`)],
  [`unix:${"é".repeat(53)}a`, new UnixAddress(`${"é".repeat(53)}a`)],
  ["vsock:2:1024", new VsockAddress(2, 1024)],
  ["vsock:4294967295:4294967295", new VsockAddress(4294967295, 4294967295)],
  ["netlink:0:1", new NetlinkAddress(0, 1)],
];

for (const [text, address] of texts) {
  test(`parseAddress() reads ${quote(text)}`, () => {
    assert.deepEqual(parseAddress(text), address);
    assert.deepEqual(toAddress(text), address);
    assert.deepEqual(parseAddress(String(address)), address);
  });
}

// Text, class of the error, and what the message has to say beside the text itself.
const wrongTexts: readonly [string, typeof TypeError | typeof RangeError, RegExp][] = [
  ["", TypeError, /host is missing/],
  [":80", TypeError, /host is missing, write "0\.0\.0\.0" or "\[::\]".*\["", port\]/],
  ["*:80", TypeError, /host is missing/],
  ["localhost", TypeError, /port is missing/],
  ["127.0.0.1", TypeError, /port is missing/],
  ["[::1]", TypeError, /port is missing/],
  ["localhost:", TypeError, /port is missing/],
  ["[::1]:", TypeError, /port is missing/],
  ["/run/x.sock", TypeError, /the text looks like a path, write "unix:\/run\/x\.sock"/],
  ["h:http", TypeError, /port is "http", required a decimal number/],
  ["h:+1", TypeError, /port is "\+1"/],
  ["h:-1", TypeError, /port is "-1"/],
  ["h: 1", TypeError, /port is " 1"/],
  ["h:1 ", TypeError, /port is "1 "/],
  ["h:080", TypeError, /port is "080".*leading zeros/],
  ["h:0x50", TypeError, /port is "0x50"/],
  ["h:1e3", TypeError, /port is "1e3"/],
  ["h:80.0", TypeError, /port is "80\.0"/],
  ["h:８０", TypeError, /port is "８０"/],
  ["h:80/", TypeError, /port is "80\/"/],
  ["h:65536", RangeError, /port is "65536", required a number from 0 to 65535/],
  ["h:99999999999999999999999", RangeError, /port is "9+"/],
  ["::1", TypeError, /host is an IPv6 address without brackets, required the form "\[::1\]:80"/],
  ["::1:80", TypeError, /without brackets/],
  ["fe80::1:8080", TypeError, /without brackets/],
  ["a:b:c", TypeError, /more than one ":"/],
  ["127.0.0.1:80:90", TypeError, /more than one ":"/],
  ["[::1", TypeError, /"\[" is not closed/],
  ["[", TypeError, /"\[" is not closed/],
  ["[]:80", TypeError, /host is "", required an IPv6 address in brackets/],
  ["[127.0.0.1]:80", TypeError, /host is "127\.0\.0\.1", required an IPv6 address in brackets/],
  ["[localhost]:80", TypeError, /host is "localhost", required an IPv6 address in brackets/],
  ["[::1]80", TypeError, /"80" follows "\]"/],
  ["[::1]x:80", TypeError, /"x:80" follows "\]"/],
  ["[:::]:80", TypeError, /host is ":::", required an IPv6 address such as/],
  ["[::1%]:80", TypeError, /host is "::1%", required an IPv6 address such as/],
  ["[::1%4294967296]:80", TypeError, /required an IPv6 address such as/],
  ["[[::1]]:80", TypeError, /follows "\]"/],
  ["::1]:80", TypeError, /more than one ":"/],
  ["fe80%eth0:80", TypeError, /host is "fe80%eth0", required a host name; "%" at 4 is not allowed/],
  ["user@host:80", TypeError, /required a host name; "@" at 4 is not allowed/],
  ["a b:80", TypeError, /required a host name; " " at 1 is not allowed/],
  [" localhost:80", TypeError, /required a host name; " " at 0 is not allowed/],
  ["a\0b:80", TypeError, /required a host name; "\\u0000" at 1 is not allowed/],
  ["a\nb:80", TypeError, /required a host name; "\\n" at 1 is not allowed/],
  ["a/b:80", TypeError, /required a host name; "\/" at 1 is not allowed/],
  ["a\\b:80", TypeError, /required a host name; "\\\\" at 1 is not allowed/],
  ["*.example:80", TypeError, /required a host name; "\*" at 0 is not allowed/],
  ["\ud800:80", TypeError, /lone surrogate/],
  [".:80", TypeError, /required a host name without empty labels/],
  ["a..b:80", TypeError, /required a host name without empty labels/],
  [".a:80", TypeError, /required a host name without empty labels/],
  ["a..:80", TypeError, /required a host name without empty labels/],
  [`${name253}c:80`, RangeError, /host has 254 bytes, required at most 253/],
  [`${"é".repeat(127)}:80`, RangeError, /host has 254 bytes/],
  ["tcp://h:80", TypeError, /scheme is "tcp", required an address without a scheme/],
  ["vsock://2:80", TypeError, /scheme is "vsock", required an address without a scheme/],
  ["http://[::1]:80/", TypeError, /scheme is "http", required an address without a scheme/],
  ["unix://host/path", TypeError, /"\/\/host\/path" has a host, required "\/\/\/"/],
  ["unix://", TypeError, /required "\/\/\/"/],
  ["unix:a\0b", TypeError, /path has a NUL at 1, required a path without NUL/],
  ["unix:\0b", TypeError, /path begins with NUL, required "@"/],
  ["unix:/\ud800", TypeError, /lone surrogate/],
  [`unix:${long}a`, RangeError, /path has 108 bytes, required at most 107/],
  [`unix:@${long}a`, RangeError, /abstract name has 108 bytes, required at most 107/],
  [`unix:${"é".repeat(54)}`, RangeError, /path has 108 bytes/],
  ["vsock:80", TypeError, /port is missing, required cid:port/],
  ["vsock:2:", TypeError, /port is missing/],
  ["vsock::80", TypeError, /cid is missing/],
  ["vsock:2:1:1", TypeError, /port is "1:1"/],
  ["vsock:-1:80", TypeError, /cid is "-1"/],
  ["vsock:4294967296:80", RangeError, /cid is "4294967296", required a number from 0 to 4294967295/],
  ["netlink:0", TypeError, /groups is missing/],
  ["netlink:a:0", TypeError, /pid is "a"/],
];

for (const [text, type, message] of wrongTexts) {
  test(`parseAddress() refuses ${quote(text)}`, () => {
    for (const call of [() => parseAddress(text), () => toAddress(text)]) {
      const error = thrown(call);
      assert.equal(error.constructor, type, error.message);
      assert.ok(error.message.startsWith(`Cannot parse address ${quote(text)}: `), error.message);
      assert.match(error.message, message);
    }
  });
}

const numeric: readonly string[] = [
  "0177.0.0.1",
  "127.1",
  "0x7f.1",
  "1.2.3.4.5",
  "256.1.1.1",
  "1",
  "0",
  "2130706433",
  "0x7f000001",
  "0x",
  "0X7F.0.0.1",
  "1.2.3.4.",
  "1.",
  "1.2.3.04",
  "1.2.3.0x4",
  "00.0.0.0",
  "127.0.0.0x",
  "999999999999",
  "a.1",
  "example.0x1f",
  "1.2.3.４",
  "127。0。0。1",
  "①",
];

for (const host of numeric) {
  test(`toAddress() refuses ${quote(host)} before a lookup`, () => {
    for (const value of [`${host}:80`, [host, 80], { host, port: 80 }] as AddressLike[]) {
      const error = thrown(() => toAddress(value));
      assert.equal(error.constructor, TypeError);
      assert.ok(
        error.message.includes(`host is ${quote(host)}, which looks like a number, required four decimal numbers`),
        error.message,
      );
    }
  });
}

const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);

const values: readonly [AddressLike, Address | HostPort][] = [
  [["127.0.0.1", 80], new InetAddress("127.0.0.1", 80)],
  [["127.0.0.1", 80, 0, 0], new InetAddress("127.0.0.1", 80)],
  [["127.0.0.1", -0], new InetAddress("127.0.0.1", 0)],
  [["::1", 80], new Inet6Address("::1", 80)],
  [["0:0::0:1", 80], new Inet6Address("::1", 80)],
  [["::1", 80, 5], new Inet6Address("::1", 80, 5)],
  [["fe80::1", 80, 0x0fffffff, 0xffffffff], new Inet6Address("fe80::1", 80, 0x0fffffff, 0xffffffff)],
  [["fe80::1%3", 80], new Inet6Address("fe80::1", 80, 0, 3)],
  [["fe80::1%3", 80, 0, 3], new Inet6Address("fe80::1", 80, 0, 3)],
  [["fe80::1%lo", 80, 9], new HostPort("fe80::1", 80, 9, 0, "lo")],
  [["localhost", 80], new HostPort("localhost", 80)],
  [["localhost", 80, 1, 2], new HostPort("localhost", 80, 1, 2)],
  [["", 80], new HostPort("", 80)],
  [{ host: "", port: 0 }, new HostPort("", 0)],
  [{ host: "127.0.0.1", port: 80 }, new InetAddress("127.0.0.1", 80)],
  [{ host: "127.0.0.1", port: 80, flowinfo: undefined, scopeid: 0 }, new InetAddress("127.0.0.1", 80)],
  [{ family: AF_INET, host: "127.0.0.1", port: 80 }, new InetAddress("127.0.0.1", 80)],
  [{ family: AF_UNSPEC, host: "127.0.0.1", port: 80 }, new InetAddress("127.0.0.1", 80)],
  [{ family: AF_UNSPEC, host: "localhost", port: 80 }, new HostPort("localhost", 80)],
  [{ host: "::1", port: 80, scopeid: 4 }, new Inet6Address("::1", 80, 0, 4)],
  [{ host: "::1", port: 80, zone: "4" }, new Inet6Address("::1", 80, 0, 4)],
  [{ host: "::1", port: 80, zone: "lo" }, new HostPort("::1", 80, 0, 0, "lo")],
  [{ host: "::1", port: 80, scopeid: "lo", zone: "lo" }, new HostPort("::1", 80, 0, 0, "lo")],
  [{ host: "::1", port: 80, scopeid: "0", zone: "lo" }, new HostPort("::1", 80, 0, 0, "lo")],
  [{ host: "fe80::1%lo", port: 80, scopeid: "0" }, new HostPort("fe80::1", 80, 0, 0, "lo")],
  [{ host: "::1", port: 80, scopeid: "0" }, new Inet6Address("::1", 80)],
  [{ family: AF_INET6, host: "::1", port: 80, zone: "lo" }, new HostPort("::1", 80, 0, 0, "lo")],
  [{ path: "/x" }, new UnixAddress("/x")],
  [{ path: "" }, new UnixAddress("")],
  [{ path: "@x" }, new UnixAddress("@x")],
  [{ path: "\0x\0y" }, new UnixAddress("\0x\0y")],
  [{ family: AF_UNIX, path: "/x" }, new UnixAddress("/x")],
  [{ cid: 2, port: 70000 }, new VsockAddress(2, 70000)],
  [{ family: AF_VSOCK, cid: 2, port: 1 }, new VsockAddress(2, 1)],
  [{ pid: 0, groups: 0xffffffff }, new NetlinkAddress(0, 0xffffffff)],
  [{ family: AF_NETLINK, pid: 1, groups: 0 }, new NetlinkAddress(1, 0)],
  [{ ifindex: 2, protocol: 0x0800 }, new PacketAddress(0x0800, 2, 0, 0, new Uint8Array(0))],
  [{ family: AF_PACKET, ifindex: 0 }, new PacketAddress(0, 0, 0, 0, new Uint8Array(0))],
  [
    Object.assign({}, new PacketAddress(3, 1, 772, 4, Uint8Array.of(1, 2))),
    new PacketAddress(3, 1, 772, 4, Uint8Array.of(1, 2)),
  ],
  [{ ifindex: 2, addr: "02:00:00:00:00:A9" }, new PacketAddress(0, 2, 0, 0, Uint8Array.of(2, 0, 0, 0, 0, 0xa9))],
  [{ family: 31, data: "0102" }, new OpaqueAddress(31, Uint8Array.of(1, 2))],
  [{ family: 31, data: Uint8Array.of(1, 2) }, new OpaqueAddress(31, Uint8Array.of(1, 2))],
  [new Inet6Address("0::1", 80, 1, 2), new Inet6Address("::1", 80, 1, 2)],
  [new Inet6Address("fe80::1%2", 80), new Inet6Address("fe80::1", 80, 0, 2)],
  [new Inet6Address("fe80::1%lo", 80), new HostPort("fe80::1", 80, 0, 0, "lo")],
  [new HostPort("127.0.0.1", 80), new InetAddress("127.0.0.1", 80)],
];

for (const [value, address] of values) {
  test(`toAddress() makes ${quote(address.toJSON())} of ${quote(value)}`, () => {
    const found = toAddress(value);
    assert.deepEqual(found, address);
    assert.deepEqual(toAddress(found), address);
    assert.deepEqual(toAddress(found.toJSON() as AddressLike), address);
  });
}

test("toAddress() gives an address that is in order back as it is", () => {
  for (const address of [
    new InetAddress("127.0.0.1", 80),
    new Inet6Address("::1", 80),
    new Inet6Address("fe80::1", 80, 1, 2),
    new UnixAddress("/x"),
    new UnixAddress(""),
    new VsockAddress(2, 4294967295),
    new NetlinkAddress(1, 2),
    new PacketAddress(0x800, 2, 1, 0, mac),
    new OpaqueAddress(31, new Uint8Array(126)),
  ]) {
    assert.equal(toAddress(address), address);
  }
});

// Value, class of the error, what the message has to say; all are written as JavaScript might pass them.
const wrongValues: readonly [unknown, typeof TypeError | typeof RangeError, RegExp][] = [
  [undefined, TypeError, /Cannot use undefined as an address: required a string, \[host, port\]/],
  [null, TypeError, /Cannot use null as an address/],
  [80, TypeError, /Cannot use 80 as an address/],
  [10n, TypeError, /Cannot use 10n as an address/],
  [Symbol("x"), TypeError, /a symbol "x"/],
  [() => 1, TypeError, /a function/],
  [{}, TypeError, /Cannot use \{\} as an address: required a string/],
  [[], TypeError, /it has 0 members, required \[host, port\]/],
  [["h"], TypeError, /it has 1 members/],
  [["h", 1, 2, 3, 4], TypeError, /it has 5 members/],
  [["h", "80"], TypeError, /port is "80", required a number from 0 to 65535/],
  [["h", undefined], TypeError, /port is undefined/],
  [["h", null], TypeError, /port is null/],
  [["h", 80n], TypeError, /port is 80n/],
  [["h", 65536], RangeError, /port is 65536, required an integer from 0 to 65535/],
  [["h", -1], RangeError, /port is -1/],
  [["h", 80.5], RangeError, /port is 80\.5/],
  [["h", NaN], RangeError, /port is NaN/],
  [["h", Infinity], RangeError, /port is Infinity/],
  [[80, "h"], TypeError, /host is 80, required a string/],
  [[null, 80], TypeError, /host is null/],
  [["a\0b", 80], TypeError, /host is "a\\u0000b", required a host name; "\\u0000" at 1 is not allowed/],
  [["127.0.0.1\0.evil", 80], TypeError, /"\\u0000" at 9 is not allowed/],
  [["x".repeat(254), 80], RangeError, /host has 254 bytes/],
  [["[::1]", 80], TypeError, /without brackets here/],
  [["::1:zz", 80], TypeError, /required an IPv6 address such as/],
  [["localhost:80", 80], TypeError, /host is "localhost:80", required an IPv6 address such as/],
  [["127.0.0.1", 80, 1], TypeError, /host is "127\.0\.0\.1", an IPv4 address, required no flowinfo/],
  [["127.0.0.1", 80, 0, 1], TypeError, /host is "127\.0\.0\.1", an IPv4 address/],
  [["::1", 80, 0x10000000], RangeError, /flowinfo is 268435456, required an integer from 0 to 268435455/],
  [["::1", 80, "1"], TypeError, /flowinfo is "1"/],
  [["::1", 80, null], TypeError, /flowinfo is null/],
  [["::1", 80, 0, 4294967296], RangeError, /scopeid is 4294967296/],
  [["::1", 80, 0, -1], RangeError, /scopeid is -1/],
  [["::1%2", 80, 0, 3], TypeError, /zone "2" and scopeid 3 do not agree/],
  [["::1%lo", 80, 0, 3], TypeError, /zone "lo" and scopeid 3 do not agree/],
  [{ host: "h" }, TypeError, /port is undefined/],
  [{ port: 80 }, TypeError, /required a string/],
  [{ host: "h", port: 80, path: "/x" }, TypeError, /required a string/],
  [{ path: "/x", port: 80 }, TypeError, /mixes fields of different families/],
  [{ path: "/x", cid: 2 }, TypeError, /required a string/],
  [{ cid: 2, port: 1, scopeid: 1 }, TypeError, /mixes fields/],
  [{ pid: 1, groups: 0, port: 1 }, TypeError, /mixes fields/],
  [{ host: "h", port: 80, zone: "lo" }, TypeError, /zone is "lo", required none unless host is an IPv6 address/],
  [{ host: "127.0.0.1", port: 80, zone: "lo" }, TypeError, /zone is "lo"/],
  [{ host: "::1", port: 80, zone: "" }, TypeError, /zone is "", required the name/],
  [{ host: "::1", port: 80, zone: 2 }, TypeError, /zone is 2, required the name/],
  [{ host: "::1%lo", port: 80, zone: "eth0" }, TypeError, /different zones/],
  [{ host: "::1", port: 80, scopeid: "lo", zone: "eth0" }, TypeError, /zone "eth0" and scopeid "lo" do not agree/],
  [{ host: "::1", port: 80, scopeid: "lo", zone: null }, TypeError, /zone is null/],
  [{ path: 5 }, TypeError, /path is 5, required a string/],
  [{ path: ["/x"] }, TypeError, /path is \["\/x"\], required a string or a Uint8Array/],
  [{ path: Buffer.from("/\0x") }, TypeError, /path has a NUL at 1, required a path without NUL/],
  [{ path: "/a\0" }, TypeError, /path has a NUL at 2/],
  [{ path: `/${long}` }, RangeError, /path has 108 bytes/],
  [{ path: `\0${long}a` }, RangeError, /abstract name has 108 bytes/],
  [{ cid: 2 }, TypeError, /port is undefined/],
  [{ cid: -1, port: 1 }, RangeError, /cid is -1/],
  [{ cid: "2", port: 1 }, TypeError, /cid is "2"/],
  [{ pid: 1 }, TypeError, /groups is undefined/],
  [{ protocol: 1 }, TypeError, /required a string/],
  [{ ifindex: 1, port: 1 }, TypeError, /mixes fields/],
  [{ pid: 1, groups: 1, protocol: 1 }, TypeError, /mixes fields/],
  [{ ifindex: 1, data: new Uint8Array(1) }, TypeError, /required a string/],
  [{ family: AF_INET, ifindex: 1 }, TypeError, /family is 2/],
  [{ ifindex: -1 }, RangeError, /ifindex is -1/],
  [{ ifindex: 1, addr: new Uint8Array(9) }, TypeError, /addr is/],
  [{ data: new Uint8Array(1) }, TypeError, /family is undefined/],
  [{ family: 31, data: "x" }, TypeError, /data is "x"/],
  [{ family: 31, data: "1" }, TypeError, /data is "1"/],
  [{ family: 31, data: "0x" }, TypeError, /data is "0x"/],
  [{ ifindex: 1, addr: "1:2" }, TypeError, /addr is "1:2"/],
  [{ ifindex: 1, addr: "0102" }, TypeError, /addr is "0102"/],
  [{ ifindex: 1, addr: "+1" }, TypeError, /addr is "\+1"/],
  [{ groups: 1 }, TypeError, /pid is undefined/],
  [{ family: AF_INET6, host: "127.0.0.1", port: 80 }, TypeError, /family is 10, but the other fields make an IPv4/],
  [{ family: AF_INET, host: "::1", port: 80 }, TypeError, /family is 2, but the other fields make family 10/],
  [{ family: AF_INET, host: "h", port: 80 }, TypeError, /family is 2, but .* a host name/],
  [{ family: "IPv4", host: "127.0.0.1", port: 80 }, TypeError, /family is "IPv4"/],
  [{ family: AF_INET, path: "/x" }, TypeError, /family is 2/],
  [{ address: "127.0.0.1", family: "IPv4", port: 80 }, TypeError, /required a string, \[host, port\]/],
  [new InetAddress("localhost", 80), TypeError, /host is "localhost", required an IPv4 address/],
  [new InetAddress("127.1", 80), TypeError, /looks like a number/],
  [new InetAddress("::1", 80), TypeError, /host is "::1", required an IPv4 address/],
  [new InetAddress("", 80), TypeError, /host is "", required an IPv4 address/],
  [new InetAddress(null as unknown as string, 80), TypeError, /host is null/],
  [new InetAddress("127.0.0.1", 65536), RangeError, /port is 65536/],
  [new InetAddress("127.0.0.1", 0.5), RangeError, /port is 0\.5/],
  [new InetAddress("127.0.0.1", "80" as unknown as number), TypeError, /port is "80"/],
  [new Inet6Address("127.0.0.1", 80), TypeError, /host is "127\.0\.0\.1", required an IPv6 address/],
  [new Inet6Address("localhost", 80), TypeError, /required an IPv6 address/],
  [new Inet6Address("::1", 80, -1), RangeError, /flowinfo is -1/],
  [new Inet6Address("::1", 80, 0, 0.5), RangeError, /scopeid is 0\.5/],
  [new UnixAddress("a\0b"), TypeError, /path has a NUL at 1/],
  [new VsockAddress(1, -1), RangeError, /port is -1/],
  [new NetlinkAddress(1, 4294967296), RangeError, /groups is 4294967296/],
  [new PacketAddress(65536, 1, 1, 0, mac), RangeError, /protocol is 65536/],
  [new PacketAddress(1, -1, 1, 0, mac), RangeError, /ifindex is -1/],
  [new PacketAddress(1, 1, 65536, 0, mac), RangeError, /hatype is 65536/],
  [new PacketAddress(1, 1, 1, 256, mac), RangeError, /pkttype is 256/],
  [new PacketAddress(1, 1, 1, 0, new Uint8Array(9)), TypeError, /addr is a Uint8Array\(9\), required .* at most 8/],
  [new OpaqueAddress(70000, mac), RangeError, /family is 70000/],
  [new OpaqueAddress(31, "x" as unknown as Uint8Array), TypeError, /data is "x"/],
  [new HostPort("127.1", 80), TypeError, /looks like a number/],
  [new HostPort("h", 80, 0, 0, "lo"), TypeError, /zone is "lo"/],
];

for (const [value, type, message] of wrongValues) {
  test(`toAddress() refuses ${quote(value)} with /${message.source}/`, () => {
    const error = thrown(() => toAddress(value as AddressLike));
    assert.equal(error.constructor, type, error.message);
    assert.ok(error.message.startsWith(`Cannot use ${quote(value)} as an address: `), error.message);
    assert.match(error.message, message);
  });
}

test("parseAddress() refuses a value that is not a string", () => {
  const others: readonly unknown[] = [undefined, null, 5, ["h", 80], {}];
  for (const value of others) {
    const error = thrown(() => parseAddress(value as string));
    assert.equal(error.constructor, TypeError);
    assert.match(error.message, /required a string$/);
  }
});

test("a message stays short however long the text is", () => {
  const error = thrown(() => parseAddress("x".repeat(1_000_000)));
  assert.ok(error.message.length < 300, error.message);
  assert.match(error.message, /\(1000000 characters\)/);
});

const tokens: readonly string[] = [
  "unix:",
  "vsock:",
  "netlink:",
  "tcp://",
  "//",
  "/",
  "@",
  "[",
  "]",
  "]:",
  ":",
  "::",
  ":80",
  "%",
  "%lo",
  "%2",
  "127.0.0.1",
  "::1",
  "fe80::1",
  "localhost",
  "a",
  ".",
  "0",
  "1",
  "65535",
  "65536",
  "0x7f",
  "-",
  "é",
  "\0",
  "\n",
  " ",
  "\ud800",
  "\udc00",
  "😀",
  "４",
  "。",
  "x".repeat(60),
  "*",
  "\u202e",
];

testSeeds(
  "parseAddress() throws nothing but TypeError and RangeError, and what it reads it prints and reads again",
  [1],
  (random) => {
    let accepted = 0;
    for (let i = 0; i < 30_000; i++) {
      let text = "";
      if (random(2) === 0) text = mutate(random, pick(random, texts)[0], ":[]%@/.019af\0 ");
      else for (let n = random(7); n >= 0; n--) text += pick(random, tokens);
      if (random(4) === 0) text += String.fromCharCode(random(65536));
      let address: Address | HostPort;
      try {
        address = parseAddress(text);
      } catch (error) {
        checkMessage(error, quote(text));
        continue;
      }
      accepted++;
      assert.deepEqual(parseAddress(String(address)), address, quote(text));
    }
    assert.ok(accepted > 3000, `${accepted} accepted`);
  },
);

testSeeds("toAddress() throws nothing but TypeError and RangeError for odd values in every place", [2], (random) => {
  const odd: readonly unknown[] = [
    undefined,
    null,
    0,
    -0,
    -1,
    1.5,
    80,
    65536,
    2 ** 32,
    NaN,
    1n,
    "",
    "h",
    "::1",
    "1.2.3.4",
    "\0",
    "\0x",
    true,
    [],
    {},
    mac,
    Symbol.iterator,
    () => 1,
    Object.create(null),
    new Proxy({}, {}),
  ];
  const keys = [
    "family",
    "host",
    "port",
    "flowinfo",
    "scopeid",
    "zone",
    "path",
    "cid",
    "pid",
    "groups",
    "ifindex",
    "protocol",
    "data",
    "other",
  ];
  let accepted = 0;
  for (let i = 0; i < 30_000; i++) {
    let value: unknown;
    if (random(3) === 0) {
      value = Array.from({ length: random(6) }, () => pick(random, odd));
    } else {
      value = Object.fromEntries(Array.from({ length: random(5) }, () => [pick(random, keys), pick(random, odd)]));
    }
    try {
      const address = toAddress(value as AddressLike);
      accepted++;
      assert.deepEqual(toAddress(address), address);
    } catch (error) {
      checkMessage(error, quote(value));
    }
  }
  assert.ok(accepted > 100, `${accepted} accepted`);
});

testSeeds("no host that inet_aton(3) would take for an address comes out as a name", [3], (random) => {
  const pieces = [
    "0",
    "1",
    "7",
    "127",
    "256",
    "0x7f",
    "0X1",
    "0x",
    "010",
    "a",
    "f",
    "x",
    ".",
    ".",
    ".",
    "..",
    " ",
    "\t",
    "-",
    "+",
  ];
  const names: string[] = [];
  const refused: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    let host = "";
    for (let n = random(8); n >= 0; n--) host += pick(random, pieces);
    try {
      if (toAddress([host, 80]) instanceof HostPort) names.push(host);
    } catch (error) {
      checkMessage(error);
      refused.push(host);
    }
  }
  const aton = "socket.inet_aton(case).hex()";
  python(aton, names).forEach((answer, i) => assert.equal(answer, null, quote(names[i])));
  assert.ok(names.length > 1000);
  assert.ok(python(aton, refused).filter((answer) => answer !== null).length > 1000, "the cases try what matters");
});
