// ioredis, unchanged, over our streams: with a real redis-server, and with our example server. Also redis-cli and
// redis-benchmark with the example server.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket as NetSocket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { connect, type EndpointLike, type Stream } from "berkeley";
import { Redis } from "ioredis";
import connectors from "ioredis/built/connectors/AbstractConnector.js";
import { RespServer } from "../../examples/resp.js";
import { checkLeaks } from "../support/leaks.js";
import { pick, type Random, testSeeds } from "../support/random.js";
import { missing, run, startRedis } from "./support.js";

checkLeaks();

const withoutServer = missing("redis-server", "redis-server", "setpriv");
const withoutTools = missing("redis-tools", "redis-cli", "redis-benchmark");

type Way = (stream: Stream) => Duplex;
const ways: readonly [name: string, of: Way][] = [
  ["toNetSocket()", (stream) => stream.toNetSocket()],
  ["toDuplex()", (stream) => stream.toDuplex({ allowHalfOpen: false })],
];

/** An ioredis whose connections are ours. */
function open(endpoint: EndpointLike, of: Way): Redis {
  class Connector extends connectors.default {
    constructor() {
      super(1000);
    }

    // The types of ioredis require a socket of Node, but it accepts every Duplex.
    override async connect(): Promise<NetSocket> {
      this.connecting = true;
      this.stream = of(await connect(endpoint)) as NetSocket;
      return this.stream;
    }
  }
  return new Redis({ Connector, lazyConnect: true, retryStrategy: () => null });
}

async function leave(redis: Redis): Promise<void> {
  const ended = once(redis, "end");
  await redis.quit();
  await ended;
}

/** What every server of the protocol is to do for ioredis. */
async function tour(redis: Redis): Promise<void> {
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.get("nothing"), null);
  assert.equal(await redis.set("word", "tea"), "OK");
  assert.equal(await redis.get("word"), "tea");
  assert.deepEqual([await redis.incr("count"), await redis.incr("count")], [1, 2]);
  await assert.rejects(redis.incr("word"), /value is not an integer or out of range/);
  assert.equal(await redis.expire("word", 100), 1);
  assert.ok((await redis.ttl("word")) > 90);
  assert.equal(await redis.del("word", "count", "nothing"), 2);
  // Requests and replies of some hundred kilobytes in one go.
  const pipeline = redis.pipeline();
  for (let index = 0; index < 5000; index++) pipeline.set(`key:${index}`, "v".repeat(index % 100)).get(`key:${index}`);
  const replies = (await pipeline.exec()) ?? [];
  assert.equal(replies.length, 10_000);
  for (const [index, [error, value]] of replies.entries()) {
    assert.equal(error, null);
    assert.equal(value, index % 2 === 0 ? "OK" : "v".repeat(((index - 1) / 2) % 100));
  }
  const large = Buffer.alloc(1 << 20, "0123456789");
  assert.equal(await redis.set("large", large), "OK");
  assert.ok((await redis.getBuffer("large"))?.equals(large));
}

describe("ioredis against redis-server", { skip: withoutServer }, () => {
  for (const [name, of] of ways) {
    test(`commands, pipelines and large values over ${name}`, async () => {
      await using server = await startRedis();
      for (const endpoint of [["127.0.0.1", server.port] as const, `unix:${join(server.folder, "redis.sock")}`]) {
        const redis = open(endpoint, of);
        await tour(redis);
        await redis.flushall();
        await leave(redis);
      }
    });

    test(`messages without a request arrive over ${name}`, async () => {
      await using server = await startRedis();
      const redis = open(["127.0.0.1", server.port], of);
      const other = open(["127.0.0.1", server.port], of);
      const received = once(redis, "message");
      await redis.subscribe("bell");
      await other.publish("bell", "dinner");
      assert.deepEqual(await received, ["bell", "dinner"]);
      await leave(other);
      const ended = once(redis, "end");
      redis.disconnect();
      await ended;
    });
  }
});

for (const [name, of] of ways) {
  test(`ioredis over ${name} against our own server`, async () => {
    await using server = await RespServer.start("tcp://127.0.0.1:0");
    const redis = open(server.address, of);
    await tour(redis);
    await leave(redis);
  });
}

test("ioredis over its own connections against our own server", async () => {
  await using server = await RespServer.start("tcp://127.0.0.1:0");
  const { address } = server;
  assert.ok("port" in address);
  const redis = new Redis(address.port, "127.0.0.1", { lazyConnect: true, retryStrategy: () => null });
  await tour(redis);
  await leave(redis);
});

/** Random requests, good and bad; the same for the same seed. None has a reply that depends on the time. */
function requests(random: Random, count: number): string[][] {
  const key = (): string => pick(random, ["a", "b", "c", "", "a key"]);
  const number = (): string =>
    pick(random, ["0", "1", "-1", "100", "x", "", "1.5", "007", "-0", "9223372036854775807", "1e3"]);
  const value = (): string => (random(2) === 0 ? number() : "v".repeat(pick(random, [0, 1, 9, 10, 99, 100, 20_000])));
  const forms: readonly (() => string[])[] = [
    () => ["SET", key(), value()],
    () => ["SET", key(), value(), pick(random, ["NX", "xx", "GET", "KEEPTTL", "QX", "EX"])],
    () => ["SET", key(), value(), pick(random, ["EX", "PX"]), pick(random, ["100000", "1000000", "0", "-1", "x"])],
    () => ["SET", key(), value(), pick(random, ["NX", "XX", "EX"]), pick(random, ["GET", "KEEPTTL", "NX", "XX"])],
    () => ["GET", key()],
    () => ["MGET", key(), key(), key()],
    () => ["STRLEN", key()],
    () => ["DEL", key(), key()],
    () => ["EXISTS", key(), key()],
    () => [pick(random, ["INCR", "decr"]), key()],
    () => [pick(random, ["INCRBY", "DECRBY"]), key(), number()],
    () => ["EXPIRE", key(), pick(random, ["1000", "0", "-1", "x", "", "9223372036854775807"])],
    () => ["PERSIST", key()],
    () => ["DBSIZE"],
    () => ["ping", ...Array.from({ length: random(4) }, () => "word")],
    () => ["ECHO", ...Array.from({ length: random(3) }, value)],
    () => [pick(random, ["GET", "SET", "DEL", "INCR", "EXPIRE", "TTL"])],
    () => ["SELECT", pick(random, ["0", "x", "99"])],
  ];
  return Array.from({ length: count }, () => pick(random, forms)());
}

/** The bytes that a server answers with to requests that are sent at once, the last being QUIT. */
async function answers(endpoint: EndpointLike, all: readonly string[][]): Promise<string> {
  await using stream = await connect(endpoint);
  const bytes = [...all, ["QUIT"]].map(
    (words) => `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`,
  );
  const writing = stream.write(bytes.join(""));
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  await writing;
  return Buffer.concat(chunks).toString("latin1");
}

const sameAnswers = async (random: Random): Promise<void> => {
  await using theirs = await startRedis();
  await using ours = await RespServer.start("tcp://127.0.0.1:0");
  const all = requests(random, 20_000);
  const [expected, found] = await Promise.all([answers(["127.0.0.1", theirs.port], all), answers(ours.address, all)]);
  const [expectedLines, foundLines] = [expected.split("\r\n"), found.split("\r\n")];
  const differs = expectedLines.findIndex((line, index) => line !== foundLines[index]);
  const around = (lines: readonly string[]): string => lines.slice(Math.max(0, differs - 5), differs + 2).join("\n");
  assert.equal(differs, -1, `redis-server:\n${around(expectedLines)}\n--- but ours:\n${around(foundLines)}`);
  assert.equal(found.length, expected.length);
};

testSeeds("our own server answers byte for byte as redis-server does", [1], sameAnswers, { skip: withoutServer });

test("redis-cli against our own server", { skip: withoutTools }, async () => {
  await using server = await RespServer.start("tcp://127.0.0.1:0");
  const { address } = server;
  assert.ok("port" in address);
  const { status, stdout, stderr } = await run(
    "redis-cli",
    ["-p", String(address.port)],
    'SET greeting "good morning"\nGET greeting\nINCR count\nEXPIRE count 100\nBREW tea\nQUIT\n',
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^OK\ngood morning\n1\n1\nERR unknown command 'BREW'/);
});

test("redis-benchmark against our own server, with and without pipelines", { skip: withoutTools }, async () => {
  await using server = await RespServer.start("tcp://127.0.0.1:0");
  const { address } = server;
  assert.ok("port" in address);
  for (const pipeline of ["1", "16"]) {
    const args = ["-p", String(address.port), "-t", "ping,set,get", "-n", "2000", "-P", pipeline, "--csv"];
    const { status, stdout, stderr } = await run("redis-benchmark", args);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /WARN|[Ee]rror|failed/);
    const rates = [...stdout.matchAll(/^"(\w+)","([\d.]+)"/gm)].map(([, name, rate]) => [name, Number(rate) > 0]);
    assert.deepEqual(
      rates,
      ["PING_INLINE", "PING_MBULK", "SET", "GET"].map((name) => [name, true]),
    );
  }
  assert.equal(server.store.get("key:__rand_int__"), "VXK");
});
