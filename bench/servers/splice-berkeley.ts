// A TCP proxy on pump(). Its arguments are the size of the pipes in KiB and the port of the target.

import { AF_INET, pump, SOCK_STREAM, Socket } from "berkeley";

import { ignoreDisconnect } from "../lib/serving.js";

const pipeSize = Number(process.argv[2]) * 1024;
const target = Number(process.argv[3]);

async function proxy(client: Socket): Promise<void> {
  await using far = new Socket(AF_INET, SOCK_STREAM);
  await far.connect(["127.0.0.1", target]);
  await pump(client, far, { pipeSize });
}

const server = new Socket(AF_INET, SOCK_STREAM);
await server.bind(["127.0.0.1", 0]);
server.listen(511);
const address = server.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
for await (const [client] of server) {
  proxy(client)
    .catch(ignoreDisconnect) // The load generator exits without closing its connections.
    .finally(() => client.close());
}
