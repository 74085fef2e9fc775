// Lookups without a server, and calls that Python does not have.
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { afterEach, test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  getprotobyname,
  getservbyname,
  getservbyport,
  gethostname,
  has_dualstack_ipv6,
  has_ipv6,
  htonl,
  htons,
  if_indextoname,
  if_nameindex,
  if_nametoindex,
  inet_aton,
  inet_ntoa,
  inet_ntop,
  inet_pton,
  ntohl,
  ntohs,
  sethostname,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { EAFNOSUPPORT, EMFILE } from "#berkeley/sys/errno.js";
import { probeIPv6 } from "#berkeley/netdb/ipv6Support.js";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";

checkLeaks();

const real = { ...calls };
afterEach(() => Object.assign(calls, real));

test("a missing entry of a database is ENOENT, with the name that was looked up", () => {
  const refused = { name: "SocketError", code: "ENOENT" };
  assert.throws(() => getservbyname("nosuch"), {
    ...refused,
    message: "getservbyname ENOENT nosuch: no such file or directory",
  });
  assert.throws(() => getservbyname("http", "nosuch"), {
    ...refused,
    message: "getservbyname ENOENT http/nosuch: no such file or directory",
  });
  assert.throws(() => getservbyport(9, "nosuch"), {
    ...refused,
    message: "getservbyport ENOENT 9/nosuch: no such file or directory",
  });
  assert.throws(() => getprotobyname("nosuch"), {
    ...refused,
    message: "getprotobyname ENOENT nosuch: no such file or directory",
  });
});

test("services and protocols refuse wrong arguments before they look", () => {
  calls.getservbyname = calls.getservbyport = calls.getprotobyname = () => assert.fail("it looked");
  for (const [value, expected] of [
    ["a\0b", TypeError],
    [5, TypeError],
    [undefined, TypeError],
    ["\udfff", TypeError],
    ["x".repeat(256), RangeError],
  ] as const) {
    assert.throws(() => getservbyname(value as string), expected);
    assert.throws(() => getprotobyname(value as string), expected);
    if (value !== undefined) assert.throws(() => getservbyname("http", value as string), expected);
    if (value !== undefined) assert.throws(() => getservbyport(80, value as string), expected);
  }
  for (const port of [-1, 65536, 1.5, NaN]) assert.throws(() => getservbyport(port), RangeError);
  assert.throws(() => getservbyport("80" as never), TypeError);
});

test("interfaces that are not there give ENODEV and ENXIO", () => {
  assert.throws(() => if_nametoindex("nosuchif0"), {
    code: "ENODEV",
    message: "if_nametoindex ENODEV nosuchif0: no such device",
  });
  // As long as a name may be, and what the C library would cut to it.
  assert.throws(() => if_nametoindex("lo".padEnd(16, "x")), { code: "ENODEV" });
  assert.throws(() => if_indextoname(0), {
    code: "ENXIO",
    message: "if_indextoname ENXIO 0: no such device or address",
  });
  assert.throws(() => if_nametoindex("lo\0"), TypeError);
  assert.throws(() => if_indextoname(-1), RangeError);
  assert.throws(() => if_indextoname(2 ** 32), RangeError);
  for (const [index, name] of if_nameindex()) {
    assert.equal(if_nametoindex(name), index);
    assert.equal(if_indextoname(index), name);
  }
});

test("inet_pton() and inet_ntop() support two families", () => {
  for (const family of [AF_UNIX, 0, 1234]) {
    assert.throws(() => inet_pton(family, "127.0.0.1"), { code: "EAFNOSUPPORT", syscall: "inet_pton" });
    assert.throws(() => inet_ntop(family, new Uint8Array(4)), { code: "EAFNOSUPPORT", syscall: "inet_ntop" });
  }
  assert.throws(() => inet_pton("4" as never, "127.0.0.1"), TypeError);
  assert.throws(() => inet_pton(AF_INET6, "fe80::1%1"), {
    name: "TypeError",
    message: /required an IPv6 address without a zone$/,
  });
  assert.throws(() => inet_pton(AF_INET, 5 as never), {
    name: "TypeError",
    message: "Cannot inet_pton: text is 5, required a string",
  });
  assert.throws(() => inet_ntop(AF_INET6, new Uint8Array(4)), {
    name: "RangeError",
    message: /bytes has length 4, required 16$/,
  });
  assert.throws(() => inet_ntop(AF_INET, "abcd" as never), TypeError);
  assert.throws(() => inet_ntoa(new Uint8Array(5)), RangeError);
});

test("inet_ntop() writes IPv4-compatible addresses as RFC 5952 says, not as the C library does", () => {
  assert.equal(inet_ntop(AF_INET6, inet_pton(AF_INET6, "::1.2.3.4")), "::102:304");
});

test("inet_aton() accepts the forms of the C library, and no text after the address", () => {
  assert.equal(inet_ntoa(inet_aton("0x7f.1")), "127.0.0.1");
  for (const text of ["1.2.3.4 x", "1.2.3.4\n", " 1.2.3.4", ""]) {
    assert.throws(() => inet_aton(text), {
      name: "TypeError",
      message: /^Cannot inet_aton: text is .*, required an IPv4 address$/,
    });
  }
  assert.throws(() => inet_aton("1.2.3.4\0"), TypeError);
  assert.throws(() => inet_aton(127 as never), TypeError);
});

test("the byte order of the network is big endian", () => {
  const inMemory16 = new DataView(Uint8Array.of(0x12, 0x34).buffer).getUint16(0, endianness() === "LE");
  const inMemory32 = new DataView(Uint8Array.of(0xf2, 0x34, 0x56, 0x78).buffer).getUint32(0, endianness() === "LE");
  assert.equal(ntohs(inMemory16), 0x1234);
  assert.equal(htons(0x1234), inMemory16);
  assert.equal(ntohl(inMemory32), 0xf2345678);
  assert.equal(htonl(0xf2345678), inMemory32);
  for (const order of [htons, ntohs, htonl, ntohl]) {
    for (const value of [-1, 1.5, 2 ** 32, NaN, Infinity]) {
      assert.throws(() => order(value), {
        name: "RangeError",
        message: new RegExp(`^Cannot ${order.name}: value is `),
      });
    }
    assert.throws(() => order("1" as never), TypeError);
  }
  for (const order of [htons, ntohs]) assert.throws(() => order(0x1_0000), RangeError);
});

test("has_ipv6 is the result of a trial", () => {
  assert.equal(has_ipv6, probeIPv6(calls));
  let closed = 0;
  const close = (): number => ++closed;
  assert.equal(probeIPv6({ ...calls, socket: () => EAFNOSUPPORT, close }), false);
  assert.equal(closed, 0);
  assert.equal(probeIPv6({ ...calls, socket: () => 1000, bind: () => -99, close }), false);
  assert.equal(probeIPv6({ ...calls, socket: () => 1000, bind: () => 0, close }), true);
  assert.equal(closed, 2);
});

test("has_dualstack_ipv6() makes a trial each time and closes its socket", () => {
  const found = has_dualstack_ipv6();
  calls.socket = () => EMFILE;
  assert.equal(has_dualstack_ipv6(), false);
  Object.assign(calls, real);
  calls.setsockopt = () => -92;
  assert.equal(has_dualstack_ipv6(), false);
  Object.assign(calls, real);
  assert.equal(has_dualstack_ipv6(), found);
});

test("gethostname() throws the error of the call, and sethostname() refuses names that the kernel would refuse", () => {
  calls.gethostname = () => -36;
  assert.throws(() => gethostname(), { code: "ENAMETOOLONG", syscall: "gethostname" });
  calls.sethostname = () => assert.fail("it set");
  assert.throws(() => sethostname("a\0b"), TypeError);
  assert.throws(() => sethostname("x".repeat(65)), {
    name: "RangeError",
    message: /name has 65 bytes, required at most 64$/,
  });
  calls.sethostname = () => -1;
  assert.throws(() => sethostname("x"), { code: "EPERM", syscall: "sethostname" });
});

test(
  "sethostname() renames the machine",
  { skip: canUnshare(["-u"]) ? undefined : "unshare -u takes privileges" },
  () => {
    const script = `
    import { gethostname, sethostname } from ${JSON.stringify(import.meta.resolve("berkeley"))};
    sethostname("renamed");
    console.log(gethostname());`;
    const { stdout, stderr } = runUnshared(["-u"], 'exec "$NODE" --input-type=module -e "$1"', [script]);
    assert.equal(stderr, "");
    assert.equal(stdout, "renamed\n");
  },
);
