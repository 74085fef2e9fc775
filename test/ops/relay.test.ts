// The shared array of a relay. The test writes the words that the poller would write.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSys } from "#berkeley/testing/fakeSys.js";
import { EAGAIN, EPIPE } from "#berkeley/sys/errno.js";
import {
  endRelay,
  type Flow,
  type FlowEnd,
  closeRelay,
  DESTINATION_FULL,
  SPLICE,
} from "#berkeley/ops/spliceOperation.js";
import { PipePool } from "#berkeley/ops/pipes.js";
import { type Relay, RelayTable } from "#berkeley/reactor/relay.js";

// The layout of native/relay.c.
const NOTE_WORDS = 10;
const PIPES_AT = 1024 * NOTE_WORDS;
const OPEN = 1;
const WANTS_OUT = 2;
const BLOCKED = 4;
const MISSED_OUT = 8;
const PENDING = 16;
const SMALL = 32;
const SHORT_MEANS_EMPTY = 64;
const SLOT = 3;
const AT = SLOT * NOTE_WORDS;

class End implements FlowEnd {
  readonly fd: number;
  readonly reading = { shortMeansEmpty: true, shortMeansEnd: false };
  readonly reactor = { spendBytes: (): void => undefined };
  readonly told: string[] = [];
  readonly writing = {
    busy: false,
    setNotReady: (): void => void this.told.push("exhausted"),
    wake: (): void => void this.told.push("wake"),
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

/** A flow that waits for its source, as it is after a first try. */
function waiting(limit = Infinity): {
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
    from: new End(7, () => table.relay(SLOT, 5)),
    to: new End(8),
    pipes: pool,
    limit,
    pipe: undefined,
    taken: 0,
    sent: 0,
    small: true,
    activity: (at) => void active.push(at),
  };
  const attempt = (): number => SPLICE.attempt(sys.calls, 7, flow, undefined);
  assert.equal(attempt(), EAGAIN);
  return { words, sys, pool, flow, active, attempt };
}

test("a flow that waits for its source leaves a relay that says from where, to where and through which pipe", () => {
  const { words } = waiting();
  const place = words[AT + 4]!;
  assert.deepEqual([...words.subarray(AT, AT + 4)], [OPEN | SMALL | SHORT_MEANS_EMPTY, 5, 7, 8]);
  const [readEnd, writeEnd, capacity] = words.subarray(PIPES_AT + place * 3);
  assert.ok(readEnd! > 0 && writeEnd! > 0);
  assert.equal(capacity, 65_536);
});

test("each try checks again whether a short read empties the source", () => {
  const { words, sys, flow, attempt } = waiting();
  flow.from.reading.shortMeansEmpty = false;
  assert.equal(attempt(), EAGAIN);
  assert.equal(words[AT], OPEN | SMALL);
  assert.deepEqual(
    sys.made("spliceThrough").map(({ args }) => args[7]),
    [3, 1],
  );
});

test("the number of relayed bytes is added to that of the flow, in more than 32 bits", () => {
  const { words, flow, active } = waiting();
  words[AT + 5] = 7;
  words[AT + 6] = 2;
  assert.equal(closeRelay(flow), undefined);
  assert.equal(flow.sent, 2 * 2 ** 32 + 7);
  assert.equal(flow.taken, flow.sent);
  assert.equal(words[AT], 0, "nothing is relayed any more");
  assert.equal(active.length, 1);
  assert.equal(closeRelay(flow), undefined);
  assert.equal(flow.sent, 2 * 2 ** 32 + 7, "it counts once");
});

test("a destination that took a part holds the flow, which has the pipe from then on; others get another one", () => {
  const { words, sys, pool, flow, attempt } = waiting();
  const pipeAt = PIPES_AT + words[AT + 4]! * 3;
  const readEnd = words[pipeAt]!;
  words.set([OPEN ^ OPEN, 5, 7, 8], AT);
  words[AT + 5] = 100;
  words[AT + 7] = 40;
  words[AT + 8] = EAGAIN;
  words[pipeAt] = -1;
  assert.equal(attempt(), DESTINATION_FULL);
  assert.deepEqual([flow.taken, flow.sent, flow.pipe?.readEnd], [140, 100, readEnd]);
  // The event for room may have come since the poller met would-block: that it is exhausted would be news of yesterday.
  assert.deepEqual(flow.to.told, []);
  assert.notEqual(pool.share(sys.calls, RelayTable.at(words, 0)!), -1);
  assert.notEqual(words[pipeAt], readEnd);
});

test("an error of the poller is reported once, by the relay", () => {
  const { words, attempt } = waiting();
  words[AT + 8] = EPIPE;
  assert.equal(attempt(), EPIPE);
  assert.equal(attempt(), EAGAIN);
});

test("a flow with a limit, or whose destination has writers that wait, is not relayed", () => {
  assert.equal(waiting(1000).words[AT], 0);
  const { words, flow, attempt } = waiting();
  closeRelay(flow);
  flow.to.writing.busy = true;
  attempt();
  assert.equal(words[AT], 0);
});

test("a write that waits on the destination blocks the relay; one on the source has the events for room passed on", () => {
  const { words, flow } = waiting();
  flow.to.inflow!.block();
  assert.equal(words[AT]! & BLOCKED, BLOCKED);
  assert.equal(flow.from.outflow!.reportEpollout(true), false);
  assert.equal(words[AT]! & WANTS_OUT, WANTS_OUT);
  assert.equal(flow.from.outflow!.reportEpollout(false), false);
  assert.equal(words[AT]! & WANTS_OUT, 0);
});

test("an event for buffer space without a receiver is stored until the next query, or until the relay is closed", () => {
  const { words, flow } = waiting();
  words[AT]! |= MISSED_OUT;
  assert.equal(flow.from.outflow!.reportEpollout(true), true);
  assert.equal(flow.from.outflow!.reportEpollout(true), false);
  words[AT]! |= MISSED_OUT;
  closeRelay(flow);
  assert.deepEqual(flow.from.told, ["wake"]);
});

test("whether bytes may be left at the source, and how many come at a time, is known after the relay is closed", () => {
  const { words, flow } = waiting();
  words[AT] = OPEN | PENDING;
  closeRelay(flow);
  assert.equal(flow.relay?.pending, true);
  assert.equal(flow.small, false);
});

test("the end of a flow takes its relay away, and the last one the pipe", () => {
  const { words, sys, pool, flow } = waiting();
  const readEnd = words[PIPES_AT + words[AT + 4]! * 3]!;
  endRelay(flow);
  assert.equal(words[AT], 0);
  assert.deepEqual([flow.from.outflow, flow.to.inflow], [undefined, undefined]);
  pool.removeUser(sys.calls);
  assert.ok(sys.made("close").some(({ args }) => args[0] === readEnd));
  assert.equal(words[PIPES_AT + 4 * 3], -1);
});

test("slots beyond the notes, and arrays without room for them, have none", () => {
  assert.equal(RelayTable.at(new Int32Array(100), 0), undefined);
  assert.equal(RelayTable.at(new Int32Array(PIPES_AT + 48), 0)!.relay(1024, 0), undefined);
});
