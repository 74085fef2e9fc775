// A TCP echo server on node:net.

import { type AddressInfo, createServer } from "node:net";

import { collectOnInput } from "../lib/serving.js";

const server = createServer((socket) => {
  socket.on("data", (data) => socket.write(data));
  socket.on("error", () => socket.destroy());
});
server.listen(0, "127.0.0.1", 4096, () => {
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port }));
});
collectOnInput();
