// node:http on a listener of berkeley. Node.js handles HTTP, and berkeley accepts the connections. So the server can
// listen on a UNIX socket with a mode, an abstract name, vsock or a descriptor of systemd, and can set any socket
// option.
//
//   node out/examples/http.js [port]        then: curl http://127.0.0.1:8080/
//
// Node.js gets the descriptor of a TCP or UNIX connection, so it is as fast as a connection of Node.js itself. Any
// other connection is passed as a Duplex.

import { createServer, type RequestListener, type Server } from "node:http";
import { type EndpointLike, listen, type ListenAddress, type ListenOptions, type SocketListener } from "berkeley";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** A server of node:http that gets its connections from a listener of berkeley. */
export class HttpServer implements AsyncDisposable {
  readonly address: ListenAddress;
  /** The server of node:http, for its limits, events (such as `'upgrade'`) and timeouts. */
  readonly http: Server;
  readonly #listener: SocketListener;
  readonly #accepting: Promise<void>;
  readonly #open = new Set<{ destroy(): unknown }>();

  private constructor(listener: SocketListener, answer: RequestListener) {
    this.address = listener.address;
    this.#listener = listener;
    this.http = createServer(answer);
    // At this event Node.js starts the timer of its header and request timeouts.
    this.http.emit("listening");
    this.#accepting = this.#accept();
    this.#accepting.catch(() => undefined);
  }

  static async start(endpoint: EndpointLike, answer: RequestListener, opts?: ListenOptions): Promise<HttpServer> {
    return new HttpServer(await listen(endpoint, opts), answer);
  }

  async #accept(): Promise<void> {
    for await (const stream of this.#listener) {
      const native = stream.remoteAddress !== undefined && !("cid" in stream.remoteAddress);
      const socket = native ? stream.toNetSocket({ allowHalfOpen: true }) : stream.toDuplex();
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
      this.http.emit("connection", socket);
    }
  }

  /** Accepts no more connections and closes the open ones. */
  async close(): Promise<void> {
    await this.#listener.close();
    for (const socket of this.#open) socket.destroy();
    // This stops the timer of Node.js. It also reports that the server never listened, which is ignored.
    this.http.close(() => undefined);
    await this.#accepting;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Sends a greeting, or the body of a POST. */
export const greet: RequestListener = (request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  if (request.method === "POST") request.pipe(response);
  else response.end(`hello, you asked for ${request.url}\n`);
};

if (isProgram(import.meta.url)) {
  untilInterrupted(await HttpServer.start(`tcp://127.0.0.1:${process.argv[2] ?? 8080}`, greet));
}
