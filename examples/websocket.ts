// WebSocket with the package `ws`, unchanged, both ways: a server on our listener, and a client on our stream.
//
//   node out/examples/websocket.js [port]        then: npx wscat -c ws://127.0.0.1:8080
//
// What a client says goes to all of them.

import { type EndpointLike, connect } from "berkeley";
import { WebSocket, WebSocketServer } from "ws";
import { HttpServer } from "./http.js";
import { isProgram, untilInterrupted } from "./lib/program.js";

/** How the server is bounded. */
export interface WebSocketOptions {
  /** Most bytes of a message. Default 64 KiB. */
  readonly maxPayload?: number;
  /** Most clients at a time. Default 1000. */
  readonly maxClients?: number;
  /** Most bytes that wait for one client before it is cut. Default 1 MiB. */
  readonly maxBuffered?: number;
}

/** A running server; `close()` ends it. */
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
          // Who does not read what the others say is not waited for.
          if (other.bufferedAmount > maxBuffered) other.terminate();
          else other.send(data, { binary });
        }
      });
    });
  });
  return server;
}

/** A client of `ws` over a connection of ours, made wherever `connect()` can: also `unix:` and through a proxy. */
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
