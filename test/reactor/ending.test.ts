// A waiting call that ends before the kernel is ready: by a deadline, an abort or close(). It settles once and takes no
// byte.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { EMFILE } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

const bytes = (text: string): Buffer => Buffer.from(text);

/** Runs `start` while the time stands still, so that only their timeouts make the deadlines of its calls different. */
function atOneTime<T>(start: () => T): T {
  const { now } = performance;
  const time = performance.now();
  performance.now = () => time;
  try {
    return start();
  } finally {
    performance.now = now;
  }
}

test("a timeout rejects with ETIMEDOUT, and the next call gets the bytes that arrive later", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  await assert.rejects(conn.recv(10, { timeout: 1 }), { code: "ETIMEDOUT", syscall: "recv" });
  assert.equal(sys.waiting, 0);
  sys.script("recv", bytes("kept"));
  fire(IN, conn);
  assert.equal(sys.count("recv"), 1, "nobody waits, so nothing is read");
  assert.equal((await conn.recv(10)).toString(), "kept");
});

test("each call has its own deadline: a later call with an earlier deadline ends first, and the others keep their order", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const ended: string[] = [];
  const follow = (name: string, promise: Promise<unknown>): Promise<void> =>
    promise.then(
      () => void ended.push(name),
      (error: { code: string }) => void ended.push(`${name} ${error.code}`),
    );
  const all = atOneTime(() => [
    follow("a", conn.recv(1, { timeout: 60_000 })),
    follow("b", conn.recv(1, { timeout: 20 })),
    follow("c", conn.recv(1, { timeout: 1 })),
    follow("d", conn.recv(1)),
  ]);
  await all[2];
  await all[1];
  assert.deepEqual(ended, ["c ETIMEDOUT", "b ETIMEDOUT"]);
  sys.script("recv", bytes("1"), bytes("2"));
  fire(IN, conn);
  await Promise.all(all);
  assert.deepEqual(ended.slice(2), ["a", "d"]);
});

test("calls whose deadlines have passed together end in the order of their deadlines, then of their calls", async () => {
  const { socket } = fakeKernel();
  const conn = socket();
  const ended: string[] = [];
  const waiting = atOneTime(() =>
    (["3", "1", "2", "1 too", "0"] as const).map((name) =>
      conn.recv(1, { timeout: 1 + Number(name[0]) }).catch(() => void ended.push(name)),
    ),
  );
  // The event loop is blocked until all deadlines have passed.
  const end = performance.now() + 10;
  while (performance.now() < end);
  await Promise.all(waiting);
  assert.deepEqual(ended, ["0", "1", "1 too", "2", "3"]);
});

test("a call that can't join the queue leaves no listener on its signal", async () => {
  const { sys, socket, reactor } = fakeKernel();
  const conn = socket();
  sys.calls.openPoller = () => EMFILE;
  while (reactor.spend());
  const { signal } = new AbortController();
  await assert.rejects(async () => conn.recv(1, { signal, timeout: 60_000 }), { code: "EMFILE" });
  assert.deepEqual(getEventListeners(signal, "abort"), []);
});

test("the timeout of the socket applies to calls without a timeout; null and Infinity switch it off", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  conn.timeout = 1;
  const patient = watch(conn.recv(1, { timeout: null }));
  const endless = watch(conn.recv(1, { timeout: null }));
  await assert.rejects(conn.recv(1), { code: "ETIMEDOUT" });
  await assert.rejects(conn.readable(), { code: "ETIMEDOUT", syscall: "poll" });
  assert.equal(patient.state, "pending");
  sys.script("recv", bytes("1"), bytes("2"));
  fire(IN, conn);
  await turn();
  assert.equal(patient.state, "resolved");
  assert.equal(endless.state, "resolved");
});

test("with a timeout of 0 a call returns the available bytes and does not wait", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  sys.script("recv", bytes("there"));
  assert.equal((await conn.recv(5, { timeout: 0 })).toString(), "there");
  await assert.rejects(conn.recv(5, { timeout: 0 }), { code: "ETIMEDOUT" });
});

test("a call that waits only for the next turn makes its attempt before its deadline ends it", async () => {
  const { reactor, socket, sys } = fakeKernel();
  const conn = socket();
  sys.script("recv", bytes("there"));
  // Timers run first after an immediate.
  await turn();
  while (reactor.spend());
  const received = conn.recv(5, { timeout: 0 });
  const end = performance.now() + 5;
  while (performance.now() < end);
  assert.equal((await received).toString(), "there");
});

test("an abort rejects with the reason of the signal, of any type", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  for (const reason of [new Error("enough"), "a string", 0, null, Object.freeze({ frozen: true })]) {
    const controller = new AbortController();
    const received = conn.recv(10, { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(received, (error: unknown) => error === reason);
  }
  const controller = new AbortController();
  const received = conn.recv(10, { signal: controller.signal });
  controller.abort();
  await assert.rejects(received, { name: "AbortError" });
  assert.equal(sys.waiting, 0);
});

test("a signal that is aborted already refuses the call before any system call", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  const signal = AbortSignal.abort(new Error("before"));
  const calls = [
    conn.recv(1, { signal }),
    conn.recvInto(Buffer.alloc(1), { signal }),
    conn.recvfrom(1, { signal }),
    conn.recvfromInto(Buffer.alloc(1), { signal }),
    conn.send("x", { signal }),
    conn.sendAll("x", { signal }),
    conn.sendto("x", "127.0.0.1:9", { signal }),
    conn.accept({ signal }),
    conn.connect("127.0.0.1:9", { signal }),
    conn.bind("127.0.0.1:9", { signal }),
    conn.readable({ signal }),
    conn.writable({ signal }),
  ];
  for (const call of calls) await assert.rejects(call, /before/);
  assert.deepEqual(sys.log, []);
});

test("an abort of a call in the middle of the queue does not change the order of the others", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  const controllers = [0, 1, 2, 3].map(() => new AbortController());
  const calls = controllers.map(({ signal }) => watch(conn.recv(1, { signal })));
  controllers[1]!.abort();
  controllers[3]!.abort();
  sys.script("recv", bytes("a"), bytes("b"));
  fire(IN, conn);
  await turn();
  assert.deepEqual(
    calls.map(({ state, value }) => value?.toString() ?? state),
    ["a", "rejected", "b", "rejected"],
  );
});

test("an abort after the completion has no effect; an abort before it leaves the bytes in the kernel", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  const late = new AbortController();
  sys.script("recv", "EAGAIN", bytes("first"), "EAGAIN");
  const received = conn.recv(5, { signal: late.signal });
  fire(IN, conn);
  // The promise is settled, but its continuations have not run yet.
  late.abort();
  assert.equal((await received).toString(), "first");

  const early = new AbortController();
  const aborted = conn.recv(5, { signal: early.signal });
  sys.script("recv", bytes("second"));
  early.abort();
  fire(IN, conn);
  await assert.rejects(aborted, { name: "AbortError" });
  assert.equal((await conn.recv(6)).toString(), "second");
});

test("a settled call leaves no listener on its signal", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  const { signal } = new AbortController();
  const listeners = (): number => getEventListeners(signal, "abort").length;
  const waiting = [conn.recv(1, { signal }), conn.recv(1, { signal, timeout: 1 }), conn.recv(1, { signal })];
  assert.equal(listeners(), 1, "one listener for all the calls of a signal");
  await assert.rejects(waiting[1]!, { code: "ETIMEDOUT" });
  sys.script("recv", bytes("1"));
  fire(IN, conn);
  await waiting[0];
  assert.equal(listeners(), 1);
  const more = conn.recv(1, { signal });
  conn.close();
  await assert.rejects(waiting[2]!, { code: "ECANCELED" });
  await assert.rejects(more, { code: "ECANCELED" });
  assert.equal(listeners(), 0);
});

test("close() rejects the waiting calls of both directions with ECANCELED, once, and lets the kernel remove the registration", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  sys.script("send", "EAGAIN").script("poll", 0, 0);
  const calls = [
    [conn.recv(1), "recv"],
    [conn.recvfrom(1), "recvfrom"],
    [conn.accept(), "accept"],
    [conn.readable(), "poll"],
    [conn.send("x"), "send"],
    [conn.sendto("x", "127.0.0.1:9"), "sendto"],
    [conn.writable(), "poll"],
  ] as const;
  const ended = calls.map(([call, syscall]) => assert.rejects(call, { code: "ECANCELED", syscall }));
  conn.close();
  await Promise.all(ended);
  assert.equal(sys.log.at(-1)!.name, "close");
  assert.equal(sys.count("pollerRemove"), 0);
  assert.equal(sys.waiting, 0);
  conn.close();
  assert.equal(sys.count("close"), 1);
  assert.equal(conn.fileno(), -1);
});

test("close() removes the registration first if a duplicate may exist, because fileno() was called", async () => {
  const { socket, sys } = fakeKernel();
  const known = socket();
  known.fileno();
  const waits = assert.rejects(known.recv(1), { code: "ECANCELED" });
  known.close();
  await waits;
  assert.deepEqual(sys.log.map((call) => call.name).slice(-2), ["pollerRemove", "close"]);
});

test("detach() rejects waiting calls with ECANCELED and returns the open descriptor", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  const fd = conn.fileno();
  const received = assert.rejects(conn.recv(1), { code: "ECANCELED" });
  assert.equal(conn.detach(), fd);
  await received;
  assert.equal(sys.count("close"), 0);
  assert.equal(sys.count("release"), 1);
  assert.equal(sys.isRegistered(fd), false);
  assert.throws(() => conn.detach(), { code: "EBADF" });
});

test("sendAll() continues after short writes, and the bytes of two calls do not mix", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  const fd = conn.fileno();
  sys.script("send", 3, "EAGAIN", 1, "EINTR", 2, "EAGAIN");
  const first = conn.sendAll("0123456789");
  const second = watch(conn.sendAll("abcdef"));
  assert.equal(sys.sent(fd).toString(), "012");
  fire(OUT, conn);
  assert.equal(sys.sent(fd).toString(), "012345");
  assert.equal(second.state, "pending");
  fire(OUT, conn);
  await first;
  await turn();
  assert.equal(second.state, "resolved");
  assert.equal(sys.sent(fd).toString(), "0123456789abcdef");
});

test("sendAll() of a list continues in the middle of a part", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  sys.script("sendmsg", 2, "EAGAIN", 3, 1);
  const sent = conn.sendAll(["ab", bytes("cdef"), "", "ghi"]);
  fire(OUT, conn);
  await sent;
  assert.equal(sys.sent(conn.fileno()).toString(), "abcdefghi");
  assert.deepEqual(
    sys.callsOf("sendmsg").map((call) => call.args[2]),
    [0, 2, 2, 5, 6],
  );
});

test("the error of an interrupted sendAll() has the number of sent bytes", async () => {
  const { socket, sys } = fakeKernel();
  const cut = async (
    end: (controller: AbortController, close: () => void) => void,
    timeout?: number,
  ): Promise<unknown> => {
    const conn = socket();
    sys.script("send", 4, "EAGAIN");
    const controller = new AbortController();
    const sent = conn.sendAll("0123456789", { signal: controller.signal, timeout });
    end(controller, () => conn.close());
    return sent.then(
      () => assert.fail("it was cut"),
      (error: unknown) => error,
    );
  };
  const shape = (error: unknown): unknown => {
    const { code, syscall, transferred } = error as { code: unknown; syscall: unknown; transferred: unknown };
    return [code, syscall, transferred];
  };
  assert.deepEqual(shape(await cut(() => {}, 1)), ["ETIMEDOUT", "send", 4]);
  assert.deepEqual(shape(await cut((_, close) => close())), ["ECANCELED", "send", 4]);
  const reason = new Error("stop");
  const aborted = await cut((controller) => controller.abort(reason));
  assert.equal(aborted, reason);
  assert.equal((aborted as { transferred?: number }).transferred, 4);

  const conn = socket();
  sys.script("send", 4, "EPIPE");
  await assert.rejects(conn.sendAll("0123456789"), {
    code: "EPIPE",
    transferred: 4,
    message: "send EPIPE: broken pipe (4 bytes had been sent)",
  });
  sys.script("send", "EPIPE");
  await assert.rejects(conn.sendAll("0123456789"), { code: "EPIPE", transferred: 0 });
});

test("a sendAll() after an interrupted one starts with its own first byte", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  const controller = new AbortController();
  sys.script("send", 2, "EAGAIN");
  const first = conn.sendAll("xxxx", { signal: controller.signal });
  const second = conn.sendAll("yyyy");
  controller.abort();
  await assert.rejects(first, { name: "AbortError" });
  fire(OUT, conn);
  await second;
  assert.equal(sys.sent(conn.fileno()).toString(), "xxyyyy");
});

/** Detaches the memory of a view. */
function detach(view: Uint8Array): void {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
}

test("a call whose buffer is detached while it waits rejects with EFAULT, and does not return 0", async () => {
  const { socket, sys, fire } = fakeKernel();
  const conn = socket();
  sys.script("send", "EAGAIN").script("sendto", "EAGAIN");
  const views = [0, 1, 2, 3, 4].map(() => new Uint8Array(4));
  const reads = [conn.recvInto(views[0]!), conn.recvfromInto(views[1]!)];
  const writes = [conn.send(views[2]!), conn.sendto(views[3]!, "127.0.0.1:9"), conn.sendAll(views[4]!)];
  views.forEach(detach);
  const ended = [...reads, ...writes].map((call) => assert.rejects(call, { code: "EFAULT" }));
  fire(IN | OUT, conn);
  await Promise.all(ended);
  assert.equal(sys.sent(conn.fileno()).length, 0);
});

test("an empty view is not a detached one: sending and receiving 0 bytes is no error", async () => {
  const { socket, sys } = fakeKernel();
  const conn = socket();
  sys.script("recv", 0);
  assert.equal(await conn.recvInto(new Uint8Array(0)), 0);
  assert.equal(await conn.send(new Uint8Array(0)), 0);
  await conn.sendAll("");
  await conn.sendAll([]);
  assert.equal(await conn.sendto("", "127.0.0.1:9"), 0);
});
