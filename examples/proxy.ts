// A TCP proxy: it forwards the bytes of each client to the target, and the answers back. Large amounts stay in the
// kernel (splice(2)); this program only names the two endpoints.
//
//   node out/examples/proxy.js <listen> <target>        such as: proxy.js tcp://127.0.0.1:8080 unix:/run/app.sock

import { type EndpointLike, forward, type Forwarder, type ForwardOptions } from "berkeley";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** Starts the proxy. `close()` of the result ends it. */
export function startProxy(from: EndpointLike, to: EndpointLike, opts: ForwardOptions = {}): Promise<Forwarder> {
  return forward(from, to, { connectTimeout: 5000, ...opts });
}

if (isProgram(import.meta.url)) {
  const [from, to] = process.argv.slice(2);
  if (from === undefined || to === undefined) {
    console.error("usage: proxy <listen> <target>, such as tcp://127.0.0.1:8080 unix:/run/app.sock");
    process.exitCode = 2;
  } else untilInterrupted(await startProxy(from, to));
}
