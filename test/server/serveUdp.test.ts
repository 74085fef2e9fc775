// serveUdp(): handlers, replies, limits, drain and close, with real clients.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { bindUdp, connectUdp, type HostAddress, Inet6Address, IP_RECVERR, type UdpSocket } from "berkeley";
import { type DatagramRefusal, serveUdp, type ServeUdpOptions, type UdpServer } from "berkeley/server";
import { TestClock, until } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { deferred } from "./support.js";

checkLeaks();

const LOCAL = "udp://127.0.0.1:0";
const run = promisify(execFile);
const echo = ({ data }: { readonly data: Buffer }, reply: (data: Buffer) => unknown): void => void reply(data);
const client = (server: UdpServer, host?: string): Promise<UdpSocket> =>
  connectUdp(server.address, host === undefined ? {} : { localAddress: [host, 0] });

/** Sends a datagram and returns the answer. */
async function ask(udp: UdpSocket, data: string): Promise<string> {
  await udp.send(data);
  return String((await udp.receive({ timeout: 5_000 })).data);
}

test("a handler gets the datagram and its sender, and replies", async () => {
  const senders: string[] = [];
  await using server = await serveUdp(LOCAL, async ({ data, address }, reply) => {
    senders.push(String(address));
    assert.equal(reply(data.toString().toUpperCase()), true);
  });
  await using udp = await client(server);
  assert.equal(await ask(udp, "hello"), "HELLO");
  assert.deepEqual(senders, [String(udp.address)]);
  const { accepted, bytesReceived, bytesSent, sent, state } = server.stats();
  assert.deepEqual(
    { accepted, bytesReceived, bytesSent, sent, state },
    { accepted: 1, bytesReceived: 5, bytesSent: 5, sent: 1, state: "listening" },
  );
  assert.match(String(server), /^UdpServer \{ state: listening, local: 127\.0\.0\.1:\d+, handlers: 0 \}$/);
});

test("python3 over IPv4 and IPv6, and ncat, get their answers", async () => {
  await using server = await serveUdp(["", 0], echo);
  const { port } = server.address;
  const script = `
import socket
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.9"), (socket.AF_INET6, "::1")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(10)
    s.connect((host, ${port}))
    for size in (0, 1, 1400, 60000):
        s.send(b"x" * size)
        assert s.recv(65535) == b"x" * size
print("good")
`;
  const { stdout } = await run("python3", ["-c", script], { timeout: 30_000 });
  assert.equal(stdout, "good\n");
  for (const host of ["127.0.0.1", "::1"]) {
    await using ncat = new Program("ncat", ["-u", host, String(port)], { openInput: true });
    ncat.child.stdin!.write("over ncat\n");
    await ncat.line(/^over ncat$/);
  }
});

test("the data of a datagram belong to the handler, also after it has waited", async () => {
  const gate = deferred();
  await using server = await serveUdp(LOCAL, async ({ data }, reply) => {
    if (data[0] === 0x61) await gate.promise;
    else if (data[0] === 0x7a) gate.resolve();
    reply(data);
  });
  await using udp = await client(server);
  await udp.send("aaaa");
  for (let i = 0; i < 200; i++) assert.equal(await ask(udp, "bbbb"), "bbbb");
  await udp.send("z");
  const answers = [await udp.receive(), await udp.receive()].map(({ data }) => String(data)).toSorted();
  assert.deepEqual(answers, ["aaaa", "z"]);
});

test("a handler of batches gets many datagrams at a time, and replies in their order", async () => {
  const total = 2_000;
  const sizes: number[] = [];
  await using server = await serveUdp(
    LOCAL,
    {
      batch: async (batch) => {
        sizes.push(batch.count);
        // The server receives nothing meanwhile, so the data stay.
        await new Promise((resolve) => setImmediate(resolve));
        for (let i = 0; i < batch.count; i++) {
          assert.equal(batch.address(i).port, batch.address(0).port);
          assert.equal(batch.reply(i, batch.data(i)), true);
        }
        assert.throws(() => batch.data(batch.count), RangeError);
      },
    },
    { ratePerAddress: null, maxSize: 100 },
  );
  await using udp = await client(server);
  for (let first = 0; first < total; first += 100) {
    for (let i = first; i < first + 100; i++) await udp.send(String(i));
    for (let i = first; i < first + 100; i++) assert.equal(String((await udp.receive()).data), String(i));
  }
  assert.equal(server.stats().accepted, total);
  assert.ok(
    sizes.some((size) => size > 1),
    "no batch had more than one datagram",
  );
});

test("a reply to each datagram of a large batch finds room", async () => {
  const sizes: number[] = [];
  await using server = await serveUdp(
    LOCAL,
    {
      batch: async (batch) => {
        sizes.push(batch.count);
        for (let i = 0; i < batch.count; i++) assert.equal(batch.reply(i, batch.data(i)), true);
        if (sizes.length === 1) await gate.promise;
      },
    },
    { batchSize: 1024, maxSize: 64, bind: { receiveBuffer: 1 << 20 } },
  );
  const gate = deferred();
  await using udp = await connectUdp(server.address, { receiveBuffer: 1 << 20 });
  await udp.send("first");
  await until(() => sizes.length === 1);
  for (let i = 0; i < 400; i++) await udp.send("x");
  gate.resolve();
  for (let i = 0; i < 401; i++) await udp.receive({ timeout: 5_000 });
  assert.ok(Math.max(...sizes) > 256, sizes.join(" "));
  assert.equal(server.stats().repliesDropped, 0);
});

test("a reply leaves from the address that the datagram was sent to", async () => {
  for (const endpoint of ["udp://0.0.0.0:0", "udp://[::]:0"]) {
    await using server = await serveUdp(endpoint, echo);
    await using batches = await serveUdp(endpoint, {
      batch: (batch) => {
        for (let i = 0; i < batch.count; i++) batch.reply(i, batch.data(i));
      },
    });
    for (const { address } of [server, batches]) {
      for (const host of ["127.0.0.1", "127.0.0.5", ...(address instanceof Inet6Address ? ["::1"] : [])]) {
        // A connected socket receives from this address only.
        await using udp = await connectUdp([host, address.port]);
        assert.equal(await ask(udp, host), host);
      }
    }
  }
});

test("errors of handlers are reported and never end the server", async () => {
  const errors: unknown[] = [];
  await using server = await serveUdp(
    LOCAL,
    ({ data }, reply) => {
      const text = data.toString();
      if (text === "throw") throw new Error("thrown");
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- any value can be a reason
      if (text === "reject") return Promise.reject("no error");
      reply(data);
      return undefined;
    },
    { onError: (error, datagram) => errors.push([String(error), String((datagram as { data: Buffer }).data)]) },
  );
  await using udp = await client(server);
  await udp.send("throw");
  await udp.send("reject");
  assert.equal(await ask(udp, "fine"), "fine");
  await until(() => errors.length === 2);
  assert.deepEqual(errors, [
    ["Error: thrown", "throw"],
    ["no error", "reject"],
  ]);
  assert.equal(server.stats().failed, 2);
});

test("without onError, the process gets a warning at most once a second", async () => {
  using clock = new TestClock();
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  try {
    await using server = await serveUdp(LOCAL, () => {
      throw new Error("of the handler");
    });
    await using udp = await client(server);
    for (let i = 0; i < 20; i++) await udp.send("x");
    await until(() => server.stats().failed === 20);
    await clock.advance(1_001);
    await udp.send("x");
    await until(() => server.stats().failed === 21);
    await until(() => warnings.length >= 2);
    assert.equal(warnings.length, 2);
    assert.match(warnings[0]!.message, /the handler of serveUdp\(\) threw Error: of the handler/);
  } finally {
    process.off("warning", onWarning);
  }
});

test("a handler that never returns keeps its place until handlerTimeout, and the others their answers", async () => {
  using clock = new TestClock();
  const reasons: unknown[] = [];
  const late: boolean[] = [];
  await using server = await serveUdp(
    LOCAL,
    ({ data, signal }, reply) => {
      if (data.toString() !== "hang") return void reply(data);
      signal.addEventListener("abort", () => {
        reasons.push((signal.reason as { code: string }).code);
        late.push(reply("late"));
      });
      return new Promise(() => undefined);
    },
    { maxPending: 3, handlerTimeout: 5_000 },
  );
  await using udp = await client(server);
  for (let i = 0; i < 2; i++) await udp.send("hang");
  assert.equal(await ask(udp, "one"), "one");
  assert.equal(server.stats().pending, 2);
  await udp.send("hang");
  await udp.send("waits");
  await until(() => server.stats().pending === 3);
  await clock.advance(5_001);
  assert.equal(String((await udp.receive()).data), "waits");
  assert.deepEqual(reasons, ["ETIMEDOUT", "ETIMEDOUT", "ETIMEDOUT"]);
  assert.deepEqual(late, [false, false, false]);
  const { handlerTimeout, pending } = server.stats();
  assert.deepEqual({ handlerTimeout, pending }, { handlerTimeout: 3, pending: 0 });
});

test("a handler of batches that never returns is given up, and keeps its memory", async () => {
  using clock = new TestClock();
  const held: Buffer[] = [];
  await using server = await serveUdp(
    LOCAL,
    {
      batch: (batch) => {
        if (batch.data(0).toString() === "hang") {
          held.push(batch.data(0));
          return new Promise(() => undefined);
        }
        for (let i = 0; i < batch.count; i++) batch.reply(i, batch.data(i));
        return undefined;
      },
    },
    { handlerTimeout: 1_000 },
  );
  await using udp = await client(server);
  await udp.send("hang");
  await until(() => held.length === 1);
  await clock.advance(1_001);
  assert.equal(await ask(udp, "next"), "next");
  assert.equal(String(held[0]), "hang");
  assert.equal(server.stats().handlerTimeout, 1);
});

test("with whenFull: refuse, datagrams above maxPending are dropped", async () => {
  const gate = deferred();
  const refusals: DatagramRefusal[] = [];
  await using server = await serveUdp(
    LOCAL,
    async ({ data }, reply) => {
      await gate.promise;
      reply(data);
    },
    { maxPending: 2, whenFull: "refuse", onRefused: (refusal) => refusals.push(refusal) },
  );
  await using udp = await client(server);
  for (let i = 0; i < 5; i++) await udp.send(String(i));
  await until(() => server.stats().refused === 3);
  gate.resolve();
  for (const text of ["0", "1"]) assert.equal(String((await udp.receive()).data), text);
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["maxPending", "maxPending", "maxPending"],
  );
});

test("replies are not larger than the request until the source is validated", async () => {
  const errors: string[] = [];
  const allowed: number[] = [];
  await using server = await serveUdp(
    LOCAL,
    (datagram, reply) => {
      allowed.push(datagram.maxReply);
      const text = datagram.data.toString();
      if (text === "token") datagram.validate();
      if (text === "parts") {
        reply("par");
        allowed.push(datagram.maxReply);
        reply("ts");
      }
      reply(text === "parts" ? "!" : "x".repeat(1000));
    },
    { onError: (error) => errors.push(String(error)) },
  );
  await using udp = await client(server);
  await using other = await client(server);
  await udp.send("12345");
  await until(() => errors.length === 1);
  assert.match(
    errors[0]!,
    /^RangeError: Cannot reply: data has 1000 bytes, required at most 5, because the source is not/,
  );
  await udp.send("parts");
  assert.deepEqual(
    [await udp.receive(), await udp.receive()].map(({ data }) => String(data)),
    ["par", "ts"],
  );
  await until(() => errors.length === 2);
  assert.match(errors[1]!, /data has 1 bytes, required at most 0/);
  assert.equal((await ask(udp, "token")).length, 1000);
  assert.equal((await ask(udp, "again")).length, 1000);
  await other.send("12345");
  await until(() => errors.length === 3);
  server.validate(other.address);
  assert.equal((await ask(other, "12345")).length, 1000);
  assert.deepEqual(allowed, [5, 5, 2, 5, Infinity, 5, Infinity]);
  assert.equal(server.stats().amplification, 3);
});

test("a validation ends after ten minutes, and amplification can be another factor or null", async () => {
  {
    using clock = new TestClock();
    const limits: number[] = [];
    await using server = await serveUdp(LOCAL, (datagram, reply) => {
      limits.push(datagram.maxReply);
      datagram.validate();
      reply(datagram.data);
    });
    await using udp = await client(server);
    await ask(udp, "abc");
    await ask(udp, "abc");
    await clock.advance(600_001);
    await ask(udp, "abc");
    assert.deepEqual(limits, [3, Infinity, 3]);
  }
  for (const [amplification, size] of [
    [3, 15],
    [0, 0],
    [0.5, 2],
    [null, 60_000],
  ] as const) {
    await using server = await serveUdp(LOCAL, (_, reply) => reply(Buffer.alloc(size)), { amplification });
    await using udp = await client(server);
    assert.equal((await ask(udp, "12345")).length, size);
    // Not a number times the empty datagram.
    if (amplification === null) assert.equal((await ask(udp, "")).length, size);
  }
});

test("a flood from one address leaves the others their answers", async () => {
  await using server = await serveUdp(LOCAL, echo, { ratePerAddress: 20 });
  const { port } = server.address;
  const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.2", 0))
for i in range(20000):
    s.sendto(b"flood", ("127.0.0.1", ${port}))
`;
  let over = false;
  const flood = run("python3", ["-c", script], { timeout: 30_000 }).finally(() => (over = true));
  let served = 0;
  for (let host = 3; !over || served < 10; host++) {
    await using udp = await client(server, `127.0.${host >> 8}.${host & 255}`);
    for (;;) {
      // The kernel may drop a datagram while its buffer is full.
      await udp.send("honest");
      const answer = await udp.receive({ timeout: 200 }).catch(() => undefined);
      if (answer !== undefined) break;
    }
    served++;
  }
  await flood;
  const { accepted, dropped, ratePerAddress, refused } = server.stats();
  assert.equal(refused, ratePerAddress);
  assert.ok(ratePerAddress + dropped > 15_000, `${ratePerAddress} were refused, ${dropped} dropped by the kernel`);
  assert.ok(accepted < 5_000 + served * 10);
});

test("the rate is that of the address, with a burst of a second", async () => {
  using clock = new TestClock();
  const refusals: DatagramRefusal[] = [];
  await using server = await serveUdp(LOCAL, echo, {
    ratePerAddress: 5,
    onRefused: (refusal) => refusals.push(refusal),
  });
  await using one = await client(server, "127.0.0.2");
  await using same = await client(server, "127.0.0.2");
  await using other = await client(server, "127.0.0.3");
  for (let i = 0; i < 10; i++) await (i % 2 === 0 ? one : same).send("x");
  await until(() => server.stats().accepted + server.stats().refused === 10);
  assert.equal(server.stats().accepted, 5);
  assert.equal(await ask(other, "other"), "other");
  await clock.advance(400);
  for (let i = 0; i < 4; i++) await one.send("y");
  await until(() => server.stats().refused === 7);
  assert.equal(server.stats().accepted, 8);
  assert.equal(refusals.length, 7);
  assert.equal(refusals[0]!.reason, "ratePerAddress");
  assert.match(String(refusals[0]!.peer), /^127\.0\.0\.2:/);
});

test("IPv6 addresses count by their /64, and mapped IPv4 addresses one by one", async () => {
  await using server = await serveUdp(["", 0], echo, { ratePerAddress: 1 });
  const { port } = server.address;
  if (!(server.address instanceof Inet6Address)) return;
  for (const host of ["127.0.0.2", "127.0.0.3", "127.0.0.4"]) {
    await using udp = await connectUdp(["127.0.0.1", port], { localAddress: [host, 0] });
    assert.equal(await ask(udp, host), host);
  }
  await using six = await connectUdp(["::1", port]);
  assert.equal(await ask(six, "::1"), "::1");
  assert.equal(server.stats().refused, 0);
});

test("many sources, as with forged addresses, cost no memory and take no other source's rate", async () => {
  await using server = await serveUdp(LOCAL, echo, { ratePerAddress: 2 });
  const { port } = server.address;
  await using honest = await client(server, "127.255.0.1");
  const script = `
import socket, struct
for i in range(30000):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((socket.inet_ntoa(struct.pack("!I", 0x7f100000 + i)), 0))
    s.sendto(b"x", ("127.0.0.1", ${port}))
    s.close()
`;
  const before = process.memoryUsage().arrayBuffers;
  const flood = run("python3", ["-c", script], { timeout: 60_000 });
  let over = false;
  void flood.finally(() => (over = true));
  for (let answers = 0; answers < 3 || !over;) {
    await honest.send("honest");
    const answer = await honest.receive({ timeout: 300 }).catch(() => undefined);
    if (answer !== undefined) answers++;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await flood;
  const { accepted, dropped } = server.stats();
  assert.ok(accepted + dropped >= 30_000, `${accepted} accepted, ${dropped} dropped by the kernel`);
  globalThis.gc!();
  const grown = process.memoryUsage().arrayBuffers - before;
  assert.ok(grown < 8 << 20, `${grown} bytes`);
});

test("allow and deny refuse clients by their address", async () => {
  const refusals: DatagramRefusal[] = [];
  await using server = await serveUdp(LOCAL, echo, {
    allow: ["127.0.0.0/29"],
    deny: ["127.0.0.3"],
    onRefused: (refusal) => refusals.push(refusal),
  });
  for (const host of ["127.0.0.3", "127.0.0.9"]) {
    await using udp = await client(server, host);
    await udp.send("x");
  }
  await using udp = await client(server, "127.0.0.2");
  assert.equal(await ask(udp, "good"), "good");
  assert.deepEqual(
    refusals.map(({ reason, peer }) => `${reason} ${(peer as HostAddress).host}`),
    ["deny 127.0.0.3", "allow 127.0.0.9"],
  );
});

test("datagrams above maxSize are dropped and never cut", async () => {
  const refusals: DatagramRefusal[] = [];
  await using server = await serveUdp(LOCAL, echo, { maxSize: 10, onRefused: (refusal) => refusals.push(refusal) });
  await using udp = await client(server);
  for (const size of [11, 12, 5_000]) await udp.send("x".repeat(size));
  assert.equal(await ask(udp, "0123456789"), "0123456789");
  assert.deepEqual(
    refusals.map(({ reason }) => reason),
    ["maxSize", "maxSize", "maxSize"],
  );
});

test("errors of ICMP do not end the server", async () => {
  const udp = await bindUdp(LOCAL);
  udp.socket.setsockopt(IP_RECVERR, true);
  const gate = deferred();
  await using server = await serveUdp(udp, async ({ data }, reply) => {
    if (data.toString() === "gone") await gate.promise;
    reply(data);
  });
  const gone = await client(server);
  await gone.send("gone");
  await until(() => server.stats().pending === 1);
  await gone.close();
  gate.resolve();
  await until(() => server.stats().receiveErrors + server.stats().sendErrors > 0);
  await using other = await client(server);
  assert.equal(await ask(other, "other"), "other");
  assert.equal(server.stats().state, "listening");
});

test("drain() receives no more, lets handlers finish and sends their replies", async () => {
  const gate = deferred();
  const signals: AbortSignal[] = [];
  const server = await serveUdp(LOCAL, async ({ data, draining }, reply) => {
    signals.push(draining);
    await gate.promise;
    reply(data);
  });
  await using udp = await client(server);
  await udp.send("before");
  await until(() => server.stats().pending === 1);
  const drained = server.drain();
  assert.equal(server.stats().state, "draining");
  assert.equal(signals[0]!.aborted, true);
  await udp.send("after");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(server.stats().accepted, 1);
  gate.resolve();
  await drained;
  await server.closed;
  assert.equal(String((await udp.receive()).data), "before");
  assert.equal(server.stats().state, "closed");
  await server.drain();
});

test("after its timeout drain() gives up on handlers, and so does close()", async () => {
  for (const end of [(server: UdpServer) => server.drain({ timeout: 1 }), (server: UdpServer) => server.close()]) {
    const reasons: string[] = [];
    const server = await serveUdp(LOCAL, ({ signal }) => {
      signal.addEventListener("abort", () => reasons.push((signal.reason as { code: string }).code));
      return new Promise(() => undefined);
    });
    await using udp = await client(server);
    await udp.send("x");
    await until(() => server.stats().pending === 1);
    await end(server);
    await server.closed;
    assert.deepEqual(reasons, ["ECANCELED"]);
    const { aborted, pending } = server.stats();
    assert.deepEqual({ aborted, pending }, { aborted: 1, pending: 0 });
  }
});

test("drain() serves the datagrams that were received and wait for a place", async () => {
  const gate = deferred();
  const server = await serveUdp(
    LOCAL,
    async ({ data }, reply) => {
      await gate.promise;
      reply(data);
    },
    { maxPending: 1 },
  );
  await using udp = await client(server);
  // Received in one batch, because nothing receives before the next turn.
  for (let i = 0; i < 3; i++) void udp.send(String(i));
  await until(() => server.stats().pending === 1);
  const drained = server.drain();
  gate.resolve();
  await drained;
  const { accepted, sent } = server.stats();
  assert.equal(accepted, sent);
});

test("an abort of its signal closes the server", async () => {
  const controller = new AbortController();
  const server = await serveUdp(LOCAL, echo, { signal: controller.signal });
  controller.abort();
  await server.closed;
  assert.equal(server.stats().state, "closed");
  await assert.rejects(serveUdp(LOCAL, echo, { signal: controller.signal }), { name: "AbortError" });
});

test("shutdownOn() drains at a signal of the process, and unref() lets the process end", async () => {
  const program = (rest: string): string[] => [
    "--input-type=module",
    "--eval",
    `import { serveUdp } from "berkeley/server";
     const server = await serveUdp("udp://127.0.0.1:0", ({ data }, reply) => reply(data));
     ${rest}`,
  ];
  await using drains = Program.node(
    program(`server.shutdownOn(); console.log(server.address.port); await server.closed; console.log("closed");`),
  );
  const [port] = await drains.line(/^\d+$/);
  await using udp = await connectUdp(["127.0.0.1", Number(port)]);
  assert.equal(await ask(udp, "hello"), "hello");
  drains.kill("SIGTERM");
  assert.deepEqual(await drains.ended, { status: 0, stdout: `${port}\nclosed\n`, stderr: "" });
  await using ends = Program.node(program("server.unref();"));
  assert.equal((await ends.ended).status, 0);
});

test("wrong arguments are refused before there is a socket", async () => {
  for (const [opts, name, message] of [
    [{ ratePerAddress: 0 }, "RangeError", /ratePerAddress is 0/],
    [{ amplification: -1 }, "RangeError", /amplification is -1, required a number from 0, or null/],
    [{ amplification: "3" }, "TypeError", /amplification is "3"/],
    [{ maxPending: 0 }, "RangeError", /maxPending is 0/],
    [{ whenFull: "drop" }, "TypeError", /whenFull is "drop", required "queue" or "refuse"/],
    [{ handlerTimeout: -1 }, "RangeError", /handlerTimeout is -1/],
    [{ maxSize: 70_000 }, "RangeError", /maxSize is 70000/],
    [{ batchSize: 0 }, "RangeError", /batchSize is 0/],
    [{ deny: ["x"] }, "TypeError", /deny has "x"/],
    [{ onError: 1 }, "TypeError", /onError is 1/],
    [{ rate: 1 }, "TypeError", /rate/],
  ] as const) {
    await assert.rejects(serveUdp(LOCAL, echo, opts as unknown as ServeUdpOptions), { name, message });
  }
  await assert.rejects(serveUdp(LOCAL, "echo" as never), { message: /handler is "echo", required a function or/ });
  await assert.rejects(serveUdp("tcp://127.0.0.1:0", echo), TypeError);
  await using udp = await bindUdp(LOCAL);
  await assert.rejects(serveUdp(udp, echo, { bind: {} }), { message: /required an endpoint instead of a socket/ });
});
