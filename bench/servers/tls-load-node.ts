// The other end of a TLS server, on node:tls: PORT KIND CONNECTIONS SIZE. For each line of its input, a number of
// milliseconds, it drives the server for so long and prints how many echoes, or bytes, there were.
//
// Every message is different, and every reply is compared with it.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";

const [port = 0, connections = 1, size = 64] = [process.argv[2], process.argv[4], process.argv[5]].map(Number);
const kind = process.argv[3];
const blob = Buffer.alloc(65_536, 3);
let count = 0;

function ask(socket: TLSSocket, index: number): void {
  const message = Buffer.alloc(size);
  let number = 0;
  let received = 0;
  const next = (): void => {
    received = 0;
    message.writeUInt32LE(index, 0);
    message.writeUInt32LE(number++ >>> 0, size - 4);
    socket.write(message);
  };
  socket.on("data", (data: Buffer) => {
    if (data.compare(message, received, received + data.length) !== 0)
      throw new Error("a reply differs from its message");
    received += data.length;
    if (received < size) return;
    count++;
    next();
  });
  next();
}

function send(socket: TLSSocket): void {
  const fill = (): void => {
    let room = true;
    while (room) room = socket.write(blob, () => (count += blob.length));
  };
  // In a turn of its own: node:tls drains within one immediate after the other for as long as the kernel takes all, and then a
  // server that reads faster than this writes would keep timers and input from being heard.
  socket.on("drain", () => setImmediate(fill));
  fill();
}

function receive(socket: TLSSocket): void {
  socket.on("data", (data: Buffer) => (count += data.length));
}

const sockets = Array.from({ length: connections }, () =>
  connect({ port, host: "127.0.0.1", rejectUnauthorized: false, checkServerIdentity: () => undefined }),
);
for (const socket of sockets) await once(socket, "secureConnect");
for (const [index, socket] of sockets.entries()) {
  socket.setNoDelay(true);
  socket.on("close", () => {
    throw new Error("the server closed a connection");
  });
  if (kind === "echo") ask(socket, index);
  else if (kind === "receive") send(socket);
  else receive(socket);
}
for await (const line of createInterface({ input: process.stdin })) {
  const [before, began] = [count, process.hrtime.bigint()];
  await delay(Number(line));
  console.log(JSON.stringify({ count: count - before, elapsedNs: Number(process.hrtime.bigint() - began) }));
}
process.exit();
