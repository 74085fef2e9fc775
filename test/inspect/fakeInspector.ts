// A server with the protocol of the inspector and with data of the test. With it the page is tested on ten thousand
// rows, hostile text, and ends of the connection, which no real process has on demand.
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

/** The shapes of src/inspect/protocol.ts, as far as a test sets them. */
export type Row = ReturnType<typeof row>;

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** The folder of the page, beside the compiled package. */
export function pageFolder(): URL {
  const entry = import.meta.resolve("berkeley/inspect");
  for (const path of ["./page/", "../../inspect/page/"]) {
    const folder = new URL(path, entry);
    if (existsSync(new URL("index.html", folder))) return folder;
  }
  throw new Error(`there is no page beside ${entry}`);
}

// oxlint-disable-next-line typescript/explicit-module-boundary-types -- the type of a row is what this returns
export function row(fd: number, changes: object = {}) {
  return {
    id: `0:${fd}`,
    thread: 0,
    fd,
    family: "AF_INET",
    type: "SOCK_STREAM",
    state: "ESTABLISHED",
    local: "127.0.0.1:8888" as string | null,
    peer: `127.0.0.1:${40_000 + fd}` as string | null,
    line: "/srv/app/server.ts:12:24" as string | null,
    since: Date.now() - fd * 1000,
    received: { bytes: fd * 100, calls: fd },
    sent: { bytes: fd * 50, calls: fd },
    receiveQueue: 0 as number | null,
    sendQueue: 0 as number | null,
    acceptQueue: null as { length: number; limit: number } | null,
    pending: [{ call: "recv", waited: 1200, line: "/srv/app/server.ts:20:30" }],
    findings: [] as { kind: string; text: string }[],
    ...changes,
  };
}

export class FakeInspector {
  rows: Row[] = [];
  /** By socket. */
  details = new Map<string, object>();
  dropped = 0;
  title = "node app.js";
  /** 403 to all requests after the page. */
  refuses = false;
  readonly #streams = new Map<ServerResponse, string | null>();
  readonly #server: Server;

  constructor() {
    const folder = pageFolder();
    this.#server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
      const asset = /^\/assets\/([\w.]+)$/.exec(pathname)?.[1];
      if (pathname === "/" || asset !== undefined) {
        const name = asset === undefined ? "index.html" : `assets/${asset}`;
        response.writeHead(200, {
          "Content-Type": TYPES[name.split(".").at(-1)!]!,
          "Content-Security-Policy": "default-src 'self'",
        });
        response.end(readFileSync(fileURLToPath(new URL(name, folder))));
      } else if (this.refuses) response.writeHead(403).end();
      else if (pathname === "/events") this.#stream(response, searchParams.get("socket"));
      else if (pathname === "/api/lessons") response.end("[]");
      else response.writeHead(404).end();
    });
  }

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  #stream(response: ServerResponse, socket: string | null): void {
    if (socket !== null && !this.details.has(socket)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    this.#streams.set(response, socket);
    response.on("close", () => this.#streams.delete(response));
    this.#send(response, "table", this.#table(true));
    if (socket !== null) this.#send(response, "detail", this.details.get(socket)!);
  }

  #table(whole: boolean, changed: readonly Row[] = this.rows, removed: readonly string[] = []): object {
    const process = { pid: 4711, title: this.title, node: "v20.20.2", threads: 1 };
    return { time: Date.now(), whole, changed, removed, dropped: this.dropped, process };
  }

  #send(response: ServerResponse, event: string, data: object): void {
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Sends changed rows to each page. */
  update(changed: readonly Row[], removed: readonly string[] = []): void {
    this.rows = this.rows.filter((one) => !removed.includes(one.id) && !changed.some(({ id }) => id === one.id));
    this.rows.push(...changed);
    for (const [response, socket] of this.#streams) {
      this.#send(response, "table", this.#table(false, changed, removed));
      if (socket !== null) this.#send(response, "detail", this.details.get(socket)!);
    }
  }

  /** Ends the streams of events. The page connects again. */
  dropStreams(): void {
    for (const response of this.#streams.keys()) response.destroy();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
