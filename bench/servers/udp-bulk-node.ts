// Bulk datagrams on node:dgram. The commands (`receive`, `send PORT`) and the protocol are those of
// bench/native/udp_bulk.c.

import { type Socket, createSocket } from "node:dgram";
import { createInterface } from "node:readline";

const segment = 1472;
const burst = 44;
const window = 3;

function receive(socket: Socket): void {
  const answer = Buffer.alloc(8);
  let received = 0;
  let acknowledged = 0;
  socket.on("message", (data, { port, address }) => {
    if (data.length !== segment) throw new Error(`a datagram of ${data.length} bytes came, ${segment} were sent`);
    const expected = (data.readUInt32LE(0) + 1) >>> 0;
    received++;
    if ((expected - acknowledged) >>> 0 < burst) return;
    acknowledged = expected - (expected % burst);
    answer.writeUInt32LE(expected, 0);
    answer.writeUInt32LE(received, 4);
    socket.send(Buffer.from(answer), port, address);
  });
  socket.bind(0, "127.0.0.1", () => {
    socket.setRecvBufferSize(4 << 20);
    console.log(JSON.stringify({ port: socket.address().port }));
  });
}

function send(socket: Socket): void {
  // As many datagrams as can be in flight. So the memory of a datagram is written again only after its acknowledgement.
  const datagrams = Array.from({ length: burst * window }, () => Buffer.alloc(segment, 0xa5));
  let next = 0;
  let acknowledged = 0;
  let delivered = 0;
  let start = { at: 0, next: 0, delivered: 0 };
  let until = 0;
  let patience: NodeJS.Timeout | undefined;

  const pump = (): void => {
    while (next - acknowledged < window * burst && performance.now() < until) {
      for (let i = 0; i < burst; i++, next++) {
        const datagram = datagrams[next % datagrams.length] as Buffer;
        datagram.writeUInt32LE(next, 0);
        socket.send(datagram);
      }
    }
    if (next !== acknowledged) return;
    clearInterval(patience);
    const count = delivered - start.delivered;
    const elapsedNs = Math.round((performance.now() - start.at) * 1e6);
    console.log(JSON.stringify({ count, lost: next - start.next - count, elapsedNs }));
  };
  socket.on("message", (data) => {
    if (data.readUInt32LE(0) <= acknowledged) return;
    acknowledged = data.readUInt32LE(0);
    delivered = data.readUInt32LE(4);
    patience?.refresh();
    pump();
  });
  createInterface({ input: process.stdin }).on("line", (line) => {
    start = { at: performance.now(), next, delivered };
    until = start.at + Number(line);
    // Datagrams that are not acknowledged for 200 ms are lost: continue as if they were acknowledged.
    patience = setInterval(() => {
      acknowledged = next;
      pump();
    }, 200);
    pump();
  });
  console.log(JSON.stringify({ port: socket.address().port }));
}

const socket = createSocket("udp4");
if (process.argv[2] === "receive") receive(socket);
else socket.connect(Number(process.argv[3]), "127.0.0.1", () => send(socket));
