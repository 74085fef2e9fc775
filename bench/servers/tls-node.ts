// A TLS server on node:tls: KIND CERT KEY, where KIND is what it does with each connection: "echo", "receive", "send".

import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";

const [, , kind, cert = "", key = ""] = process.argv;
const blob = Buffer.alloc(65_536, 7);

function echo(socket: TLSSocket): void {
  socket.on("data", (data) => socket.write(data));
}

function receive(socket: TLSSocket): void {
  socket.on("data", () => undefined);
}

function send(socket: TLSSocket): void {
  const fill = (): void => {
    while (!socket.destroyed && socket.write(blob));
  };
  socket.on("drain", fill);
  fill();
}

const serve = kind === "echo" ? echo : kind === "receive" ? receive : send;
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key), noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  serve(socket);
});
server.listen(0, "127.0.0.1", 511, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
