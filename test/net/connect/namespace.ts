// A program for a network namespace of its own: it races addresses that do not answer, and prints the results.
//
// The namespace has a pair of veth devices. A packet to a neighbor with an invented hardware address leaves one device,
// and the other device drops it, because it has another address. So SYNs get no answer, as in a network that filters
// them.

import { readFileSync } from "node:fs";
import { AF_INET6, connect, type InetAddress, listen, type Resolver } from "berkeley";

/** State of a connection whose SYN has no answer yet, in /proc/net/tcp6. */
const SYN_SENT = "02";

function waiting(): number {
  const lines = readFileSync("/proc/net/tcp6", "utf8").trim().split("\n").slice(1);
  return lines.filter((line) => line.trim().split(/\s+/)[3] === SYN_SENT).length;
}

async function race(name: string, six: readonly string[], port: number): Promise<void> {
  const resolver: Resolver = (_host, family) => Promise.resolve(family === AF_INET6 ? six : ["10.9.0.1"]);
  const began = performance.now();
  const connecting = connect(`tcp://some.example:${port}`, { resolver, timeout: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const during = waiting();
  await using stream = await connecting;
  const took = Math.round(performance.now() - began);
  console.log(JSON.stringify({ name, took, remote: String(stream.remoteAddress), during, after: waiting() }));
}

await using listener = await listen("tcp://10.9.0.1:0");
const { port } = listener.address as InetAddress;
// From the second round on nothing has to be compiled any more. The others are for a machine that is busy.
for (let round = 0; round < 6; round++) {
  await race("silent", ["fd09::2"], port);
  await race("blackhole", ["fd0b::1"], port);
  await race("unreachable", ["fd0c::1"], port);
  await race("two silent", ["fd09::2", "fd09::3"], port);
}
