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
 * worker end. No other connection is lost: those that this worker had not taken go to other workers, and new ones wait
 * in the accept queue while no worker is ready.
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
  const endpoint = from instanceof SocketListener ? undefined : parseEndpoint(from);
  const action = endpoint === undefined ? "serve a listener" : `serve ${quote(formatEndpoint(endpoint))}`;
  const moduleUrl = checkModule(module, action);
  const checked = checkWorkers(opts, endpoint?.scheme === "tls", action);
  const { signal } = checked.serve;
  signal?.throwIfAborted();
  const listeners =
    from instanceof SocketListener ? [checkListener(from, opts, action)] : await listenAll(from, opts, checked, action);
  // The signal may have been aborted during listen().
  if (signal?.aborted === true) {
    for (const listener of listeners) await listener.close();
    throw signal.reason;
  }
  const packageUrl = new URL("./index.js", import.meta.url).href;
  return startWorkers(listeners, checked, moduleUrl, packageUrl);
}

/** Throws if the listener uses TLS, or if an option requires an endpoint. Returns the listener. */
function checkListener(listener: SocketListener, opts: ServeWorkersOptions, action: string): SocketListener {
  if (listener instanceof TlsSocketListener) {
    throw new TypeError(`Cannot ${action}: the listener uses TLS, required an endpoint`);
  }
  let option: string | undefined;
  if (opts.listen !== undefined) option = "listen";
  else if (opts.reusePort === true) option = "reusePort";
  if (option === undefined) return listener;
  throw new TypeError(`Cannot ${action}: ${option} was given, required an endpoint instead of a listener`);
}

/** Opens one listening socket, or with `reusePort` one for each worker. */
async function listenAll(
  from: EndpointLike,
  opts: ServeWorkersOptions,
  { count, reusePort }: CheckedWorkers,
  action: string,
): Promise<SocketListener[]> {
  const endpoint = parseEndpoint(from);
  // The workers do the TLS handshakes, so the server listens with TCP.
  const { tls: _, ...tcpOpts } = listenOptions(opts as ServeOptions, endpoint.scheme === "tls", action);
  const tcpEndpoint = formatEndpoint(endpoint.scheme === "tls" ? { ...endpoint, scheme: "tcp" } : endpoint);
  if (!reusePort) return [await listen(tcpEndpoint, tcpOpts)];
  if (endpoint.scheme !== "tcp" && endpoint.scheme !== "tls") {
    throw new TypeError(`Cannot ${action}: reusePort is for TCP, required a tcp:// or tls:// endpoint`);
  }
  const listeners = [await listen(tcpEndpoint, { ...tcpOpts, reusePort: true })];
  try {
    if (gateOf(listeners[0]!) !== undefined) {
      // The socket is that of the old program of an upgrade. The workers would accept before ready().
      throw new TypeError(`Cannot ${action}: the socket is that of another program (upgrade), required no reusePort`);
    }
    // The other sockets bind the port that the kernel has chosen for the first one.
    const { address } = listeners[0]!;
    while (listeners.length < count)
      listeners.push(await listen(`tcp://${String(address)}`, { ...tcpOpts, reusePort: true }));
  } catch (error) {
    for (const listener of listeners) await listener.close();
    throw error;
  }
  return listeners;
}

// The script of a worker finds runWorker() under this symbol. A named export would be part of the public interface.
Object.defineProperty(serveWorkers, WORKER, { value: runWorker });
