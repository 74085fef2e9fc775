// Calls of a Conn that is written in JavaScript: one event listener per signal, which is removed in every case.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { type SocketError, socketpair } from "berkeley";
import { FakeClock, memoryPair } from "berkeley/testing";
import { localError } from "#berkeley/wait/localError.js";
import { PendingCall } from "#berkeley/wait/pendingCall.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

class Call extends PendingCall<string> {
  cancels = 0;

  protected override cancel(): SocketError {
    this.cancels++;
    return localError("ETIMEDOUT", "call", { transferred: 3 });
  }
}

test("calls in memory and calls on sockets share one event listener of their signal", async () => {
  const control = new AbortController();
  const { signal } = control;
  const reason = new Error("enough");
  const conns = Array.from({ length: 12 }, () => memoryPair());
  const sockets = Array.from({ length: 12 }, () => socketpair());
  const calls = [
    ...conns.map(([a]) => a.read(Buffer.alloc(1), { signal })),
    ...sockets.map(([a]) => a.recv(1, { signal })),
  ];
  assert.equal(listeners(signal), 1);
  const [first] = conns;
  await first![1].write("x");
  assert.equal(await calls[0], 1);
  assert.equal(listeners(signal), 1);
  const rest = Promise.allSettled(calls.slice(1));
  control.abort(reason);
  assert.equal(listeners(signal), 0);
  for (const outcome of await rest) assert.equal((outcome as PromiseRejectedResult).reason, reason);
  for (const [a, b] of conns) await Promise.all([a.close(), b.close()]);
  for (const socket of sockets.flat()) socket.close();
});

test("a call removes its listener when it settles, times out or is aborted", async () => {
  const clock = new FakeClock();
  const control = new AbortController();
  const { signal } = control;
  const settled = new Call({ signal, timeout: 10 }, clock);
  const late = new Call({ signal, timeout: 20 }, clock);
  const aborted = new Call({ signal, timeout: 30 }, clock);
  assert.equal(listeners(signal), 1);
  settled.resolve("done");
  assert.equal(await settled.promise, "done");
  const rejected = assert.rejects(late.promise, { code: "ETIMEDOUT" });
  await clock.advance(25);
  await rejected;
  assert.equal(listeners(signal), 1);
  const reason: { transferred?: number } = {};
  control.abort(reason);
  await assert.rejects(aborted.promise, (error) => error === reason);
  assert.equal(reason.transferred, 3);
  assert.equal(listeners(signal), 0);
  await clock.advance(25);
  assert.deepEqual([settled.cancels, late.cancels, aborted.cancels], [0, 1, 1]);
});

test("a reason whose transferred can't be set is passed on unchanged, to all calls", async () => {
  const control = new AbortController();
  const reason = Object.defineProperty({}, "transferred", { value: "mine" });
  const calls = [new Call({ signal: control.signal }), new Call({ signal: control.signal })];
  control.abort(reason);
  for (const { promise } of calls) await assert.rejects(promise, (error) => error === reason);
  assert.equal(Reflect.get(reason, "transferred"), "mine");
});
