import assert from "node:assert/strict";
import { test } from "node:test";
import {
  HostPort,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  UnixAddress,
  VsockAddress,
} from "#berkeley/addr/address.js";
import {
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  parseEndpoint,
  parseLocalEndpoint,
} from "#berkeley/addr/endpoint.js";
import { quote } from "#berkeley/check/quote.js";
import { pick, testSeeds } from "../support/random.js";
import { checkMessage, thrown } from "./support.js";

const local = new InetAddress("127.0.0.1", 8888);

// Text, endpoint, and the text that is printed where it is another.
const texts: readonly [string, Endpoint, string?][] = [
  ["tcp://127.0.0.1:8888", { scheme: "tcp", address: local }],
  ["tcp://localhost:0", { scheme: "tcp", address: new HostPort("localhost", 0) }],
  ["tcp://[::1]:80", { scheme: "tcp", address: new Inet6Address("::1", 80) }],
  ["tcp://[0:0::1]:80", { scheme: "tcp", address: new Inet6Address("::1", 80) }, "tcp://[::1]:80"],
  ["tcp://[fe80::1%2]:80", { scheme: "tcp", address: new Inet6Address("fe80::1", 80, 0, 2) }],
  ["tcp://[fe80::1%eth0]:80", { scheme: "tcp", address: new HostPort("fe80::1", 80, 0, 0, "eth0") }],
  [
    "tcp://[fe80::1%25eth0]:80",
    { scheme: "tcp", address: new HostPort("fe80::1", 80, 0, 0, "eth0") },
    "tcp://[fe80::1%eth0]:80",
  ],
  [
    "tls://[fe80::1%25e%2d0]:80",
    { scheme: "tls", address: new HostPort("fe80::1", 80, 0, 0, "e-0") },
    "tls://[fe80::1%e-0]:80",
  ],
  ["udp://[fe80::1%252]:80", { scheme: "udp", address: new Inet6Address("fe80::1", 80, 0, 2) }, "udp://[fe80::1%2]:80"],
  ["udp://[fe80::1%25251]:80", { scheme: "udp", address: new Inet6Address("fe80::1", 80, 0, 251) }],
  ["udp://[fe80::1%25]:80", { scheme: "udp", address: new Inet6Address("fe80::1", 80, 0, 25) }],
  ["tls://example.org:443", { scheme: "tls", address: new HostPort("example.org", 443) }],
  ["tcp4://example.org:80", { scheme: "tcp", address: new HostPort("example.org", 80), family: 2 }],
  ["tcp6://example.org:80", { scheme: "tcp", address: new HostPort("example.org", 80), family: 10 }],
  ["tcp4://127.0.0.1:8888", { scheme: "tcp", address: local }, "tcp://127.0.0.1:8888"],
  ["udp://127.0.0.1:8888", { scheme: "udp", address: local }],
  ["unix:///run/x.sock", { scheme: "unix", address: new UnixAddress("/run/x.sock") }, "unix:/run/x.sock"],
  ["unix:/run/x.sock", { scheme: "unix", address: new UnixAddress("/run/x.sock") }],
  ["unix:x.sock", { scheme: "unix", address: new UnixAddress("x.sock") }],
  ["unix:@abstract", { scheme: "unix", address: new UnixAddress("\0abstract") }],
  ["vsock://2:1024", { scheme: "vsock", address: new VsockAddress(2, 1024) }],
  ["fd:0", { scheme: "fd", fd: 0 }],
  ["fd:3", { scheme: "fd", fd: 3 }],
  ["systemd:http", { scheme: "systemd", name: "http" }],
  ["systemd:my socket-1.x", { scheme: "systemd", name: "my socket-1.x" }],
];

for (const [text, endpoint, printed = text] of texts) {
  test(`parseEndpoint() reads ${text}, which formatEndpoint() prints as ${printed}`, () => {
    const found = parseEndpoint(text);
    assert.deepEqual(found, endpoint);
    assert.equal(formatEndpoint(found), printed);
    assert.deepEqual(parseEndpoint(printed), endpoint);
    assert.deepEqual(parseEndpoint(found), endpoint);
  });
}

const values: readonly [EndpointLike, string][] = [
  [local, "tcp://127.0.0.1:8888"],
  [new Inet6Address("::1", 1), "tcp://[::1]:1"],
  [new HostPort("h", 1), "tcp://h:1"],
  [new UnixAddress("/x"), "unix:/x"],
  [new VsockAddress(1, 2), "vsock://1:2"],
  [["localhost", 80], "tcp://localhost:80"],
  [{ host: "localhost", port: 80 }, "tcp://localhost:80"],
  [{ host: "", port: 80 }, "tcp://*:80"],
  [{ host: "fe80::1", port: 80, zone: "eth0" }, "tcp://[fe80::1%eth0]:80"],
  [{ host: "fe80::1", port: 80, scopeid: 25 }, "tcp://[fe80::1%25]:80"],
  [{ host: "fe80::1", port: 80, scopeid: 251 }, "tcp://[fe80::1%25251]:80"],
  [{ host: "fe80::1", port: 80, zone: "25a" }, "tcp://[fe80::1%2525a]:80"],
  [{ scheme: "tcp", host: "::1", port: 80 }, "tcp://[::1]:80"],
  [{ scheme: "tls", host: "h", port: 443 }, "tls://h:443"],
  [{ scheme: "udp", host: "h", port: 53 }, "udp://h:53"],
  [{ scheme: "udp", address: local }, "udp://127.0.0.1:8888"],
  [{ path: "/x" }, "unix:/x"],
  [{ scheme: "unix", path: "\0x" }, "unix:@x"],
  [{ cid: 2, port: 70000 }, "vsock://2:70000"],
  [{ scheme: "vsock", cid: 2, port: 1 }, "vsock://2:1"],
  [{ fd: 3 }, "fd:3"],
  [{ scheme: "fd", fd: 3 }, "fd:3"],
  [{ scheme: "systemd", name: "web" }, "systemd:web"],
];

for (const [value, text] of values) {
  test(`parseEndpoint() makes ${text} of ${quote(value)}`, () => {
    assert.equal(formatEndpoint(parseEndpoint(value)), text);
  });
}

const wrong: readonly [unknown, typeof TypeError | typeof RangeError, RegExp][] = [
  ["", TypeError, /scheme is missing, required tcp:\/\/host:port/],
  ["127.0.0.1:80", TypeError, /scheme is missing/],
  ["localhost", TypeError, /scheme is missing/],
  ["/run/x.sock", TypeError, /scheme is missing/],
  ["http://h:80", TypeError, /scheme "http" is unknown/],
  ["TCP://h:80", TypeError, /scheme "TCP" is unknown/],
  ["toString://h:80", TypeError, /scheme "toString" is unknown/],
  [" tcp://h:80", TypeError, /scheme " tcp" is unknown/],
  ["tcp:h:80", TypeError, /"\/\/" is missing after "tcp:"/],
  ["tcp:/h:80", TypeError, /"\/\/" is missing/],
  ["tcp://", TypeError, /host is missing/],
  ["tcp://:80", TypeError, /host is missing, write "0\.0\.0\.0" or "\[::\]"/],
  ["tcp://*:80", TypeError, /host is missing/],
  ["tcp://h", TypeError, /port is missing/],
  ["tls://h:", TypeError, /port is missing/],
  ["tcp://[::1]", TypeError, /port is missing/],
  ["tcp://h:80/", TypeError, /port is "80\/"/],
  ["tcp://h:80?x=1", TypeError, /port is "80\?x=1"/],
  ["tcp://u@h:80", TypeError, /"@" at 1 is not allowed/],
  ["tcp://u:p@h:80", TypeError, /more than one ":"/],
  ["tcp://h:65536", RangeError, /port is "65536"/],
  ["tcp://::1:80", TypeError, /without brackets/],
  ["udp://127.1:80", TypeError, /looks like a number/],
  ["tcp:///run/x", TypeError, /looks like a path|has "\/"/],
  ["unix:", TypeError, /path is missing/],
  ["unix://", TypeError, /required "\/\/\/"/],
  ["unix://run/x", TypeError, /has a host/],
  ["unix:\0x", TypeError, /begins with NUL/],
  [`unix:/${"x".repeat(107)}`, RangeError, /108 bytes/],
  ["vsock:2:1", TypeError, /"\/\/" is missing after "vsock:"/],
  ["vsock://2", TypeError, /port is missing/],
  ["vsock://x:1", TypeError, /cid is "x"/],
  ["vsock://2:1/", TypeError, /port is "1\/"/],
  ["fd:", TypeError, /descriptor is missing/],
  ["fd:-1", TypeError, /descriptor is "-1"/],
  ["fd:03", TypeError, /descriptor is "03"/],
  ["fd://3", TypeError, /descriptor is "\/\/3"/],
  ["fd:2147483648", RangeError, /descriptor is "2147483648"/],
  ["systemd:", TypeError, /name is "", required 1 to 255 printable ASCII/],
  ["systemd:a:b", TypeError, /name is "a:b"/],
  ["systemd:a\n", TypeError, /name is "a\\n"/],
  ["systemd:é", TypeError, /name is "é"/],
  [`systemd:${"a".repeat(256)}`, TypeError, /name is "a+"/],
  [undefined, TypeError, /Cannot use undefined as an endpoint: required a string/],
  [null, TypeError, /Cannot use null as an endpoint/],
  [{}, TypeError, /Cannot use \{\} as an endpoint/],
  ["tcp://[fe80::1%25%zz]:80", TypeError, /zone is "%zz", required valid percent-encoding/],
  ["tcp://[fe80::1%25a%2fb]:80", TypeError, /required an IPv6 address such as/],
  ["tcp://[fe80::1%25%ff]:80", TypeError, /zone is "%ff"/],
  [["h"], TypeError, /1 members/],
  [{ scheme: "tcp" }, TypeError, /required a string/],
  [{ scheme: "http", host: "h", port: 80 }, TypeError, /scheme is "http", which does not go with a host/],
  [{ scheme: "unix", host: "h", port: 80 }, TypeError, /scheme is "unix", which does not go with a host/],
  [{ scheme: "tls", path: "/x" }, TypeError, /scheme is "tls", which does not go with a UNIX path/],
  [{ scheme: "tcp", cid: 1, port: 1 }, TypeError, /does not go with a vsock/],
  [{ scheme: "tcp", fd: 3 }, TypeError, /does not go with a descriptor/],
  [{ name: "web" }, TypeError, /scheme is undefined, which does not go with a name/],
  [{ scheme: "systemd", name: 5 }, TypeError, /name is 5/],
  [{ fd: -1 }, RangeError, /fd is -1/],
  [{ fd: "3" }, TypeError, /fd is "3"/],
  [{ fd: 3, port: 80 }, TypeError, /required a string/],
  [{ fd: 3, name: "x" }, TypeError, /required a string/],
  [{ host: "h", port: 65536 }, RangeError, /port is 65536/],
  [{ host: "h", port: "80" }, TypeError, /port is "80"/],
  [{ path: "" }, TypeError, /path is missing/],
  [{ address: "127.0.0.1", family: "IPv4", port: 80 }, TypeError, /required a string/],
  [{ scheme: "tcp", address: new InetAddress("x", 1) }, TypeError, /required an IPv4 address/],
  [new NetlinkAddress(0, 0), TypeError, /family 16 has no endpoints/],
  [{ pid: 0, groups: 0 }, TypeError, /required a string/],
];

for (const [value, type, message] of wrong) {
  test(`parseEndpoint() refuses ${quote(value)}`, () => {
    const error = thrown(() => parseEndpoint(value as EndpointLike));
    assert.equal(error.constructor, type, error.message);
    assert.match(error.message, message);
    if (typeof value === "string") {
      assert.ok(error.message.startsWith(`Cannot parse endpoint ${quote(value)}: `), error.message);
    }
  });
}

testSeeds(
  "parseEndpoint() throws nothing but TypeError and RangeError, and what it reads it prints and reads again",
  [5],
  (random) => {
    const starts = ["tcp://", "tls://", "udp://", "unix:", "vsock://", "fd:", "systemd:", ""];
    const tokens = [
      "//",
      "/",
      "@",
      "[",
      "]",
      ":",
      "::1",
      "[::1]",
      "[fe80::1%2]",
      "[fe80::1%25",
      "%25",
      ":80",
      "%",
      "127.0.0.1",
      "h",
      ".",
      "0",
      "1",
      "65536",
      "-",
      "é",
      "\0",
      "\n",
      " ",
      "\ud800",
      "x".repeat(60),
      "*",
    ];
    let accepted = 0;
    for (let i = 0; i < 40_000; i++) {
      let text = pick(random, starts);
      for (let n = random(5); n >= 0; n--) text += pick(random, tokens);
      let endpoint: Endpoint;
      try {
        endpoint = parseEndpoint(text);
      } catch (error) {
        checkMessage(error, quote(text));
        continue;
      }
      accepted++;
      assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint, quote(text));
    }
    assert.ok(accepted > 2000, `${accepted} accepted`);
  },
);

test("a port, a port without a host, and a URL are endpoints", () => {
  const unix = { scheme: "unix", address: new UnixAddress("/run/a b.sock") };
  const rows: readonly [EndpointLike, unknown][] = [
    [8888, { scheme: "tcp", address: new HostPort("localhost", 8888) }],
    [{ port: 0 }, { scheme: "tcp", address: new HostPort("localhost", 0) }],
    [
      { scheme: "tls", port: 443 },
      { scheme: "tls", address: new HostPort("localhost", 443) },
    ],
    [
      { scheme: "tcp6", port: 80 },
      { scheme: "tcp", address: new HostPort("localhost", 80), family: 10 },
    ],
    [new URL("tcp://127.0.0.1:8888"), { scheme: "tcp", address: local }],
    [new URL("tcp://[::1]:80/"), { scheme: "tcp", address: new Inet6Address("::1", 80) }],
    [new URL("unix:/run/a b.sock"), unix],
    [new URL("unix:///run/a b.sock"), unix],
    [new URL("vsock://2:1024"), { scheme: "vsock", address: new VsockAddress(2, 1024) }],
    [new URL("fd:3"), { scheme: "fd", fd: 3 }],
  ];
  for (const [value, expected] of rows) assert.deepEqual(parseEndpoint(value), expected, quote(value));
  // What formatEndpoint() returns, and the parsed endpoint itself, are read as the same endpoint.
  const narrow = parseEndpoint("tcp4://example.org:80");
  assert.deepEqual(parseEndpoint(narrow), narrow);
});

test("a call that binds reads a port without a host as all addresses", () => {
  const all = { scheme: "tcp", address: new HostPort("", 8888) };
  assert.deepEqual(parseLocalEndpoint(8888), all);
  assert.deepEqual(parseLocalEndpoint({ port: 8888 }), all);
  assert.deepEqual(parseLocalEndpoint("tcp://127.0.0.1:8888"), { scheme: "tcp", address: local });
});

test("a wrong port, URL or family is refused with its value", () => {
  const rows: readonly [unknown, typeof TypeError | typeof RangeError, RegExp][] = [
    [65_536, RangeError, /65536/],
    [-1, RangeError, /-1/],
    [1.5, RangeError, /1\.5/],
    [Number.NaN, RangeError, /NaN/],
    [{ port: 70_000 }, RangeError, /70000/],
    [{ port: "80" }, TypeError, /"80"/],
    [8888n, TypeError, /8888n/],
    [new URL("http://localhost:80"), TypeError, /scheme "http" is unknown|scheme is missing/],
    [new URL("tcp://localhost:80/path"), TypeError, /path is "\/path"/],
    [new URL("tcp://localhost:80?a=1"), TypeError, /"\?a=1" has no meaning/],
    [new URL("tcp://localhost"), TypeError, /port is missing/],
    [new URL("unix://host/path"), TypeError, /host is "host"/],
    ["tcp4://[::1]:80", TypeError, /host is "::1", required a name or an address of IPv4 with tcp4/],
    ["tcp6://127.0.0.1:80", TypeError, /host is "127\.0\.0\.1", required a name or an address of IPv6 with tcp6/],
    ["tcp4://[fe80::1%eth0]:80", TypeError, /IPv4 with tcp4/],
    [{ scheme: "tcp5", port: 80 }, TypeError, /scheme is "tcp5"/],
    [{ scheme: "tcp", address: ["a.example", 80], family: 1 }, TypeError, /family is 1/],
  ];
  for (const [value, type, pattern] of rows) {
    const error = thrown(() => parseEndpoint(value as EndpointLike));
    assert.ok(error instanceof type, `${quote(value)}: ${String(error)}`);
    assert.match(error.message, pattern);
  }
  const secret = thrown(() => parseEndpoint(new URL("tcp://user:secret@localhost:80")));
  assert.match(secret.message, /a user name and a password have no meaning/);
  assert.doesNotMatch(secret.message, /secret/);
});
