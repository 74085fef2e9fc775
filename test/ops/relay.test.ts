// Relays. The tests write the words of the shared array that the poller would write.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "#berkeley/testing/fakeSys.js";
import { EAGAIN, EPIPE } from "#berkeley/sys/errno.js";
import {
  detachRelay,
  type Flow,
  type FlowEnd,
  closeAndMergeRelay,
  DESTINATION_FULL,
  SPLICE,
} from "#berkeley/ops/spliceOperation.js";
import { PipePool } from "#berkeley/ops/pipes.js";
import { type Relay, RelayTable } from "#berkeley/reactor/relay.js";

// The layout of native/relay.c.
const RELAY_WORDS = 10;
const PIPES_AT = 1024 * RELAY_WORDS;
const ENABLED = 1;
const REPORT_WRITABLE = 2;
const MUST_STOP = 4;
const WRITABLE_UNREPORTED = 8;
const QUEUED = 16;
const SMALL_READ = 32;
const SHORT_READ_IS_EMPTY = 64;
const SLOT = 3;
/** The first word of the relay. */
const AT = SLOT * RELAY_WORDS;

class End implements FlowEnd {
  readonly fd: number;
  readonly reading = { shortMeansEmpty: true, shortMeansEnd: false };
  readonly reactor = { spendBytes: (): void => undefined };
  /** The calls of the methods of `writing`. */
  readonly log: string[] = [];
  readonly writing = {
    busy: false,
    setNotReady: (): void => void this.log.push("setNotReady"),
    wake: (): void => void this.log.push("wake"),
  };
  outflow: Relay | undefined;
  inflow: Relay | undefined;
  readonly #relay: (() => Relay | undefined) | undefined;

  constructor(fd: number, relay?: () => Relay | undefined) {
    this.fd = fd;
    this.#relay = relay;
  }

  makeRelay(): Relay | undefined {
    return this.#relay?.();
  }
}

/** A flow that waits for its source: its first attempt has returned EAGAIN and opened the relay. */
function waitingFlow(limit = Infinity): {
  words: Int32Array;
  sys: FakeSys;
  pool: PipePool;
  flow: Flow<End>;
  active: (number | undefined)[];
  attempt: () => number;
} {
  const sys = new FakeSys();
  sys.always("spliceThrough", EAGAIN).always("pipe", (_size, pair) => {
    const bytes = pair as Uint8Array;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setInt32(0, sys.newFd(), true);
    view.setInt32(4, sys.newFd(), true);
    return 65_536;
  });
  const words = new Int32Array(PIPES_AT + 48);
  const table = RelayTable.at(words, 0)!;
  const pool = new PipePool(65_536);
  pool.addUser(sys.calls);
  const active: (number | undefined)[] = [];
  const flow: Flow<End> = {
    from: new End(7, () => table.makeRelay(SLOT, 5)),
    to: new End(8),
    pipes: pool,
    limit,
    pipe: undefined,
    received: 0,
    sent: 0,
    smallReads: true,
    noteActivity: (at) => void active.push(at),
  };
  const attempt = (): number => SPLICE.attempt(sys.calls, 7, flow, undefined);
  assert.equal(attempt(), EAGAIN);
  return { words, sys, pool, flow, active, attempt };
}

test("a flow that waits for its source opens a relay with its source, destination and pipe", () => {
  const { words } = waitingFlow();
  const place = words[AT + 4]!;
  assert.deepEqual([...words.subarray(AT, AT + 4)], [ENABLED | SMALL_READ | SHORT_READ_IS_EMPTY, 5, 7, 8]);
  const [readEnd, writeEnd, capacity] = words.subarray(PIPES_AT + place * 3);
  assert.ok(readEnd! > 0 && writeEnd! > 0);
  assert.equal(capacity, 65_536);
});

test("each attempt uses the current value of shortMeansEmpty", () => {
  const { words, sys, flow, attempt } = waitingFlow();
  flow.from.reading.shortMeansEmpty = false;
  assert.equal(attempt(), EAGAIN);
  assert.equal(words[AT], ENABLED | SMALL_READ);
  assert.deepEqual(
    sys.callsOf("spliceThrough").map(({ args }) => args[7]),
    [3, 1],
  );
});

test("the bytes that a relay has sent are added to the flow, in more than 32 bits", () => {
  const { words, flow, active } = waitingFlow();
  words[AT + 5] = 7;
  words[AT + 6] = 2;
  assert.equal(closeAndMergeRelay(flow), undefined);
  assert.equal(flow.sent, 2 * 2 ** 32 + 7);
  assert.equal(flow.received, flow.sent);
  assert.equal(words[AT], 0, "the relay is closed");
  assert.equal(active.length, 1);
  assert.equal(closeAndMergeRelay(flow), undefined);
  assert.equal(flow.sent, 2 * 2 ** 32 + 7, "the bytes count once");
});

test("if the destination is full, the flow gets the pipe with the rest, and relays get another pipe", () => {
  const { words, sys, pool, flow, attempt } = waitingFlow();
  const pipeAt = PIPES_AT + words[AT + 4]! * 3;
  const readEnd = words[pipeAt]!;
  words.set([0, 5, 7, 8], AT);
  words[AT + 5] = 100;
  words[AT + 7] = 40;
  words[AT + 8] = EAGAIN;
  words[pipeAt] = -1;
  assert.equal(attempt(), DESTINATION_FULL);
  assert.deepEqual([flow.received, flow.sent, flow.pipe?.readEnd], [140, 100, readEnd]);
  // No setNotReady(): EPOLLOUT may have come after the EAGAIN that stopped the relay.
  assert.deepEqual(flow.to.log, []);
  assert.notEqual(pool.share(sys.calls, RelayTable.at(words, 0)!), -1);
  assert.notEqual(words[pipeAt], readEnd);
});

test("an error that stopped the relay is the result of the next attempt, once", () => {
  const { words, attempt } = waitingFlow();
  words[AT + 8] = EPIPE;
  assert.equal(attempt(), EPIPE);
  assert.equal(attempt(), EAGAIN);
});

test("a flow with a limit, or with a write that waits on its destination, has no relay", () => {
  assert.equal(waitingFlow(1000).words[AT], 0);
  const { words, flow, attempt } = waitingFlow();
  closeAndMergeRelay(flow);
  flow.to.writing.busy = true;
  attempt();
  assert.equal(words[AT], 0);
});

test("a write that waits on the destination stops the relay; for one on the source the relay reports EPOLLOUT", () => {
  const { words, flow } = waitingFlow();
  flow.to.inflow!.stopAtNextEvent();
  assert.equal(words[AT]! & MUST_STOP, MUST_STOP);
  assert.equal(flow.from.outflow!.setReportsEpollout(true), false);
  assert.equal(words[AT]! & REPORT_WRITABLE, REPORT_WRITABLE);
  assert.equal(flow.from.outflow!.setReportsEpollout(false), false);
  assert.equal(words[AT]! & REPORT_WRITABLE, 0);
});

test("an EPOLLOUT that C did not report is reported by the next setReportsEpollout(), or when the relay is closed", () => {
  const { words, flow } = waitingFlow();
  words[AT]! |= WRITABLE_UNREPORTED;
  assert.equal(flow.from.outflow!.setReportsEpollout(true), true);
  assert.equal(flow.from.outflow!.setReportsEpollout(true), false);
  words[AT]! |= WRITABLE_UNREPORTED;
  closeAndMergeRelay(flow);
  assert.deepEqual(flow.from.log, ["wake"]);
});

test("the fields of a closed relay say whether the source may have data, and whether the reads were small", () => {
  const { words, flow } = waitingFlow();
  words[AT] = ENABLED | QUEUED;
  closeAndMergeRelay(flow);
  assert.equal(flow.relay?.sourceMayHaveData, true);
  assert.equal(flow.smallReads, false);
});

test("a flow that ends closes its relay, and the last flow closes the pipe", () => {
  const { words, sys, pool, flow } = waitingFlow();
  const readEnd = words[PIPES_AT + words[AT + 4]! * 3]!;
  detachRelay(flow);
  assert.equal(words[AT], 0);
  assert.deepEqual([flow.from.outflow, flow.to.inflow], [undefined, undefined]);
  pool.removeUser(sys.calls);
  assert.ok(sys.callsOf("close").some(({ args }) => args[0] === readEnd));
  assert.equal(words[PIPES_AT + 4 * 3], -1);
});

test("slots beyond the table, and arrays that are too short, have no relay", () => {
  assert.equal(RelayTable.at(new Int32Array(100), 0), undefined);
  assert.equal(RelayTable.at(new Int32Array(PIPES_AT + 48), 0)!.makeRelay(1024, 0), undefined);
});
