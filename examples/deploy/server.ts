// A server that is deployed by the files of this folder: it restarts without downtime, and drains before it ends.
//
//   node server.js systemd:lines        under lines.service
//   node server.js tcp://0.0.0.0:8888   in a container, or from a shell

import { ready, serve } from "berkeley/server";

/** Milliseconds for open connections at the end. TimeoutStopSec= and terminationGracePeriodSeconds are longer. */
const DRAIN_TIMEOUT = 30_000;

const server = await serve(process.argv[2] ?? "tcp://127.0.0.1:8888", async (stream, { draining }) => {
  try {
    for await (const line of stream.lines({ max: 1000, signal: draining })) {
      await stream.write(`${process.pid} ${line}\n`);
    }
  } catch (error) {
    // The client connects again, and reaches another process.
    if (!draining.aborted) throw error;
  }
});
server.upgradeOn(["SIGUSR2"], {
  drainTimeout: DRAIN_TIMEOUT,
  onError: (error) => console.error(error),
  onUpgraded: ({ pid }) => console.log(`process ${pid} has taken over`),
});
server.shutdownOn(["SIGTERM", "SIGINT"], { timeout: DRAIN_TIMEOUT });
await ready();
console.log(`process ${process.pid} serves ${server.address}`);
