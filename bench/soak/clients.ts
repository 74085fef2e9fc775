// The slow clients of the soak. Every ten seconds, each of them sends a byte of a line that never ends.

import { connect, type Stream } from "berkeley";

/** The message to the parent process. */
export interface ClientsState {
  /** Connections that are open. */
  readonly open: number;
  /** The longest time between the first byte of a client and the end of its connection, in ms. */
  readonly longest: number;
}

const [port, count, interval] = process.argv.slice(2).map(Number) as [number, number, number];
const ADDRESSES = 4;
/** Number of connections that are made at the same time. */
const BATCH = 50;
const BYTE = Buffer.from("x");
const started = new Map<Stream, number>();
let longest = 0;

async function hold(stream: Stream): Promise<void> {
  started.set(stream, performance.now());
  await stream.write(BYTE);
  const timer = setInterval(() => void stream.write(BYTE).catch(() => undefined), interval);
  try {
    await stream.read();
  } catch {
    // A reset ends the connection too.
  }
  clearInterval(timer);
  longest = Math.max(longest, performance.now() - started.get(stream)!);
  started.delete(stream);
  await stream.close();
}

for (let first = 0; first < count; first += BATCH) {
  const batch = Array.from({ length: Math.min(BATCH, count - first) }, async (_, index) => {
    const host = `127.0.0.${((first + index) % ADDRESSES) + 1}`;
    void hold(await connect(["127.0.0.1", port], { localAddress: [host, 0] }));
  });
  await Promise.all(batch);
}

const state = (): ClientsState => ({ open: started.size, longest });
process.on("message", () => process.send!(state()));
process.on("disconnect", () => process.exit());
process.send!(state());
