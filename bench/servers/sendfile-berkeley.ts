// For every byte that a client sends, answers with the whole file, by sendfile(2).

import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
import { open } from "node:fs/promises";

import { ignoreDisconnect } from "../lib/serving.js";

const file = await open(process.argv[2] as string);

async function answer(socket: Socket): Promise<void> {
  const requests = Buffer.alloc(64);
  for (;;) {
    const count = await socket.recvInto(requests);
    if (count === 0) return;
    for (let i = 0; i < count; i++) await socket.sendfile(file);
  }
}

const server = new Socket(AF_INET, SOCK_STREAM);
await server.bind(["127.0.0.1", 0]);
server.listen(511);
const address = server.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
for await (const [socket] of server) {
  answer(socket)
    .catch(ignoreDisconnect) // The load generator closes with requests in flight.
    .finally(() => socket.close());
}
