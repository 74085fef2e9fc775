// Wrong control data of every kind: nothing throws, and bytes outside the data have no influence.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ControlMessage, ControlToSend } from "berkeley";
import * as k from "#berkeley/sys/constants.js";
import { decodeControl, descriptorsOf, encodeControl } from "#berkeley/cmsg/index.js";
import { align, HEADER_SIZE, writeHeader } from "#berkeley/cmsg/layout.js";
import { checkLeaks } from "../support/leaks.js";
import { type Random, testSeeds } from "../support/random.js";
import { recorder } from "./support.js";

checkLeaks();

const ROUNDS = 20_000;
const MOST = 300;

/** Level and type of every kind that is decoded. */
const KINDS: readonly (readonly [number, number])[] = [
  [k.SOL_SOCKET, k.SCM_RIGHTS],
  [k.SOL_SOCKET, k.SCM_PIDFD],
  [k.SOL_SOCKET, k.SCM_CREDENTIALS],
  [k.SOL_SOCKET, k.SO_TIMESTAMP],
  [k.SOL_SOCKET, k.SO_TIMESTAMPNS],
  [k.SOL_SOCKET, k.SCM_TIMESTAMPING],
  [k.SOL_SOCKET, k.SO_RXQ_OVFL],
  [k.SOL_SOCKET, k.SO_MARK],
  [k.IPPROTO_IP, k.IP_PKTINFO],
  [k.IPPROTO_IP, k.IP_TOS],
  [k.IPPROTO_IP, k.IP_TTL],
  [k.IPPROTO_IP, k.IP_RECVERR],
  [k.IPPROTO_IP, k.IP_RECVORIGDSTADDR],
  [k.IPPROTO_IPV6, k.IPV6_PKTINFO],
  [k.IPPROTO_IPV6, k.IPV6_HOPLIMIT],
  [k.IPPROTO_IPV6, k.IPV6_TCLASS],
  [k.IPPROTO_IPV6, k.IPV6_FLOWINFO],
  [k.IPPROTO_IPV6, k.IPV6_RECVERR],
  [k.IPPROTO_IPV6, k.IPV6_ORIGDSTADDR],
  [k.SOL_UDP, k.UDP_GRO],
  [k.SOL_TCP, k.TCP_INQ],
];

/** What can be compared: descriptors as their numbers. */
function plain(messages: readonly ControlMessage[]): unknown[] {
  return messages.map((message) => {
    const fds = descriptorsOf(message);
    return fds === undefined ? { ...message } : { type: message.type, numbers: fds.fds };
  });
}

/** Decodes the bytes amid others, so that a read past either end would show. */
function decodeAmid(bytes: Uint8Array, around: number): unknown[] {
  const memory = new Uint8Array(bytes.length + 128).fill(around);
  memory.set(bytes, 64);
  return plain(decodeControl(memory.subarray(64, 64 + bytes.length), bytes.length, recorder().calls));
}

function check(bytes: Uint8Array, note: string): void {
  const one = decodeAmid(bytes, 0x00);
  assert.deepEqual(decodeAmid(bytes, 0xff), one, note);
  assert.deepEqual(decodeAmid(bytes, 0x01), one, note);
  // More is not read than there is, though more is claimed.
  assert.deepEqual(plain(decodeControl(bytes, bytes.length + 1000, recorder().calls)), one, note);
}

function noise(length: number, below: Random): Uint8Array {
  return Uint8Array.from({ length }, () => below(256));
}

testSeeds("decodeControl() takes bytes at random", [1], (below) => {
  for (let round = 0; round < ROUNDS; round++) check(noise(below(MOST), below), `round ${round}`);
});

testSeeds(
  "decodeControl() takes messages of known kinds with lengths and contents at random, cut anywhere",
  [2],
  (below) => {
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = noise(MOST, below);
      let at = 0;
      while (at + HEADER_SIZE <= bytes.length) {
        const [level, type] = KINDS[below(KINDS.length)]!;
        const length = below(60);
        // Now and then a length that lies: too small, too large, or past every end.
        const lie = [0, 0, 0, 0, 0, 0, -HEADER_SIZE, -1, 500, 2 ** 31, 2 ** 40][below(11)]!;
        writeHeader(bytes, at, length + lie, level, type);
        at += align(HEADER_SIZE + length);
      }
      check(bytes.subarray(0, below(bytes.length + 1)), `round ${round}`);
    }
  },
);

test("decodeControl() takes every prefix of a message in a message", () => {
  const inner = encodeControl([
    { type: "SCM_RIGHTS", fds: [1, 2, 3] },
    { type: "IP_TTL", ttl: 1 },
  ]).bytes;
  const outer = encodeControl([
    { level: 1, type: 99, data: inner },
    { type: "SCM_RIGHTS", fds: [9] },
  ]).bytes;
  for (let length = 0; length <= outer.length; length++) check(outer.subarray(0, length), `${length} bytes`);
  // What lies inside the data of another message is no message.
  assert.deepEqual(decodeAmid(outer, 0), [
    { level: 1, type: 99, data: new Uint8Array(inner) },
    { type: "SCM_RIGHTS", numbers: [9] },
  ]);
});

testSeeds("decodeControl() takes every flip of a byte of what encodeControl() made", [3], (below) => {
  const { bytes } = encodeControl([
    { type: "IP_PKTINFO", ifindex: 1, spec_dst: "127.0.0.1" },
    { type: "IPV6_PKTINFO", addr: "::1" },
    { type: "SCM_CREDENTIALS", pid: 1, uid: 2, gid: 3 },
  ]);
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] = below(256);
    check(changed, `byte ${at} is ${changed[at]}`);
  }
});

function anything(below: Random): ControlToSend {
  const octet = (): string => String(below(256));
  const group = (): string => (below(0xffff) + 1).toString(16);
  const kinds: readonly (() => ControlToSend)[] = [
    () => ({ type: "SCM_RIGHTS", fds: Array.from({ length: below(20) }, () => below(0x7fff_ffff)) }),
    () => ({ type: "SCM_CREDENTIALS", pid: below(0x7fff_ffff), uid: below(0xffff_ffff), gid: below(0xffff_ffff) }),
    () => ({ type: "SO_MARK", mark: below(0xffff_ffff) }),
    () => ({
      type: "IP_PKTINFO",
      ifindex: below(0x7fff_ffff),
      spec_dst: [octet(), octet(), octet(), octet()].join("."),
      addr: [octet(), octet(), octet(), octet()].join("."),
    }),
    () => ({ type: "IPV6_PKTINFO", addr: Array.from({ length: 8 }, group).join(":"), ifindex: below(0x7fff_ffff) }),
    () => ({ type: "IP_TTL", ttl: below(256) }),
    () => ({ type: "IPV6_HOPLIMIT", hoplimit: below(257) - 1 }),
    () => ({ type: "IPV6_FLOWINFO", flowinfo: below(0x1000_0000) }),
    () => ({ level: 1000 + below(1000), type: below(0x7fff_ffff), data: noise(below(40), below) }),
  ];
  return kinds[below(kinds.length)]!();
}

testSeeds("decodeControl() returns the messages that encodeControl() encodes", [4], (below) => {
  for (let round = 0; round < 5_000; round++) {
    const sent = Array.from({ length: below(6) }, () => anything(below));
    const { bytes } = encodeControl(sent);
    const back = plain(decodeControl(bytes, bytes.length, recorder().calls));
    const expected = sent.map((message) =>
      message.type === "SCM_RIGHTS" ? { type: message.type, numbers: message.fds } : message,
    );
    assert.deepEqual(back, expected, `round ${round}`);
  }
});
