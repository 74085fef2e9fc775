// The registry. Off, it has no entries. On, it records sockets and waiting calls, and passes them to its listeners.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { test } from "node:test";
import { AF_INET, pending, SOCK_STREAM, setTracing, Socket, socketpair } from "berkeley";
import * as sync from "berkeley/sync";
import {
  attachListener,
  type CallRecord,
  makeDescribable,
  describe,
  detachListener,
  Inspectable,
  type ObjectRecord,
  registry,
} from "#berkeley/registry/index.js";
import { defaultReactor } from "#berkeley/reactor/index.js";
import { callerLine } from "#berkeley/registry/callerLine.js";
import { fakeKernel, IN, turn } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("the registry is off at first, and off again after its last listener", () => {
  assert.equal(registry, undefined);
  const [one, other] = [{}, {}];
  attachListener(one);
  attachListener(other);
  setTracing(true);
  detachListener(one);
  detachListener(other);
  assert.notEqual(registry, undefined, "tracing keeps it on");
  setTracing(false);
  assert.equal(registry, undefined);
  detachListener(one);
  assert.equal(registry, undefined);
});

test("a listener gets each socket that is made and closed, and each call that begins and ends to wait", async () => {
  const log: string[] = [];
  const seen: (CallRecord | ObjectRecord)[] = [];
  const listener = {
    onObjectMade: (record: ObjectRecord): void =>
      void (log.push(`made ${describe(record.object.deref())?.kind}`), seen.push(record)),
    onObjectClosed: (): void => void log.push("closed"),
    onCallBegun: (record: CallRecord): void => void (log.push(`begun ${record.call}`), seen.push(record)),
    onCallEnded: ({ call }: CallRecord): void => void log.push(`ended ${call}`),
  };
  const before = new Socket();
  attachListener(listener);
  try {
    const [left, right] = socketpair();
    const blocking = new sync.Socket(AF_INET, SOCK_STREAM);
    assert.equal([...registry!.objects].length, 3);
    assert.deepEqual(log.splice(0), ["made Socket", "made Socket", "made Socket"]);
    await left.send("x");
    await right.recv(1);
    assert.deepEqual(log, [], "calls that succeed at once are not recorded");
    const received = right.recv(1);
    await left.send("y");
    await received;
    assert.deepEqual(log.splice(0), ["begun recv", "ended recv"]);
    const cut = right.recv(1);
    right.close();
    await assert.rejects(cut);
    assert.deepEqual(log.splice(0), ["begun recv", "closed", "ended recv"]);
    blocking.close();
    closeSync(left.detach());
    before.close();
    for (const record of seen) assert.match(record.line ?? "", /registry\.internals\.test\.(js|ts):\d+:\d+$/);
    assert.deepEqual(
      [...registry!.objects].map(({ object }) => object.deref()),
      [],
      "a socket from before is unknown, and its end too",
    );
  } finally {
    detachListener(listener);
  }
});

test(
  "the registry holds its objects weakly",
  { skip: globalThis.gc === undefined && "needs --expose-gc" },
  async () => {
    const listener = {};
    attachListener(listener);
    registry!.addObject({});
    await turn();
    globalThis.gc!();
    assert.equal([...registry!.objects].filter(({ object }) => object.deref() !== undefined).length, 0);
    detachListener(listener);
  },
);

test("the reactor lists the calls of each queue once, also those that wait for their turn", async () => {
  const { socket, reactor, fire } = fakeKernel();
  const one = socket();
  const list = (): string[] => {
    const found: string[] = [];
    reactor.forEachWaiter(({ operation }, { fd }) => found.push(`${operation.syscall} ${fd}`));
    return found.sort();
  };
  assert.deepEqual(list(), []);
  const fd = one.fileno();
  const reading = [one.recv(1), one.recv(1)];
  assert.deepEqual(list(), [`recv ${fd}`, `recv ${fd}`]);
  while (reactor.spend());
  const deferred = one.send("x");
  assert.deepEqual(list(), [`recv ${fd}`, `recv ${fd}`, `send ${fd}`]);
  fire(IN, one);
  one.close();
  await Promise.allSettled([...reading, deferred]);
  assert.deepEqual(list(), []);
  assert.deepEqual(pending(), []);
  assert.equal(defaultReactor().waiting, 0);
});

test("a description that fails has the kind only, and a class of another kind keeps its own", () => {
  class Odd extends Inspectable<{ readonly kind: "Odd"; readonly value: number }> {}
  makeDescribable<Odd, { readonly kind: "Odd"; readonly value: number }>(Odd.prototype, "Odd", () => {
    throw new Error("no fields");
  });
  assert.deepEqual(describe(new Odd()), { kind: "Odd" });
  assert.equal(`${new Odd()}`, "Odd {}");
  class Other extends Odd {}
  makeDescribable<Other, { readonly kind: "Other"; readonly value: number }>(
    Other.prototype,
    "Other",
    () => ({ kind: "Odd", value: 1 }) as never,
  );
  assert.deepEqual(describe(new Other()), { kind: "Other", value: 1 });
  for (const value of [undefined, null, 1, "x", {}, []]) assert.equal(describe(value), undefined);
});

test("callerLine() returns a line of this file with any limit of frames, and does not change the limit", () => {
  const { stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 0;
    assert.match(callerLine() ?? "", /registry\.internals\.test\.(js|ts):\d+:\d+$/);
    assert.equal(Error.stackTraceLimit, 0);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
});
