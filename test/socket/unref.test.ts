// unref() and ref(): whether waiting calls keep the process alive, for every kind of object with waiting calls. The
// tests use workers, which end like a process when nothing keeps their loop alive.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "../tls/support.js";
import { ALIVE, SCENES, WAYS } from "./unrefScenes.js";

checkLeaks();

const FILE = new URL("./unrefScenes.js", import.meta.url);

/** What became of the worker. */
async function outcome(scene: string, way: string): Promise<string> {
  const { cert, key } = certificates().server;
  const worker = new Worker(FILE, { workerData: { scene, way, tls: { cert, key } } });
  const [status] = (await once(worker, "exit")) as [number];
  return status === ALIVE ? "lives" : status === 0 ? "ends" : `fails with ${status}`;
}

for (const scene of Object.keys(SCENES)) {
  test(`${scene} that is unreferenced lets the process end, waiting calls and deadlines included`, async () => {
    const found: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const [way, { lives }] of Object.entries(WAYS)) {
      // A forwarder waits from the beginning, and so does Node's own socket.
      const waits = way === "is idle" && /forwarder|net\.Socket/.test(scene);
      expected[way] = lives || waits ? "lives" : "ends";
    }
    await Promise.all(Object.keys(WAYS).map(async (way) => (found[way] = await outcome(scene, way))));
    assert.deepEqual(found, expected);
  });
}
