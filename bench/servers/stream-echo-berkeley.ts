// A TCP echo server on listen() and Stream. Its argument is the way to read: "chunks" reads chunks, "into" reads into
// one buffer per connection, "pipe" pipes the stream to itself. The first two try a write without a promise first.

import { listen, type Stream } from "berkeley";

import { BUFFER_SIZE, collectOnInput, ignoreDisconnect } from "../lib/serving.js";

/** Handles its own errors: a promise chain around it would use memory for each idle connection. */
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
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  // Most messages have the same length as the one before. Then its view of the buffer is used again.
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
collectOnInput();
for await (const stream of listener) {
  if (echo === chunks) void chunks(stream);
  else
    echo(stream)
      .catch(ignoreDisconnect) // The load generator closes with messages in flight.
      .finally(() => void stream.close());
}
