// The server of the soak: a line server with serve(). It sends its state to the parent process at the start, and for
// each message from the parent.

import { type Server, serve } from "berkeley/server";

/** The message to the parent process. */
export interface ServerState {
  readonly port: number;
  readonly connections: number;
  readonly minReadRate: number;
  readonly idleTimeout: number;
  /** Resident memory after a garbage collection, in bytes. */
  readonly memory: number;
}

const limits = process.argv[2] === "defaults" ? {} : { minReadRate: null, idleTimeout: null };
const server: Server = await serve(
  "tcp://127.0.0.1:0",
  async (stream) => {
    for await (const line of stream.lines()) await stream.write(`${line}\n`);
  },
  { ...limits, maxConnections: 20_000, onError: () => undefined },
);

function state(): ServerState {
  globalThis.gc!();
  const { connections, idleTimeout, minReadRate } = server.stats();
  const { port } = server.address as { readonly port: number };
  return { port, connections, minReadRate, idleTimeout, memory: process.memoryUsage.rss() };
}

process.on("message", () => process.send!(state()));
process.on("disconnect", () => void server.close());
process.send!(state());
