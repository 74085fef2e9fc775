// A peer in a thread of its own: it sends or receives as fast as it can until the connection ends.

import { workerData } from "node:worker_threads";
import { Socket } from "berkeley";

const { port, sends } = workerData as { port: number; sends: boolean };
await using socket = new Socket();
await socket.connect(["127.0.0.1", port]);
const buffer = Buffer.alloc(1 << 20);
try {
  if (sends) for (;;) await socket.sendAll(buffer);
  while ((await socket.recvInto(buffer)) > 0);
} catch (error) {
  // The other side has had enough.
  const { code } = error as { code: string };
  if (code !== "ECONNRESET" && code !== "EPIPE") throw error;
}
