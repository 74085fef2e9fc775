// node:http on our listener: Node speaks HTTP, we accept. So the server can listen wherever we can: on a UNIX socket with a
// mode, an abstract name, vsock or a descriptor of systemd, with the options of our sockets.
//
//   node out/examples/http.js [port]        then: curl http://127.0.0.1:8080/
//
// A TCP or UNIX connection is handed to Node with its descriptor, so it is as fast as one of Node's own. Any other goes through a
// Duplex.

import { createServer, type RequestListener, type Server } from "node:http";
import { type EndpointLike, listen, type ListenAddress, type ListenOptions, type SocketListener } from "berkeley";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** A server of node:http that is fed by a listener of ours. */
export class HttpServer implements AsyncDisposable {
  readonly address: ListenAddress;
  /** Node's own, for its limits, its events (such as `'upgrade'`) and its timeouts. */
  readonly http: Server;
  readonly #listener: SocketListener;
  readonly #accepting: Promise<void>;
  readonly #open = new Set<{ destroy(): unknown }>();

  private constructor(listener: SocketListener, answer: RequestListener) {
    this.address = listener.address;
    this.#listener = listener;
    this.http = createServer(answer);
    // From this event on Node looks after its timeouts for headers and requests.
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

  /** Takes no more connections and cuts those that there are. */
  async close(): Promise<void> {
    await this.#listener.close();
    for (const socket of this.#open) socket.destroy();
    // It never listened, which it says in vain; but this ends its looking after timeouts.
    this.http.close(() => undefined);
    await this.#accepting;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Says hello, and sends back what is posted. */
export const greet: RequestListener = (request, response) => {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  if (request.method === "POST") request.pipe(response);
  else response.end(`hello, you asked for ${request.url}\n`);
};

if (isProgram(import.meta.url)) {
  untilInterrupted(await HttpServer.start(`tcp://127.0.0.1:${process.argv[2] ?? 8080}`, greet));
}
