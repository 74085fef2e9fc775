// A TCP echo server on listen() and Stream. Its argument says how it reads: "chunks" as they come, "into" one buffer per
// connection, or "pipe" back to where they come from. Where it can, it writes without a promise.

import { listen, type Stream } from "berkeley";

import { collectWhenTold, ignoreDisconnect } from "../lib/serving.js";

/** Without a function around it, which an idle connection would keep. */
async function chunks(stream: Stream): Promise<void> {
  try {
    for (;;) {
      const chunk = await stream.read();
      if (chunk === null) return;
      const taken = stream.tryWrite(chunk);
      if (taken < chunk.length) await stream.write(chunk.subarray(taken));
    }
  } catch (error) {
    ignoreDisconnect(error);
  } finally {
    void stream.close();
  }
}

async function into(stream: Stream): Promise<void> {
  const buffer = Buffer.allocUnsafe(4096);
  // Messages are mostly as long as the one before: then its view does.
  let data = buffer;
  for (;;) {
    const count = await stream.read(buffer);
    if (count === 0) return;
    if (data.length !== count) data = buffer.subarray(0, count);
    const taken = stream.tryWrite(data);
    if (taken < count) await stream.write(data.subarray(taken));
  }
}

async function pipe(stream: Stream): Promise<void> {
  await stream.pipeTo(stream);
}

const ways: Readonly<Record<string, (stream: Stream) => Promise<void>>> = { chunks, into, pipe };
const echo = ways[process.argv[2] ?? "chunks"];
if (echo === undefined) throw new Error(`a way to read is required: ${Object.keys(ways).join(", ")}`);
const listener = await listen("tcp://127.0.0.1:0", { backlog: 4096 });
const { address } = listener;
if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
console.log(JSON.stringify({ port: address.port }));
collectWhenTold();
for await (const stream of listener) {
  if (echo === chunks) void chunks(stream);
  else
    echo(stream)
      .catch(ignoreDisconnect) // The load generator closes with messages in flight.
      .finally(() => void stream.close());
}
