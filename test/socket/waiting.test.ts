// The options timeout and signal of every waiting call, on the real kernel.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_UNIX, SOCK_STREAM, Socket, socketpair, type WaitOptions } from "berkeley";
import { connected, datagram, families, listening } from "../support/families.js";
import { TestClock, turn } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

interface Waiting {
  readonly name: string;
  readonly syscall: string;
  /** Makes sockets on which the call waits, and returns the call. */
  readonly make: (sockets: Socket[]) => Promise<(opts: WaitOptions) => Promise<unknown>>;
}

async function pairOf(sockets: Socket[]): Promise<Socket> {
  const pair = socketpair();
  sockets.push(...pair);
  return pair[0];
}

/** One end of a pair whose buffer is full. */
async function fullOf(sockets: Socket[]): Promise<Socket> {
  const end = await pairOf(sockets);
  await assert.rejects(end.sendAll(Buffer.alloc(8 << 20), { timeout: 0 }), { code: "ETIMEDOUT" });
  return end;
}

const waitingCalls: readonly Waiting[] = [
  {
    name: "accept",
    syscall: "accept",
    make: async (sockets) => {
      const server = await listening();
      sockets.push(server);
      return (opts) => server.accept(opts);
    },
  },
  {
    name: "connect",
    syscall: "connect",
    make: async (sockets) => {
      // A UNIX listener whose queue is full: the one connect that waits for sure.
      const server = await listening(families[2], 0);
      const first = new Socket(AF_UNIX, SOCK_STREAM);
      const second = new Socket(AF_UNIX, SOCK_STREAM);
      sockets.push(server, first, second);
      await first.connect(server.getsockname());
      return (opts) => second.connect(server.getsockname(), opts);
    },
  },
  ...(
    [
      ["recv", "recv", (end, opts) => end.recv(10, opts)],
      ["recv of much", "recv", (end, opts) => end.recv(1 << 20, opts)],
      ["recvInto", "recv", (end, opts) => end.recvInto(Buffer.alloc(10), opts)],
      ["recvfrom", "recvfrom", (end, opts) => end.recvfrom(10, opts)],
      ["recvfrom of much", "recvfrom", (end, opts) => end.recvfrom(1 << 20, opts)],
      ["recvfromInto", "recvfrom", (end, opts) => end.recvfromInto(Buffer.alloc(10), opts)],
      ["readable", "poll", (end, opts) => end.readable(opts)],
    ] as readonly [string, string, (end: Socket, opts: WaitOptions) => Promise<unknown>][]
  ).map(([name, syscall, call]) => ({
    name,
    syscall,
    make: async (sockets: Socket[]) => {
      const end = await pairOf(sockets);
      return (opts: WaitOptions) => call(end, opts);
    },
  })),
  ...(
    [
      ["send", "send", (end, opts) => end.send("x", opts)],
      ["send of a list", "send", (end, opts) => end.send(["x", "y"], opts)],
      ["sendAll", "send", (end, opts) => end.sendAll("x", opts)],
      ["writable", "poll", (end, opts) => end.writable(opts)],
    ] as readonly [string, string, (end: Socket, opts: WaitOptions) => Promise<unknown>][]
  ).map(([name, syscall, call]) => ({
    name,
    syscall,
    make: async (sockets: Socket[]) => {
      const end = await fullOf(sockets);
      return (opts: WaitOptions) => call(end, opts);
    },
  })),
  {
    name: "sendto",
    syscall: "sendto",
    make: async (sockets) => {
      const receiver = await datagram(families[2]);
      const sender = await datagram(families[2]);
      sockets.push(receiver, sender);
      const to = receiver.getsockname();
      for (;;) {
        if (
          await sender.sendto("x", to, { timeout: 0 }).then(
            () => false,
            () => true,
          )
        )
          break;
      }
      return (opts) => sender.sendto("x", to, opts);
    },
  },
];

for (const { name, syscall, make } of waitingCalls) {
  test(`${name}() ends with its timeout or its signal, and with the timeout of the socket`, async () => {
    const sockets: Socket[] = [];
    const call = await make(sockets);
    for (const timeout of [0, 1, 5.5]) {
      const began = performance.now();
      await assert.rejects(call({ timeout }), { code: "ETIMEDOUT", errno: -110, syscall });
      assert.ok(performance.now() - began >= timeout - 1, "not before its time");
    }
    const reason = { why: "because" };
    const controller = new AbortController();
    const aborted = call({ signal: controller.signal });
    queueMicrotask(() => controller.abort(reason));
    await assert.rejects(aborted, (error: unknown) => error === reason);
    await assert.rejects(call({ signal: AbortSignal.abort() }), { name: "AbortError" });
    await assert.rejects(call({ signal: AbortSignal.timeout(5) }), { name: "TimeoutError" });
    await assert.rejects(call({ timeout: 1, signal: new AbortController().signal }), { code: "ETIMEDOUT" });
    for (const socket of sockets) socket.timeout = 1;
    await assert.rejects(call({}), { code: "ETIMEDOUT", syscall });
    await assert.rejects(call({ signal: new AbortController().signal }), { code: "ETIMEDOUT", syscall });
    for (const socket of sockets) socket.close();
  });
}

test("after a timed-out or aborted recv() the next one gets the bytes that arrive", async () => {
  for (const family of families) {
    await using both = await connected(family);
    const controller = new AbortController();
    const first = assert.rejects(both.conn.recv(10, { timeout: 1 }), { code: "ETIMEDOUT" });
    const second = assert.rejects(both.conn.recv(10, { signal: controller.signal }), { name: "AbortError" });
    const third = both.conn.recv(10);
    await first;
    controller.abort();
    await second;
    await both.client.sendAll("for third");
    assert.equal((await third).toString(), "for third");
  }
});

test("a connect() that timed out goes on in the kernel, and so does one that was aborted", async () => {
  await using server = await listening();
  await using client = new Socket();
  const controller = new AbortController();
  // By the wildcard: to an address that is plainly this machine's it would not wait.
  const { port } = server.getsockname() as { port: number };
  const connecting = client.connect(["0.0.0.0", port], { signal: controller.signal });
  controller.abort();
  await assert.rejects(connecting, { name: "AbortError" });
  // Another call finds the connection pending or established (connect(2)).
  await client.connect(server.getsockname()).catch((error: { code: string }) => {
    assert.ok(["EALREADY", "EISCONN"].includes(error.code), error.code);
  });
  const [conn] = await server.accept();
  await client.writable();
  await client.sendAll("made it");
  assert.equal((await conn.recv(10)).toString(), "made it");
  conn.close();
});

test("timeouts of the resolver's part count: bind(), connect() and sendto() by name", async () => {
  await using socket = new Socket();
  for (const call of [
    (opts: WaitOptions) => socket.bind(["localhost", 0], opts),
    (opts: WaitOptions) => socket.connect(["localhost", 9], opts),
    (opts: WaitOptions) => socket.sendto("x", ["localhost", 9], opts),
  ]) {
    const controller = new AbortController();
    const waiting = call({ signal: controller.signal });
    controller.abort();
    await assert.rejects(waiting, { name: "AbortError" });
  }
});

test("the default timeout can be set and read, and refuses a value that is not a time", () => {
  const [left, right] = socketpair();
  assert.equal(left.timeout, null);
  left.timeout = 5;
  assert.equal(left.timeout, 5);
  left.timeout = null;
  assert.equal(left.timeout, null);
  left.timeout = 0;
  assert.equal(left.timeout, 0);
  for (const wrong of [-1, NaN]) assert.throws(() => (left.timeout = wrong), RangeError);
  for (const wrong of ["5", {}, true, 5n]) assert.throws(() => (left.timeout = wrong as number), TypeError);
  assert.equal(left.timeout, 0);
  left.close();
  right.close();
});

test("the longest timeout does not end early, and a longer one is refused", async () => {
  const [left, right] = socketpair();
  for (const timeout of [2 ** 31, 2 ** 40, Infinity]) {
    await assert.rejects(left.recv(10, { timeout }), RangeError);
    assert.throws(() => (left.timeout = timeout), RangeError);
  }
  using clock = new TestClock();
  const received = left.recv(10, { timeout: 2 ** 31 - 1 });
  await clock.advance(2 ** 30);
  await right.sendAll("x");
  assert.equal((await received).toString(), "x");
  left.close();
  right.close();
});

test("a call whose data came while the thread was busy receives them, although its deadline has passed", async () => {
  const [near, far] = socketpair();
  // Timers run first after an immediate.
  await turn();
  const received = near.recv(10, { timeout: 5 });
  assert.equal(far.trySend(Buffer.from("there")), 5);
  const end = performance.now() + 20;
  while (performance.now() < end);
  assert.equal((await received).toString(), "there");
  await assert.rejects(near.recv(10, { timeout: 5 }), { code: "ETIMEDOUT" });
  near.close();
  far.close();
});
