// A UDP echo server on berkeley, in batches of 64.

import { AF_INET, DatagramBatch, SO_RCVBUF, SOCK_DGRAM, Socket } from "berkeley";

const socket = new Socket(AF_INET, SOCK_DGRAM);
await socket.bind(["127.0.0.1", 0]);
socket.setsockopt(SO_RCVBUF, 4 << 20);
const address = socket.getsockname();
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
const batch = new DatagramBatch({ capacity: 64, size: 2048 });
for (;;) {
  await socket.recvmmsg(batch);
  await socket.sendmmsg(batch);
}
