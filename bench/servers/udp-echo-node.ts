// A UDP echo server on node:dgram.

import { createSocket } from "node:dgram";

const socket = createSocket("udp4");
socket.on("message", (data, { port, address }) => socket.send(data, port, address));
socket.bind(0, "127.0.0.1", () => {
  socket.setRecvBufferSize(4 << 20);
  console.log(JSON.stringify({ port: socket.address().port }));
});
