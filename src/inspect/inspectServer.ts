// The HTTP server of the page. It uses node:http, so the inspector does not record the sockets of this server. The
// server does not keep the process alive.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

import { http } from "../builtins.js";
import { Access, readTarget } from "./access.js";
import { EventStream } from "./eventStream.js";
import { runGuarded, emitErrorWarning } from "./guard.js";
import { readPageFile } from "./pageFiles.js";
import type { SocketDetail, SocketReport, TableUpdate } from "./protocol.js";
import type { RouteHandler } from "./routes.js";

/** The data that the server shows. */
export interface InspectSource {
  /** The version of the table. */
  readonly version: number;
  /** The changes of the table since a version. */
  updateSince(version: number): TableUpdate;
  sockets(): SocketReport[];
  detail(id: string): Promise<SocketDetail | null>;
  /** As `detail()`, with a shorter wait for the calls of another thread, because a page soon gets the detail again. */
  pageDetail(id: string): Promise<SocketDetail | null>;
  /** Called when a page begins to show a socket (1), and when a page stops (-1). */
  changeWatchers(id: string, change: 1 | -1): void;
}

/** Maximum number of connections. Node.js closes further ones. */
const MAX_CONNECTIONS = 100;
/** Maximum number of pages that get events. */
const MAX_PAGES = 20;
/** Milliseconds for a whole request. */
const REQUEST_TIMEOUT = 10_000;
/** Milliseconds between two `detail` events of a page. */
const DETAIL_PERIOD = 500;

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src " +
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};

/** A page that gets events. */
interface Page {
  readonly stream: EventStream;
  /** The id of the socket that the page shows; undefined if it shows only the table. */
  readonly socketId: string | undefined;
  /** Whether the detail for the next event is being read. */
  isReading: boolean;
}

export class InspectServer {
  readonly #source: InspectSource;
  readonly #handlers: readonly RouteHandler[];
  readonly #access = new Access();
  readonly #server: Server;
  readonly #pages = new Set<Page>();
  #detailTimer: NodeJS.Timeout | undefined;

  constructor(source: InspectSource, handlers: readonly RouteHandler[]) {
    this.#source = source;
    this.#handlers = handlers;
    this.#server = http().createServer(
      {
        requestTimeout: REQUEST_TIMEOUT,
        headersTimeout: REQUEST_TIMEOUT,
        keepAliveTimeout: 5_000,
        maxHeaderSize: 16_384,
      },
      (request, response) => this.#handleRequest(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("connection", (socket: Socket) => socket.unref());
    this.#server.on("clientError", (_, socket) => socket.destroy());
    this.#server.unref();
  }

  /** Rejects with the error of Node.js if the port is in use. Then the caller need not call close(). */
  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
        this.#server.off("error", reject);
        // Without a listener, an error event would end the program.
        this.#server.on("error", () => {});
        resolve();
      });
    });
    this.#access.port = this.#port;
    this.#detailTimer = setInterval(() => this.#sendDetails(), DETAIL_PERIOD);
    this.#detailTimer.unref();
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The address of the page, with the token. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/?token=${this.#access.token}`;
  }

  /** Sends the changes of the table to each page that does not read too slowly. */
  sendTable(): void {
    for (const { stream } of this.#pages) {
      if (!stream.isReady) continue;
      const update = this.#source.updateSince(stream.version);
      stream.version = this.#source.version;
      stream.send("table", update);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#detailTimer);
    for (const handler of this.#handlers) runGuarded(() => handler.close());
    for (const page of this.#pages) {
      this.#removePage(page);
      page.stream.end();
    }
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #removePage(page: Page): void {
    const { socketId } = page;
    if (this.#pages.delete(page) && socketId !== undefined) this.#source.changeWatchers(socketId, -1);
  }

  #sendDetails(): void {
    for (const page of this.#pages) if (page.socketId !== undefined) void this.#sendDetail(page, page.socketId);
  }

  async #sendDetail(page: Page, socketId: string): Promise<void> {
    if (page.isReading || !page.stream.isReady) return;
    page.isReading = true;
    try {
      const detail = await this.#source.pageDetail(socketId);
      if (detail !== null && this.#pages.has(page)) page.stream.send("detail", detail);
    } catch (error) {
      emitErrorWarning(error);
    } finally {
      page.isReading = false;
    }
  }

  #handleRequest(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => {});
    // No handler needs a body, so the body of the request is discarded.
    request.resume();
    this.#route(request, response).catch(() => {
      // An error of the inspector must not become an unhandled rejection of the program.
      runGuarded(() => {
        if (response.headersSent) response.destroy();
        else sendText(response, 500, "The inspector failed");
      });
    });
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const target = readTarget(request.url ?? "/");
    const path = this.#access.allowedPath(request, target);
    if (path === undefined) {
      response.setHeader("Connection", "close");
      sendText(response, 403, "Forbidden: open the address that the program printed");
      return;
    }
    const method = request.method ?? "GET";
    for (const handler of this.#handlers) {
      const answer = await handler.handle(method, path);
      if (answer !== undefined) {
        sendJson(response, answer.status, answer.body);
        return;
      }
    }
    if (method !== "GET" && method !== "HEAD") sendText(response, 405, "Method not allowed");
    else if (path === "/events") this.#addPage(response, method, target.query.get("socket") ?? undefined);
    else if (path === "/api/sockets") sendJson(response, 200, this.#source.sockets());
    else if (path.startsWith("/api/sockets/")) await this.#sendSocket(response, path.slice("/api/sockets/".length));
    else this.#sendFile(response, path);
  }

  async #sendSocket(response: ServerResponse, id: string): Promise<void> {
    const detail = await this.#source.detail(unescapePath(id));
    if (detail === null) sendText(response, 404, "No such socket");
    else sendJson(response, 200, detail);
  }

  #sendFile(response: ServerResponse, path: string): void {
    const file = readPageFile(path);
    if (file === undefined) sendText(response, 404, "No such page");
    else if (path !== "/") send(response, 200, file.type, file.bytes);
    // A request for a script or style has no parameters. So the links of the page get the token as their first folder.
    else send(response, 200, file.type, String(file.bytes).replaceAll('="assets/', `="/${this.#access.token}/assets/`));
  }

  #addPage(response: ServerResponse, method: string, socketId: string | undefined): void {
    if (this.#pages.size >= MAX_PAGES) {
      sendText(response, 503, `${MAX_PAGES} pages are open: close one of them`);
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    if (method === "HEAD") return void response.end();
    const page: Page = { stream: new EventStream(response), socketId, isReading: false };
    this.#pages.add(page);
    response.on("close", () => runGuarded(() => this.#removePage(page)));
    if (socketId !== undefined) this.#source.changeWatchers(socketId, 1);
    page.stream.send("table", this.#source.updateSince(0));
    page.stream.version = this.#source.version;
    if (socketId !== undefined) void this.#sendDetail(page, socketId);
  }
}

function unescapePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

const sendText = (response: ServerResponse, status: number, text: string): void =>
  send(response, status, "text/plain; charset=utf-8", `${text}\n`);

const sendJson = (response: ServerResponse, status: number, value: unknown): void =>
  send(response, status, "application/json", JSON.stringify(value));
