// Classic BPF programs on sockets: their effect, and that they can't read or write other memory.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { calls } from "#berkeley/sys/calls.js";
import {
  AF_INET,
  BPF_ABS,
  BPF_ALU,
  BPF_A,
  BPF_B,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  BPF_SUB,
  type BpfInstruction,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DETACH_FILTER,
  SO_DETACH_REUSEPORT_BPF,
  SO_LOCK_FILTER,
  SO_REUSEPORT,
  Socket,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { codeOf, Pair } from "./support.js";

checkLeaks();

const patience = { timeout: 10_000 };
const UDP_HEADER = 8;
const keep = (bytes: number): BpfInstruction => ({ code: BPF_RET | BPF_K, k: bytes });

/** Lets in what begins with this letter. */
const beginsWith = (letter: string): BpfInstruction[] => [
  { code: BPF_LD | BPF_B | BPF_ABS, k: UDP_HEADER },
  { code: BPF_JMP | BPF_JEQ | BPF_K, jt: 0, jf: 1, k: letter.charCodeAt(0) },
  keep(0xffff_ffff),
  keep(0),
];

/** The receiver, and a sender to it. */
async function pair(): Promise<Pair> {
  const receiver = new Socket(AF_INET, SOCK_DGRAM);
  await receiver.bind("127.0.0.1:0");
  const sender = new Socket(AF_INET, SOCK_DGRAM);
  await sender.connect(receiver.getsockname());
  return new Pair([receiver, sender]);
}

describe("SO_ATTACH_FILTER", () => {
  test("accepts the packets that the program accepts", async () => {
    using two = await pair();
    const { a: receiver, b: sender } = two;
    receiver.setsockopt(SO_ATTACH_FILTER, beginsWith("y"));
    for (const text of ["no", "yes", "never", "yonder"]) await sender.send(text);
    assert.equal(String(await receiver.recv(100, patience)), "yes");
    assert.equal(String(await receiver.recv(100, patience)), "yonder");
    receiver.setsockopt(SO_DETACH_FILTER, true);
    await sender.send("no more");
    assert.equal(String(await receiver.recv(100, patience)), "no more");
    assert.equal(
      codeOf(() => receiver.setsockopt(SO_DETACH_FILTER, true)),
      "ENOENT",
    );
  });

  test("cuts a datagram to the length that the program returns", async () => {
    using two = await pair();
    const { a: receiver, b: sender } = two;
    receiver.setsockopt(SO_ATTACH_FILTER, [keep(UDP_HEADER + 3)]);
    await sender.send("abcdef");
    assert.equal(String(await receiver.recv(100, patience)), "abc");
  });

  test("is read back as it was attached", () => {
    using socket = new Socket(AF_INET, SOCK_DGRAM);
    assert.deepEqual(socket.getsockopt(SO_ATTACH_FILTER), []);
    socket.setsockopt(SO_ATTACH_FILTER, beginsWith("y"));
    assert.deepEqual(
      socket.getsockopt(SO_ATTACH_FILTER),
      beginsWith("y").map(({ code, jt = 0, jf = 0, k = 0 }) => ({ code, jt, jf, k })),
    );
  });

  test("the kernel refuses a program that it can't prove to end with a return", () => {
    using socket = new Socket(AF_INET, SOCK_DGRAM);
    assert.equal(
      codeOf(() => socket.setsockopt(SO_ATTACH_FILTER, [{ code: BPF_LD | BPF_B | BPF_ABS, k: 0 }])),
      "EINVAL",
    );
  });

  test("SO_LOCK_FILTER keeps it for ever", () => {
    using socket = new Socket(AF_INET, SOCK_DGRAM);
    socket.setsockopt(SO_ATTACH_FILTER, [keep(0)]);
    socket.setsockopt(SO_LOCK_FILTER, true);
    assert.equal(
      codeOf(() => socket.setsockopt(SO_ATTACH_FILTER, [keep(1)])),
      "EPERM",
    );
    assert.equal(
      codeOf(() => socket.setsockopt(SO_DETACH_FILTER, true)),
      "EPERM",
    );
    assert.equal(
      codeOf(() => socket.setsockopt(SO_LOCK_FILTER, false)),
      "EPERM",
    );
  });
});

describe("the raw form", () => {
  test("takes the instructions, not a struct with an address", () => {
    using socket = new Socket(AF_INET, SOCK_DGRAM);
    socket.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, SO_ATTACH_FILTER.encode([keep(7)]));
    assert.deepEqual(socket.getsockopt(SO_ATTACH_FILTER), [{ code: 6, jt: 0, jf: 0, k: 7 }]);
    for (const size of [0, 7, 15, 8 * 4097]) {
      assert.equal(
        codeOf(() => socket.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(size))),
        "EINVAL",
        `${size} bytes`,
      );
    }
  });

  test("does not make the kernel write beyond the buffer, although it counts in instructions", () => {
    using socket = new Socket(AF_INET, SOCK_DGRAM);
    const program = Array.from({ length: 8 }, (_, index) => keep(index));
    socket.setsockopt(SO_ATTACH_FILTER, program);
    for (let size = 0; size <= 72; size++) {
      const memory = new Uint8Array(256).fill(0xa5);
      const result = calls.getsockopt(socket.fileno(), SOL_SOCKET, SO_ATTACH_FILTER.optname, memory.subarray(0, size));
      assert.ok(
        memory.subarray(size).every((byte) => byte === 0xa5),
        `${size} bytes of room`,
      );
      // Without space the kernel returns the required size.
      if (size === 0 || size >= 64) assert.equal(result, 64, `${size} bytes of room`);
      else assert.ok(result < 0, `${size} bytes of room`);
    }
  });
});

describe("SO_ATTACH_REUSEPORT_CBPF", () => {
  test("chooses the socket of the group", async () => {
    const group = [
      new Socket(AF_INET, SOCK_DGRAM),
      new Socket(AF_INET, SOCK_DGRAM),
      new Socket(AF_INET, SOCK_DGRAM),
    ] as const;
    using sender = new Socket(AF_INET, SOCK_DGRAM);
    try {
      for (const socket of group) {
        socket.setsockopt(SO_REUSEPORT, true);
        if (socket === group[0]) await socket.bind("127.0.0.1:0");
        else await socket.bind(group[0].getsockname());
      }
      // The first byte of the data, as a digit.
      group[0].setsockopt(SO_ATTACH_REUSEPORT_CBPF, [
        { code: BPF_LD | BPF_B | BPF_ABS, k: 0 },
        { code: BPF_ALU | BPF_SUB | BPF_K, k: "0".charCodeAt(0) },
        { code: BPF_RET | BPF_A },
      ]);
      for (const text of ["2 two", "0 zero", "1 one"]) await sender.sendto(text, group[0].getsockname());
      assert.equal(String(await group[0].recv(100, patience)), "0 zero");
      assert.equal(String(await group[1].recv(100, patience)), "1 one");
      assert.equal(String(await group[2].recv(100, patience)), "2 two");
      group[2].setsockopt(SO_DETACH_REUSEPORT_BPF, true);
      assert.equal(
        codeOf(() => group[1].setsockopt(SO_DETACH_REUSEPORT_BPF, true)),
        "ENOENT",
      );
    } finally {
      for (const socket of group) socket.close();
    }
  });
});
