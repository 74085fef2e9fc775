// serveUdp() with calls that return errors, and its table of sources.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connectUdp, DatagramBatch } from "berkeley";
import { serveUdp } from "berkeley/server";
import { SourceLimiter } from "#berkeley/admission/index.js";
import { memoryOf, senderHash } from "#berkeley/batch/index.js";
import { calls } from "#berkeley/sys/calls.js";
import { EACCES, ECONNRESET, EINVAL, ENOBUFS, ENOMEM } from "#berkeley/sys/errno.js";
import { TestClock, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { testSeeds } from "../support/random.js";

checkLeaks();

const LOCAL = "udp://127.0.0.1:0";
const echo = ({ data }: { readonly data: Buffer }, reply: (data: Buffer) => unknown): void => void reply(data);

/** Makes the next calls return these results, and then calls the kernel. */
function script(name: "recvmmsg" | "sendmmsg", results: number[]): Disposable {
  const real = calls[name] as (...args: unknown[]) => number;
  const fake = (...args: unknown[]): number => results.shift() ?? real(...args);
  Object.assign(calls, { [name]: fake });
  return { [Symbol.dispose]: () => void Object.assign(calls, { [name]: real }) };
}

test("errors of recvmmsg() that concern no socket of ours are counted, and shortages pause", async () => {
  using clock = new TestClock();
  using _ = script("recvmmsg", [ECONNRESET, ECONNRESET, ENOMEM, ENOBUFS]);
  await using server = await serveUdp(LOCAL, echo);
  await until(() => server.stats().receiveErrors === 3);
  await clock.advance(10);
  await until(() => server.stats().receiveErrors === 4);
  await clock.advance(10);
  await using udp = await connectUdp(server.address);
  await udp.send("hello");
  assert.equal(String((await udp.receive()).data), "hello");
});

test("an error of recvmmsg() that lasts leaves the event loop to others", async () => {
  using clock = new TestClock();
  const lasting = Array<number>(40).fill(EACCES);
  using _ = script("recvmmsg", lasting);
  await using server = await serveUdp(LOCAL, echo);
  for (const errors of [16, 32, 40]) {
    await until(() => server.stats().receiveErrors === errors);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(server.stats().receiveErrors, errors);
    await clock.advance(10);
  }
  await using udp = await connectUdp(server.address);
  await udp.send("hello");
  assert.equal(String((await udp.receive()).data), "hello");
});

test("a socket that can't receive any more ends the server with its error", async () => {
  using _ = script("recvmmsg", [EINVAL]);
  const server = await serveUdp(LOCAL, echo);
  await assert.rejects(server.closed, { code: "EINVAL", syscall: "recvmmsg" });
  assert.equal(server.stats().state, "closed");
});

test("a reply that the kernel refuses is counted, and the others are sent", async () => {
  await using server = await serveUdp(LOCAL, echo);
  await using udp = await connectUdp(server.address);
  // Each datagram is tried twice.
  using _ = script("sendmmsg", [EACCES, EACCES]);
  await udp.send("refused");
  await until(() => server.stats().sendErrors === 1);
  await udp.send("sent");
  assert.equal(String((await udp.receive()).data), "sent");
});

const hashes = (...addresses: string[]): number[] => {
  const batch = new DatagramBatch({ capacity: addresses.length });
  for (const address of addresses) batch.add("", address);
  return addresses.map((_, index) => senderHash(memoryOf(batch), index, 12_345));
};

test("the hash of a source is that of an IPv4 address, mapped or not, or of a /64", () => {
  const [v4, otherPort, mapped, neighbour] = hashes(
    "192.0.2.1:1",
    "192.0.2.1:2",
    "[::ffff:192.0.2.1]:3",
    "192.0.2.2:1",
  );
  assert.equal(v4, otherPort);
  assert.equal(v4, mapped);
  assert.notEqual(v4, neighbour);
  const [one, same, next] = hashes("[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:9", "[2001:db8:0:1::1]:1");
  assert.equal(one, same);
  assert.notEqual(one, next);
  assert.deepEqual(hashes("unix:@name").includes(0), true);
});

test("the hashes of the neighbours of a network are spread over the table", () => {
  const sets = new Set<number>();
  for (let block = 0; block < 16; block++) {
    for (const hash of hashes(...Array.from({ length: 256 }, (_, host) => `10.0.${block}.${host}:1`)))
      sets.add(hash & 0x3fff);
  }
  // 4,096 random places of 16,384 are about 3,620 different ones.
  assert.ok(sets.size > 3_000, `${sets.size} sets`);
});

testSeeds(
  "a source that floods stays limited among millions of others, which get their first datagram through",
  [1],
  (random) => {
    const limiter = new SourceLimiter(10);
    let passed = 0;
    let first = 0;
    for (let now = 0; now < 1_000; now++) {
      for (let i = 0; i < 100; i++) if (limiter.take(77, now)) passed++;
      for (let i = 0; i < 2_000; i++) if (limiter.take((random(0x7fff_fffe) + 1) * 2, now)) first++;
    }
    // The burst, and a second at the rate.
    assert.ok(passed <= 20 && passed >= 19, `${passed}`);
    assert.ok(first > 1_990_000, `${first}`);
  },
);

test("a bucket has at most the tokens of one second", () => {
  const limiter = new SourceLimiter(3);
  const take = (now: number): number => {
    let count = 0;
    while (limiter.take(5, now)) count++;
    return count;
  };
  assert.deepEqual([take(0), take(100), take(334), take(1_000), take(1e12)], [3, 0, 1, 2, 3]);
});
