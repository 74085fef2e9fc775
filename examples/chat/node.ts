// A node of the chat: the servers for lines and for WebSocket, its rooms and its store.

import { setTimeout as pause } from "node:timers/promises";
import type { EndpointLike, ListenAddress, Stream } from "berkeley";
import {
  type ConnectionContext,
  formatMetrics,
  type MetricFamily,
  type MetricsServer,
  serve,
  serveMetrics,
  type ServeOptions,
  type Server,
} from "berkeley/server";
import { NatsStore } from "./natsStore.js";
import { Rooms } from "./rooms.js";
import { Session, type SessionHost, type SessionLimits, type Transport } from "./session.js";
import { type MemoryLimits, MemoryStore, type Store } from "./store.js";
import { LineTransport, WebSocketSide } from "./transports.js";

/** An event of the log. */
export interface LogEvent {
  readonly event:
    | "connected"
    | "disconnected"
    | "failed"
    | "refused"
    | "slow"
    | "store-lost"
    | "store-back"
    | "draining";
  readonly [field: string]: unknown;
}

export interface ChatOptions {
  /** The name of the node, in the log and in the welcome. Default "chat". */
  readonly name?: string | undefined;
  /** Where clients that speak lines connect. */
  readonly lines: EndpointLike;
  /** Where clients that speak WebSocket connect. Default: nowhere. */
  readonly webSocket?: EndpointLike | undefined;
  /** The port for /healthz, /readyz and /metrics. Default: none. */
  readonly health?: EndpointLike | undefined;
  /** The server of NATS, such as "nats://127.0.0.1:4222". Default: the messages are in memory. */
  readonly nats?: string | undefined;
  /** The stream of JetStream. Default "CHAT". */
  readonly stream?: string | undefined;
  /** Servers of NATS that store each message, when the stream is made. Default 1. */
  readonly replicas?: number | undefined;
  /** Networks of proxies ("127.0.0.0/8"). Each connection must then come from there, with a PROXY header. */
  readonly proxies?: readonly string[] | undefined;
  /** Bytes that may wait for a client. A client with more is disconnected. Default 1 MiB. */
  readonly maxOutbox?: number | undefined;
  /** Connections of each kind. Default 10,000. */
  readonly maxConnections?: number | undefined;
  /** Rooms that have members on this node. Default 1,000. */
  readonly maxRooms?: number | undefined;
  /** Milliseconds without a byte in either direction. Default 300,000. */
  readonly idleTimeout?: number | undefined;
  readonly memory?: MemoryLimits | undefined;
  readonly session?: SessionLimits | undefined;
  readonly log?: ((event: LogEvent) => void) | undefined;
}

/** The counters of a node. */
export interface ChatCounters {
  /** Clients and rooms now. */
  readonly clients: number;
  readonly rooms: number;
  /** Messages that clients of this node sent and that were stored. */
  readonly messages: number;
  /** Messages that clients of this node sent again, and that were stored already. */
  readonly duplicates: number;
  /** Commands that were refused. */
  readonly refused: number;
  /** Clients that were disconnected because they did not read. */
  readonly slow: number;
}

export interface ChatDrainOptions {
  /**
   * Milliseconds between the 503 of /readyz and the notice to the clients. In this time the load balancer notices the
   * 503. Default 0.
   */
  readonly delay?: number | undefined;
  /** Milliseconds until the remaining connections are reset. Default 10,000. */
  readonly timeout?: number | undefined;
}

export class ChatNode implements AsyncDisposable {
  readonly #host: SessionHost;
  readonly #opts: ChatOptions;
  readonly #webSockets: WebSocketSide;
  readonly #counts = { messages: 0, duplicates: 0, refused: 0, slow: 0 };
  readonly #servers: Server[] = [];
  #health: MetricsServer | undefined;
  #state: "serving" | "draining" | "closed" = "serving";

  private constructor(store: Store, opts: ChatOptions) {
    this.#opts = opts;
    const { maxRooms = 1000, name = "chat", session: limits = {} } = opts;
    this.#host = { name, rooms: new Rooms(store, maxRooms), store, limits, counts: this.#counts, sessions: new Set() };
    this.#webSockets = new WebSocketSide(
      opts.maxOutbox ?? 1 << 20,
      (context) => this.#slow(context),
      (transport, context) => this.#serve(transport, context),
    );
  }

  static async start(opts: ChatOptions): Promise<ChatNode> {
    let started: ChatNode | undefined;
    const onState = (ready: boolean): void => started?.storeChanged(ready);
    const { memory, name, nats, replicas, stream } = opts;
    const store =
      nats === undefined ? new MemoryStore(memory) : await NatsStore.open(nats, { name, replicas, stream, onState });
    const node = (started = new ChatNode(store, opts));
    try {
      await node.#listen();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  async #listen(): Promise<void> {
    const { health, idleTimeout, lines, maxConnections, maxOutbox = 1 << 20, proxies, webSocket } = this.#opts;
    const shared: ServeOptions = {
      idleTimeout,
      maxConnections,
      proxyProtocol: proxies && { from: proxies },
      listen: { maxOutbox, backlog: 4096 },
      onRefused: ({ reason, client }) => this.#log({ event: "refused", client: String(client), reason }),
      // The client has reset the connection, or has gone in the middle of a line.
      onError: (error, { client }) => this.#log({ event: "failed", client: String(client), error: String(error) }),
    };
    const serveLines = (stream: Stream, context: ConnectionContext): Promise<void> =>
      this.#serve(new LineTransport(stream, () => this.#slow(context)), context);
    this.#servers.push(await serve(lines, serveLines, shared));
    if (webSocket !== undefined) {
      this.#servers.push(await serve(webSocket, (stream, context) => this.#webSockets.run(stream, context), shared));
    }
    if (health !== undefined) {
      const [lineServer, webSocketServer] = this.#servers;
      this.#health = await serveMetrics(health, {
        servers: { lines: lineServer!, ...(webSocketServer && { websocket: webSocketServer }) },
        ready: () => this.ready,
        collect: (format) => formatMetrics(metrics(this.counters()), format),
      });
    }
  }

  /** The address of the server for lines. */
  get address(): ListenAddress {
    return this.#servers[0]!.address as ListenAddress;
  }

  get webSocketAddress(): ListenAddress | undefined {
    return this.#servers[1]?.address as ListenAddress | undefined;
  }

  get healthAddress(): ListenAddress | undefined {
    return this.#health?.address as ListenAddress | undefined;
  }

  /** Whether the node accepts new clients: not while it drains, and not while messages can't be stored. */
  get ready(): boolean {
    return this.#state === "serving" && this.#host.store.ready;
  }

  counters(): ChatCounters {
    const { rooms, sessions } = this.#host;
    return { clients: sessions.size, rooms: rooms.count, ...this.#counts };
  }

  async #serve(transport: Transport, { client, draining, id, signal }: ConnectionContext): Promise<void> {
    this.#log({ event: "connected", id, client: String(client) });
    const session = new Session(this.#host, transport);
    const stop = new AbortController();
    const abort = (): void => stop.abort(new Error("the connection ends"));
    for (const each of [signal, draining]) {
      if (each.aborted) abort();
      each.addEventListener("abort", abort);
    }
    try {
      await session.run(stop.signal, draining);
    } finally {
      for (const each of [signal, draining]) each.removeEventListener("abort", abort);
      this.#log({ event: "disconnected", client: String(client), nick: session.nick });
    }
  }

  #slow({ client }: ConnectionContext): void {
    this.#counts.slow++;
    this.#log({ event: "slow", client: String(client) });
  }

  #log(event: LogEvent): void {
    this.#opts.log?.(event);
  }

  /** Called when the store is lost, and when it is back. */
  storeChanged(ready: boolean): void {
    this.#log({ event: ready ? "store-back" : "store-lost" });
    for (const session of this.#host.sessions) {
      if (ready) session.notify("store-back", "messages are stored again");
      else session.notify("store-lost", "messages wait until they can be stored");
    }
  }

  /**
   * Ends the node without loss. /readyz returns 503 at once. After `delay` the listeners close. Each client gets the
   * answer to the command that is running, and the notice `goaway`. Then its connection ends.
   */
  async drain({ delay = 0, timeout = 10_000 }: ChatDrainOptions = {}): Promise<void> {
    if (this.#state !== "serving") return;
    this.#state = "draining";
    this.#log({ event: "draining" });
    await pause(delay);
    await Promise.all(this.#servers.map((server) => server.drain({ timeout })));
    await this.close();
  }

  async close(): Promise<void> {
    this.#state = "closed";
    for (const server of this.#servers) await server.close();
    this.#webSockets.close();
    await this.#health?.close();
    await this.#host.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function metrics({ clients, duplicates, messages, refused, rooms, slow }: ChatCounters): MetricFamily[] {
  const one = (name: string, type: MetricFamily["type"], help: string, value: number): MetricFamily => ({
    name,
    type,
    help,
    samples: [{ labels: {}, value }],
  });
  return [
    one("chat_clients", "gauge", "Clients", clients),
    one("chat_rooms", "gauge", "Rooms with members on this node", rooms),
    one("chat_messages", "counter", "Messages that were stored", messages),
    one("chat_duplicates", "counter", "Messages that were stored before", duplicates),
    one("chat_commands_refused", "counter", "Commands that were refused", refused),
    one("chat_clients_slow", "counter", "Clients that were cut because they did not read", slow),
  ];
}
