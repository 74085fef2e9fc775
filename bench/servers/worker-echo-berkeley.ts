// A TCP echo server with workers. Its arguments are the number of workers, and the number of iterations of a loop that
// burns CPU for each message.

import { serveWorkers } from "berkeley/server";

import { ignoreDisconnect } from "../lib/serving.js";

const [workers, iterations] = process.argv.slice(2).map(Number);
const server = await serveWorkers("tcp://127.0.0.1:0", new URL("./worker-echo-handler.js", import.meta.url), {
  workers: workers!,
  data: iterations,
  listen: { backlog: 511 },
  onError: ignoreDisconnect,
});
const { address } = server;
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
await server.closed;
