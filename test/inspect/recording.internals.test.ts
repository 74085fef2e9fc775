// Off, the table of calls and the registry are as without the inspector. On, calls have the same results.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { AF_INET, AF_UNIX, MSG_ERRQUEUE, MSG_TRUNC, SOCK_DGRAM, SOCK_SEQPACKET, Socket, socketpair } from "berkeley";
import { sockets, startInspector } from "berkeley/inspect";
import * as sync from "berkeley/sync";
import { Recording } from "#berkeley/inspect/recording.js";
import { registry } from "#berkeley/registry/index.js";
import { addon } from "#berkeley/sys/addon.js";
import { calls } from "#berkeley/sys/calls.js";
import { EAGAIN, EMFILE } from "#berkeley/sys/errno.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const replaced = (): string[] =>
  Object.keys(calls).filter(
    (name) => (calls as never)[name] !== (addon as never)[name] && typeof calls[name as "recv"] === "function",
  );

test("an import of the module replaces no call and attaches no listener", () => {
  assert.deepEqual(replaced(), []);
  assert.equal(registry, undefined);
  assert.throws(
    () => sockets(),
    /^Error: Cannot list the sockets: the inspector does not run, required startInspector/,
  );
});

test("close() puts every call back and turns the registry off, also after a start that failed", async () => {
  const inspector = await startInspector();
  assert.ok(replaced().includes("recv") && replaced().includes("close"));
  assert.notEqual(registry, undefined);
  await inspector.close();
  assert.deepEqual(replaced(), []);
  assert.equal(registry, undefined);
  assert.deepEqual(inspector.sockets(), []);
  assert.equal(await inspector.socket("0:1"), null);
  assert.equal(inspector.url, undefined);
  await inspector.close();
  // A timer would keep the table, and the table its records.
  const timers = new Set<unknown>();
  const { setInterval: set, clearInterval: clear } = globalThis;
  globalThis.setInterval = (...args: Parameters<typeof set>) => {
    const timer = set(...args);
    timers.add(timer);
    return timer;
  };
  globalThis.clearInterval = (timer) => (timers.delete(timer), clear(timer));
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  try {
    const { port } = taken.address() as { readonly port: number };
    await assert.rejects(startInspector({ port }), { code: "EADDRINUSE" });
    assert.deepEqual(replaced(), []);
    assert.equal(timers.size, 0);
  } finally {
    Object.assign(globalThis, { setInterval: set, clearInterval: clear });
    taken.close();
  }
  for (const opts of [{ record: "/nonexistent/x.pcapng" }, { headless: "/nonexistent/x" }]) {
    await assert.rejects(startInspector(opts), { code: "ENOENT" });
    assert.deepEqual(replaced(), []);
    assert.equal(registry, undefined);
  }
});

test("a recording that has stopped holds no record and no row", async () => {
  const recording = new Recording({ maxRecords: 64, maxPayload: 10 });
  const [left, right] = socketpair();
  await left.sendAll("x");
  const rows = new Set([recording.rowOf(left.fileno())!]);
  assert.ok(recording.ring.latest(rows, 10).length >= 2);
  right.close();
  assert.equal(recording.removedNumbers.length, 1);
  recording.stop();
  assert.deepEqual(recording.ring.latest(rows, 10), []);
  assert.deepEqual([recording.removedNumbers, recording.rows, recording.observer], [[], [], undefined]);
  left.close();
});

test("a call that other code replaces while the inspector runs stays replaced, and reaches the kernel after its end", async () => {
  const inspector = await startInspector();
  const ours = calls.socket;
  let count = 0;
  calls.socket = (...args) => (count++, ours(...args));
  new Socket().close();
  await inspector.close();
  new Socket().close();
  assert.equal(count, 2);
  calls.socket = addon.socket;
});

test("an errno that a test forces is recorded as any other, and the program gets it", async () => {
  const original = calls.accept;
  calls.accept = () => EMFILE;
  try {
    await using inspector = await startInspector();
    using listener = new Socket(AF_INET);
    await listener.bind(["127.0.0.1", 0]);
    listener.listen(1);
    await assert.rejects(listener.accept(), { code: "EMFILE" });
    const { calls: seen } = (await inspector.socket(inspector.sockets()[0]!.id))!;
    assert.deepEqual(
      seen.map(({ call, errno, result }) => [call, errno, result === null]),
      [
        ["socket", null, false],
        ["bind", null, false],
        ["listen", null, false],
        ["accept", "EMFILE", true],
      ],
    );
  } finally {
    calls.accept = original;
  }
});

test("a connect() that would block is an empty call with its own name", () => {
  const original = calls.connect;
  calls.connect = () => EAGAIN;
  const recording = new Recording({ maxRecords: 64, maxPayload: 0 });
  try {
    using socket = new Socket(AF_UNIX);
    calls.connect(socket.fileno(), new Uint8Array(2));
    const { emptyCalls, emptyCall } = recording.rowOf(socket.fileno())!;
    assert.deepEqual([emptyCalls, emptyCall], [1, "connect"]);
  } finally {
    recording.stop();
    calls.connect = original;
  }
});

test("calls of both kinds of socket are counted once, in all their forms", async () => {
  await using inspector = await startInspector();
  const [left, right] = socketpair();
  const [one, other] = sync.socketpair();
  await left.sendAll("hello");
  await left.sendmsg([Buffer.from("ab"), Buffer.from("cd")]);
  const bytes = Buffer.alloc(20);
  assert.equal(await right.recvInto(bytes), 9);
  one.sendAll("blocking");
  assert.equal(String(other.recv(100)), "blocking");
  const rows = inspector.sockets();
  assert.deepEqual(
    rows.map(({ sent, received }) => [sent.bytes, sent.calls, received.bytes, received.calls]),
    [
      [9, 2, 0, 0],
      [0, 0, 9, 1],
      [8, 1, 0, 0],
      [0, 0, 8, 1],
    ],
  );
  const pair = await inspector.socket(rows[0]!.id);
  assert.equal(pair?.other?.id, rows[1]!.id);
  left.close();
  right.close();
  one.close();
  other.close();
});

test("the ring is bounded, and what it drops is counted", async () => {
  await using inspector = await startInspector({ calls: 64 });
  const [left, right] = socketpair();
  for (let turn = 0; turn < 200; turn++) {
    await left.sendAll("x");
    await right.recv(1);
  }
  assert.ok(inspector.dropped >= 400 - 64, String(inspector.dropped));
  const { calls: seen } = (await inspector.socket(inspector.sockets()[0]!.id))!;
  assert.equal(seen.filter(({ call }) => call === "send" || call === "recv").length, 64);
  assert.ok(
    seen.some(({ call }) => call === "socketpair"),
    "traffic does not push out how the socket was made",
  );
  for (const [index, { sequence }] of seen.slice(1).entries()) assert.ok(sequence > seen[index]!.sequence);
  left.close();
  right.close();
});

test("a clock that jumps moves no time of the inspector, and no finding", async () => {
  await using inspector = await startInspector({ stalledAfter: 1000, idleAfter: 1000 });
  const [left, right] = socketpair();
  const [before] = inspector.sockets();
  const { now } = Date;
  try {
    Date.now = () => now() + 86_400_000;
    const [after] = inspector.sockets();
    assert.equal(after!.since, before!.since);
    assert.deepEqual(after!.findings, []);
    const detail = await inspector.socket(after!.id);
    assert.ok(Math.abs(detail!.calls[0]!.start - now()) < 60_000);
  } finally {
    Date.now = now;
  }
  left.close();
  right.close();
});

test("an empty record, a read of no byte and an empty message of the error queue are not the end of a connection", async (t) => {
  const { recv } = calls;
  // As the kernel answers for a completion of MSG_ZEROCOPY.
  calls.recv = (...args) => (((args[3] ?? 0) & MSG_ERRQUEUE) !== 0 ? 0 : recv(...args));
  t.after(() => void (calls.recv = recv));
  using clock = new TestClock();
  await using inspector = await startInspector();
  const leaks = async (): Promise<number> => {
    await clock.advance(1000);
    inspector.sockets();
    await clock.advance(20_000);
    return inspector.sockets().filter(({ findings }) => findings.some(({ kind }) => kind === "leak")).length;
  };
  const [left, right] = socketpair(AF_UNIX, SOCK_SEQPACKET);
  await left.send("");
  assert.equal((await right.recv(10)).length, 0);
  await left.send("more");
  assert.equal(String(await right.recv(10)), "more");
  const [one, other] = socketpair();
  await one.sendAll("x");
  await other.recv(10, { flags: MSG_ERRQUEUE });
  assert.equal(calls.recv(other.fileno(), new Uint8Array(10), 0, 0), 0);
  assert.equal(await leaks(), 0);
  left.close();
  assert.equal((await right.recv(10)).length, 0);
  one.close();
  assert.equal(String(await other.recv(10)), "x");
  assert.equal((await other.recv(10)).length, 0);
  assert.equal(await leaks(), 2);
  right.close();
  other.close();
});

test("a buffer that is detached before the record is made throws nothing into the program", async () => {
  const names = ["recv", "recvAt", "recvfrom", "recvmsg", "recvmmsg", "send", "sendto", "sendmsg", "sendmmsg"] as const;
  const originals = { ...calls };
  const detached = (): Uint8Array => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  };
  for (const name of names) calls[name] = () => 4;
  try {
    await using inspector = await startInspector({ payloads: true });
    const [left, right] = socketpair();
    const fd = left.fileno();
    const results = [
      calls.recv(fd, detached(), 8),
      calls.recvAt(fd, detached(), 2, 4),
      calls.recvfrom(fd, detached(), 8, 0, detached()),
      calls.recvmsg(fd, [detached(), detached()], 0, detached(), detached(), detached()),
      calls.recvmmsg(fd, detached(), detached(), detached(), 0),
      calls.send(fd, detached(), 2),
      calls.sendto(fd, detached(), 0, detached()),
      calls.sendmsg(fd, [detached(), detached()], 1, 0, detached(), detached()),
      calls.sendmmsg(fd, detached(), detached(), 0, 4, 0),
    ];
    assert.deepEqual(new Set(results), new Set([4]));
    // Those of batches are in a table, which is detached too.
    const [row] = inspector.sockets();
    assert.deepEqual([row!.sent, row!.received.calls], [{ bytes: 12, calls: 3 }, 2]);
    left.close();
    right.close();
  } finally {
    for (const name of names) calls[name] = originals[name] as never;
  }
});

test("of a send that the kernel takes in parts, no more than the kept bytes of each part are copied", async () => {
  const { sendmsg } = calls;
  // The kernel takes 1000 bytes at a time.
  calls.sendmsg = (_fd, parts, skip) => Math.min(1000, parts.reduce((sum, { length }) => sum + length, 0) - skip);
  const { concat } = Buffer;
  let copied = 0;
  Buffer.concat = (list, length) => {
    const result = concat(list, length);
    copied += result.length;
    return result;
  };
  try {
    await using inspector = await startInspector({ payloads: 16 });
    const [left, right] = socketpair();
    const parts = Array.from({ length: 1000 }, (_, at) => Buffer.alloc(10, at % 256));
    await left.sendmsg(parts);
    copied = 0;
    for (let skip = 0; skip < 10_000; skip += 1000) calls.sendmsg(left.fileno(), parts, skip, 0, null, null);
    assert.ok(copied <= 10 * 16, String(copied));
    const { calls: seen } = (await inspector.socket(inspector.sockets()[0]!.id))!;
    const last = seen.at(-1)!;
    assert.deepEqual([...Buffer.from(last.payload!.base64, "base64")], [...Buffer.concat(parts).subarray(9000, 9016)]);
    assert.deepEqual(last.moved, { bytes: 1000, sent: true });
    left.close();
    right.close();
  } finally {
    Buffer.concat = concat;
    calls.sendmsg = sendmsg;
  }
});

test("a datagram that is longer than the buffer has no more bytes in its record than the call has stored", async () => {
  await using inspector = await startInspector({ payloads: true });
  const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
  await left.send("abcdefgh");
  const buffer = Buffer.alloc(64, "-");
  assert.equal(calls.recv(right.fileno(), buffer, 3, MSG_TRUNC), 8);
  const { calls: seen } = (await inspector.socket(inspector.sockets()[1]!.id))!;
  const [received] = seen.filter(({ call }) => call === "recv");
  assert.equal(Buffer.from(received!.payload!.base64, "base64").toString(), "abc");
  left.close();
  right.close();
});
