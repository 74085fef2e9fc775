// Bulk datagrams on berkeley with GSO and GRO. The commands (`receive`, `send PORT`) and the protocol are those of
// bench/native/udp_bulk.c.

import { AF_INET, DatagramBatch, SO_RCVBUF, SOCK_DGRAM, Socket, UDP_GRO, UDP_SEGMENT } from "berkeley";
import { createInterface } from "node:readline";

const segment = 1472;
const burst = 44;
const window = 3;

const socket = new Socket(AF_INET, SOCK_DGRAM);

function printReady(): void {
  const address = socket.getsockname();
  if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
  console.log(JSON.stringify({ port: address.port }));
}

async function receive(): Promise<never> {
  await socket.bind(["127.0.0.1", 0]);
  socket.setsockopt(SO_RCVBUF, 4 << 20);
  socket.setsockopt(UDP_GRO, true);
  printReady();
  // Receives one burst, and acknowledges it before it receives the next one. If it received all waiting bursts first,
  // the sender would wait longer.
  const batch = new DatagramBatch({ capacity: 1, size: 65_536 });
  const { buffer } = batch;
  const answer = new DatagramBatch({ capacity: 1, size: 8 });
  const numbers = Buffer.alloc(8);
  let received = 0;
  let acknowledged = 0;
  for (;;) {
    await socket.recvmmsg(batch);
    const length = batch.length(0);
    const each = batch.segmentSize(0) || length;
    if (each !== segment || length % segment !== 0) {
      throw new Error(`datagrams of ${each} bytes, ${length} in all, came; ${segment} were sent`);
    }
    const datagrams = length / segment;
    const first = buffer.readUInt32LE(0);
    const last = buffer.readUInt32LE(length - segment);
    if ((last - first) >>> 0 !== datagrams - 1) {
      throw new Error(`the datagrams from ${first} to ${last} are not ${datagrams}`);
    }
    const expected = (first + datagrams) >>> 0;
    received = (received + datagrams) >>> 0;
    if ((expected - acknowledged) >>> 0 < burst) continue;
    acknowledged = expected - (expected % burst);
    answer.clear();
    numbers.writeUInt32LE(expected, 0);
    numbers.writeUInt32LE(received, 4);
    answer.add(numbers, batch.address(0));
    await socket.sendmmsg(answer);
  }
}

async function send(port: number): Promise<void> {
  await socket.connect(["127.0.0.1", port]);
  // The kernel divides each burst into datagrams. Only the numbers in them change.
  socket.setsockopt(UDP_SEGMENT, segment);
  const data = Buffer.alloc(burst * segment, 0xa5);
  // Both ends are on one machine, so the numbers can have the byte order of the host.
  const numbers = new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
  const answer = Buffer.alloc(8);
  let next = 0;
  let acknowledged = 0;
  let delivered = 0;
  // In ms. A burst that is not acknowledged in this time is lost.
  socket.timeout = 200;
  printReady();
  for await (const line of createInterface({ input: process.stdin })) {
    const start = performance.now();
    const until = start + Number(line);
    const first = next;
    const deliveredFirst = delivered;
    for (let open = true; ;) {
      if (open && performance.now() >= until) open = false;
      if (open && (next - acknowledged) >>> 0 < window * burst) {
        for (let at = 0; at < numbers.length; at += segment / 4) {
          numbers[at] = next;
          next = (next + 1) >>> 0;
        }
        if (socket.trySend(data) === undefined) await socket.send(data);
        continue;
      }
      if (acknowledged === next) break;
      try {
        if (socket.tryRecvInto(answer) === undefined) await socket.recvInto(answer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ETIMEDOUT") throw error;
        // The missing datagrams are lost: continue as if they were acknowledged.
        answer.writeUInt32LE(next, 0);
        answer.writeUInt32LE(delivered, 4);
      }
      if (((answer.readUInt32LE(0) - acknowledged) | 0) > 0) {
        acknowledged = answer.readUInt32LE(0);
        delivered = answer.readUInt32LE(4);
      }
    }
    const count = (delivered - deliveredFirst) >>> 0;
    const lost = ((next - first) >>> 0) - count;
    console.log(JSON.stringify({ count, lost, elapsedNs: Math.round((performance.now() - start) * 1e6) }));
  }
}

if (process.argv[2] === "receive") await receive();
else await send(Number(process.argv[3]));
