// Packet filters that are attached before the first packet: attachFilter(), and the option `filter`.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_PACKET,
  bindUdp,
  BPF_ABS,
  BPF_B,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  type BpfInstruction,
  connectUdp,
  IPPROTO_ICMP,
  SO_ATTACH_FILTER,
  SO_LOCK_FILTER,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
  SocketError,
} from "berkeley";
import * as blocking from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const patience = { timeout: 10_000 };
const ETH_P_ALL = 3;
const IP_ON_NETWORK = 0x0008;
const root = process.getuid?.() === 0;
const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SocketError, String(error));
  assert.equal(error.code, expected);
  return true;
};

/** Accepts a packet whose byte at `at` has this value. */
function byteIs(at: number, value: string): BpfInstruction[] {
  return [
    { code: BPF_LD | BPF_B | BPF_ABS, k: at },
    { code: BPF_JMP | BPF_JEQ | BPF_K, jf: 1, k: value.charCodeAt(0) },
    { code: BPF_RET | BPF_K, k: 0xffff },
    { code: BPF_RET | BPF_K, k: 0 },
  ];
}

/** UDP's header comes before the data. */
const BANG = byteIs(8, "!");

test("bindUdp() and connectUdp() with a filter receive only what passes it", async () => {
  await using server = await bindUdp("udp://127.0.0.1:0", { filter: BANG });
  await using client = await connectUdp(server.address, { filter: byteIs(8, "?") });
  for (const text of ["no", "!yes", "no", "!again"]) await client.send(text);
  const { address, data } = await server.receive(patience);
  assert.equal(String(data), "!yes");
  assert.equal(String((await server.receive(patience)).data), "!again");
  for (const text of ["!no", "?yes"]) await server.send(text, address);
  assert.equal(String((await client.receive(patience)).data), "?yes");
});

test("attachFilter() drops datagrams that have arrived, and setsockopt() alone does not", async () => {
  for (const drops of [false, true]) {
    await using socket = new Socket(AF_INET, SOCK_DGRAM);
    await socket.bind("127.0.0.1:0");
    const own = socket.getsockname();
    await socket.sendto("early", own);
    await socket.sendto("!early", own);
    if (drops) socket.attachFilter(BANG);
    else socket.setsockopt(SO_ATTACH_FILTER, BANG);
    await socket.sendto("late", own);
    await socket.sendto("!late", own);
    assert.equal(String(await socket.recv(100, patience)), drops ? "!late" : "early");
  }
});

test("the blocking socket has the same call", () => {
  using socket = new blocking.Socket(AF_INET, SOCK_DGRAM);
  socket.bind("127.0.0.1:0");
  for (const text of ["early", "!early"]) socket.sendto(text, socket.getsockname());
  socket.attachFilter(BANG);
  for (const text of ["late", "!late"]) socket.sendto(text, socket.getsockname());
  assert.equal(String(socket.recv(100, patience)), "!late");
});

test(
  "a packet socket that was made for a protocol shows no packet from before the filter",
  { skip: !root },
  async () => {
    // From here on the socket receives what goes over every interface.
    await using capture = new Socket(AF_PACKET, SOCK_DGRAM, IP_ON_NETWORK);
    await using sender = new Socket(AF_INET, SOCK_DGRAM);
    await sender.bind("127.0.0.1:0");
    for (let count = 0; count < 20; count++) await sender.sendto("old packet", sender.getsockname());
    await capture.readable(patience);
    // Of IPv4 without options, "#" is the first byte of UDP's data.
    capture.attachFilter(byteIs(28, "#"));
    for (const text of ["other", "#mark"]) await sender.sendto(text, sender.getsockname());
    for await (const [data] of capture.datagrams(patience)) {
      assert.equal(String(data.subarray(28)), "#mark");
      break;
    }
  },
);

test(
  "a packet socket of protocol 0 receives nothing before bind(), so the filter comes first",
  { skip: !root },
  async () => {
    await using capture = new Socket(AF_PACKET, SOCK_DGRAM);
    await using sender = new Socket(AF_INET, SOCK_DGRAM);
    await sender.bind("127.0.0.1:0");
    await sender.sendto("before", sender.getsockname());
    capture.attachFilter(byteIs(28, "#"));
    await capture.bind({ protocol: ETH_P_ALL, ifindex: "lo" });
    for (const text of ["other", "#mark"]) await sender.sendto(text, sender.getsockname());
    const data = await capture.recv(2000, patience);
    assert.equal(String(data.subarray(28)), "#mark");
  },
);

test("a raw socket of ICMP, which receives from its creation on, is emptied", { skip: !root }, async () => {
  await using socket = new Socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  // Echo replies without an echo: type 0, and the checksum of the header and one byte.
  const reply = (byte: string): Buffer => {
    const packet = Buffer.concat([Buffer.alloc(8), Buffer.from(`${byte}\0`)]);
    let sum = 0;
    for (let at = 0; at < packet.length; at += 2) sum += packet.readUInt16BE(at);
    packet.writeUInt16BE(~sum & 0xffff, 2);
    return packet;
  };
  for (const byte of ["a", "#"]) await socket.sendto(reply(byte), ["127.0.0.1", 0]);
  await socket.readable(patience);
  socket.attachFilter(byteIs(28, "#"));
  assert.equal(socket.tryRecv(100), undefined);
  for (const byte of ["a", "#"]) await socket.sendto(reply(byte), ["127.0.0.1", 0]);
  assert.equal(String(await socket.recv(100, patience).then((data) => data.subarray(28, 29))), "#");
});

test("a program that the kernel refuses leaves the filter and the queue as they were", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  await socket.bind("127.0.0.1:0");
  socket.attachFilter(BANG);
  await socket.sendto("!one", socket.getsockname());
  // It can't be proved to end with a return.
  assert.throws(() => socket.attachFilter([{ code: BPF_LD | BPF_B | BPF_ABS, k: 0 }]), code("EINVAL"));
  assert.throws(() => socket.attachFilter(1_000_000), code("EBADF"));
  await socket.sendto("two", socket.getsockname());
  await socket.sendto("!three", socket.getsockname());
  assert.equal(String(await socket.recv(100, patience)), "!one");
  assert.equal(String(await socket.recv(100, patience)), "!three");
  socket.setsockopt(SO_LOCK_FILTER, true);
  assert.throws(() => socket.attachFilter(BANG), code("EPERM"));
  socket.close();
  assert.throws(() => socket.attachFilter(BANG), code("EBADF"));
});

test("wrong arguments are refused before any call", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  await using stream = new Socket();
  const cases: readonly (readonly [() => unknown, RegExp])[] = [
    [() => socket.attachFilter("x" as never), /^TypeError: Cannot attachFilter: filter is "x", required an array of/],
    [() => socket.attachFilter(undefined as never), /filter is undefined/],
    [() => socket.attachFilter([]), /^RangeError: Cannot set SO_ATTACH_FILTER: value has 0 instructions/],
    [() => socket.attachFilter([{ code: -1 }]), /instruction 0: code is -1/],
    [() => socket.attachFilter([{ op: 1 } as never]), /member "op" is unknown/],
    [() => socket.attachFilter(-1), /^RangeError: Cannot set SO_ATTACH_BPF: value is -1/],
    [
      () => stream.attachFilter(BANG),
      /^TypeError: Cannot attachFilter: the socket is of type 1, required a datagram socket/,
    ],
  ];
  for (const [call, message] of cases) assert.throws(call, (error) => (assert.match(String(error), message), true));
  await assert.rejects(bindUdp("udp://127.0.0.1:0", { filter: "x" as never }), /Cannot bind UDP .*filter is "x"/);
  await assert.rejects(connectUdp("udp://127.0.0.1:9", { filter: [] }), /0 instructions/);
});
