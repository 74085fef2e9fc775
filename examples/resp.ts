// A server for Redis clients that keeps its data in memory: GET, SET, DEL, INCR, EXPIRE, PING and others.
//
//   node out/examples/resp.js [port]        then: redis-cli -p 6379, redis-benchmark -t ping,get,set
//
// The replies to all requests of one read are sent with one write. The server does not read from a client that does not
// read its replies.

import { type Conn, type EndpointLike, listen, SocketError } from "berkeley";
import { Clients } from "./lib/clients.js";
import { isProgram, untilInterrupted } from "./lib/program.js";
import { Inbox } from "./resp/inbox.js";
import { defaultLimits, type Limits } from "./resp/protocol.js";
import { Session } from "./resp/session.js";
import { Store, type StoreOptions } from "./resp/store.js";

export { defaultLimits, type Limits, ProtocolError, RequestReader } from "./resp/protocol.js";
export { Session, Store, type StoreOptions };

/** The limits of the server. */
export interface RespOptions extends StoreOptions, Partial<Limits> {
  /** Maximum number of clients. Default 10,000. */
  readonly maxClients?: number | undefined;
  /** Milliseconds for a client to read its replies. Default 60,000. */
  readonly writeTimeout?: number | undefined;
}

/** Milliseconds between two searches for expired keys. */
const SWEEP_INTERVAL = 100;
/** After an error reply, the server discards at most this many bytes of the client before it closes the connection. */
const MAX_DISCARDED = 1 << 20;
/** Milliseconds to wait for these bytes. */
const DISCARD_TIMEOUT = 1000;

/** Serves one client until the client ends. The caller closes the connection. */
export async function serveClient(conn: Conn, store: Store, opts: RespOptions = {}): Promise<void> {
  const session = new Session(store, { ...defaultLimits, ...opts });
  const inbox = new Inbox();
  const { replies } = session;
  const writeOptions = { timeout: opts.writeTimeout ?? 60_000 };
  while (!session.over) {
    const count = await conn.read(inbox.room());
    if (count === 0) return;
    inbox.end += count;
    do {
      inbox.start = session.run(inbox.buffer, inbox.start, inbox.end);
      if (replies.size === 0) continue;
      const data = replies.take();
      // In most cases the kernel takes all bytes at once, and no wait is needed.
      const taken = data instanceof Uint8Array ? (conn.tryWrite?.(data) ?? 0) : 0;
      if (taken < replies.size) await conn.write(taken === 0 ? data : (data as Buffer).subarray(taken), writeOptions);
      replies.taken();
    } while (session.more);
  }
  // Closing with unread bytes would reset the connection, and the client would lose the last reply.
  await conn.closeWrite();
  const rest = Buffer.allocUnsafe(65_536);
  for (let left = MAX_DISCARDED; left > 0;) {
    const count = await conn.read(rest, { timeout: DISCARD_TIMEOUT });
    if (count === 0) return;
    left -= count;
  }
}

/** A running server. */
export class RespServer extends Clients {
  readonly store: Store;
  readonly #sweeping: NodeJS.Timeout;

  private constructor(...args: [...ConstructorParameters<typeof Clients>, store: Store]) {
    const [listener, max, handle, store] = args;
    super(listener, max, handle);
    this.store = store;
    this.#sweeping = setInterval(() => store.sweep(), SWEEP_INTERVAL).unref();
  }

  static async start(endpoint: EndpointLike, opts: RespOptions = {}): Promise<RespServer> {
    const store = new Store(opts);
    const listener = await listen(endpoint);
    return new RespServer(listener, opts.maxClients ?? 10_000, ({ conn }) => serveClient(conn, store, opts), store);
  }

  override async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await super.close();
  }
}

if (isProgram(import.meta.url)) {
  try {
    untilInterrupted(await RespServer.start(`tcp://127.0.0.1:${process.argv[2] ?? 6379}`));
  } catch (error) {
    if (!(error instanceof SocketError || error instanceof TypeError)) throw error;
    console.error(`resp: ${error.message}`);
    process.exitCode = 1;
  }
}
