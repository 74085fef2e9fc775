// A TCP echo server with one handler. With the argument "serve", serve() with its default limits calls the handler.
// With "bare", a loop over listen() calls it.

import { listen, type Stream } from "berkeley";
import { serve } from "berkeley/server";

import { BUFFER_SIZE, ignoreDisconnect } from "../lib/serving.js";

async function echo(stream: Stream): Promise<void> {
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  let data = buffer;
  for (;;) {
    const count = await stream.read(buffer);
    if (count === 0) return;
    if (data.length !== count) data = buffer.subarray(0, count);
    const taken = stream.tryWrite(data);
    if (taken < count) await stream.write(data.subarray(taken));
  }
}

const way = process.argv[2];
if (way !== "serve" && way !== "bare") throw new Error("a way to serve is required: serve, bare");
const listener = await listen("tcp://127.0.0.1:0", { backlog: 4096 });
const { address } = listener;
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
if (way === "serve") {
  // The load generator closes with messages in flight.
  const server = await serve(listener, echo, { onError: ignoreDisconnect });
  await server.closed;
} else {
  for await (const stream of listener) {
    echo(stream)
      .catch(ignoreDisconnect)
      .finally(() => void stream.close());
  }
}
