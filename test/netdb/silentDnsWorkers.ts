// A program for namespaces whose only name server never answers: workers end while their lookups run. The main thread
// does not load the addon, so Node unloads it with each worker.
//
// It prints how long each worker took to end, in ms, and how many lookup threads were left after the timeout of all
// lookups.

import { createSocket } from "node:dgram";
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";

const silent = createSocket("udp4");
await new Promise<void>((resolve) => silent.bind(53, "127.0.0.1", resolve));

const source = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData.url).then(async ({ connect, getaddrinfo }) => {
    await getaddrinfo("127.0.0.1", 80);
    for (let i = 0; i < 100; i++) {
      const timeout = i % 2 === 0 ? 10 : undefined;
      connect("tcp://dead" + i + ".example:80", { timeout }).catch(() => {});
    }
    // Some are given up, some wait, some have no thread yet.
    setTimeout(() => parentPort.postMessage("asked"), 20);
  });`;
const threads = (): number => readdirSync("/proc/self/task").length;

const took: number[] = [];
const before = threads();
for (let round = 0; round < 4; round++) {
  const worker = new Worker(source, { eval: true, workerData: { url: import.meta.resolve("berkeley") } });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const began = performance.now();
  await worker.terminate();
  took.push(Math.round(performance.now() - began));
}
const end = performance.now() + 20_000;
while (threads() > before && performance.now() < end) await delay(20);
console.log(JSON.stringify({ took, left: Math.max(0, threads() - before) }));
silent.close();
