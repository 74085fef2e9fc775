// A TCP echo server on berkeley. Its argument is the way to echo. "try" receives into one buffer per connection, and
// sends without a promise if the kernel takes all bytes at once. "send" receives into that buffer too, and awaits every
// call. "recv" awaits every call, and receives a new Buffer each time. Each function handles its own errors, because a
// chain of promises around it would use memory and time for each connection.

import { AF_INET, SOCK_STREAM, Socket } from "berkeley";

import { BUFFER_SIZE, collectOnInput, ignoreDisconnect } from "../lib/serving.js";

async function echoTrying(socket: Socket): Promise<void> {
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  // Most messages have the same length as the one before. Then its view of the buffer is used again.
  let data = buffer;
  try {
    for (;;) {
      const count = await socket.recvInto(buffer);
      if (count === 0) return;
      if (data.length !== count) data = buffer.subarray(0, count);
      const sent = socket.trySend(data) ?? 0;
      if (sent < count) await socket.sendAll(data.subarray(sent));
    }
  } catch (error) {
    ignoreDisconnect(error);
  } finally {
    socket.close();
  }
}

async function echoInto(socket: Socket): Promise<void> {
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  let data = buffer;
  try {
    for (;;) {
      const count = await socket.recvInto(buffer);
      if (count === 0) return;
      if (data.length !== count) data = buffer.subarray(0, count);
      await socket.sendAll(data);
    }
  } catch (error) {
    ignoreDisconnect(error);
  } finally {
    socket.close();
  }
}

async function echoNew(socket: Socket): Promise<void> {
  try {
    for (;;) {
      const data = await socket.recv(BUFFER_SIZE);
      if (data.length === 0) return;
      await socket.sendAll(data);
    }
  } catch (error) {
    ignoreDisconnect(error);
  } finally {
    socket.close();
  }
}

const ways: Readonly<Record<string, (socket: Socket) => Promise<void>>> = {
  try: echoTrying,
  send: echoInto,
  recv: echoNew,
};
const echo = ways[process.argv[2] ?? "try"];
if (echo === undefined) throw new Error(`a way to echo is required: ${Object.keys(ways).join(", ")}`);
const server = new Socket(AF_INET, SOCK_STREAM);
await server.bind(["127.0.0.1", 0]);
server.listen(4096);
const address = server.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
collectOnInput();
for await (const [socket] of server) void echo(socket);
