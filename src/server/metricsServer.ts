// serveMetrics(): metrics and health of servers over HTTP.
//
// A server of node:http answers the requests, because this package has no HTTP. That server is independent of the
// measured servers. So it also answers while the measured servers drain, or accept nothing because descriptors are
// short. Its connections are not in their counters.

import type { IncomingMessage, Server as HttpServer, ServerResponse } from "node:http";
import {
  type Address,
  AF_INET6,
  type EndpointLike,
  formatEndpoint,
  HostPort,
  type InetAddress,
  parseEndpoint,
  UnixAddress,
} from "../addr/index.js";
import { bindCallback } from "../admission/index.js";
import { fs, http } from "../builtins.js";
import { reportFailure } from "../callbacks.js";
import { checkOptions, quote } from "../check/index.js";
import { listen } from "../net/index.js";
import { gateOf, registerServer, type SocketListener } from "../net/serverAccess.js";
import { offAbort, onAbort } from "../wait/aborts.js";
import { abortSignal } from "../wait/waitOptions.js";
import {
  checkSource,
  checkSources,
  familiesOf,
  type MetricsSource,
  type MetricsSources,
  type NamedStats,
  processFamilies,
  readProcessFigures,
} from "./metricFamilies.js";
import { CONTENT_TYPES, END_MARKER, formatFor, formatMetrics, type MetricsFormat } from "./metricsText.js";

/** Options of {@link serveMetrics}. */
export interface ServeMetricsOptions {
  /** The servers by name, the value of the label `server`. `add()` adds others later. */
  readonly servers?: MetricsSources | undefined;
  /**
   * A further condition of `/readyz`. It must return true within 5 seconds. An error is reported, and counts as false.
   */
  readonly ready?: (() => boolean | PromiseLike<boolean>) | undefined;
  /**
   * Further metrics in the requested format, for example those of another library. Their names must differ
   * from those of this package. A `# EOF` at the end is removed.
   */
  readonly collect?: ((format: MetricsFormat) => string | PromiseLike<string>) | undefined;
  /** Closes the server, as `close()` does. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS = ["servers", "ready", "collect", "signal"];
/** Milliseconds that a request waits for each of stats(), ready() and collect(). */
const CALLBACK_TIMEOUT = 5000;
/** Milliseconds that close() waits for running requests. */
const CLOSE_GRACE = 1000;
const MAX_CONNECTIONS = 64;
/** The options of the HTTP server. Times are in ms. */
const HTTP_LIMITS = {
  maxHeaderSize: 8192,
  headersTimeout: 5000,
  requestTimeout: 5000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
};
/** Milliseconds without traffic after which a connection is closed. */
const IDLE_TIMEOUT = 15_000;
const PLAIN_TEXT = "text/plain; charset=utf-8";

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Default PLAIN_TEXT. */
  readonly contentType?: string;
}

/** Returns the result of `callback`. Rejects after CALLBACK_TIMEOUT; the callback then still runs. */
async function withTimeout<T>(name: string, callback: () => T | PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${name} took longer than ${CALLBACK_TIMEOUT} ms`)),
      CALLBACK_TIMEOUT,
    ).unref();
  });
  try {
    return await Promise.race([Promise.resolve(callback()), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Calls the constructor of MetricsServer, which is private, and starts to accept. Only serveMetrics() calls this. */
let makeMetricsServer: (
  listener: SocketListener,
  httpServer: HttpServer,
  opts: ServeMetricsOptions,
) => Promise<MetricsServer>;

/** The result of {@link serveMetrics}. It does not keep the process alive. */
export class MetricsServer implements AsyncDisposable {
  static {
    makeMetricsServer = async (listener, httpServer, opts) => {
      const server = new MetricsServer(listener, httpServer, opts);
      // For upgrade(), which drains servers. This server is closed instead, because its requests are short.
      const isListening = (): boolean => server.#closing === undefined;
      registerServer(server, listener, isListening, () => server.close());
      const gate = gateOf(listener);
      try {
        if (gate === undefined) {
          await server.#listen();
        } else {
          // In the new program of an upgrade, the gate resolves at ready(), and rejects if the upgrade has failed.
          const reportAndClose = (error: unknown): void => {
            reportFailure("the metrics server", error);
            void server.close();
          };
          gate.then(
            () => server.#listen().catch(reportAndClose),
            () => server.close(),
          );
        }
        opts.signal?.throwIfAborted();
      } catch (error) {
        await server.close();
        throw error;
      }
      return server;
    };
  }

  /** The address of the listener. If port 0 was requested, it has the port that the kernel chose. */
  readonly address: Address;
  readonly #listener: SocketListener;
  readonly #httpServer: HttpServer;
  readonly #sources: Map<string, MetricsSource>;
  /** The options `ready` and `collect`. */
  readonly #ready: ServeMetricsOptions["ready"];
  readonly #collect: ServeMetricsOptions["collect"];
  readonly #signal: AbortSignal | undefined;
  readonly #abortListener = { onAborted: (): void => void this.close() };
  /** The promise of close(). Undefined before the first call. */
  #closing: Promise<void> | undefined;

  private constructor(
    listener: SocketListener,
    httpServer: HttpServer,
    { collect, ready, servers = {}, signal }: ServeMetricsOptions,
  ) {
    this.#listener = listener;
    this.#httpServer = httpServer;
    this.address = listener.address;
    this.#sources = new Map(Object.entries(servers));
    this.#ready = ready;
    this.#collect = collect;
    this.#signal = signal;
    if (signal !== undefined) onAbort(signal, this.#abortListener);
    httpServer.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#respond(request, response).catch((error: unknown) => {
        response.destroy();
        reportFailure("the metrics server", error);
      });
    });
  }

  /**
   * Adds a server, or replaces the one of that name.
   *
   * @throws TypeError for a wrong argument
   */
  add(name: string, server: MetricsSource): this {
    checkSource(name, server, "add a server to the metrics");
    this.#sources.set(name, server);
    return this;
  }

  /** Removes a server. While no server is left, `/readyz` has status 503. */
  remove(name: string): this {
    this.#sources.delete(name);
    return this;
  }

  /** Stops listening. Running requests have a second to finish. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Makes the argument of listen() of the HTTP server. In Node, the HTTP server gets a duplicate of the socket, and
   * closes the duplicate. The socket itself stays here, for upgrade(). In Bun, this method closes the socket, and
   * returns its address.
   */
  async #makeListenTarget(): Promise<{ fd: number } | { path: string } | { host: string; port: number }> {
    if (!("bun" in process.versions)) return { fd: this.#listener.socket.dup().detach() };
    // The HTTP server of Bun accepts no descriptor, so it binds the address itself.
    await this.#listener.close();
    const { address } = this;
    if (address instanceof UnixAddress) return { path: address.path };
    const { host, port } = address as InetAddress;
    return { host, port };
  }

  /** Makes the HTTP server listen. */
  async #listen(): Promise<void> {
    if (this.#closing !== undefined) return;
    const httpServer = this.#httpServer;
    const target = await this.#makeListenTarget();
    await new Promise<void>((resolve, reject) => {
      httpServer.once("error", (error) => {
        // After an error, the HTTP server does not close the descriptor.
        if ("fd" in target) fs().closeSync(target.fd);
        reject(error);
      });
      httpServer.listen(target, () => {
        httpServer.removeAllListeners("error");
        resolve();
      });
    });
    // Later errors are those of single connections, after which the HTTP server accepts the next one.
    httpServer.on("error", () => undefined);
    httpServer.unref();
  }

  async #close(): Promise<void> {
    if (this.#signal !== undefined) offAbort(this.#signal, this.#abortListener);
    void this.#listener.close();
    // If the HTTP server does not listen yet, the callback gets an error. It is ignored.
    const closed = new Promise<void>((resolve) => this.#httpServer.close(() => resolve()));
    this.#httpServer.closeIdleConnections();
    const timer = setTimeout(() => this.#httpServer.closeAllConnections(), CLOSE_GRACE);
    await closed;
    clearTimeout(timer);
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers, method } = request;
    // This server does not read the body of a request, so no other request can follow the body on the connection.
    const hasBody = headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
    if (hasBody || this.#closing !== undefined) response.setHeader("connection", "close");
    const { status, text, contentType = PLAIN_TEXT } = await this.#answer(request, response);
    response.writeHead(status, {
      "content-type": contentType,
      "content-length": Buffer.byteLength(text),
      "cache-control": "no-store",
    });
    response.end(method === "HEAD" ? undefined : text);
  }

  async #answer({ headers, method, url = "" }: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const path = url.split("?", 1)[0];
    const pages = {
      "/metrics": () => this.#answerMetrics(formatFor(headers.accept), response),
      "/healthz": () => Promise.resolve({ status: 200, text: "ok\n" }),
      "/readyz": () => this.#answerReadiness(),
    };
    if (!Object.hasOwn(pages, path!)) return { status: 404, text: "Not found: /metrics, /healthz and /readyz exist\n" };
    if (method !== "GET" && method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return { status: 405, text: "Only GET and HEAD are allowed\n" };
    }
    return pages[path as keyof typeof pages]();
  }

  #readStats(): Promise<NamedStats> {
    const read = async ([name, source]: [string, MetricsSource]): Promise<readonly [string, object]> => {
      const stats: unknown = await withTimeout(`stats() of ${quote(name)}`, () => source.stats());
      if (typeof stats === "object" && stats !== null) return [name, stats];
      throw new TypeError(`Cannot read metrics: stats() of ${quote(name)} is ${quote(stats)}, required an object`);
    };
    return Promise.all([...this.#sources].map(read));
  }

  /** Returns the result of `work`. After an error, reports the error under this name and returns undefined. */
  async #resultOrReport<T>(name: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      reportFailure(name, error);
      return undefined;
    }
  }

  async #answerMetrics(format: MetricsFormat, response: ServerResponse): Promise<Answer> {
    response.setHeader("vary", "accept");
    const collect = this.#collect;
    const text = await this.#resultOrReport("the metrics server", async () => {
      const families = [...familiesOf(await this.#readStats()), ...processFamilies(readProcessFigures())];
      const ownText = formatMetrics(families, format);
      if (collect === undefined) return ownText;
      const collected: unknown = await withTimeout("collect", () => collect(format));
      if (typeof collected !== "string") {
        throw new TypeError(`Cannot read metrics: the result of collect is ${quote(collected)}, required a string`);
      }
      const withoutMarker = collected.endsWith(END_MARKER) ? collected.slice(0, -END_MARKER.length) : collected;
      const lines = withoutMarker === "" || withoutMarker.endsWith("\n") ? withoutMarker : `${withoutMarker}\n`;
      if (format === "prometheus") return ownText + lines;
      // The end marker must stay the last line.
      return ownText.slice(0, -END_MARKER.length) + lines + END_MARKER;
    });
    if (text === undefined) return { status: 500, text: "The metrics can't be read; the process has reported why\n" };
    return { status: 200, text, contentType: CONTENT_TYPES[format] };
  }

  async #answerReadiness(): Promise<Answer> {
    const stats = await this.#resultOrReport("the metrics server", () => this.#readStats());
    if (stats === undefined) return { status: 503, text: "not ready: the state of a server can't be read\n" };
    const reasons = stats.flatMap(([name, { state = "listening" }]: readonly [string, { state?: unknown }]) =>
      state === "listening" ? [] : [`${name} is ${String(state)}`],
    );
    if (stats.length === 0) reasons.push("no server is listening");
    const ready = this.#ready;
    if (reasons.length === 0 && ready !== undefined) {
      const result = await this.#resultOrReport("ready", () => withTimeout("ready", ready));
      if (result !== true) reasons.push("the check of the program has failed");
    }
    return reasons.length === 0
      ? { status: 200, text: "ready\n" }
      : { status: 503, text: `not ready: ${reasons.join(", ")}\n` };
  }
}

/**
 * Checks the endpoint of the pages, and returns the endpoint to listen on. A port alone has the host `localhost`. This
 * host becomes 127.0.0.1 unless the family is IPv6.
 */
function endpointOfPages(from: EndpointLike): EndpointLike {
  const endpoint = parseEndpoint(from);
  const { address, family, scheme } = endpoint as { scheme: string; address?: Address | HostPort; family?: number };
  if (scheme === "tcp") {
    const isLocal = address instanceof HostPort && address.host === "localhost" && family !== AF_INET6;
    return isLocal ? `tcp://127.0.0.1:${address.port}` : from;
  }
  if (address instanceof UnixAddress && address.path.startsWith("/")) return from;
  throw new TypeError(
    `Cannot serve metrics at ${quote(formatEndpoint(endpoint))}: required a tcp endpoint, or unix with an ` +
      "absolute path",
  );
}

/**
 * Serves metrics and health of servers over HTTP/1.1, for Prometheus, load balancers and supervisors:
 *
 * - `/metrics`: the counters in OpenMetrics 1.0.0, or in the text format 0.0.4 for clients that prefer that.
 * - `/healthz`: status 200 while the event loop runs.
 * - `/readyz`: status 200 while all servers listen and `ready` returns true. Otherwise 503: before the first server was
 *   added, while a server drains, and when it is closed.
 *
 * {@link upgrade} hands the pages over like a server: the new program answers from `ready()` on.
 *
 * Only GET and HEAD are allowed. At most 64 connections are open. The header of a request has at most 8 KiB, and must
 * arrive within 5 seconds. The server does not keep the process alive. The pages have no authentication: keep the
 * endpoint private.
 *
 * @param from the endpoint to listen on: a host and a port, the path of a UNIX socket, or a port alone, for which the
 * host is 127.0.0.1
 * @throws TypeError or RangeError for an endpoint or an option that is wrong
 * @throws the errors of `listen()`, such as `EADDRINUSE`
 * @example
 * ```ts
 * import { serve, serveMetrics } from "berkeley/server";
 *
 * await using metrics = await serveMetrics(0);
 * const readyz = `http://${metrics.address}/readyz`;
 * console.log((await fetch(readyz)).status); // prints: 503
 * await using chat = await serve("tcp://127.0.0.1:0", () => undefined);
 * metrics.add("chat", chat);
 * console.log((await fetch(readyz)).status); // prints: 200
 * await chat.drain();
 * console.log(await (await fetch(readyz)).text()); // prints: not ready: chat is closed
 * ```
 */
export async function serveMetrics(from: EndpointLike, opts: ServeMetricsOptions = {}): Promise<MetricsServer> {
  const endpoint = endpointOfPages(from);
  const action = "serve metrics";
  checkOptions(opts, action, OPTIONS);
  const { servers = {} } = opts;
  checkSources(servers, action);
  const signal = abortSignal(opts.signal, action);
  const checked = {
    servers,
    ready: bindCallback(opts.ready, action, "ready"),
    collect: bindCallback(opts.collect, action, "collect"),
    signal,
  };
  signal?.throwIfAborted();
  const httpServer = http().createServer({ ...HTTP_LIMITS });
  httpServer.maxConnections = MAX_CONNECTIONS;
  httpServer.timeout = IDLE_TIMEOUT;
  httpServer.on("connection", (socket) => socket.unref());
  const listener = await listen(endpoint);
  return makeMetricsServer(listener, httpServer, checked);
}
