// Each kind of control message: encoding, decoding, and refusals.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { type ControlMessage, type ControlToSend, IP_TTL, IPPROTO_IP } from "berkeley";
import * as k from "#berkeley/sys/constants.js";
import { decodeControl, descriptorsOf, encodeControl } from "#berkeley/cmsg/index.js";
import { forEachMessage, HEADER_SIZE, writeHeader } from "#berkeley/cmsg/layout.js";
import { checkLeaks } from "../support/leaks.js";
import { recorder } from "./support.js";

checkLeaks();

interface Raw {
  readonly level: number;
  readonly type: number;
  readonly data: Buffer;
}

function encoded(message: ControlToSend): Raw {
  const control = encodeControl([message]);
  assert.ok(control.refreshDescriptors());
  const { bytes } = control;
  const found: Raw[] = [];
  forEachMessage(bytes, bytes.length, (level, type, data) => found.push({ level, type, data: Buffer.from(data) }));
  assert.equal(found.length, 1);
  return found[0]!;
}

function decoded(level: number, type: number, data: Uint8Array, truncated: boolean = false): ControlMessage {
  const bytes = new Uint8Array(HEADER_SIZE + data.length);
  writeHeader(bytes, 0, data.length, level, type);
  bytes.set(data, HEADER_SIZE);
  const messages = decodeControl(bytes, bytes.length, recorder().calls, truncated);
  assert.equal(messages.length, 1);
  return messages[0]!;
}

const packs: string[] = [];
let packed: readonly string[] | undefined;

/** The bytes of C values in the layout of this machine, from Python's struct. One Python process makes all of them. */
function struct(format: string, ...values: readonly (number | bigint)[]): () => Buffer {
  const index = packs.push(`struct.pack("${format}", *[${values.join(",")}]).hex()`) - 1;
  return () => {
    packed ??= execFileSync("python3", ["-c", `import struct\nfor s in [${packs.join(",")}]: print(s)`], {
      encoding: "utf8",
    }).split("\n");
    return Buffer.from(packed[index]!, "hex");
  };
}

const ERROR = struct("IBBBxII", 111, 2, 3, 1, 7, 8);
const OFFENDER = struct("HxxBBBB8x", k.AF_INET, 10, 0, 0, 9);
const INET = struct("H", k.AF_INET);
const INET_REST = struct("!H4B8x", 80, 1, 2, 3, 4);
const INET6 = struct("H", k.AF_INET6);
const INET6_REST = struct("!HI15xBI", 80, 0, 1, 0);
const RIGHTS = struct("iiii", 1000, -1, 1001, 1002);
const ONE = struct("i", 1000);
const FAILED = struct("i", -3);
const PKTINFO = struct("i8B", 2, 1, 2, 3, 4, 5, 6, 7, 8);
const TOS = struct("i", 0xb9);

const SENT: readonly [ControlToSend, level: number, type: number, data: () => Buffer][] = [
  [{ type: "SCM_RIGHTS", fds: [3, { fileno: () => 4 }] }, k.SOL_SOCKET, k.SCM_RIGHTS, struct("ii", 3, 4)],
  [
    { type: "SCM_CREDENTIALS", pid: 1, uid: 2, gid: 0xffff_ffff },
    k.SOL_SOCKET,
    k.SCM_CREDENTIALS,
    struct("iII", 1, 2, 0xffff_ffff),
  ],
  [
    { type: "SCM_CREDENTIALS" },
    k.SOL_SOCKET,
    k.SCM_CREDENTIALS,
    struct("iII", process.pid, process.getuid!(), process.getgid!()),
  ],
  [{ type: "SO_MARK", mark: 0xffff_fffe }, k.SOL_SOCKET, k.SO_MARK, struct("I", 0xffff_fffe)],
  [{ type: "SCM_TXTIME", txtime: 2n ** 63n }, k.SOL_SOCKET, k.SCM_TXTIME, struct("Q", 2n ** 63n)],
  [
    { type: "IP_PKTINFO", ifindex: 1, spec_dst: "127.0.0.2", addr: "10.0.0.1" },
    k.IPPROTO_IP,
    k.IP_PKTINFO,
    struct("i8B", 1, 127, 0, 0, 2, 10, 0, 0, 1),
  ],
  [{ type: "IP_PKTINFO" }, k.IPPROTO_IP, k.IP_PKTINFO, () => Buffer.alloc(12)],
  [{ type: "IPV6_PKTINFO", addr: "::1", ifindex: 5 }, k.IPPROTO_IPV6, k.IPV6_PKTINFO, struct("15xBI", 1, 5)],
  [{ type: "IP_TTL", ttl: 64 }, k.IPPROTO_IP, k.IP_TTL, struct("i", 64)],
  [{ type: "IPV6_HOPLIMIT", hoplimit: -1 }, k.IPPROTO_IPV6, k.IPV6_HOPLIMIT, struct("i", -1)],
  [{ type: "IP_TOS", tos: 0xb9 }, k.IPPROTO_IP, k.IP_TOS, struct("i", 0xb9)],
  [{ type: "IPV6_TCLASS", tclass: 2 }, k.IPPROTO_IPV6, k.IPV6_TCLASS, struct("i", 2)],
  [{ type: "IPV6_FLOWINFO", flowinfo: 0x0123_4567 }, k.IPPROTO_IPV6, k.IPV6_FLOWINFO, struct("!I", 0x0123_4567)],
  [{ type: "IPV6_DONTFRAG", dontfrag: true }, k.IPPROTO_IPV6, k.IPV6_DONTFRAG, struct("i", 1)],
  [{ type: "UDP_SEGMENT", gso_size: 1472 }, k.SOL_UDP, k.UDP_SEGMENT, struct("H", 1472)],
  [{ level: IPPROTO_IP, type: IP_TTL, data: Buffer.of(7) }, IPPROTO_IP, IP_TTL.optname, () => Buffer.of(7)],
  [{ level: -5, type: 77, data: Buffer.from("raw") }, -5, 77, () => Buffer.from("raw")],
];

for (const [message, level, type, data] of SENT) {
  test(`${typeof message.type === "string" ? message.type : "a raw message"} ${JSON.stringify(Object.keys(message))} has the bytes that the kernel takes`, () => {
    assert.deepEqual(encoded(message), { level, type, data: data() });
  });
}

const RECEIVED: readonly [ControlMessage, level: number, type: number, data: () => Buffer][] = [
  [
    { type: "SCM_CREDENTIALS", pid: 9, uid: 0xffff_ffff, gid: 8 },
    k.SOL_SOCKET,
    k.SCM_CREDENTIALS,
    struct("iII", 9, 0xffff_ffff, 8),
  ],
  [
    { type: "SO_TIMESTAMP", tv_sec: 5_000_000_000, tv_usec: 6 },
    k.SOL_SOCKET,
    k.SO_TIMESTAMP,
    struct("qq", 5_000_000_000, 6),
  ],
  [{ type: "SO_TIMESTAMP", tv_sec: 5, tv_usec: 6 }, k.SOL_SOCKET, k.SO_TIMESTAMP_NEW, struct("qq", 5, 6)],
  [
    { type: "SO_TIMESTAMPNS", tv_sec: 5, tv_nsec: 999_999_999 },
    k.SOL_SOCKET,
    k.SO_TIMESTAMPNS,
    struct("qq", 5, 999_999_999),
  ],
  [{ type: "SO_TIMESTAMPNS", tv_sec: 5, tv_nsec: 7 }, k.SOL_SOCKET, k.SO_TIMESTAMPNS_NEW, struct("qq", 5, 7)],
  [
    {
      type: "SCM_TIMESTAMPING",
      ts: [
        { tv_sec: 1, tv_nsec: 2 },
        { tv_sec: 0, tv_nsec: 0 },
        { tv_sec: 3, tv_nsec: 4 },
      ],
    },
    k.SOL_SOCKET,
    k.SCM_TIMESTAMPING,
    struct("qqqqqq", 1, 2, 0, 0, 3, 4),
  ],
  [{ type: "SO_RXQ_OVFL", dropped: 0x8000_0000 }, k.SOL_SOCKET, k.SO_RXQ_OVFL, struct("I", 0x8000_0000)],
  [{ type: "SO_MARK", mark: 0x8000_0001 }, k.SOL_SOCKET, k.SO_MARK, struct("I", 0x8000_0001)],
  [
    { type: "IP_PKTINFO", ifindex: 2, spec_dst: "1.2.3.4", addr: "5.6.7.8" },
    k.IPPROTO_IP,
    k.IP_PKTINFO,
    struct("i8B", 2, 1, 2, 3, 4, 5, 6, 7, 8),
  ],
  [{ type: "IPV6_PKTINFO", addr: "::1", ifindex: 5 }, k.IPPROTO_IPV6, k.IPV6_PKTINFO, struct("15xBI", 1, 5)],
  [{ type: "IP_TTL", ttl: 61 }, k.IPPROTO_IP, k.IP_TTL, struct("i", 61)],
  [{ type: "IPV6_HOPLIMIT", hoplimit: 62 }, k.IPPROTO_IPV6, k.IPV6_HOPLIMIT, struct("i", 62)],
  [{ type: "IP_TOS", tos: 0xb9, dscp: 46, ecn: 1 }, k.IPPROTO_IP, k.IP_TOS, struct("B", 0xb9)],
  [{ type: "IPV6_TCLASS", tclass: 3, dscp: 0, ecn: 3 }, k.IPPROTO_IPV6, k.IPV6_TCLASS, struct("i", 3)],
  [{ type: "IPV6_FLOWINFO", flowinfo: 0x0fff_0001 }, k.IPPROTO_IPV6, k.IPV6_FLOWINFO, struct("!I", 0x0fff_0001)],
  [{ type: "IP_RECVFRAGSIZE", fragsize: 1500 }, k.IPPROTO_IP, k.IP_RECVFRAGSIZE, struct("i", 1500)],
  [{ type: "UDP_GRO", gso_size: 1472 }, k.SOL_UDP, k.UDP_GRO, struct("i", 1472)],
  [{ type: "TCP_INQ", inq: 12 }, k.SOL_TCP, k.TCP_INQ, struct("i", 12)],
  [{ level: 99, type: 98, data: new Uint8Array([1, 2, 3]) }, 99, 98, () => Buffer.from([1, 2, 3])],
];

for (const [message, level, type, data] of RECEIVED) {
  test(`${typeof message.type === "string" ? message.type : "a raw message"} decodes: ${level}, ${type}`, () => {
    const result = decoded(level, type, data());
    assert.deepEqual(result, message);
  });
}

test("IP_RECVERR decodes with its offender and without", () => {
  const error = ERROR();
  const message = decoded(k.IPPROTO_IP, k.IP_RECVERR, Buffer.concat([error, OFFENDER()]));
  assert.equal(message.type, "IP_RECVERR");
  if (message.type !== "IP_RECVERR") return;
  const { offender: who, ...fields } = message;
  assert.equal(String(who), "10.0.0.9:0");
  assert.deepEqual(fields, {
    type: "IP_RECVERR",
    ee_errno: 111,
    code: "ECONNREFUSED",
    ee_origin: k.SO_EE_ORIGIN_ICMP,
    ee_type: 3,
    ee_code: 1,
    ee_info: 7,
    ee_data: 8,
  });
  for (const nobody of [Buffer.alloc(0), Buffer.alloc(16)]) {
    const plain = decoded(k.IPPROTO_IPV6, k.IPV6_RECVERR, Buffer.concat([error, nobody]));
    assert.ok(plain.type === "IPV6_RECVERR" && plain.offender === undefined);
  }
  const none = decoded(k.IPPROTO_IP, k.IP_RECVERR, Buffer.alloc(16));
  assert.ok(none.type === "IP_RECVERR" && none.code === undefined);
});

test("IP_ORIGDSTADDR and IPV6_ORIGDSTADDR decode to an address", () => {
  const inet = decoded(k.IPPROTO_IP, k.IP_RECVORIGDSTADDR, Buffer.concat([INET(), INET_REST()]));
  assert.ok(inet.type === "IP_ORIGDSTADDR");
  assert.equal(String(inet.address), "1.2.3.4:80");
  const inet6 = decoded(k.IPPROTO_IPV6, k.IPV6_ORIGDSTADDR, Buffer.concat([INET6(), INET6_REST()]));
  assert.ok(inet6.type === "IPV6_ORIGDSTADDR");
  assert.equal(String(inet6.address), "[::1]:80");
});

test("SCM_RIGHTS and SCM_PIDFD decode to descriptors, without those that were lost", () => {
  const rights = decoded(k.SOL_SOCKET, k.SCM_RIGHTS, RIGHTS());
  assert.deepEqual(descriptorsOf(rights)?.fds, [1000, 1001, 1002]);
  const cut = decoded(k.SOL_SOCKET, k.SCM_RIGHTS, Buffer.concat([ONE(), Buffer.alloc(3)]));
  assert.deepEqual(descriptorsOf(cut)?.fds, [1000]);
  const pidfd = decoded(k.SOL_SOCKET, k.SCM_PIDFD, ONE());
  assert.ok(pidfd.type === "SCM_PIDFD");
  assert.deepEqual(pidfd.pidfd.fds, [1000]);
  assert.equal(descriptorsOf(decoded(k.SOL_SOCKET, k.SCM_PIDFD, FAILED()))?.length, 0);
});

test("data that are too short for their kind come as bytes", () => {
  for (const [message, level, type, data] of RECEIVED) {
    if (typeof message.type === "number") continue;
    const whole = data();
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      assert.deepEqual(decoded(level, type, cut), { level, type, data: new Uint8Array(cut) });
    }
  }
  for (const type of [k.SCM_RIGHTS, k.SCM_PIDFD]) {
    for (let length = 1; length < 4; length++) {
      const cut = ONE().subarray(0, length);
      assert.deepEqual(decoded(k.SOL_SOCKET, type, cut), { level: k.SOL_SOCKET, type, data: new Uint8Array(cut) });
    }
  }
  const inet = Buffer.concat([INET(), INET_REST()]);
  const inet6 = Buffer.concat([INET6(), INET6_REST()]);
  const addressed: readonly (readonly [level: number, type: number, whole: Buffer])[] = [
    [k.IPPROTO_IP, k.IP_RECVORIGDSTADDR, inet],
    [k.IPPROTO_IPV6, k.IPV6_ORIGDSTADDR, inet6],
    [k.IPPROTO_IP, k.IP_RECVERR, Buffer.concat([ERROR(), inet])],
    [k.IPPROTO_IPV6, k.IPV6_RECVERR, Buffer.concat([ERROR(), inet6])],
  ];
  for (const [level, type, whole] of addressed) {
    assert.equal(typeof decoded(level, type, whole, true).type, "string");
    for (let length = 0; length < whole.length; length++) {
      const cut = whole.subarray(0, length);
      assert.deepEqual(decoded(level, type, cut, true), { level, type, data: new Uint8Array(cut) });
    }
  }
});

test("decoded data are a copy", () => {
  const bytes = new Uint8Array(HEADER_SIZE + 4);
  writeHeader(bytes, 0, 4, 90, 91);
  const [message] = decodeControl(bytes, bytes.length, recorder().calls);
  bytes.fill(0xff);
  assert.deepEqual(message, { level: 90, type: 91, data: new Uint8Array(4) });
});

test("encodeControl() puts several messages one after the other, each at its place", () => {
  const { bytes } = encodeControl([
    { type: "UDP_SEGMENT", gso_size: 100 },
    { level: 1, type: 99, data: new Uint8Array([1]) },
    { type: "IP_TTL", ttl: 5 },
  ]);
  const found: number[][] = [];
  forEachMessage(bytes, bytes.length, (level, type, data) => found.push([level, type, data.length]));
  assert.deepEqual(found, [
    [k.SOL_UDP, k.UDP_SEGMENT, 2],
    [1, 99, 1],
    [k.IPPROTO_IP, k.IP_TTL, 4],
  ]);
  assert.equal(encodeControl([]).bytes.length, 0);
});

test("renew() puts in the number that a socket has now, at its own place, and refuses a closed one", () => {
  let fd = 50;
  const control = encodeControl([
    { type: "IP_TTL", ttl: 5 },
    { type: "SCM_RIGHTS", fds: [40, { fileno: () => fd }, 41] },
  ]);
  assert.ok(control.hasDescriptors);
  const fds = (): readonly number[] | undefined =>
    descriptorsOf(decodeControl(control.bytes, control.bytes.length, recorder().calls)[1]!)?.fds;
  assert.ok(control.refreshDescriptors());
  assert.deepEqual(fds(), [40, 50, 41]);
  fd = 51;
  assert.ok(control.refreshDescriptors());
  assert.deepEqual(fds(), [40, 51, 41]);
  fd = -1;
  assert.equal(control.refreshDescriptors(), false);
});

test("encodeControl() says which message and which field is wrong", () => {
  const wrong: readonly [unknown, RegExp, string][] = [
    ["IP_TTL", /control is "IP_TTL", required an array/, "TypeError"],
    [[{ type: "IP_TTL", ttl: 5 }, 7], /control\[1\] is 7, required a control message/, "TypeError"],
    [[null], /control\[0\] is null/, "TypeError"],
    [[{ type: "IP_TTL", ttl: 256 }], /control\[0\]\.ttl is 256, required a whole number from 0 to 255/, "RangeError"],
    [[{ type: "IP_TTL" }], /control\[0\]\.ttl is undefined/, "TypeError"],
    [
      [{ type: "SO_TIMESTAMP", tv_sec: 1 }],
      /"SO_TIMESTAMP", required a kind that can be sent; this one is only received/,
      "TypeError",
    ],
    [[{ type: "IP_TTTL" }], /"IP_TTTL", required a known kind/, "TypeError"],
    [[{}], /control\[0\]\.type is undefined, required a known kind/, "TypeError"],
    [[{ level: 1, type: 2 }], /control\[0\]\.data is undefined, required a Uint8Array/, "TypeError"],
    [[{ level: 2 ** 40, type: 2, data: new Uint8Array(0) }], /control\[0\]\.level is 1099511627776/, "RangeError"],
    [[{ type: "SCM_RIGHTS", fds: 3 }], /control\[0\]\.fds is 3, required an array/, "TypeError"],
    [[{ type: "SCM_RIGHTS", fds: [-1] }], /control\[0\]\.fds\[0\] is -1/, "RangeError"],
    [
      [{ type: "SCM_RIGHTS", fds: ["3"] }],
      /control\[0\]\.fds\[0\] is "3", required a Socket or the number/,
      "TypeError",
    ],
    [
      [{ type: "IP_PKTINFO", spec_dst: "localhost" }],
      /control\[0\]\.spec_dst is "localhost", required a numeric IPv4 address/,
      "TypeError",
    ],
    [
      [{ type: "IPV6_PKTINFO", addr: "fe80::1%lo" }],
      /control\[0\]\.addr is "fe80::1%lo", required a numeric IPv6 address/,
      "TypeError",
    ],
    [[{ type: "SCM_CREDENTIALS", pid: -2 }], /control\[0\]\.pid is -2/, "RangeError"],
    [[{ type: "SCM_TXTIME", txtime: 5 }], /control\[0\]\.txtime is 5, required a bigint/, "TypeError"],
    [[{ type: "SCM_TXTIME", txtime: -5n }], /control\[0\]\.txtime is -5/, "RangeError"],
    [[{ type: "IPV6_DONTFRAG", dontfrag: 1 }], /control\[0\]\.dontfrag is 1, required true or false/, "TypeError"],
    [[{ level: 1, type: 2, data: new Uint8Array(2 ** 21) }], /required/, "RangeError"],
  ];
  for (const [control, message, name] of wrong) {
    assert.throws(() => encodeControl(control as ControlToSend[]), { name, message });
  }
});

test("received messages can be sent back", () => {
  const pktinfo = decoded(k.IPPROTO_IP, k.IP_PKTINFO, PKTINFO());
  assert.ok(pktinfo.type === "IP_PKTINFO");
  assert.deepEqual(encoded(pktinfo).data, PKTINFO());
  const tos = decoded(k.IPPROTO_IP, k.IP_TOS, Buffer.from([0xb9]));
  assert.ok(tos.type === "IP_TOS");
  assert.deepEqual(encoded(tos).data, TOS());
});
