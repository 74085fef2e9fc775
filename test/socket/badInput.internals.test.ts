// Wrong arguments: a TypeError or RangeError that quotes the value, before any call, and without a leaked descriptor.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_UNIX,
  DatagramBatch,
  DatagramQueue,
  IPPROTO_TCP,
  IP_TTL,
  MSG_DONTWAIT,
  MSG_ZEROCOPY,
  send_fds,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_TYPE,
  SOCK_DGRAM,
  Socket,
  socketpair,
  SOL_SOCKET,
  TCP_INFO,
  TCP_NODELAY,
} from "berkeley";
import * as blocking from "berkeley/sync";
import { fakeKernel } from "../support/fakeSocket.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

/** What a test passes where TypeScript would not let it. */
// oxlint-disable-next-line typescript/no-explicit-any -- the point of these tests
type Any = any;

interface Case {
  readonly call: string;
  /** Each wrong value, with the error's class and how the message quotes it. */
  readonly wrong: readonly (readonly [value: unknown, error: typeof TypeError, quoted: string | RegExp])[];
  readonly run: (socket: Socket, value: Any) => unknown;
}

const notNumbers = [
  ["7", TypeError, '"7"'],
  [null, TypeError, "null"],
  [true, TypeError, "true"],
  [7n, TypeError, "7n"],
  [Symbol("s"), TypeError, 'a symbol "s"'],
  [{}, TypeError, "{}"],
  [[7], TypeError, "[7]"],
  [() => 7, TypeError, "a function"],
] as const;

const notWhole = [
  [1.5, RangeError, "1.5"],
  [NaN, RangeError, "NaN"],
  [Infinity, RangeError, "Infinity"],
] as const;

const notInts = [
  ...notNumbers,
  ...notWhole,
  [2 ** 31, RangeError, "2147483648"],
  [-(2 ** 31) - 1, RangeError, "-2147483649"],
] as const;

const notSizes = [
  ...notNumbers,
  [undefined, TypeError, "undefined"],
  ...notWhole,
  [-1, RangeError, "-1"],
  [2 ** 31, RangeError, "2147483648"],
] as const;

const notViews = [
  [undefined, TypeError, "undefined"],
  [null, TypeError, "null"],
  ["text", TypeError, '"text"'],
  [10, TypeError, "10"],
  [new ArrayBuffer(3), TypeError, "an ArrayBuffer(3)"],
  [new Uint16Array(2), TypeError, "a Uint16Array(2)"],
  [new DataView(new ArrayBuffer(8)), TypeError, "a DataView(8)"],
  [[1, 2], TypeError, "[1, 2]"],
] as const;

const notData = [
  [undefined, TypeError, "undefined"],
  [null, TypeError, "null"],
  [10, TypeError, "10"],
  [{ length: 1 }, TypeError, "{ length: 1 }"],
  [new Uint16Array(2), TypeError, "a Uint16Array(2)"],
  [["a", 5], TypeError, "data[1] is 5"],
  [[null], TypeError, "data[0] is null"],
] as const;

const notOptions = [
  [null, TypeError, "null"],
  [5, TypeError, "options are 5"],
  ["x", TypeError, '"x"'],
  [{ timeout: "5" }, TypeError, '"5"'],
  [{ timeout: -1 }, RangeError, "-1"],
  [{ timeout: NaN }, RangeError, "NaN"],
  [{ timeout: {} }, TypeError, "{}"],
  [{ signal: {} }, TypeError, "signal is {}"],
  [{ signal: "stop" }, TypeError, '"stop"'],
  [{ signal: null }, TypeError, "null"],
] as const;

const notFlags = [
  [{ flags: "2" }, TypeError, '"2"'],
  [{ flags: null }, TypeError, "null"],
  [{ flags: 1.5 }, RangeError, "1.5"],
  [{ flags: 2 ** 32 }, RangeError, "4294967296"],
] as const;

const notAddresses = [
  [undefined, TypeError, "undefined"],
  [null, TypeError, "null"],
  [8888, TypeError, "8888"],
  [{}, TypeError, "{}"],
  [[], TypeError, "[]"],
  [["127.0.0.1"], TypeError, '["127.0.0.1"]'],
  [["127.0.0.1", "80"], TypeError, 'port is "80"'],
  [["127.0.0.1", -1], RangeError, "port is -1"],
  [["127.0.0.1", 65536], RangeError, "port is 65536"],
  [["127.0.0.1", 1.5], RangeError, "port is 1.5"],
  [["127.0.0.1", NaN], RangeError, "port is NaN"],
  [[5, 80], TypeError, "host is 5"],
  [["0177.0.0.1", 80], TypeError, '"0177.0.0.1"'],
  [["127.1", 80], TypeError, '"127.1"'],
  [["0x7f.1", 80], TypeError, '"0x7f.1"'],
  [["256.1.1.1", 80], TypeError, '"256.1.1.1"'],
  [["[::1]", 80], TypeError, '"[::1]"'],
  [["a b", 80], TypeError, '"a b"'],
  [["x".repeat(254), 80], RangeError, "254 bytes"],
  ["127.0.0.1", TypeError, '"127.0.0.1"'],
  ["127.0.0.1:", TypeError, '"127.0.0.1:"'],
  ["127.0.0.1:x", TypeError, '"x"'],
  ["127.0.0.1:65536", RangeError, '"65536"'],
  ["127.0.0.1:080", TypeError, '"080"'],
  ["::1:80:", TypeError, '"::1:80:"'],
  [":80", TypeError, '":80"'],
  [{ path: "x".repeat(108) }, RangeError, "108 bytes"],
  [{ path: "a\0b" }, TypeError, "NUL"],
  [{ path: 5 }, TypeError, "path is 5"],
] as const;

const cases: readonly Case[] = [
  { call: "bind", wrong: notAddresses, run: (socket, value) => socket.bind(value) },
  { call: "bind", wrong: notOptions, run: (socket, value) => socket.bind("127.0.0.1:0", value) },
  { call: "connect", wrong: notAddresses, run: (socket, value) => socket.connect(value) },
  { call: "connect", wrong: notOptions, run: (socket, value) => socket.connect("127.0.0.1:9", value) },
  { call: "sendto", wrong: notAddresses, run: (socket, value) => socket.sendto("x", value) },
  { call: "sendto", wrong: notData, run: (socket, value) => socket.sendto(value, "127.0.0.1:9") },
  {
    call: "sendto",
    wrong: [...notOptions, ...notFlags],
    run: (socket, value) => socket.sendto("x", "127.0.0.1:9", value),
  },
  { call: "send", wrong: notData, run: (socket, value) => socket.send(value) },
  { call: "send", wrong: [...notOptions, ...notFlags], run: (socket, value) => socket.send("x", value) },
  { call: "sendAll", wrong: notData, run: (socket, value) => socket.sendAll(value) },
  { call: "sendAll", wrong: [...notOptions, ...notFlags], run: (socket, value) => socket.sendAll("x", value) },
  { call: "recv", wrong: notSizes, run: (socket, value) => socket.recv(value) },
  { call: "recv", wrong: [...notOptions, ...notFlags], run: (socket, value) => socket.recv(1, value) },
  { call: "recvfrom", wrong: notSizes, run: (socket, value) => socket.recvfrom(value) },
  { call: "recvfrom", wrong: [...notOptions, ...notFlags], run: (socket, value) => socket.recvfrom(1, value) },
  { call: "recvInto", wrong: notViews, run: (socket, value) => socket.recvInto(value) },
  {
    call: "recvInto",
    wrong: [...notOptions, ...notFlags],
    run: (socket, value) => socket.recvInto(Buffer.alloc(1), value),
  },
  { call: "recvfromInto", wrong: notViews, run: (socket, value) => socket.recvfromInto(value) },
  {
    call: "recvfromInto",
    wrong: [...notOptions, ...notFlags],
    run: (socket, value) => socket.recvfromInto(Buffer.alloc(1), value),
  },
  { call: "accept", wrong: notOptions, run: (socket, value) => socket.accept(value) },
  { call: "readable", wrong: notOptions, run: (socket, value) => socket.readable(value) },
  { call: "writable", wrong: notOptions, run: (socket, value) => socket.writable(value) },
];

const plainCases: readonly Case[] = [
  { call: "new Socket(family)", wrong: notInts, run: (_, value) => new Socket(value) },
  { call: "new Socket(, type)", wrong: notInts, run: (_, value) => new Socket(undefined, value) },
  { call: "new Socket(,, protocol)", wrong: notInts, run: (_, value) => new Socket(undefined, undefined, value) },
  { call: "socketpair(family)", wrong: notInts, run: (_, value) => socketpair(value) },
  { call: "socketpair(, type)", wrong: notInts, run: (_, value) => socketpair(undefined, value) },
  { call: "socketpair(,, protocol)", wrong: notInts, run: (_, value) => socketpair(undefined, undefined, value) },
  { call: "Socket.fromfd", wrong: notSizes, run: (_, value) => Socket.fromfd(value) },
  { call: "listen", wrong: notInts, run: (socket, value) => socket.listen(value) },
  {
    call: "shutdown",
    wrong: [
      ...notNumbers,
      ...notWhole,
      [3, RangeError, "3"],
      [-1, RangeError, "-1"],
      [undefined, TypeError, "undefined"],
    ],
    run: (socket, value) => socket.shutdown(value),
  },
  {
    call: "setsockopt(boolean option)",
    wrong: [
      [1, TypeError, "1"],
      ["true", TypeError, '"true"'],
      [undefined, TypeError, "undefined"],
      [null, TypeError, "null"],
    ],
    run: (socket, value) => socket.setsockopt(SO_KEEPALIVE, value),
  },
  {
    call: "setsockopt(number option)",
    wrong: [...notNumbers, ...notWhole, [256, RangeError, "256"], [-2, RangeError, "-2"]],
    run: (socket, value) => socket.setsockopt(IP_TTL, value),
  },
  {
    call: "setsockopt(SO_RCVBUF)",
    wrong: [...notNumbers, ...notWhole, [-1, RangeError, "-1"], [2 ** 31, RangeError, "2147483648"]],
    run: (socket, value) => socket.setsockopt(SO_RCVBUF, value),
  },
  {
    call: "setsockopt(SO_LINGER)",
    wrong: [
      [true, TypeError, "true"],
      ["5", TypeError, '"5"'],
      [{ onoff: 1 }, TypeError, "{ onoff: 1 }"],
      [-1, RangeError, "-1"],
      [1.5, RangeError, "1.5"],
    ],
    run: (socket, value) => socket.setsockopt(SO_LINGER, value),
  },
  {
    call: "setsockopt(level)",
    wrong: notInts.filter(([value]) => typeof value !== "object" || value === null),
    run: (socket, value) => socket.setsockopt(value, 1, 1),
  },
  { call: "setsockopt(, name)", wrong: notInts, run: (socket, value) => socket.setsockopt(SOL_SOCKET, value, 1) },
  {
    call: "setsockopt(,, value)",
    wrong: [
      ["1", TypeError, '"1"'],
      [undefined, TypeError, "undefined"],
      [true, TypeError, "true"],
      [new Uint16Array(1), TypeError, "a Uint16Array(1)"],
      [1.5, RangeError, "1.5"],
      [2 ** 32, RangeError, "4294967296"],
      [-(2 ** 31) - 1, RangeError, "-2147483649"],
    ],
    run: (socket, value) => socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, value),
  },
  {
    call: "setsockopt(no option)",
    wrong: [
      [{}, TypeError, "{}"],
      [[], TypeError, "[]"],
      [{ level: 1 }, TypeError, "{ level: 1 }"],
    ],
    run: (socket, value) => socket.setsockopt(value, 1 as never),
  },
  {
    call: "getsockopt(no option)",
    wrong: [
      [{}, TypeError, "{}"],
      [[], TypeError, "[]"],
    ],
    run: (socket, value) => socket.getsockopt(value),
  },
  {
    call: "getsockopt(level)",
    wrong: notInts.filter(([value]) => typeof value !== "object" || value === null),
    run: (socket, value) => socket.getsockopt(value, 1),
  },
  { call: "getsockopt(, name)", wrong: notInts, run: (socket, value) => socket.getsockopt(SOL_SOCKET, value) },
  {
    call: "getsockopt(,, size)",
    wrong: [...notNumbers, ...notWhole, [-1, RangeError, "-1"], [2 ** 20, RangeError, "1048576"]],
    run: (socket, value) => socket.getsockopt(SOL_SOCKET, 3, value),
  },
];

function describe(error: unknown, expected: typeof TypeError, quoted: string | RegExp, value: unknown): void {
  assert.ok(
    error instanceof expected,
    `${String(error)} for ${typeof value === "symbol" ? "a symbol" : JSON.stringify(String(value))}`,
  );
  assert.equal(error.constructor, expected);
  if (typeof quoted === "string")
    assert.ok(error.message.includes(quoted), `${error.message} does not quote ${quoted}`);
  else assert.match(error.message, quoted);
  assert.ok(!error.message.endsWith("."), error.message);
}

for (const { call, wrong, run } of cases) {
  test(`${call}() rejects ${wrong.length} wrong ${wrong === notAddresses ? "addresses" : "values"}, makes no call, and does not throw`, async () => {
    const { sys, socket } = fakeKernel();
    const conn = socket();
    for (const [value, expected, quoted] of wrong) {
      const result = run(conn, value);
      assert.ok(result instanceof Promise, "a method that waits never throws");
      const error = await result.then(
        () => assert.fail(`${String(value)} was taken`),
        (reason: unknown) => reason,
      );
      describe(error, expected, quoted, value);
    }
    assert.deepEqual(sys.log, []);
  });
}

for (const { call, wrong, run } of plainCases) {
  test(`${call} throws for ${wrong.length} wrong values, makes no call, and leaves nothing open`, () => {
    const { sys, socket } = fakeKernel();
    const conn = socket();
    const before = openDescriptors().size;
    for (const [value, expected, quoted] of wrong) {
      let error: unknown;
      try {
        run(conn, value);
      } catch (thrown) {
        error = thrown;
      }
      assert.notEqual(error, undefined, `${String(value)} was taken`);
      describe(error, expected, quoted, value);
    }
    assert.deepEqual(sys.log, []);
    assert.equal(openDescriptors().size, before);
  });
}

test("options that are read-only in the kernel can't be set", () => {
  const socket = new Socket();
  for (const option of [SO_TYPE, TCP_INFO]) {
    assert.throws(
      () => socket.setsockopt(option as Any, 1),
      (error: unknown) => {
        assert.ok(error instanceof TypeError);
        assert.ok(error.message.includes(option.name), error.message);
        return true;
      },
    );
  }
  socket.close();
});

test("wrong arguments are reported before a closed socket", async () => {
  const socket = new Socket();
  socket.close();
  await assert.rejects(socket.recv("x" as Any), TypeError);
  await assert.rejects(socket.send(5 as Any), TypeError);
  await assert.rejects(socket.connect("nonsense"), TypeError);
  assert.throws(() => socket.listen("x" as Any), TypeError);
  assert.throws(() => socket.shutdown(9), RangeError);
});

test("MSG_ZEROCOPY is refused by every call that sends, of both sockets, since nothing would keep the memory", async () => {
  const flags = MSG_ZEROCOPY | MSG_DONTWAIT;
  const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
  const address = "unix:@nobody";
  const batch = new DatagramBatch({ capacity: 1, size: 10 });
  batch.add("x", address);
  for (const call of [
    () => left.send("x", { flags }),
    () => left.sendAll("x", { flags }),
    () => left.sendto("x", address, { flags }),
    () => left.sendmsg(["x"], { flags }),
    () => left.sendmmsg(batch, { flags }),
    () => left.sendSegments("x", 1, { flags }),
    () => send_fds(left, "x", [left], { flags }),
  ]) {
    await assert.rejects(call(), /^TypeError: Cannot \w+: flags contain MSG_ZEROCOPY/);
  }
  assert.throws(() => new DatagramQueue(left, { flags }), /^TypeError: .*flags contain MSG_ZEROCOPY/);
  const [one, other] = blocking.socketpair();
  assert.throws(() => one.send("x", { flags }), /^TypeError: Cannot send: flags contain MSG_ZEROCOPY/);
  assert.throws(() => one.sendmsg("x", { flags }), /^TypeError: Cannot sendmsg: flags contain MSG_ZEROCOPY/);
  // Nothing went out.
  await assert.rejects(right.recv(1, { flags: MSG_DONTWAIT }), { code: "EAGAIN" });
  for (const socket of [left, right, one, other]) socket.close();
});

test("a real socket that refused wrong arguments still works", async () => {
  const [left, right] = socketpair();
  const before = openDescriptors().size;
  for (const { run, wrong } of cases) {
    for (const [value] of wrong) await Promise.resolve(run(left, value)).catch(() => {});
  }
  assert.equal(openDescriptors().size, before);
  await left.sendAll("fine");
  assert.equal((await right.recv(10)).toString(), "fine");
  left.close();
  right.close();
});
