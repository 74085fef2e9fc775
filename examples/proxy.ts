// A TCP proxy: what comes from a client goes to the target, and back. Many bytes stay in the kernel (splice(2)), on their way
// from one socket to the other; this program only says where.
//
//   node out/examples/proxy.js <listen> <target>        such as: proxy.js tcp://127.0.0.1:8080 unix:/run/app.sock

import {
  connect,
  type EndpointLike,
  listen,
  pump,
  type PumpCounts,
  SocketConn,
  type Socket,
  type Stream,
} from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** How the proxy is bounded. */
export interface ProxyOptions {
  /** Most connections at a time. Default 1000. */
  readonly maxClients?: number;
  /** Milliseconds for the connection to the target. Default 5000. */
  readonly connectTimeout?: number;
  /** Milliseconds without a byte in either direction after which a connection ends. Default 300,000. */
  readonly idleTimeout?: number;
  /** Hears what went through a connection that both sides have ended. */
  readonly onEnd?: (counts: PumpCounts) => void;
}

/** The socket below a stream that nobody has read from. */
function socketOf({ conn }: Stream): Socket {
  if (conn instanceof SocketConn) return conn.socket;
  throw new TypeError("required a connection of the kernel");
}

/** Starts the proxy; `close()` ends it. */
export async function startProxy(from: EndpointLike, to: EndpointLike, opts: ProxyOptions = {}): Promise<Clients> {
  const { connectTimeout = 5000, idleTimeout = 300_000, maxClients = 1000, onEnd } = opts;
  return new Clients(await listen(from), maxClients, async (client) => {
    let target: Stream;
    try {
      target = await connect(to, { timeout: connectTimeout });
    } catch (error) {
      // The client sees a reset, as it would without a proxy, and not an answer without a word.
      client.abort();
      throw error;
    }
    try {
      const counts = await pump(socketOf(client), socketOf(target), { idleTimeout });
      onEnd?.(counts);
    } catch (error) {
      // One side was cut: so is the other.
      client.abort();
      target.abort();
      throw error;
    } finally {
      await target.close();
    }
  });
}

if (isProgram(import.meta.url)) {
  const [from, to] = process.argv.slice(2);
  if (from === undefined || to === undefined) {
    console.error("usage: proxy <listen> <target>, such as tcp://127.0.0.1:8080 unix:/run/app.sock");
    process.exitCode = 2;
  } else untilInterrupted(await startProxy(from, to));
}
