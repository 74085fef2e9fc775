// The example resp.ts: strict parsing, whole and in pieces; the commands; time to live; the limits.
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, Stream } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { defaultLimits, RespServer, type RespOptions, serveClient, Session, Store } from "../../examples/resp.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

/** A request as clients send it. */
function request(...words: readonly (string | Buffer)[]): Buffer {
  const parts = words.map((word) => Buffer.from(word));
  return Buffer.concat([
    Buffer.from(`*${parts.length}\r\n`),
    ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from("\r\n")]),
  ]);
}

/** A session whose requests are given as bytes and whose replies are text. */
class Talk {
  time = 1000;
  readonly store: Store;
  readonly session: Session;

  constructor(opts: RespOptions = {}) {
    this.store = new Store({ now: () => this.time, ...opts });
    this.session = new Session(this.store, { ...defaultLimits, ...opts });
  }

  /** The replies to these bytes, all of which must have been taken. */
  say(bytes: string | Buffer): string {
    const buffer = Buffer.from(bytes);
    let start = 0;
    let replies = "";
    do {
      start = this.session.run(buffer, start, buffer.length);
      replies += this.taken();
    } while (this.session.more);
    assert.equal(start, buffer.length);
    return replies;
  }

  taken(): string {
    const data = this.session.replies.take();
    const parts = (Array.isArray(data) ? data : [data]) as Buffer[];
    const text = Buffer.concat(parts).toString("latin1");
    this.session.replies.taken();
    return text;
  }

  ask(...words: readonly string[]): string {
    return this.say(request(...words));
  }
}

test("commands give what Redis gives", () => {
  const talk = new Talk();
  const steps: readonly [words: readonly string[], reply: string][] = [
    [["PING"], "+PONG\r\n"],
    [["ping", "hello"], "$5\r\nhello\r\n"],
    [["ECHO", ""], "$0\r\n\r\n"],
    [["GET", "k"], "$-1\r\n"],
    [["SET", "k", "v"], "+OK\r\n"],
    [["get", "k"], "$1\r\nv\r\n"],
    [["SET", "k", "w", "NX"], "$-1\r\n"],
    [["SET", "k", "w", "XX", "GET"], "$1\r\nv\r\n"],
    [["SET", "new", "w", "XX"], "$-1\r\n"],
    [["SET", "k", "v", "EX"], "-ERR syntax error\r\n"],
    [["SET", "k", "v", "EX", "0"], "-ERR invalid expire time in 'set' command\r\n"],
    [["SET", "k", "v", "EX", "1.5"], "-ERR value is not an integer or out of range\r\n"],
    [["SET", "k", "v", "NX", "XX"], "-ERR syntax error\r\n"],
    [["MGET", "k", "nothing"], "*2\r\n$1\r\nw\r\n$-1\r\n"],
    [["STRLEN", "k"], ":1\r\n"],
    [["EXISTS", "k", "k", "nothing"], ":2\r\n"],
    [["INCR", "n"], ":1\r\n"],
    [["INCRBY", "n", "41"], ":42\r\n"],
    [["DECR", "n"], ":41\r\n"],
    [["DECRBY", "n", "-1"], ":42\r\n"],
    [["INCR", "k"], "-ERR value is not an integer or out of range\r\n"],
    [["SET", "n", "9223372036854775806"], "+OK\r\n"],
    [["INCR", "n"], ":9223372036854775807\r\n"],
    [["INCR", "n"], "-ERR increment or decrement would overflow\r\n"],
    [["SET", "n", "007"], "+OK\r\n"],
    [["INCR", "n"], "-ERR value is not an integer or out of range\r\n"],
    [["DEL", "n", "k", "nothing"], ":2\r\n"],
    [["DBSIZE"], ":0\r\n"],
    [["SELECT", "0"], "+OK\r\n"],
    [["SELECT", "1"], "-ERR DB index is out of range\r\n"],
    [["CONFIG", "GET", "save"], "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"],
    [["CONFIG", "GET", "constructor"], "*0\r\n"],
    [["CONFIG", "SET", "save"], "-ERR unknown subcommand of CONFIG\r\n"],
    [["GET"], "-ERR wrong number of arguments for 'get' command\r\n"],
    [["PING", "a", "b"], "-ERR wrong number of arguments for 'ping' command\r\n"],
    [["BREW", "tea"], "-ERR unknown command 'BREW'\r\n"],
    [["G3T", "k"], "-ERR unknown command 'G3T'\r\n"],
    [["", "k"], "-ERR unknown command ''\r\n"],
    [["A\r\nB"], "-ERR unknown command 'A  B'\r\n"],
  ];
  for (const [words, reply] of steps) assert.equal(talk.ask(...words), reply, words.join(" "));
});

test("values and keys are bytes, of any kind and of every length", () => {
  const talk = new Talk();
  const all = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  assert.equal(talk.say(request("SET", all, all)), "+OK\r\n");
  assert.equal(talk.say(request("GET", all)), `$256\r\n${all.toString("latin1")}\r\n`);
  for (const length of [0, 9, 10, 39, 40, 1000, 16_383, 16_384, 300_000]) {
    const value = Buffer.from(Array.from({ length }, (_, index) => (index * 7) % 256));
    assert.equal(talk.say(Buffer.concat([request("SET", "k", value), request("PING")])), "+OK\r\n+PONG\r\n");
    const reply = `$${length}\r\n${value.toString("latin1")}\r\n`;
    assert.ok(
      talk.say(Buffer.concat([request("GET", "k"), request("PING")])) === `${reply}+PONG\r\n`,
      `${length} bytes`,
    );
  }
});

test("a line of words is a request too, with quotes where it needs them", () => {
  const talk = new Talk();
  assert.equal(talk.say("PING\r\nping\n\r\n\n  PING \t\r\n"), "+PONG\r\n".repeat(3));
  assert.equal(talk.say('SET "a key" "\\x00\\"\\n\\z"\r\n'), "+OK\r\n");
  assert.equal(talk.say("GET 'a key'\r\n"), '$4\r\n\0"\nz\r\n');
  assert.equal(talk.say("SET k 'it\\'s'\r\nGET k\r\n"), "+OK\r\n$4\r\nit's\r\n");
  assert.equal(talk.say('GET ""\r\n'), "$-1\r\n");
});

test("empty requests are passed over without a reply", () => {
  assert.equal(new Talk().say("*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n"), "+PONG\r\n");
});

const broken: readonly [what: string, bytes: string, message: string][] = [
  ["no bulk string", "*1\r\n+PING\r\n", "expected '$', got '+'"],
  ["a control character for a bulk string", "*1\r\n\0", "expected '$', got '\\x00'"],
  ["a length that is no number", "*1\r\n$x\r\n", "invalid bulk length"],
  ["an empty length", "*1\r\n$\r\n", "invalid bulk length"],
  ["a negative length", "*1\r\n$-1\r\n", "invalid bulk length"],
  ["a length with a sign", "*1\r\n$+4\r\nPING\r\n", "invalid bulk length"],
  ["a length beyond the limit", "*1\r\n$101\r\n", "invalid bulk length"],
  ["a length beyond every number", `*1\r\n$${"9".repeat(40)}`, "too big bulk count string"],
  ["a number that is none", "*a\r\n", "invalid multibulk length"],
  ["a number of arguments beyond the limit", "*5\r\n", "invalid multibulk length"],
  ["another negative number", "*-2\r\n", "invalid multibulk length"],
  ["a line that ends with LF only", "*1\n$4\r\nPING\r\n", "invalid multibulk length"],
  ["a line that ends with CR and something else", "*1\r$", "invalid multibulk length"],
  ["a bulk string that is longer than it says", "*1\r\n$4\r\nPINGPONG\r\n", "a bulk string must end with CR LF"],
  ["a request beyond the limit", "*3\r\n$100\r\n", "too big request"],
  ["a line beyond the limit", "x".repeat(101), "too big inline request"],
  ["a finished line beyond the limit", `${"x".repeat(101)}\r\n`, "too big inline request"],
  ["too many words", "a b c d e\r\n", "too many words in an inline request"],
  ["quotes that are not closed", 'GET "k\r\n', "unbalanced quotes in request"],
  ["a word that goes on behind its quote", 'GET "k"x\r\n', "unbalanced quotes in request"],
];

for (const [what, bytes, message] of broken) {
  test(`${what} is a protocol error, and the end of the connection`, () => {
    const talk = new Talk({ maxArguments: 4, maxBulk: 100, maxInline: 100, maxRequest: 100 });
    const all = Buffer.concat([request("PING"), Buffer.from(bytes)]);
    assert.equal(talk.say(all), `+PONG\r\n-ERR Protocol error: ${message}\r\n`);
    assert.equal(talk.session.over, true);
  });
}

test("requests come in pieces of any size, and are answered when they are whole", () => {
  const words = [["SET", "key", "va\r\nlue"], ["GET", "key"], ["INCR", "n"], ["DEL", "key", "n"], ["PING"]];
  const bytes = Buffer.concat([
    ...words.map((one) => request(...one)),
    Buffer.from("GET key\r\n"),
    Buffer.from('"PING"\n'),
  ]);
  const whole = new Talk().say(bytes);
  for (let size = 1; size < bytes.length; size++) {
    const talk = new Talk();
    let start = 0;
    let replies = "";
    for (let end = size; ; end = Math.min(end + size, bytes.length)) {
      start = talk.session.run(bytes, start, end);
      replies += talk.taken();
      if (end === bytes.length) break;
    }
    assert.equal(replies, whole, `in pieces of ${size}`);
    assert.equal(start, bytes.length);
  }
});

test("a request is not parsed before it can be complete", () => {
  const talk = new Talk();
  const bytes = request("SET", "k", "x".repeat(1000));
  const head = bytes.length - 1000 - 2;
  assert.equal(talk.session.run(bytes, 0, head), 0);
  for (let end = head + 1; end < bytes.length; end++) assert.equal(talk.session.run(bytes, 0, end), 0);
  assert.equal(talk.session.run(bytes, 0, bytes.length), bytes.length);
  assert.equal(talk.taken(), "+OK\r\n");
});

test("the replies to many requests are sent in parts", () => {
  const talk = new Talk();
  const value = "x".repeat(100_000);
  talk.ask("SET", "k", value);
  const bytes = Buffer.concat(Array.from({ length: 100 }, () => request("GET", "k")));
  let start = 0;
  let count = 0;
  do {
    start = talk.session.run(bytes, start, bytes.length);
    assert.ok(talk.session.replies.size < 500_000);
    count += talk.taken().length;
  } while (talk.session.more);
  assert.equal(start, bytes.length);
  assert.equal(count, 100 * (value.length + "$100000\r\n\r\n".length));
});

test("an expired key is gone for every command", () => {
  const talk = new Talk();
  talk.ask("SET", "k", "v", "PX", "500");
  assert.equal(talk.ask("PTTL", "k"), ":500\r\n");
  talk.time += 499;
  assert.equal(talk.ask("GET", "k"), "$1\r\nv\r\n");
  assert.equal(talk.ask("TTL", "k"), ":0\r\n");
  talk.time += 1;
  assert.equal(talk.store.size, 1);
  assert.equal(talk.ask("GET", "k"), "$-1\r\n");
  assert.equal(talk.store.size, 0);
  assert.equal(talk.ask("TTL", "k"), ":-2\r\n");
  assert.equal(talk.ask("EXPIRE", "k", "10"), ":0\r\n");
});

test("EXPIRE, PERSIST, SET and INCR treat the time as Redis does", () => {
  const talk = new Talk();
  talk.ask("SET", "k", "1");
  assert.equal(talk.ask("TTL", "k"), ":-1\r\n");
  assert.equal(talk.ask("PERSIST", "k"), ":0\r\n");
  assert.equal(talk.ask("EXPIRE", "k", "100"), ":1\r\n");
  assert.equal(talk.ask("INCR", "k"), ":2\r\n");
  assert.equal(talk.ask("TTL", "k"), ":100\r\n");
  talk.ask("SET", "k", "3", "KEEPTTL");
  assert.equal(talk.ask("TTL", "k"), ":100\r\n");
  talk.ask("SET", "k", "3");
  assert.equal(talk.ask("TTL", "k"), ":-1\r\n");
  talk.ask("PEXPIRE", "k", "100");
  assert.equal(talk.ask("PERSIST", "k"), ":1\r\n");
  talk.time += 1000;
  assert.equal(talk.ask("GET", "k"), "$1\r\n3\r\n");
  assert.equal(talk.ask("EXPIRE", "k", "-1"), ":1\r\n");
  assert.equal(talk.ask("EXISTS", "k"), ":0\r\n");
  assert.equal(talk.ask("EXPIRE", "k", "9223372036854775807"), "-ERR invalid expire time in 'expire' command\r\n");
});

test("sweep() removes expired keys that are not looked up, and no others", () => {
  const talk = new Talk();
  for (let index = 0; index < 3000; index++) {
    talk.ask("SET", `mortal:${index}`, "v", "PX", index % 2 === 0 ? "10" : "1000");
    talk.ask("SET", `immortal:${index}`, "v");
  }
  assert.equal(talk.store.sweep(), 0);
  talk.time += 10;
  let removed = 0;
  for (let turns = 0; turns < 1000 && removed < 1500; turns++) removed += talk.store.sweep();
  assert.equal(removed, 1500);
  assert.deepEqual([talk.store.size, talk.store.mortal], [4500, 1500]);
});

test("memory has its limit, and is counted back", () => {
  const talk = new Talk({ maxMemory: 1000 });
  const refused = "-OOM command not allowed when used memory > 'maxmemory'\r\n";
  assert.equal(talk.ask("SET", "k", "x".repeat(1000)), refused);
  assert.equal(talk.ask("SET", "k", "x".repeat(500)), "+OK\r\n");
  assert.equal(talk.ask("SET", "k", "x".repeat(1000)), refused);
  assert.equal(talk.ask("STRLEN", "k"), ":500\r\n");
  assert.equal(talk.ask("SET", "other", "x".repeat(500), "PX", "5"), refused);
  assert.equal(talk.ask("DEL", "k"), ":1\r\n");
  assert.equal(talk.store.memory, 0);
  assert.equal(talk.ask("SET", "other", "x".repeat(500), "PX", "5"), "+OK\r\n");
  talk.time += 5;
  talk.store.sweep();
  assert.equal(talk.store.memory, 0);
});

test("the server answers requests that arrive together with one write, over any connection", async () => {
  const [a, b] = memoryPair();
  let writes = 0;
  const write = b.write.bind(b);
  b.write = (...args) => {
    writes++;
    return write(...args);
  };
  const serving = serveClient(b, new Store());
  const client = new Stream(a);
  await client.write(Buffer.concat(Array.from({ length: 16 }, () => request("PING"))));
  for (let index = 0; index < 16; index++) assert.equal(await client.readLine(), "+PONG");
  assert.equal(writes, 1);
  await client.write(request("QUIT"));
  assert.equal(await client.readLine(), "+OK");
  assert.equal(await client.read(), null);
  await client.close();
  await serving;
  await b.close();
});

test("a client gets the error before the connection closes, even if it sends more", async () => {
  await using server = await RespServer.start("tcp://127.0.0.1:0");
  await using client = await connect(server.address);
  await client.write(["*1\r\n$x\r\n", "more ".repeat(10_000)]);
  assert.equal(await client.readLine(), "-ERR Protocol error: invalid bulk length");
  await client.closeWrite();
  assert.equal(await client.readLine(), null);
});

test("a value larger than any buffer on the way comes whole, in and out", async () => {
  await using server = await RespServer.start("unix:@berkeley-resp-test");
  await using client = await connect(server.address);
  const value = Buffer.from(Array.from({ length: 1 << 20 }, (_, index) => (index * 31) % 256));
  await client.write(request("SET", "large", value));
  assert.equal(await client.readLine(), "+OK");
  await client.write(Buffer.concat(Array.from({ length: 8 }, () => request("GET", "large"))));
  for (let index = 0; index < 8; index++) {
    assert.equal(await client.readLine(), `$${value.length}`);
    assert.ok((await client.readExactly(value.length)).equals(value));
    assert.equal(await client.readLine(), "");
  }
});

test("a client that does not read is cut when its patience is at an end", async () => {
  await using server = await RespServer.start("tcp://127.0.0.1:0", { writeTimeout: 50 });
  await using client = await connect(server.address);
  await client.write(request("SET", "k", "x".repeat(1 << 20)));
  assert.equal(await client.readLine(), "+OK");
  const asking = request("GET", "k");
  await assert.rejects(
    async () => {
      for (;;) await client.write(asking);
    },
    { code: /^(EPIPE|ECONNRESET)$/ },
  );
});

test("resp.ts is a program that ends on Ctrl-C", async () => {
  await using server = example("resp", "0");
  await using client = await connect(["127.0.0.1", await portOf(server)]);
  await client.write(request("PING"));
  assert.equal(await client.readLine(), "+PONG");
  await interrupted(server);
});
