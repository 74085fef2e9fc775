// A server with many idle connections, on each of which a call waits. Its arguments are the mode and the number of
// connections. The modes are "none" (without the inspector), "on" (with it), and "page" (with a client of its page).
// The server prints its port, a line when it has accepted all connections, and its memory for each line that it reads.

import { get } from "node:http";
import { createInterface } from "node:readline";

import { AF_INET, type Socket as BerkeleySocket, SOCK_STREAM, Socket } from "berkeley";

const mode = process.argv[2];
const count = Number(process.argv[3]);
if (mode !== "none" && mode !== "on" && mode !== "page") throw new Error("a mode is required: none, on, page");

const say = (value: object): void => console.log(JSON.stringify(value));
let url: string | undefined;
if (mode !== "none") {
  const { startInspector } = await import("berkeley/inspect");
  ({ url } = await startInspector());
}
const server = new Socket(AF_INET, SOCK_STREAM);
await server.bind(["127.0.0.1", 0]);
server.listen(4096);
const address = server.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
say({ port: address.port });
const connections: BerkeleySocket[] = [];
while (connections.length < count) {
  const [connection] = await server.accept();
  connections.push(connection);
  connection.recv(1).catch(() => undefined);
}
if (mode === "page") get(url!.replace("/?", "/events?"), (response) => response.resume());
say({ accepted: connections.length });
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "") throw new Error(`an empty line is required, found ${line}`);
  for (let turn = 0; turn < 4; turn++) globalThis.gc?.();
  if (server.closed) throw new Error("the listener must stay open");
  say({ rssBytes: process.memoryUsage.rss() });
}
