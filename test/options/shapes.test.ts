// The bytes of options, and the values that are refused before any call.
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { describe, test } from "node:test";
import {
  BPF_K,
  BPF_RET,
  ICMP6_FILTER,
  ICMP_FILTER,
  IP_ADD_MEMBERSHIP,
  IP_ADD_SOURCE_MEMBERSHIP,
  IP_LOCAL_PORT_RANGE,
  IP_MSFILTER,
  IP_MULTICAST_IF,
  IP_OPTIONS,
  IP_TTL,
  IP_UNICAST_IF,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_ADD_MEMBERSHIP,
  IPV6_FLOWLABEL_MGR,
  IPV6_MULTICAST_IF,
  IPV6_PATHMTU,
  MCAST_BLOCK_SOURCE,
  MCAST_EXCLUDE,
  MCAST_INCLUDE,
  MCAST_JOIN_GROUP,
  MCAST_MSFILTER,
  NETLINK_LIST_MEMBERSHIPS,
  PACKET_FANOUT,
  SO_ATTACH_FILTER,
  SO_BINDTODEVICE,
  SO_COOKIE,
  SO_DETACH_FILTER,
  SO_LINGER,
  SO_MARK,
  SO_MAX_PACING_RATE,
  SO_MEMINFO,
  SO_PEERCRED,
  SO_RCVTIMEO,
  SO_TIMESTAMPING,
  SO_TYPE,
  SO_SNDBUFFORCE,
  Socket,
  SocketError,
  type SocketOption,
  TCP_CC_INFO,
  TCP_CONGESTION,
  TCP_FASTOPEN_KEY,
  TCP_NODELAY,
  TCP_NOTSENT_LOWAT,
  TCP_REPAIR_OPTIONS,
  TCP_REPAIR_WINDOW,
  UDP_SEGMENT,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const skip = endianness() === "LE" ? false : "written for little-endian machines";
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytes = (text: string): Uint8Array => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("the bytes of a value", { skip }, () => {
  const cases: [option: SocketOption<unknown, never>, value: unknown, expected: string][] = [
    [TCP_NODELAY, true, "01000000"],
    [TCP_NODELAY, false, "00000000"],
    [IP_TTL, -1, "ffffffff"],
    [SO_MARK, 0xffff_fffe, "feffffff"],
    [SO_LINGER, null, "0000000000000000"],
    [SO_LINGER, 0, "0100000000000000"],
    [SO_LINGER, 30, "010000001e000000"],
    [SO_RCVTIMEO, 0, "00000000000000000000000000000000"],
    [SO_RCVTIMEO, 1500.25, "01000000000000001aa2070000000000"],
    // Less than a microsecond must not become "no timeout".
    [SO_RCVTIMEO, 0.0001, "00000000000000000100000000000000"],
    [SO_MAX_PACING_RATE, Infinity, "ffffffffffffffff"],
    [SO_MAX_PACING_RATE, 5_000_000_000, "00f2052a01000000"],
    [SO_BINDTODEVICE, "lo", "6c6f00"],
    [SO_BINDTODEVICE, "", "00"],
    [TCP_CONGESTION, "fifteen-letters", hex(Buffer.from("fifteen-letters\0"))],
    [SO_DETACH_FILTER, true, "01000000"],
    [SO_TIMESTAMPING, 16, "10000000"],
    [SO_TIMESTAMPING, { flags: 16 }, "10000000"],
    [SO_TIMESTAMPING, { flags: 16, bindPhc: 2 }, "1000000002000000"],
    [SO_ATTACH_FILTER, [{ code: BPF_RET | BPF_K, k: 0xffff }], "06000000ffff0000"],
    [SO_ATTACH_FILTER, [{ code: 0x15, jt: 1, jf: 2, k: -4096 }], "1500010200f0ffff"],
    [IP_MULTICAST_IF, "127.0.0.1", "7f000001"],
    [IP_MULTICAST_IF, 3, "000000000000000003000000"],
    [IP_MULTICAST_IF, { interface: "lo", address: "127.0.0.1" }, "000000007f00000101000000"],
    [IP_ADD_MEMBERSHIP, { group: "239.1.2.3" }, "ef0102030000000000000000"],
    [IP_ADD_MEMBERSHIP, { group: "239.1.2.3", interface: 7 }, "ef0102030000000007000000"],
    [IP_ADD_MEMBERSHIP, { group: "239.1.2.3", address: "127.0.0.1" }, "ef0102037f00000100000000"],
    // Group, interface, source: not the order in which other systems have them.
    [
      IP_ADD_SOURCE_MEMBERSHIP,
      { group: "239.1.2.3", source: "10.0.0.9", address: "127.0.0.1" },
      "ef0102037f0000010a000009",
    ],
    [
      IP_MSFILTER,
      { group: "239.1.2.3", mode: MCAST_INCLUDE, sources: ["10.0.0.9", "10.0.0.8"] },
      "ef0102030000000001000000020000000a0000090a000008",
    ],
    [IP_UNICAST_IF, 1, "00000001"],
    [IP_LOCAL_PORT_RANGE, [40_000, 65_535], "409cffff"],
    [IPV6_ADD_MEMBERSHIP, { group: "ff15::1", interface: 2 }, "ff15000000000000000000000000000102000000"],
    [IPV6_MULTICAST_IF, "lo", "01000000"],
    [
      IPV6_FLOWLABEL_MGR,
      { action: 1, label: 0x1_2345, destination: "::1", share: 2, flags: 3, expires: 4, linger: 5 },
      "00000000000000000000000000000001000123450102030004000500 00000000",
    ],
    [MCAST_JOIN_GROUP, { group: "239.1.2.3", interface: 1 }, `0100000000000000 02000000ef010203${"00".repeat(120)}`],
    [
      MCAST_BLOCK_SOURCE,
      { group: "ff15::1", interface: 1, source: "::1" },
      `0100000000000000 0a00000000000000 ff15${"00".repeat(13)}01 ${"00".repeat(104)} 0a00000000000000 ${"00".repeat(15)}01 ${"00".repeat(104)}`,
    ],
    [PACKET_FANOUT, { group: 7, mode: 1, flags: 0x1000 }, "07000110"],
    [ICMP_FILTER, { block: [0, 31] }, "01000080"],
    [ICMP_FILTER, { pass: [0] }, "feffffff"],
    [ICMP6_FILTER, { pass: [129] }, `${"ff".repeat(16)}fdffffff${"ff".repeat(12)}`],
    [TCP_REPAIR_OPTIONS, [{ code: 2, value: 1400 }, { code: 4 }], "02000000780500000400000000000000"],
  ];
  for (const [index, [option, value, expected]] of cases.entries()) {
    test(`${option.name} (${index})`, () => {
      assert.equal(hex(option.encode(value as never)), expected.replaceAll(" ", ""));
    });
  }
});

describe("a value from bytes", { skip }, () => {
  test("SO_PEERCRED", () => {
    assert.deepEqual(SO_PEERCRED.decode(bytes("d2040000 e8030000 ffffffff")), {
      pid: 1234,
      uid: 1000,
      gid: 4_294_967_295,
    });
  });
  test("SO_MEMINFO of an older kernel, with fewer counters", () => {
    const value = SO_MEMINFO.decode(bytes("01000000 02000000 03000000 04000000 05000000 06000000 07000000 08000000"));
    assert.deepEqual(value, {
      rmemAlloc: 1,
      rcvbuf: 2,
      wmemAlloc: 3,
      sndbuf: 4,
      fwdAlloc: 5,
      wmemQueued: 6,
      optmem: 7,
      backlog: 8,
      drops: 0,
    });
  });
  test("SO_COOKIE above 2^53", () => {
    assert.equal(SO_COOKIE.decode(bytes("ffffffffffffff7f")), 0x7fff_ffff_ffff_ffffn);
  });
  test("SO_MAX_PACING_RATE of 32 and of 64 bits", () => {
    assert.equal(SO_MAX_PACING_RATE.decode(bytes("ffffffff")), Infinity);
    assert.equal(SO_MAX_PACING_RATE.decode(bytes("00f2052a01000000")), 5_000_000_000);
    assert.equal(SO_MAX_PACING_RATE.decode(bytes("ffffffffffffffff")), Infinity);
  });
  test("SO_RCVTIMEO", () => {
    assert.equal(SO_RCVTIMEO.decode(bytes("0100000000000000 1aa2070000000000")), 1500.25);
  });
  test("TCP_NOTSENT_LOWAT, an unsigned number", () => {
    assert.equal(TCP_NOTSENT_LOWAT.decode(bytes("ffffffff")), 4_294_967_295);
  });
  test("TCP_CC_INFO of each length", () => {
    assert.equal(TCP_CC_INFO.decode(new Uint8Array(0)).vegas, null);
    const sixteen = TCP_CC_INFO.decode(bytes("01000000 02000000 03000000 04000000"));
    assert.deepEqual(sixteen.vegas, { tcpv_enabled: 1, tcpv_rttcnt: 2, tcpv_rtt: 3, tcpv_minrtt: 4 });
    assert.deepEqual(sixteen.dctcp, {
      dctcp_enabled: 1,
      dctcp_ce_state: 0,
      dctcp_alpha: 2,
      dctcp_ab_ecn: 3,
      dctcp_ab_tot: 4,
    });
    assert.equal(sixteen.bbr, null);
    const twenty = TCP_CC_INFO.decode(bytes("00000000 01000000 2a000000 00010000 00020000"));
    assert.deepEqual(twenty.bbr, { bbr_bw: 0x1_0000_0000, bbr_min_rtt: 42, bbr_pacing_gain: 256, bbr_cwnd_gain: 512 });
  });
  test("TCP_REPAIR_WINDOW, there and back", () => {
    const value = { snd_wl1: 1, snd_wnd: 2, max_window: 3, rcv_wnd: 4, rcv_wup: 0xffff_ffff };
    assert.deepEqual(TCP_REPAIR_WINDOW.decode(TCP_REPAIR_WINDOW.encode(value)), value);
  });
  test("NETLINK_LIST_MEMBERSHIPS counts groups from 1", () => {
    assert.deepEqual(NETLINK_LIST_MEMBERSHIPS.decode(bytes("01000080 01000000")), [1, 32, 33]);
  });
  test("IPV6_PATHMTU", () => {
    assert.deepEqual(IPV6_PATHMTU.decode(bytes(`${"00".repeat(28)}dc050000`)), { address: "::", mtu: 1500 });
  });
  test("ICMP6_FILTER, there and back", () => {
    assert.deepEqual(ICMP6_FILTER.decode(ICMP6_FILTER.encode({ block: [1, 128, 255] })), { block: [1, 128, 255] });
  });
  test("IP_MSFILTER never reads beyond the bytes, even if the count is too large", () => {
    const option = IP_MSFILTER.of("239.1.2.3");
    const answer = bytes("ef010203 00000000 00000000 ffffffff 0a000001");
    assert.deepEqual(option.decode(answer), {
      group: "239.1.2.3",
      address: "0.0.0.0",
      mode: MCAST_EXCLUDE,
      sources: ["10.0.0.1"],
    });
  });
});

describe("the level of an MCAST_ option follows from its group", () => {
  test("MCAST_JOIN_GROUP", () => {
    assert.equal(MCAST_JOIN_GROUP.levelOf!(MCAST_JOIN_GROUP.encode({ group: "239.1.2.3" })), IPPROTO_IP);
    assert.equal(MCAST_JOIN_GROUP.levelOf!(MCAST_JOIN_GROUP.encode({ group: "ff15::1" })), IPPROTO_IPV6);
  });
  test("MCAST_MSFILTER.of", () => {
    assert.equal(MCAST_MSFILTER.of("239.1.2.3").level, IPPROTO_IP);
    assert.equal(MCAST_MSFILTER.of("ff15::1", "lo").level, IPPROTO_IPV6);
  });
});

describe("a value that does not fit is refused and quoted", () => {
  const cases: [
    option: SocketOption<unknown, never>,
    value: unknown,
    error: typeof TypeError | typeof RangeError,
    message: RegExp,
  ][] = [
    [TCP_NODELAY, 1, TypeError, /^Cannot set TCP_NODELAY: value is 1, required true or false$/],
    [IP_TTL, "64", TypeError, /^Cannot set IP_TTL: value is "64", required a whole number from -1 to 255$/],
    [IP_TTL, 256, RangeError, /^Cannot set IP_TTL: value is 256, required a whole number from -1 to 255$/],
    [SO_MARK, -1, RangeError, /: value is -1, required a whole number from 0 to 4294967295/],
    [SO_MARK, 1.5, RangeError, /: value is 1\.5, required a whole number/],
    [SO_MARK, NaN, RangeError, /value is NaN/],
    [SO_LINGER, undefined, TypeError, /: value is undefined, required seconds, or null/],
    [SO_LINGER, -1, RangeError, /value is -1/],
    [SO_RCVTIMEO, -1, RangeError, /SO_RCVTIMEO: value is -1, required milliseconds from 0 \(none\)/],
    [SO_RCVTIMEO, NaN, RangeError, /value is NaN/],
    [SO_RCVTIMEO, Infinity, RangeError, /value is Infinity/],
    [SO_RCVTIMEO, null, TypeError, /: value is null, required milliseconds from 0 \(none\)/],
    [SO_MAX_PACING_RATE, 2 ** 60, RangeError, /SO_MAX_PACING_RATE/],
    [SO_BINDTODEVICE, "a-name-of-16-let", RangeError, /value has 16 bytes, required at most 15/],
    [SO_BINDTODEVICE, "lo\0x", TypeError, /required a string without NUL/],
    [SO_BINDTODEVICE, 1, TypeError, /: value is 1, required a string/],
    [SO_DETACH_FILTER, false, TypeError, /: value is false, required true/],
    [SO_TIMESTAMPING, { flags: 1, clock: 2 }, TypeError, /member "clock" is unknown, required one of flags, bindPhc/],
    [SO_TIMESTAMPING, "1", TypeError, /: value is "1", required an object/],
    [SO_ATTACH_FILTER, [], RangeError, /value has 0 instructions, required 1 to 4096/],
    [SO_ATTACH_FILTER, Array.from({ length: 4097 }, () => ({ code: 6 })), RangeError, /has 4097 instructions/],
    [SO_ATTACH_FILTER, [{ code: 6 }, { code: 65_536 }], RangeError, /instruction 1: code is 65536/],
    // oxlint-disable-next-line no-sparse-arrays -- a hole is the value in question
    [SO_ATTACH_FILTER, [, { code: 6 }], TypeError, /instruction 0: value is undefined/],
    [SO_ATTACH_FILTER, new Uint8Array(8), TypeError, /required an array of instructions/],
    [IP_OPTIONS, new Uint8Array(41), RangeError, /required 0 to 40 bytes/],
    [IP_OPTIONS, [1], TypeError, /: value is \[1\], required a Uint8Array/],
    [TCP_FASTOPEN_KEY, new Uint8Array(15), RangeError, /required 16 to 32 bytes/],
    [IP_MULTICAST_IF, "", TypeError, /: value is "", required the index, the name or a numeric address/],
    [IP_MULTICAST_IF, "127.1", TypeError, /value is "127\.1"/],
    [IP_MULTICAST_IF, null, TypeError, /value is null/],
    [IP_MULTICAST_IF, undefined, TypeError, /value is undefined, required an interface/],
    [
      IP_ADD_MEMBERSHIP,
      "239.1.2.3",
      TypeError,
      /: value is "239\.1\.2\.3", required an object of group, interface, address/,
    ],
    [IP_ADD_MEMBERSHIP, {}, TypeError, /group is undefined, required a numeric IPv4 address/],
    [IP_ADD_MEMBERSHIP, { group: "ff15::1" }, TypeError, /group is "ff15::1", required a numeric IPv4 address/],
    [IP_ADD_MEMBERSHIP, { group: "239.1.2.3", interface: -1 }, RangeError, /interface is -1, required a whole number/],
    [
      IP_ADD_MEMBERSHIP,
      { group: "239.1.2.3", interface: "" },
      TypeError,
      /interface is "", required the index, the name or a numeric address of an interface/,
    ],
    [
      IP_ADD_MEMBERSHIP,
      { group: "239.1.2.3", interface: "lo\0" },
      TypeError,
      /required the index, the name or a numeric address of an interface/,
    ],
    [
      IP_ADD_MEMBERSHIP,
      { group: "239.1.2.3", interfce: "lo" },
      TypeError,
      /member "interfce" is unknown, required one of group, interface, address/,
    ],
    [IP_MSFILTER, { group: "239.1.2.3", mode: 2, sources: [] }, RangeError, /mode is 2/],
    [IP_MSFILTER, { group: "239.1.2.3", mode: 0, sources: ["x"] }, TypeError, /sources\[0\] is "x"/],
    [
      IP_MSFILTER,
      { group: "239.1.2.3", mode: 0, sources: "10.0.0.1" },
      TypeError,
      /sources is "10\.0\.0\.1", required an array/,
    ],
    [IP_LOCAL_PORT_RANGE, [1], TypeError, /: value is \[1\], required \[lowest, highest\]/],
    [IP_LOCAL_PORT_RANGE, [1, 65_536], RangeError, /value is 65536/],
    [
      IPV6_ADD_MEMBERSHIP,
      { group: "ff02::1%lo" },
      TypeError,
      /group is "ff02::1%lo", required an address without a zone/,
    ],
    [IPV6_ADD_MEMBERSHIP, { group: "239.1.2.3" }, TypeError, /required a numeric IPv6 address/],
    [IPV6_FLOWLABEL_MGR, { action: 0, label: 0 }, RangeError, /label is 0, required a whole number from 1 to 1048575/],
    [MCAST_JOIN_GROUP, { group: "all" }, TypeError, /group is "all", required a numeric IPv4 or IPv6 address/],
    [
      MCAST_BLOCK_SOURCE,
      { group: "ff15::1", source: "10.0.0.1" },
      TypeError,
      /source is "10\.0\.0\.1", required an address of the same family as group, which is "ff15::1"/,
    ],
    [PACKET_FANOUT, { group: 65_536, mode: 0 }, RangeError, /group is 65536/],
    [ICMP_FILTER, { pass: [32] }, RangeError, /pass\[0\] is 32, required a whole number from 0 to 31/],
    [ICMP_FILTER, { pass: [], block: [] }, TypeError, /required either pass or block/],
    [ICMP_FILTER, {}, TypeError, /required either pass or block/],
    [UDP_SEGMENT, 65_536, RangeError, /value is 65536/],
  ];
  for (const [index, [option, value, error, message]] of cases.entries()) {
    test(`${option.name} (${index})`, () => {
      assert.throws(
        () => option.encode(value as never),
        (thrown: Error) => {
          assert.equal(thrown.constructor, error, String(thrown));
          assert.match(thrown.message, message);
          assert.doesNotMatch(thrown.message, /\.$/);
          return true;
        },
      );
    });
  }
});

describe("setsockopt() and getsockopt() with typed options", () => {
  test("setsockopt() leaves the socket as it was when the value is refused", () => {
    using socket = new Socket();
    socket.setsockopt(TCP_NODELAY, true);
    assert.throws(() => socket.setsockopt(TCP_NODELAY, 0 as never), TypeError);
    assert.equal(socket.getsockopt(TCP_NODELAY), true);
  });

  test("setsockopt() refuses an option that can only be read", () => {
    using socket = new Socket();
    assert.throws(() => socket.setsockopt(SO_TYPE, 1 as never), {
      name: "TypeError",
      message: /^Cannot set SO_TYPE: the kernel only lets it be read$/,
    });
  });

  test("getsockopt() gives the kernel's error for an option that can only be set", () => {
    using socket = new Socket();
    assert.throws(() => socket.getsockopt(SO_SNDBUFFORCE), { code: "ENOPROTOOPT" });
  });

  test("setsockopt() gives ENODEV for an interface that does not exist, and names it", () => {
    using socket = new Socket();
    assert.throws(
      () => socket.setsockopt(IPV6_MULTICAST_IF, "no-such-if0"),
      (error: unknown) =>
        error instanceof SocketError && error.code === "ENODEV" && error.message.includes("no-such-if0"),
    );
  });

  test("a typed option stands for its number in the raw form", () => {
    using socket = new Socket();
    socket.setsockopt(TCP_NODELAY.level, TCP_NODELAY, 1);
    assert.equal(socket.getsockopt(TCP_NODELAY.level, TCP_NODELAY), 1);
  });
});
