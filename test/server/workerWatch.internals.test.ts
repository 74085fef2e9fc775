// The check for blocked workers, on fake workers whose last answers the test sets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { watchWorkers, type WatchedWorker } from "#berkeley/server/workerWatch.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("a worker that loads its module has more time to answer than one that serves", async () => {
  const failed: string[] = [];
  let checked!: () => void;
  const check = new Promise<void>((resolve) => (checked = resolve));
  const worker = (number: number, state: WatchedWorker["state"], silence: number): WatchedWorker => ({
    number,
    state,
    ping: (now) => now - silence,
    kill: (error) => {
      failed.push(String(error));
      if (failed.length === 2) checked();
    },
  });
  const watch = watchWorkers(
    [worker(1, "ready", 90), worker(2, "ready", 110), worker(3, "starting", 29_000), worker(4, "starting", 31_000)],
    100,
  );
  // The timer of the watch keeps no process alive.
  const alive = setInterval(() => undefined, 1000);
  await check;
  clearInterval(watch);
  clearInterval(alive);
  assert.deepEqual(failed, [
    "WorkerError: worker 2 has not answered for 100 ms",
    "WorkerError: worker 4 has not answered for 30000 ms",
  ]);
});
