// A server that the other files of this folder deploy. It restarts without downtime, and drains before it ends.
//
//   node server.js systemd:lines tcp://127.0.0.1:9090        under lines.service
//   node server.js tcp://0.0.0.0:8888 tcp://0.0.0.0:9090     in a container, or from a shell
//
// The second endpoint has the pages /metrics, /healthz and /readyz. It can be left out.

import { setTimeout } from "node:timers/promises";
import { type MetricsServer, ready, serve, serveMetrics } from "berkeley/server";

/** Milliseconds for open connections to end. TimeoutStopSec= and terminationGracePeriodSeconds must be longer. */
const DRAIN_TIMEOUT = 30_000;

/** Milliseconds between two tries to open the port of the pages. */
const RETRY_DELAY = 100;
const MAX_TRIES = 50;

const server = await serve(process.argv[2] ?? "tcp://127.0.0.1:8888", async (stream, { draining }) => {
  try {
    for await (const line of stream.lines({ max: 1000, signal: draining })) {
      await stream.write(`${process.pid} ${line}\n`);
    }
  } catch (error) {
    // During a drain the read is aborted. The client connects again, to another process.
    if (!draining.aborted) throw error;
  }
});

/** Opens the port of the pages. Tries several times, because after an upgrade the old program still has the port. */
async function openPages(endpoint: string): Promise<MetricsServer | undefined> {
  for (let left = MAX_TRIES; ; left--) {
    try {
      return await serveMetrics(endpoint, { servers: { lines: server } });
    } catch (error) {
      if (left > 1 && (error as { code?: unknown }).code === "EADDRINUSE") await setTimeout(RETRY_DELAY);
      else {
        // The server works without its pages.
        console.error(error);
        return undefined;
      }
    }
  }
}

let pages: MetricsServer | undefined;
server.upgradeOn(["SIGUSR2"], {
  drainTimeout: DRAIN_TIMEOUT,
  onError: (error) => console.error(error),
  onUpgraded: ({ pid }) => {
    console.log(`process ${pid} has taken over`);
    // Closes the pages, because the new program uses the same port. During a drain without an upgrade they stay open,
    // and /readyz reports the drain.
    void pages?.close();
  },
});
server.shutdownOn(["SIGTERM", "SIGINT"], { timeout: DRAIN_TIMEOUT });
await ready();
console.log(`process ${process.pid} serves ${server.address}`);
const endpoint = process.argv[3];
if (endpoint !== undefined) pages = await openPages(endpoint);
if (pages !== undefined) console.log(`process ${process.pid} has its pages at ${pages.address}`);
