// ws, unchanged, over connections that are not sockets: both ends of a pair in memory, as Duplexes. The example
// websocket.ts has ws over sockets and our listener.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { toDuplex } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { WebSocket, WebSocketServer } from "ws";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("ws works over a pair in memory, in small chunks", async () => {
  const [near, far] = memoryPair({ chunking: 100 });
  const http = createServer();
  const server = new WebSocketServer({ noServer: true });
  http.on("upgrade", (request, socket: Duplex, head) => {
    server.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, binary) => client.send(data, { binary }));
    });
  });
  http.emit("connection", toDuplex(far));
  const client = new WebSocket("ws://localhost/", { createConnection: () => toDuplex(near) as never });
  await once(client, "open");
  for (const message of ["hello", "", "x".repeat(200_000)]) {
    const received = once(client, "message") as Promise<[Buffer]>;
    client.send(message);
    const [data] = await received;
    assert.ok(data.toString() === message);
  }
  const closed = once(client, "close");
  client.close(1000, "done");
  const [code, reason] = (await closed) as [number, Buffer];
  assert.deepEqual([code, reason.toString()], [1000, "done"]);
  http.closeAllConnections?.();
});
