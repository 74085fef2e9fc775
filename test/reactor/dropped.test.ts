// A reactor without references, for example after a test runner has dropped an evaluation of the package: its poller is
// closed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Descriptor } from "#berkeley/reactor/index.js";
import { Reactor } from "#berkeley/reactor/index.js";
import { calls } from "#berkeley/sys/calls.js";
import { RECV } from "#berkeley/ops/recv.js";
import { turn } from "../support/clock.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

const gc = (globalThis as { gc?: () => void }).gc!;

function pair(): [number, number] {
  const bytes = new Uint8Array(8);
  assert.equal(calls.socketpair(1, 1, 0, bytes), 0);
  const words = new Int32Array(bytes.buffer);
  return [words[0]!, words[1]!];
}

/** Collects garbage several times. Resolves with true as soon as `check` returns true. */
async function collected(check: () => boolean): Promise<boolean> {
  for (let round = 0; round < 50 && !check(); round++) {
    gc();
    await turn();
  }
  return check();
}

/** Makes a reactor on which a call has waited. */
async function used(): Promise<WeakRef<Reactor>> {
  const reactor = new Reactor();
  const [left, right] = pair();
  const descriptor = new Descriptor(right, false, reactor);
  const waiting = descriptor.reading.run({}, RECV, 10, 0, null, undefined);
  assert.equal(calls.send(left, Buffer.from("x")), 1);
  assert.equal(String(await waiting), "x");
  calls.close(left);
  descriptor.close();
  return new WeakRef(reactor);
}

test("fifty dropped reactors on which calls have waited leave no descriptor and are collected", async () => {
  const before = openDescriptors();
  const reactors: WeakRef<Reactor>[] = [];
  for (let round = 0; round < 50; round++) reactors.push(await used());
  await collected(() => openDescriptors().size <= before.size);
  assert.deepEqual([...openDescriptors()], [...before]);
  assert.equal(reactors.filter((reactor) => reactor.deref() !== undefined).length, 0);
});

/** Makes a reactor that is only referenced by its waiting call. */
function wait(fd: number): [reactor: WeakRef<Reactor>, received: Promise<string>] {
  const reactor = new Reactor();
  const descriptor = new Descriptor(fd, false, reactor);
  const received = descriptor.reading.run({}, RECV, 10, 0, null, undefined).then((data) => {
    descriptor.close();
    return data.toString();
  });
  return [new WeakRef(reactor), received];
}

test("a reactor with a waiting call is not collected before the call ends", async () => {
  const before = openDescriptors();
  const [left, right] = pair();
  const [reactor, received] = wait(right);
  for (let round = 0; round < 10; round++) {
    gc();
    await turn();
  }
  assert.notEqual(reactor.deref(), undefined);
  assert.equal(calls.send(left, Buffer.from("still here")), 10);
  assert.equal(await received, "still here");
  calls.close(left);
  await collected(() => openDescriptors().size <= before.size);
  assert.deepEqual([...openDescriptors()], [...before]);
  assert.equal(reactor.deref(), undefined);
});

test("events for the registrations of a dropped reactor call nothing and do no harm", async () => {
  const before = openDescriptors().size;
  const [left, right] = pair();
  (() => {
    const reactor = new Reactor();
    assert.ok(reactor.add(right, { onReady: () => {} }) >= 0);
  })();
  for (let round = 0; round < 20; round++) {
    calls.send(left, Buffer.from("x"));
    gc();
    // The poller fetches the event before, during or after the collection of the reactor.
    await turn();
  }
  calls.close(left);
  calls.close(right);
  assert.ok(await collected(() => openDescriptors().size <= before));
});
