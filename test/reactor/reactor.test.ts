// The reactor on a fake kernel: tokens, what keeps the process alive, the budget of a turn.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Reactor, type EventHandler } from "#berkeley/reactor/index.js";
import { FakeSys } from "#berkeley/testing/fakeSys.js";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

const bytes = (text: string): Buffer => Buffer.from(text);

/** A handler that records its events. */
class Ear implements EventHandler {
  readonly heard: number[] = [];
  onReady(events: number): void {
    this.heard.push(events);
  }
}

test("each registration gets its own events, with all their bits", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const ears = [new Ear(), new Ear(), new Ear()];
  ears.forEach((ear, index) => reactor.add(10 + index, ear));
  assert.equal(reactor.registered, 3);
  sys.fire([sys.token(12), IN], [sys.token(10), OUT], [sys.token(12), 0x2011]);
  assert.deepEqual(
    ears.map((ear) => ear.heard),
    [[OUT], [], [IN, 0x2011]],
  );
});

test("a source that throws does not keep events from other sources; its error is thrown after them", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const ears = [new Ear(), new Ear()];
  const error = new Error("a fault of ours");
  reactor.add(10, ears[0]!);
  reactor.add(11, {
    onReady: () => {
      throw error;
    },
  });
  reactor.add(12, ears[1]!);
  assert.throws(() => sys.fire([sys.token(10), IN], [sys.token(11), IN], [sys.token(12), OUT]), error);
  assert.deepEqual([ears[0]!.heard, ears[1]!.heard], [[IN], [OUT]]);
});

test("calls that begin to wait in the same batch of events have the same time; later calls read the clock", async () => {
  using clock = new TestClock();
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const times: number[] = [];
  const first = reactor.now();
  reactor.add(10, { onReady: () => void times.push(reactor.now()) });
  await clock.advance(5);
  sys.fire([sys.token(10), IN], [sys.token(10), IN]);
  await clock.advance(5);
  times.push(reactor.now());
  sys.fire([sys.token(10), IN]);
  await clock.advance(5);
  sys.fireMore([sys.token(10), IN]);
  assert.deepEqual(
    times.map((time) => time - first),
    [5, 5, 10, 10, 15],
  );
});

test("the poller is opened once, by the first registration", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  assert.equal(sys.count("openPoller"), 0);
  reactor.add(10, new Ear());
  reactor.add(11, new Ear());
  assert.equal(sys.count("openPoller"), 1);
});

test("a poller that cannot be opened is a negative errno, and is tried again later", () => {
  const sys = new FakeSys();
  const open = sys.calls.openPoller.bind(sys.calls);
  sys.calls.openPoller = () => -24;
  const reactor = new Reactor(sys.calls);
  assert.equal(reactor.add(10, new Ear()), -24);
  assert.equal(reactor.failedCall, "epoll_create1");
  sys.calls.openPoller = open;
  assert.equal(reactor.add(10, new Ear()), 0);
  assert.equal(reactor.failedCall, "epoll_ctl");
});

test("calls that wait for their turn are counted before the poller is open, and keep the open poller referenced", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  reactor.hold();
  reactor.hold();
  reactor.release();
  assert.equal(reactor.waiting, 1);
  assert.equal(sys.count("openPoller"), 0);
  reactor.add(10, new Ear());
  assert.equal(reactor.waiting, 1);
  assert.equal(sys.count("pollerRef"), 1);
  reactor.release();
  assert.equal(reactor.waiting, 0);
});

test("an event for an ended registration calls nothing", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const ear = new Ear();
  const slot = reactor.add(10, ear);
  const stale = sys.token(10);
  reactor.remove(10, slot);
  sys.fire([stale, IN]);
  assert.deepEqual(ear.heard, []);
});

test("a reused slot has another generation, so its new owner gets no stale event", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const first = new Ear();
  const slot = reactor.add(10, first);
  const stale = sys.token(10);
  reactor.remove(10, slot);
  const second = new Ear();
  assert.equal(reactor.add(10, second), slot, "the same descriptor number, the same slot");
  const fresh = sys.token(10);
  assert.equal(fresh.slot, stale.slot);
  assert.notEqual(fresh.generation, stale.generation);
  sys.fire([stale, IN], [fresh, OUT]);
  assert.deepEqual(first.heard, []);
  assert.deepEqual(second.heard, [OUT]);
});

test("generations are 32-bit numbers and wrap around", () => {
  const sys = new FakeSys();
  const reactor = new Reactor(sys.calls);
  const ear = new Ear();
  const slot = reactor.add(10, ear);
  // As many reuses as it takes can't be made here; the comparison is what is at stake, so the kernel answers with the
  // signed form of the same number, as it does for every generation above 2^31.
  const { generation } = sys.token(10);
  sys.fire([{ slot, generation: generation | 0 }, IN], [{ slot, generation: generation + 2 ** 32 }, OUT]);
  assert.deepEqual(ear.heard, [IN, OUT]);
});

test("the slot of a registration that the kernel refuses is free again", () => {
  const sys = new FakeSys().script("pollerAdd", "ENOMEM");
  const reactor = new Reactor(sys.calls);
  assert.equal(reactor.add(10, new Ear()), -12);
  assert.equal(reactor.registered, 0);
  assert.equal(reactor.add(11, new Ear()), 0);
});

test("a descriptor that is closed during a batch gets no more events of that batch", async () => {
  const { sys, socket, fire } = fakeKernel();
  const [one, two] = [socket(), socket()];
  sys.script("recv", "EAGAIN", "EAGAIN", bytes("1"));
  const first = one.recv(1).then(() => two.close());
  const second = watch(two.recv(1));
  const token = sys.token(two.fileno());
  // Both events were fetched together. The continuations of the first run before the second batch of the turn.
  fire(IN, one);
  await first;
  sys.fireMore([token, IN]);
  await turn();
  assert.equal(second.state, "rejected");
  assert.equal((second.error as { code: string }).code, "ECANCELED");
  assert.equal(sys.count("recv"), 3);
});

test("all events of a batch are handled before any continuation runs", async () => {
  const { sys, socket, fire } = fakeKernel();
  const [one, two] = [socket(), socket()];
  sys.script("recv", "EAGAIN", "EAGAIN", bytes("1"), bytes("2"));
  const first = one.recv(1).then(() => two.close());
  const second = two.recv(1);
  fire(IN, one, two);
  await first;
  assert.equal((await second).toString(), "2", "what was received is delivered although the socket is closed by now");
});

test("the poller is referenced once when the first call waits, and unreferenced before the loop blocks without a waiting call", async () => {
  const { sys, socket, fire } = fakeKernel();
  const [one, two] = [socket(), socket()];
  const first = one.recv(1);
  const second = two.recv(1);
  assert.equal(sys.count("pollerRef"), 1);
  assert.equal(sys.block(), true);
  sys.script("recv", bytes("1"), bytes("2"));
  fire(IN, one);
  await first;
  assert.equal(sys.block(), true, "the second still waits");
  fire(IN, two);
  await second;
  // Another wait in the same turn makes no system call.
  const third = two.recv(1);
  assert.equal(sys.count("pollerRef"), 1);
  two.close();
  await assert.rejects(third, { code: "ECANCELED" });
  assert.equal(sys.block(), false, "nothing waits");
  const fourth = one.recv(1);
  assert.equal(sys.count("pollerRef"), 2);
  assert.equal(sys.block(), true);
  one.close();
  await assert.rejects(fourth, { code: "ECANCELED" });
  assert.equal(sys.block(), false);
});

test("a call releases its references however it ends: timeout, abort, close, error, completion", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conn = socket();
  const controller = new AbortController();
  sys.script("send", "EAGAIN");
  const calls = [
    conn.recv(1, { signal: controller.signal }),
    conn.recv(1, { timeout: 1 }),
    conn.recv(1),
    conn.recv(1),
    conn.send("x"),
  ];
  assert.equal(sys.waiting, 5);
  controller.abort();
  assert.equal(sys.waiting, 4);
  const settled = Promise.allSettled(calls);
  await assert.rejects(calls[1]!, { code: "ETIMEDOUT" });
  assert.equal(sys.waiting, 3);
  sys.script("recv", bytes("1"), "ECONNRESET");
  fire(IN, conn);
  assert.equal(sys.waiting, 1);
  conn.close();
  assert.equal(sys.waiting, 0);
  assert.deepEqual(
    (await settled).map((end) => end.status),
    ["rejected", "rejected", "fulfilled", "rejected", "rejected"],
  );
});

test("a loop over a socket that always has bytes waits for the next turn when the budget is spent", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  sys.always("recv", bytes("x"));
  let rounds = 0;
  const state = { stop: false };
  const loop = (async () => {
    while (!state.stop) {
      await conn.recv(1);
      rounds++;
    }
  })();
  const perTurn: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = rounds;
    await turn();
    perTurn.push(rounds - before);
  }
  state.stop = true;
  await loop;
  for (const count of perTurn) assert.ok(count >= 100 && count <= 1000, `rounds per turn: ${perTurn.join(", ")}`);
});

test("large reads use up the budget by their bytes", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket();
  const chunk = 1 << 20;
  const buffer = new Uint8Array(chunk);
  sys.always("recv", chunk);
  let rounds = 0;
  const state = { stop: false };
  const loop = (async () => {
    while (!state.stop) {
      await conn.recvInto(buffer);
      rounds++;
    }
  })();
  await turn();
  const before = rounds;
  await turn();
  assert.ok(rounds - before > 0 && rounds - before <= 16, `${rounds - before} MiB in a turn`);
  state.stop = true;
  await loop;
});

test("one large sendAll() to a peer that always accepts bytes does not delay other calls", async () => {
  const { sys, socket } = fakeKernel();
  const [big, small] = [socket(), socket()];
  sys.always("send", (_fd, data, offset = 0) => Math.min(1 << 16, (data as Uint8Array).length - (offset as number)));
  const all = watch(big.sendAll(new Uint8Array(64 << 20)));
  let turns = 0;
  while (all.state === "pending") {
    await small.send("tick");
    await turn();
    turns++;
  }
  assert.equal(all.state, "resolved");
  assert.equal(sys.sent(big.fileno()).length, 64 << 20);
  assert.ok(turns >= 4, `${turns} turns`);
});

test("calls that the budget has deferred are served in their order", async () => {
  const { sys, socket } = fakeKernel();
  sys.always("recv", bytes("x"));
  const conns = Array.from({ length: 2000 }, () => socket());
  const order: number[] = [];
  const all = conns.map(async (conn, index) => {
    await conn.recv(1);
    order.push(index);
  });
  assert.ok(sys.count("recv") < 1000, `${sys.count("recv")} calls in the first turn`);
  await Promise.all(all);
  assert.deepEqual(order, [...order.keys()]);
  assert.equal(sys.waiting, 0);
});

test("the budget grows with the events of a turn, so all sockets that are ready together are served", async () => {
  const { sys, socket, fire } = fakeKernel();
  const conns = Array.from({ length: 1000 }, () => socket());
  const received = conns.map((conn) => watch(conn.recv(1)));
  await turn();
  for (let i = 0; i < 10 && sys.count("pollerAdd") < conns.length; i++) await turn();
  const before = sys.count("recv");
  sys.always("recv", bytes("x"));
  fire(IN, ...conns);
  assert.equal(sys.count("recv") - before, conns.length);
  await turn();
  assert.ok(received.every(({ state }) => state === "resolved"));
});
