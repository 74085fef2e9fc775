// The updates for receivers of the table: rows that are read in turn, versions, removals, messages of other threads.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import { BroadcastChannel } from "node:worker_threads";
import { AF_INET, SOCK_STREAM, socketpair } from "berkeley";
import { InspectServer } from "#berkeley/inspect/inspectServer.js";
import type { SocketReport } from "#berkeley/inspect/protocol.js";
import { Recording } from "#berkeley/inspect/recording.js";
import { Removals } from "#berkeley/inspect/removals.js";
import { SocketTable } from "#berkeley/inspect/socketTable.js";
import { WorkerTables } from "#berkeley/inspect/threads.js";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const LIMITS = { stalledAfter: 5000, idleAfter: 300_000, closeAfter: 10_000 };

/** A table of rows whose kernel is this function: the bytes in the receive queue of a descriptor. */
function fakeTable(count: number, queue: (fd: number) => number): { table: SocketTable; recording: Recording } {
  const { getsockopt, getsockname, getpeername, inq, outq } = calls;
  Object.assign(calls, {
    getsockopt: () => -1,
    getsockname: () => -1,
    getpeername: () => -1,
    inq: queue,
    outq: () => 0,
  });
  const recording = new Recording({ maxRecords: 64, maxPayload: 0 });
  recording.stop();
  Object.assign(calls, { getsockopt, getsockname, getpeername, inq, outq });
  for (let fd = 0; fd < count; fd++) recording.add(fd, AF_INET, SOCK_STREAM, 0);
  return { table: new SocketTable(0, recording, LIMITS), recording };
}

test("each of many active sockets is read within a second for each thousand of them, new ones included", () => {
  const reads = new Map<number, number>();
  const { table, recording } = fakeTable(3500, (fd) => (reads.set(fd, (reads.get(fd) ?? 0) + 1), 1));
  for (let look = 0; look < 4; look++) {
    const before = reads.size;
    table.refresh();
    assert.ok(reads.size - before <= 1000);
  }
  assert.equal(reads.size, 3500);
  for (let round = 0; round < 3; round++) {
    reads.clear();
    // Sockets that come and go take no turn of others.
    for (let look = 0; look < 4; look++) {
      for (let fd = 4000; fd < 4100; fd++) recording.add(fd, AF_INET, SOCK_STREAM, 0);
      table.refresh();
    }
    const missing = Array.from({ length: 3500 }, (_, fd) => fd).filter((fd) => !reads.has(fd));
    assert.equal(missing.length, 0, `${missing.length} of 3500 were not read`);
  }
});

test("250 idle sockets are read at a time, with any number of active ones, and a full read has all", () => {
  const reads = new Set<number>();
  const { table } = fakeTable(3000, (fd) => (reads.add(fd), fd < 2000 ? 1 : 0));
  // The first read makes the later ones idle.
  table.refreshAll();
  assert.equal(reads.size, 3000);
  reads.clear();
  for (let look = 0; look < 4; look++) table.refresh();
  assert.equal(reads.size, 3000);
  reads.clear();
  table.refreshAll();
  assert.equal(reads.size, 3000);
});

test("more than a thousand sockets with bytes in a queue all get their queues, on the kernel", async () => {
  const recording = new Recording({ maxRecords: 64, maxPayload: 0 });
  const table = new SocketTable(0, recording, LIMITS);
  const pairs = Array.from({ length: 1100 }, () => socketpair());
  for (const [left] of pairs) await left.sendAll("x");
  for (let look = 0; look < 3; look++) table.refresh();
  const rows = table.reports();
  assert.equal(rows.length, 2200);
  assert.equal(rows.filter(({ receiveQueue }) => receiveQueue === 1).length, 1100);
  for (const socket of pairs.flat()) socket.close();
  recording.stop();
});

test("a change between two looks is newer than the version that a receiver has, and is not sent for ever", async () => {
  const recording = new Recording({ maxRecords: 64, maxPayload: 0 });
  const table = new SocketTable(0, recording, LIMITS);
  const [left, right] = socketpair();
  table.refreshAll();
  table.refreshAll();
  const row = recording.rowOf(right.fileno())!;
  const seen = table.version;
  assert.deepEqual(table.changesSince(seen).changed, []);
  await left.sendAll("hello");
  table.read(row);
  const queues = (since: number): (number | null)[] => table.changesSince(since).changed.map((one) => one.receiveQueue);
  assert.deepEqual(queues(seen), [5]);
  table.refresh();
  assert.ok(queues(seen).includes(5));
  // A closed socket that a page shows stays, and its new state is a change.
  recording.watchers = 1;
  table.refresh();
  const before = table.version;
  right.close();
  assert.deepEqual(
    table.changesSince(before).changed.map(({ state, fd }) => [state, fd]),
    [["closed", -1]],
  );
  table.refresh();
  assert.deepEqual(table.changesSince(before).changed.filter(({ state }) => state === "closed").length, 1);
  table.refresh();
  assert.deepEqual(table.changesSince(table.version).changed, []);
  left.close();
  recording.stop();
});

test("a receiver that lacks dropped removals gets a notice", () => {
  const removals = new Removals();
  for (let version = 1; version <= 10_999; version++) removals.add(`0:${version}`, version);
  assert.equal(removals.idsSince(1)!.length, 10_998);
  removals.add("0:11000", 11_000);
  assert.equal(removals.idsSince(999), undefined);
  assert.equal(removals.idsSince(1000)!.length, 10_000);
  assert.deepEqual(removals.idsSince(10_999), ["0:11000"]);
});

const report = (id: string): SocketReport => ({ id, thread: 7, local: null, peer: null }) as unknown as SocketReport;

test("rows of a worker that appear again are not removed, and the end of a worker is final", async () => {
  let version = 1;
  const tables = new WorkerTables(() => version);
  const channel = new BroadcastChannel("berkeley.inspect");
  const message = { to: "main", type: "table", thread: 7, removed: [] as string[], dropped: 0 };
  const send = async (data: object): Promise<void> => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- that of windows has an origin
    channel.postMessage(data);
    for (let turn = 0; turn < 20; turn++) await immediate();
  };
  const ids = (): string[] => tables.reports().map(({ id }) => id);
  try {
    await send({ ...message, whole: true, changed: [report("7:1"), report("7:2")] });
    assert.deepEqual(ids(), ["7:1", "7:2"]);
    version = 2;
    await send({ ...message, whole: true, changed: [report("7:2"), report("7:3")] });
    const update = tables.changesSince(1);
    assert.deepEqual([update.whole, update.removed], [false, ["7:1"]]);
    assert.deepEqual(
      update.changed.map(({ id }) => id),
      ["7:2", "7:3"],
    );
    // So many that some are forgotten: a receiver of an old version gets all rows.
    const many = Array.from({ length: 12_000 }, (_, at) => `7:${at + 10}`);
    version = 3;
    await send({ ...message, whole: false, changed: many.map(report) });
    version = 4;
    await send({ ...message, whole: false, changed: [], removed: many });
    assert.equal(tables.changesSince(2).whole, true);
    assert.deepEqual(
      tables.changesSince(2).changed.map(({ id }) => id),
      ["7:2", "7:3"],
    );
    // What is not of the inspector changes nothing.
    for (const wrong of [
      { to: "main", type: "table", thread: 7, changed: 5, removed: [], dropped: 0 },
      { ...message, whole: true, changed: [null] },
      { ...message, whole: true, changed: [report("8:1")] },
      { ...message, whole: true, changed: [], removed: [{}] },
      { to: "main", type: "detail", request: 1, detail: { socket: null } },
      { to: "main", type: "closed", thread: "7" },
      { to: "workers", type: "watch" },
      { to: "workers", type: "watch", id: "7:1", change: 2 },
      { to: "nobody", type: "sendTable" },
    ]) {
      await send(wrong);
    }
    assert.deepEqual(ids(), ["7:2", "7:3"]);
    await send({ to: "main", type: "closed", thread: 7, ended: true });
    assert.deepEqual([ids(), tables.threadCount], [[], 0]);
    // A message that was under way.
    await send({ ...message, whole: false, changed: [report("7:9")] });
    assert.deepEqual([ids(), tables.threadCount], [[], 0]);
  } finally {
    tables.close();
    channel.close();
  }
  // After its end nothing is posted, and nothing throws.
  tables.changeWatchers("7:1", -1);
  assert.deepEqual(tables.reports(), []);
});

test("a fault of the inspector under a request is a warning, and reaches neither the program nor the client", async () => {
  const unknown = { whole: true, changed: [], removed: [], time: 0, dropped: 0 };
  const server = new InspectServer(
    {
      version: 1,
      updateSince: () => ({ ...unknown, process: { pid: 1, title: "", node: "", threads: 1 } }),
      sockets: () => [],
      detail: async () => Promise.reject(new Error("no detail")),
      pageDetail: async () => Promise.reject(new Error("no detail")),
      changeWatchers: (_, change) => {
        if (change < 0) throw new Error("no watch");
      },
    },
    [],
  );
  await server.listen(0);
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", onWarning);
  const asked = get(server.url.replace("/?", "/events?socket=1&"), { agent: false });
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  await once(response, "data");
  while (!warnings.some((text) => text.includes("no detail"))) await immediate();
  asked.destroy();
  while (!warnings.some((text) => text.includes("no watch"))) await immediate();
  process.off("warning", onWarning);
  await server.close();
});
