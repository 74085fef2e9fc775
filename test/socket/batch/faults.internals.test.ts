// Batches, files and pipes on a fake kernel, which returns errors at chosen moments.

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { AF_INET, AF_UNIX, DatagramBatch, pump, SOCK_DGRAM, splice } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { ERR, fakeKernel, IN, keepAlive, OUT, turn, watch } from "../../support/fakeSocket.js";

keepAlive();
checkLeaks();

const EAGAIN = -constants.errno.EAGAIN;
const ECONNRESET = -constants.errno.ECONNRESET;

function full(capacity: number, to?: string): DatagramBatch {
  const batch = new DatagramBatch({ capacity, size: 8 });
  for (let i = 0; i < capacity; i++) batch.add(String(i), to);
  return batch;
}

test("after a batch that is not full, recvmmsg() makes a system call only after an event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("recvmmsg", 3);
  const batch = new DatagramBatch({ capacity: 4 });
  assert.equal(await one.recvmmsg(batch), 3);
  assert.equal(batch.count, 3);
  const second = watch(one.recvmmsg(batch));
  await turn();
  assert.equal(second.state, "pending");
  assert.equal(sys.count("recvmmsg"), 1, "the kernel had said that there is no more");
  sys.script("recvmmsg", 1);
  fire(IN, one);
  await turn();
  assert.equal(second.value, 1);
  one.close();
});

test("after a full batch, recvmmsg() makes a system call at once", async () => {
  const { sys, socket } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("recvmmsg", 4, 4, "EAGAIN");
  const batch = new DatagramBatch({ capacity: 4 });
  assert.equal(await one.recvmmsg(batch), 4);
  assert.equal(await one.recvmmsg(batch), 4);
  const third = watch(one.recvmmsg(batch));
  await turn();
  assert.equal(third.state, "pending");
  assert.equal(sys.count("recvmmsg"), 3);
  one.close();
});

test("an event with an error wakes a recvmmsg() that waits after a batch that was not full", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("recvmmsg", 1, "ECONNREFUSED");
  const batch = new DatagramBatch();
  await one.recvmmsg(batch);
  const second = watch(one.recvmmsg(batch));
  await turn();
  assert.equal(second.state, "pending");
  fire(ERR, one);
  await turn();
  assert.equal((second.error as { code: string }).code, "ECONNREFUSED");
  one.close();
});

test("sendmmsg() sends the unsent tail again, from the first datagram that was not taken", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("sendmmsg", 5, 2, "EAGAIN");
  const sent = watch(one.sendmmsg(full(10, "127.0.0.1:9")));
  await turn();
  assert.equal(sent.state, "pending");
  sys.script("sendmmsg", 3);
  fire(OUT, one);
  await turn();
  assert.equal(sent.value, 10);
  assert.deepEqual(
    sys.callsOf("sendmmsg").map(({ args }) => [args[3], args[4]]),
    [
      [0, 10],
      [5, 10],
      [7, 10],
      [7, 10],
    ],
  );
  one.close();
});

test("sendmmsg() is repeated after EINTR, and stops at ENOBUFS with the number of sent datagrams", async () => {
  const { sys, socket } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("sendmmsg", "EINTR", 2, "EINTR", 1, "ENOBUFS");
  await assert.rejects(one.sendmmsg(full(8, "127.0.0.1:9")), { code: "ENOBUFS", syscall: "sendmmsg", transferred: 3 });
  assert.equal(sys.count("sendmmsg"), 5);
  one.close();
});

test("skipRefused gives each datagram a second try, and stops at what concerns the socket", async () => {
  const { sys, socket } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.script("sendmmsg", "ECONNREFUSED", 2, "EPERM", "EACCES", 1, "EBADF");
  const batch = full(6, "127.0.0.1:9");
  await assert.rejects(one.sendmmsg(batch, { skipRefused: true }), { code: "EBADF", transferred: 3 });
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => batch.error(i)?.code),
    [undefined, undefined, "EACCES", undefined],
  );
  one.close();
});

test("a UNIX address whose receiver is full is tried again after a pause, not at an event", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_UNIX, SOCK_DGRAM);
  // At once after the progress, and once more in the next turn, which starts the pause.
  sys.script("sendmmsg", 1, "EAGAIN", "EAGAIN", "EAGAIN");
  sys.always("sendmmsg", 2);
  const sent = one.sendmmsg(full(3, "unix:/x"));
  await turn();
  fire(OUT, one);
  assert.equal(sys.count("sendmmsg"), 4);
  assert.equal(await sent, 3);
  assert.equal(sys.count("sendmmsg"), 5);
  one.close();
});

test("a socket that reads is not registered for room to write, until a write waits", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_INET, SOCK_DGRAM);
  sys.always("recvmmsg", "EAGAIN");
  const read = watch(one.recvmmsg(new DatagramBatch()));
  await turn();
  assert.deepEqual(
    sys.callsOf("pollerAdd").map(({ args }) => args[3]),
    [1],
  );
  assert.equal(sys.count("pollerModify"), 0);
  sys.script("sendmmsg", "EAGAIN", 1);
  const sent = watch(one.sendmmsg(full(1, "127.0.0.1:9")));
  await turn();
  assert.equal(sys.count("pollerModify"), 1);
  fire(OUT, one);
  await turn();
  assert.equal(sent.value, 1);
  sys.script("sendmmsg", "EAGAIN");
  const again = watch(one.sendmmsg(full(1, "127.0.0.1:9")));
  await turn();
  assert.equal(sys.count("pollerModify"), 1, "once is enough");
  one.close();
  await turn();
  assert.deepEqual([read.state, again.state], ["rejected", "rejected"]);
  const tcp = socket();
  watch(tcp.recv(1));
  await turn();
  assert.deepEqual(
    sys.callsOf("pollerAdd").map(({ args }) => args[3]),
    [1, 1],
  );
  sys.script("send", "EAGAIN", 1);
  const byte = watch(tcp.send("x"));
  await turn();
  assert.equal(sys.count("pollerModify"), 2);
  fire(OUT, tcp);
  await turn();
  assert.equal(byte.value, 1);
  tcp.close();
});

test("sendfile() goes on where it stood, in pieces of at most 1 MiB", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket();
  const size = (1 << 20) + 500;
  sys.script("fileSize", size).script("sendfile", 1 << 20, 100, "EAGAIN");
  const sent = watch(one.sendfile(7));
  await turn();
  assert.equal(sent.state, "pending");
  sys.script("sendfile", "EINTR", 400);
  fire(OUT, one);
  await turn();
  assert.equal(sent.value, size);
  assert.deepEqual(
    sys.callsOf("sendfile").map(({ args }) => args.slice(1)),
    [
      [7, 0, 1 << 20],
      [7, 1 << 20, 500],
      [7, (1 << 20) + 100, 400],
      [7, (1 << 20) + 100, 400],
      [7, (1 << 20) + 100, 400],
    ],
  );
  one.close();
});

test("sendfile() says with an error how many bytes had gone out", async () => {
  const { sys, socket } = fakeKernel();
  const one = socket();
  sys.script("fileSize", 1000).script("sendfile", 300, "EIO");
  await assert.rejects(one.sendfile(7), { code: "EIO", syscall: "sendfile", transferred: 300 });
  one.close();
});

/** Makes the fake kernel's pipes: read ends 500, 502 …, write ends 501, 503 … */
function pipes(sys: ReturnType<typeof fakeKernel>["sys"], capacity: number): void {
  let next = 500;
  sys.always("pipe", (...[, pair]) => {
    const out = new DataView((pair as Uint8Array).buffer);
    const little = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
    for (const at of [0, 4]) {
      sys.open.add(next);
      out.setInt32(at, next++, little);
    }
    return capacity;
  });
}

/** The result of one spliceThrough(): the bytes that it reads and writes, and its return value: 1, 0 or an errno. */
function through(taken: number, passed: number, result: number): (...args: readonly unknown[]) => number {
  return (...args) => {
    const out = args[6] as Uint8Array;
    new Uint32Array(out.buffer, out.byteOffset, 2).set([taken, passed]);
    return result;
  };
}

test("a splice waits for its source without a pipe, and ends the destination at the end", async () => {
  const { sys, socket, fire } = fakeKernel();
  pipes(sys, 1000);
  const [from, to] = [socket(), socket()];
  const [a, b] = [from.fileno(), to.fileno()];
  sys.script("spliceThrough", through(700, 700, EAGAIN));
  const spliced = watch(splice(from, to));
  await turn();
  assert.deepEqual(
    sys.callsOf("spliceThrough").map(({ args }) => args.slice(0, 6)),
    [[a, 500, 501, b, 1000, 1 << 20]],
  );
  sys.script("spliceThrough", through(50, 50, 1), through(0, 0, 0));
  fire(IN, from);
  await turn();
  assert.equal(spliced.value, 750);
  assert.equal(sys.count("spliceThrough"), 3);
  assert.deepEqual(
    sys.callsOf("shutdown").map(({ args }) => args),
    [[b, 1]],
  );
  assert.deepEqual(
    sys.callsOf("close").map(({ args }) => args[0]),
    [500, 501],
    "the pipe is closed with the last splice",
  );
  from.close();
  to.close();
});

test("a splice that waits for its destination makes no call before the event", async () => {
  const { sys, socket, fire } = fakeKernel();
  pipes(sys, 1000);
  const [from, to] = [socket(), socket()];
  const b = to.fileno();
  sys.script("spliceThrough", through(0, 0, EAGAIN), through(700, 400, EAGAIN));
  const spliced = watch(splice(from, to));
  await turn();
  fire(IN, from);
  await turn();
  fire(IN, from);
  await turn();
  assert.equal(sys.count("spliceThrough"), 2);
  assert.equal(sys.count("splice"), 0, "the destination was asked just now");
  sys.script("splice", 100, "EAGAIN");
  fire(OUT, to);
  await turn();
  assert.deepEqual(
    sys.callsOf("splice").map(({ args }) => args),
    [
      [500, b, 300],
      [500, b, 200],
    ],
  );
  sys.script("splice", "EINTR", 200).script("spliceThrough", through(0, 0, 0));
  fire(OUT, to);
  await turn();
  assert.equal(spliced.value, 700);
  from.close();
  to.close();
});

test("a splice takes no more than its count", async () => {
  const { sys, socket } = fakeKernel();
  pipes(sys, 1000);
  const [from, to] = [socket(), socket()];
  sys.script("spliceThrough", through(60, 60, 1), through(40, 40, 1));
  assert.equal(await splice(from, to, { count: 100 }), 100);
  assert.deepEqual(
    sys.callsOf("spliceThrough").map(({ args }) => args[5]),
    [100, 40],
  );
  assert.equal(sys.count("shutdown"), 0);
  from.close();
  to.close();
});

test("a splice whose destination has other writers sends the bytes in the pipe, and waits for its turn", async () => {
  const { sys, socket, fire } = fakeKernel();
  pipes(sys, 1000);
  const [from, to] = [socket(), socket()];
  const b = to.fileno();
  sys.script("send", "EAGAIN");
  const before = watch(to.send("first"));
  await turn();
  sys.script("splice", 700);
  const spliced = watch(splice(from, to));
  await turn();
  assert.deepEqual(
    sys.callsOf("splice").map(({ args }) => args),
    [[from.fileno(), 501, 1000]],
  );
  sys.script("splice", 700).script("spliceThrough", through(0, 0, 0));
  fire(OUT, to);
  await turn();
  assert.equal(before.value, 5);
  assert.equal(spliced.value, 700);
  assert.deepEqual(
    sys.log
      .filter(({ name }) => name === "send" || name === "splice")
      .map(({ name, args }) => [name, args[0] === b ? b : args[1]]),
    [
      ["send", b],
      ["splice", 501],
      ["send", b],
      ["splice", b],
    ],
  );
  from.close();
  to.close();
});

test("no descriptors for a pipe is EMFILE, and nothing is taken from the source", async () => {
  const { sys, socket } = fakeKernel();
  const [from, to] = [socket(), socket()];
  sys.always("pipe", "EMFILE");
  await assert.rejects(splice(from, to), { code: "EMFILE", syscall: "pipe" });
  await assert.rejects(pump(from, to), { code: "EMFILE", syscall: "pipe" });
  assert.equal(sys.count("spliceThrough"), 0);
  from.close();
  to.close();
});

test("a destination that was reset while it ended has taken all there was", async () => {
  const { sys, socket } = fakeKernel();
  pipes(sys, 1000);
  const [from, to] = [socket(), socket()];
  sys.script("spliceThrough", through(10, 10, 0), through(0, 0, 0)).script("shutdown", "ENOTCONN", "EIO");
  assert.equal(await splice(from, to), 10);
  await assert.rejects(splice(from, to), { code: "EIO", syscall: "shutdown" });
  from.close();
  to.close();
});

test("an error of one direction of a pump takes the pipe of the other with it", async () => {
  const { sys, socket, fire } = fakeKernel();
  pipes(sys, 1000);
  const [a, b] = [socket(), socket()];
  sys.script("spliceThrough", through(700, 400, EAGAIN), through(0, 0, EAGAIN));
  sys.script("read", 300);
  const pumped = watch(pump(a, b));
  await turn();
  assert.equal(pumped.state, "pending");
  sys.script("spliceThrough", through(0, 0, ECONNRESET));
  fire(IN, b);
  await turn();
  const error = pumped.error as { code: string; aToB: { transferred: number; undelivered: Buffer } };
  assert.equal(error.code, "ECONNRESET");
  assert.equal(error.aToB.transferred, 400);
  assert.equal(error.aToB.undelivered.length, 300);
  assert.equal(sys.count("close"), 2 * sys.count("pipe"), "no pipe is left");
  a.close();
  b.close();
});
