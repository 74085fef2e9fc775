// serveWorkers(): checks its arguments, and opens the listening sockets of the server or of its workers.

import { type EndpointLike, formatEndpoint, parseEndpoint } from "../addr/index.js";
import { quote } from "../check/index.js";
import { listen } from "../net/index.js";
import { gateOf, SocketListener, TlsSocketListener } from "../net/serverAccess.js";
import { listenOptions, type ServeOptions } from "./serverOptions.js";
import { WORKER } from "./workerHost.js";
import { type CheckedWorkers, checkModule, checkWorkers, type ServeWorkersOptions } from "./workerOptions.js";
import { runWorker } from "./workerProgram.js";
import { startWorkers, type WorkerServer } from "./workerServer.js";

/**
 * Serves with all cores: the handler of `serve()` runs in several worker threads, or in child processes. A function
 * can't be passed to another thread, so the handler comes from a module: its default export, or its export `handler`.
 * Each worker loads the module. If the module exports a function `setup`, the worker calls it before its first
 * connection, with `{ worker, data }`, and waits for it. A function that `setup` returns is called before the worker
 * ends.
 *
 * The server accepts, and hands each connection to the worker with the fewest connections. All limits hold for all
 * workers together. If a worker ends by itself, another one takes its place after a pause. The connections of the ended
 * worker end. No other is lost: connections that this worker had not taken go to other workers, and new ones wait in
 * the accept queue while no worker is ready.
 *
 * TLS is done in the workers. The options of `listen.tls` must be values that `structuredClone()` takes, except
 * `onHandshakeError`.
 *
 * @param from the endpoint to listen on, as for `listen()`, or a {@link SocketListener}
 * @param module the URL or the absolute path of the module with the handler
 * @returns the server, when all workers are ready
 * @throws the errors of `listen()`; the error with which a worker has failed to start
 * @throws TypeError or RangeError for an option that is wrong or does not apply
 * @see socketpair(2), unix(7) (SCM_RIGHTS), socket(7) (SO_REUSEPORT)
 * @example
 * ```ts no-run
 * // handler.js: export default async (stream) => void (await stream.write("hello\n"));
 * import { serveWorkers } from "berkeley/server";
 *
 * const server = await serveWorkers("tcp://0.0.0.0:8888", new URL("./handler.js", import.meta.url), { workers: 4 });
 * server.shutdownOn(["SIGTERM", "SIGINT"]);
 * ```
 */
export async function serveWorkers(
  from: EndpointLike | SocketListener,
  module: URL | string,
  opts: ServeWorkersOptions = {},
): Promise<WorkerServer> {
  const given = from instanceof SocketListener ? undefined : parseEndpoint(from);
  const action = given === undefined ? "serve a listener" : `serve ${quote(formatEndpoint(given))}`;
  const url = checkModule(module, action);
  const checked = checkWorkers(opts, given?.scheme === "tls", action);
  const { signal } = checked.serve;
  signal?.throwIfAborted();
  const listeners =
    from instanceof SocketListener ? [checkListener(from, opts, action)] : await listenAll(from, opts, checked, action);
  if (signal?.aborted === true) {
    for (const listener of listeners) await listener.close();
    throw signal.reason;
  }
  return startWorkers(listeners, checked, url, new URL("./index.js", import.meta.url).href);
}

function checkListener(
  listener: SocketListener,
  { listen: given, reusePort }: ServeWorkersOptions,
  action: string,
): SocketListener {
  const found = listener instanceof TlsSocketListener ? "a listener of TLS" : "a listener";
  const name = given === undefined ? "reusePort" : "listen";
  if (listener instanceof TlsSocketListener || given !== undefined || reusePort === true) {
    const what = listener instanceof TlsSocketListener ? "" : `, and ${name} was given`;
    throw new TypeError(`Cannot ${action}: it is ${found}${what}, required an endpoint`);
  }
  return listener;
}

/** One listening socket, or one for each worker. */
async function listenAll(
  from: EndpointLike,
  opts: ServeWorkersOptions,
  { count, reusePort }: CheckedWorkers,
  action: string,
): Promise<SocketListener[]> {
  const target = parseEndpoint(from);
  const { tls: _, ...plain } = listenOptions(opts as ServeOptions, target.scheme === "tls", action);
  // The workers do the TLS handshakes, so the server listens with TCP.
  const endpoint = target.scheme === "tls" ? formatEndpoint({ ...target, scheme: "tcp" }) : formatEndpoint(target);
  if (!reusePort) return [await listen(endpoint, plain)];
  if (target.scheme !== "tcp" && target.scheme !== "tls") {
    throw new TypeError(`Cannot ${action}: reusePort is for TCP, required a tcp:// or tls:// endpoint`);
  }
  const listeners = [await listen(endpoint, { ...plain, reusePort: true })];
  try {
    if (gateOf(listeners[0]!) !== undefined) {
      // Each worker has an accept queue of its own, and would accept before ready().
      throw new TypeError(`Cannot ${action}: the socket is that of another program (upgrade), required no reusePort`);
    }
    // The other sockets bind the port that the kernel has chosen for the first one.
    const { address } = listeners[0]!;
    while (listeners.length < count)
      listeners.push(await listen(`tcp://${String(address)}`, { ...plain, reusePort: true }));
  } catch (error) {
    for (const listener of listeners) await listener.close();
    throw error;
  }
  return listeners;
}

// The script of a worker finds runWorker() under this symbol. An exported name would be public.
Object.defineProperty(serveWorkers, WORKER, { value: runWorker });
