// A program for namespaces whose only name server never answers: it measures how much such lookups delay other work.
//
// Prints a line of JSON for each case: the slowest of seven rounds of each work in ms, alone and beside the lookups.

import { createSocket } from "node:dgram";
import { pbkdf2 } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { deflate } from "node:zlib";
import { connect, getaddrinfo, getnameinfo, type InetAddress, listen, NI_NAMEREQD, type SocketError } from "berkeley";

const derive = promisify(pbkdf2);
const compress = promisify(deflate);
const data = Buffer.alloc(100_000, "some text that can be compressed");

/** Takes every question and answers none. */
const silent = createSocket("udp4");
let questions = 0;
silent.on("message", () => questions++);
await new Promise<void>((resolve) => silent.bind(53, "127.0.0.1", resolve));

await using listener = await listen("tcp://127.0.0.1:0");
const { port } = listener.address as InetAddress;
const serving = (async () => {
  for await (const stream of listener) await stream.close();
})();

const works: Readonly<Record<string, () => Promise<unknown>>> = {
  readFile: () => readFile("/etc/hosts"),
  pbkdf2: () => derive("secret", "salt", 1000, 32, "sha256"),
  zlib: () => compress(data),
  connect: async () => {
    await using stream = await connect(`tcp://localhost:${port}`, { timeout: 10_000 });
    return stream;
  },
  getaddrinfo: () => getaddrinfo("listed.example", null),
  numeric: () => getaddrinfo("192.0.2.1", "80"),
  getnameinfo: () => getnameinfo("192.0.2.9:80", NI_NAMEREQD),
};

async function time(work: () => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let round = 0; round < 7; round++) {
    const began = performance.now();
    await work();
    took.push(performance.now() - began);
  }
  return Math.max(...took);
}

async function measure(): Promise<Record<string, number>> {
  const took: Record<string, number> = {};
  for (const [name, work] of Object.entries(works)) took[name] = Number((await time(work)).toFixed(2));
  return took;
}

/** `count` attempts to reach names that no server answers for; each is a name of its own, in its case. */
function attempts(count: number, timeout: number, what: string, signal?: AbortSignal): Promise<string>[] {
  return Array.from({ length: count }, (_, index) =>
    connect(`tcp://host${index}.${what}.example:80`, { timeout, signal }).then(
      () => "connected",
      (error: SocketError) => error.code,
    ),
  );
}

// Equal questions are one.
await Promise.all(
  Array.from({ length: 50 }, () => connect("tcp://same.example:80", { timeout: 200 }).catch(() => undefined)),
);
console.log(JSON.stringify({ shared: questions }));
await measure();
const alone = await measure();
for (const count of [2, 4, 40, 150]) {
  const control = new AbortController();
  const pending = attempts(count, 60_000, `pending${count}`, control.signal);
  const beside = await measure();
  control.abort();
  await Promise.all(pending);
  console.log(JSON.stringify({ count, state: "pending", alone, beside }));
  const codes = new Set(await Promise.all(attempts(count, 100, `late${count}`)));
  console.log(JSON.stringify({ count, state: "given up", alone, beside: await measure(), codes: [...codes] }));
}
silent.close();
await listener.close();
await serving;
// Lookups go on in their threads; no caller waits, so nothing holds the process.
console.log(JSON.stringify({ ending: true }));
