// serveUdp(): checks its arguments, and makes a UdpServer.

import type { EndpointLike } from "../addr/index.js";
import { formatEndpoint, parseEndpoint } from "../addr/index.js";
import { quote } from "../check/index.js";
import { bindUdp, UdpSocket } from "../net/index.js";
import type { BatchHandler } from "./servedBatch.js";
import type { DatagramHandler } from "./servedDatagram.js";
import { checkServeUdp, type ServeUdpOptions } from "./udpOptions.js";
import { makeUdpServer, type UdpHandlers, type UdpServer } from "./udpServer.js";

/**
 * Binds a UDP socket, or takes one, and calls the handler for each datagram. Datagrams are received and replies are
 * sent in batches. A reply leaves from the address that the datagram was sent to. If a handler fails, the server
 * reports the error and goes on. It also goes on after an ICMP error.
 *
 * `handler` is a function that gets a datagram and a function to reply. Handlers of several datagrams run at the same
 * time, up to `maxPending`. For many datagrams per second, pass `{ batch }` instead: a function that gets a
 * {@link ServedBatch}, without a copy and an object for each datagram.
 *
 * The server owns the socket. Each limit has a name and a default; see {@link ServeUdpOptions}. Until a source is
 * validated, all replies to a datagram together are not larger than the datagram (`amplification`).
 *
 * @param from the endpoint to bind, as for `bindUdp()`, or a {@link UdpSocket}
 * @throws the errors of `bindUdp()`
 * @throws TypeError or RangeError for an option that is wrong or does not apply
 * @see recvmmsg(2), sendmmsg(2), RFC 9000 section 8.1
 * @example
 * ```ts
 * import { connectUdp } from "berkeley";
 * import { serveUdp } from "berkeley/server";
 *
 * await using server = await serveUdp("udp://127.0.0.1:8888", async ({ data }, reply) => {
 *   reply(data.toString().toUpperCase());
 * });
 * await using client = await connectUdp("udp://127.0.0.1:8888");
 * await client.send("hello");
 * console.log((await client.receive()).data.toString()); // prints: HELLO
 * await server.drain({ timeout: 1000 });
 * console.log(server.stats().accepted); // prints: 1
 * ```
 */
export async function serveUdp(
  from: EndpointLike | UdpSocket,
  handler: DatagramHandler | { readonly batch: BatchHandler },
  opts: ServeUdpOptions = {},
): Promise<UdpServer> {
  const action =
    from instanceof UdpSocket ? "serve a UDP socket" : `serve UDP at ${quote(formatEndpoint(parseEndpoint(from)))}`;
  const handlers = handlersOf(handler, action);
  const checked = checkServeUdp(opts, action);
  const { signal } = checked;
  signal?.throwIfAborted();
  if (from instanceof UdpSocket) {
    if (opts.bind !== undefined) {
      throw new TypeError(`Cannot ${action}: bind is ${quote(opts.bind)}, required an endpoint instead of a socket`);
    }
    return makeUdpServer(from, handlers, checked);
  }
  const udp = await bindUdp(from, opts.bind);
  // The signal may have been aborted during bindUdp().
  if (signal?.aborted === true) {
    await udp.close();
    throw signal.reason;
  }
  return makeUdpServer(udp, handlers, checked);
}

/** Checks the argument `handler`. Its kind becomes the name of the property of the result. */
function handlersOf(handler: unknown, action: string): UdpHandlers {
  if (typeof handler === "function") return { datagram: handler as DatagramHandler };
  const batch = (handler as { readonly batch?: unknown } | null | undefined)?.batch;
  if (typeof batch === "function") return { batch: batch as BatchHandler };
  throw new TypeError(`Cannot ${action}: handler is ${quote(handler)}, required a function or { batch: function }`);
}
