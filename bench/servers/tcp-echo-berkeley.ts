// A TCP echo server on berkeley. Its argument says how it receives: "recvInto" one buffer per connection, or "recv" with a
// new Buffer each time.

import { AF_INET, SOCK_STREAM, Socket } from "berkeley";

async function sendWhole(socket: Socket, data: Uint8Array): Promise<void> {
  let sent = await socket.send(data);
  while (sent < data.length) sent += await socket.send(data.subarray(sent));
}

async function echoInto(socket: Socket): Promise<void> {
  const buffer = Buffer.allocUnsafe(4096);
  // Messages are mostly as long as the one before: then its view does.
  let data = buffer;
  for (;;) {
    const count = await socket.recvInto(buffer);
    if (count === 0) return;
    if (data.length !== count) data = buffer.subarray(0, count);
    const sent = await socket.send(data);
    if (sent < count) await sendWhole(socket, data.subarray(sent));
  }
}

async function echoNew(socket: Socket): Promise<void> {
  for (;;) {
    const data = await socket.recv(4096);
    if (data.length === 0) return;
    const sent = await socket.send(data);
    if (sent < data.length) await sendWhole(socket, data.subarray(sent));
  }
}

const echo = process.argv[2] === "recv" ? echoNew : echoInto;
const server = new Socket(AF_INET, SOCK_STREAM);
await server.bind(["127.0.0.1", 0]);
server.listen(511);
const address = server.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
for await (const [socket] of server) {
  echo(socket)
    .catch(() => undefined) // The load generator closes with messages in flight.
    .finally(() => socket.close());
}
