// serve(): checks its arguments, and makes a Server.

import { type EndpointLike, formatEndpoint, parseEndpoint } from "../addr/index.js";
import { quote } from "../check/index.js";
import type { Listener } from "../io.js";
import { listen } from "../net/index.js";
import type { Stream } from "../stream/index.js";
import type { ConnectionContext } from "./servedConnection.js";
import { makeServer, type Server } from "./server.js";
import { checkServe, listenOptions, type ServeOptions } from "./serverOptions.js";

function isListener(value: unknown): value is Listener {
  return typeof (value as Partial<Listener> | null | undefined)?.accept === "function";
}

/**
 * Listens on an endpoint, or takes a listener, and calls `handler` for each connection. When the handler has returned,
 * or its promise is fulfilled, the server ends the connection (see {@link Stream.end}). If the handler fails, the
 * server closes this connection and reports the error; the other connections and the server go on.
 *
 * The server owns the listener. Each limit has a name and a default; see {@link ServeOptions}. One timer checks the
 * deadlines of all connections, in steps of a quarter of the shortest limit, at most one second. So a connection can
 * exceed a limit by one step.
 *
 * While descriptors or memory are short (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), the server accepts no connections,
 * and reports that to `onPressure`. New connections wait in the accept queue. The server leaves descriptors to the
 * handlers; see `reserve`.
 *
 * @param from the endpoint to listen on, as for `listen()`, or any {@link Listener}
 * @throws the errors of `listen()`
 * @throws TypeError or RangeError for an option that is wrong or does not apply
 * @see accept(2), getrlimit(2)
 * @example
 * ```ts
 * import { connect } from "berkeley";
 * import { serve } from "berkeley/server";
 *
 * await using server = await serve("tcp://127.0.0.1:8888", async (stream) => {
 *   for await (const line of stream.lines()) await stream.write(`you said ${line}\n`);
 * });
 * await using client = await connect("tcp://127.0.0.1:8888");
 * await client.write("hello\n");
 * console.log(await client.readLine()); // prints: you said hello
 * await client.end();
 * await server.drain({ timeout: 1000 });
 * console.log(server.stats().accepted); // prints: 1
 * ```
 */
export async function serve(
  from: EndpointLike | Listener,
  handler: (stream: Stream, context: ConnectionContext) => unknown,
  opts: ServeOptions = {},
): Promise<Server> {
  const endpoint = isListener(from) ? undefined : parseEndpoint(from);
  const action = endpoint === undefined ? "serve a listener" : `serve ${quote(formatEndpoint(endpoint))}`;
  if (typeof handler !== "function") {
    throw new TypeError(`Cannot ${action}: handler is ${quote(handler)}, required a function`);
  }
  const checked = checkServe(opts, action);
  const { signal } = checked;
  signal?.throwIfAborted();
  if (isListener(from)) {
    for (const name of ["listen", "handshakeTimeout"] as const) {
      if (opts[name] === undefined) continue;
      throw new TypeError(
        `Cannot ${action}: ${name} is ${quote(opts[name])}, required an endpoint instead of a listener`,
      );
    }
    return makeServer(from, handler, checked);
  }
  const listener = await listen(from, listenOptions(opts, endpoint!.scheme === "tls", action));
  // The signal may have been aborted during listen().
  if (signal?.aborted === true) {
    await listener.close();
    throw signal.reason;
  }
  return makeServer(listener, handler, checked);
}
