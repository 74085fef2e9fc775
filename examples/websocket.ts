// WebSocket with the unchanged package `ws`: a server on a listener of berkeley, and a client on a stream of berkeley.
//
//   node out/examples/websocket.js [port]        then: npx wscat -c ws://127.0.0.1:8080
//
// The server sends each message of a client to all clients.

import { type EndpointLike, connect } from "berkeley";
import { WebSocket, WebSocketServer } from "ws";
import { HttpServer } from "./http.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** The limits of the server. */
export interface WebSocketOptions {
  /** Maximum length of a message in bytes. Default 64 KiB. */
  readonly maxPayload?: number;
  /** Maximum number of clients. Default 1000. */
  readonly maxClients?: number;
  /** Maximum number of bytes queued for a client. A client over this limit is disconnected. Default 1 MiB. */
  readonly maxBuffered?: number;
}

/** A running server. `close()` ends it. */
export async function startWebSocketServer(endpoint: EndpointLike, opts: WebSocketOptions = {}): Promise<HttpServer> {
  const { maxBuffered = 1 << 20, maxClients = 1000, maxPayload = 65_536 } = opts;
  const server = await HttpServer.start(endpoint, (_, response) => response.writeHead(426).end("WebSocket only\n"));
  const sockets = new WebSocketServer({ noServer: true, maxPayload });
  server.http.on("upgrade", (request, socket, head) => {
    if (sockets.clients.size >= maxClients) {
      socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("error", () => client.terminate());
      client.on("message", (data, binary) => {
        for (const other of sockets.clients) {
          if (other.readyState !== WebSocket.OPEN) continue;
          // A client that does not read is disconnected, so it does not delay the others.
          if (other.bufferedAmount > maxBuffered) other.terminate();
          else other.send(data, { binary });
        }
      });
    });
  });
  return server;
}

/** A client of `ws` over a stream of `connect()`, so also over `unix:` and through a proxy. */
export async function openWebSocket(endpoint: EndpointLike, path = "/"): Promise<WebSocket> {
  const stream = await connect(endpoint);
  const client = new WebSocket(`ws://localhost${path}`, { createConnection: () => stream.toNetSocket() });
  await new Promise<void>((resolve, reject) => {
    client.once("open", resolve);
    client.once("error", reject);
  });
  return client;
}

if (isProgram(import.meta.url)) {
  untilInterrupted(await startWebSocketServer(`tcp://127.0.0.1:${process.argv[2] ?? 8080}`));
}
