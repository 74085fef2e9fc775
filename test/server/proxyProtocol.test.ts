// The PROXY protocol in serve(): the peers that may send it, the address of the client, and wrong headers.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { BlockList } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { connect, Inet6Address, InetAddress, Stream, UnixAddress, wrapTls } from "berkeley";
import {
  type ConnectionContext,
  encodeProxyHeader,
  PP2_TYPE_AUTHORITY,
  type Refusal,
  serve,
  type ServeOptions,
  type Server,
} from "berkeley/server";
import { MemoryListener } from "berkeley/testing";
import { certificates, serving } from "../tls/support.js";
import { TestClock } from "../support/clock.js";
import { checkLeaks, openDescriptors } from "../support/leaks.js";
import { connectTo, deferred, endpointOf, readToEnd } from "./support.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const PROXIES = { from: ["127.0.0.1"] };
const client = new InetAddress("192.0.2.1", 51_000);
const destination = new InetAddress("198.51.100.2", 443);
const HEADER = encodeProxyHeader({ source: client, destination });
const folder = mkdtempSync(join(tmpdir(), "berkeley-accept-pp-"));
after(() => rmSync(folder, { recursive: true }));

const echo = async (stream: Stream): Promise<void> => {
  for await (const line of stream.lines()) await stream.write(`${line}\n`);
};

/** A server that echoes, its contexts and its refusals. */
async function echoServer(
  opts: ServeOptions,
  endpoint = LOCAL,
): Promise<{ server: Server; contexts: ConnectionContext[]; refusals: Refusal[] } & AsyncDisposable> {
  const contexts: ConnectionContext[] = [];
  const refusals: Refusal[] = [];
  const server = await serve(
    endpoint,
    (stream, context) => {
      contexts.push(context);
      return echo(stream);
    },
    { proxyProtocol: PROXIES, ...opts, onRefused: (refusal) => refusals.push(refusal) },
  );
  return { server, contexts, refusals, [Symbol.asyncDispose]: () => server.close() };
}

/** Sends a header and a line, and returns the answer, or the code of the error. */
async function visit(server: Server, header: Uint8Array, from = "127.0.0.1"): Promise<string> {
  await using stream = await connectTo(server, { localAddress: from });
  try {
    await stream.write([header, "hello\n"]);
    return (await stream.readLine()) ?? "end";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const turns = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
};

test("the handler gets the client's address, the header and its TLVs, and the bytes after the header", async () => {
  await using made = await echoServer({});
  const value = Uint8Array.from(Buffer.from("a.example"));
  const tlvs = [{ type: PP2_TYPE_AUTHORITY, value }];
  await using proxy = await connectTo(made.server);
  // In two parts, the second with bytes of the client.
  const bytes = encodeProxyHeader({ source: client, destination, tlvs, crc32c: true });
  await proxy.write(bytes.subarray(0, 20));
  await proxy.write([bytes.subarray(20), "hello\n"]);
  assert.equal(await proxy.readLine(), "hello");
  const [context] = made.contexts;
  assert.equal(String(context!.client), String(client));
  assert.equal(String(context!.peer), String(proxy.localAddress));
  assert.equal(String(context!.proxyHeader!.destination), String(destination));
  assert.deepEqual(context!.proxyHeader!.tlvs, tlvs);
  const { accepted, refused, proxyRefused } = made.server.stats();
  assert.deepEqual({ accepted, refused, proxyRefused }, { accepted: 1, refused: 0, proxyRefused: 0 });
});

test("version 1 is understood, and stream.remoteAddress stays that of the proxy", async () => {
  const seen = deferred<string>();
  await using server = await serve(
    LOCAL,
    (stream, context) => seen.resolve(`${String(stream.remoteAddress)} for ${String(context.client)}`),
    { proxyProtocol: PROXIES },
  );
  await using proxy = await connectTo(server);
  await proxy.write(encodeProxyHeader({ version: 1, source: client, destination }));
  assert.equal(await seen.promise, `${String(proxy.localAddress)} for ${String(client)}`);
});

test("without the option no header is read, and the client is the peer", async () => {
  await using made = await echoServer({ proxyProtocol: undefined });
  assert.equal(
    await visit(made.server, Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")),
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2",
  );
  const [context] = made.contexts;
  assert.equal(context!.client, context!.peer);
  assert.equal(context!.proxyHeader, undefined);
});

test("a connection from elsewhere is reset before a byte of it is read", async () => {
  await using made = await echoServer({});
  assert.equal(await visit(made.server, HEADER, "127.0.0.2"), "ECONNRESET");
  assert.equal(await visit(made.server, HEADER), "hello");
  const [refusal] = made.refusals;
  assert.equal(refusal!.reason, "proxyProtocol");
  assert.match(String(refusal!.peer), /^127\.0\.0\.2:/);
  assert.equal("error" in refusal!, false);
  assert.equal(made.server.stats().proxyRefused, 1);
});

test("a mapped address of a proxy is its IPv4 address", async () => {
  const list = new BlockList();
  list.addSubnet("127.0.0.0", 31, "ipv4");
  await using made = await echoServer({ proxyProtocol: { from: list } }, "tcp://[::]:0");
  const at = (host: string): Promise<Stream> =>
    connect(["127.0.0.1", (made.server.address as Inet6Address).port], { localAddress: [host, 0] });
  await using good = await at("127.0.0.1");
  await good.write([HEADER, "hello\n"]);
  assert.equal(await good.readLine(), "hello");
  assert.match(String(made.contexts[0]!.peer), /::ffff:127\.0\.0\.1/);
  await using bad = await at("127.0.0.2");
  assert.equal(await readToEnd(bad), "ECONNRESET");
});

const line = (text: string): Buffer => Buffer.from(text, "latin1");
const changed = (at: number, value: number): Buffer => {
  const bytes = Buffer.from(HEADER);
  bytes[at] = value;
  return bytes;
};

for (const [what, bytes, pattern] of [
  ["no header at all", line("GET / HTTP/1.1\r\n\r\n"), /the first bytes are "GET \/ "/],
  ["a wrong signature", changed(3, 0), /the first bytes/],
  ["a wrong version", changed(12, 0x31), /the version is 3/],
  ["an unknown command", changed(12, 0x22), /the command is 2/],
  ["addresses that are cut off", changed(15, 4), /the addresses have 4 bytes/],
  [
    "a wrong checksum",
    Buffer.concat([encodeProxyHeader({ source: client, destination, crc32c: true }).fill(9, 31)]),
    /checksum/,
  ],
  [
    "a header above maxBytes",
    encodeProxyHeader({ source: client, destination, tlvs: [{ type: 9, value: new Uint8Array(300) }] }),
    /maxBytes/,
  ],
  ["a line that is too long", line(`PROXY TCP4 ${"1".repeat(120)}`), /no line feed/],
  ["an address that is none", line("PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n"), /an address of/],
  ["a line without CR", line("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), /CRLF/],
] as const) {
  test(`a proxy that sends ${what} is reset, without a call of the handler`, async () => {
    await using made = await echoServer({ proxyProtocol: { ...PROXIES, maxBytes: 232 } });
    assert.equal(await visit(made.server, bytes), "ECONNRESET");
    assert.equal(made.contexts.length, 0);
    const { reason, error } = made.refusals[0]!;
    assert.equal(reason, "proxyProtocol");
    assert.match(String(error), pattern);
    assert.equal(await visit(made.server, HEADER), "hello");
  });
}

test("a header that ends early, or whose proxy resets, is refused", async () => {
  await using made = await echoServer({});
  for (const part of [0, 1, 12, 16, 20]) {
    await using proxy = await connectTo(made.server);
    if (part > 0) await proxy.write(HEADER.subarray(0, part));
    await proxy.closeWrite();
    assert.match(await readToEnd(proxy), /ECONNRESET|end:/);
  }
  const reset = await connectTo(made.server);
  await reset.write(HEADER.subarray(0, 5));
  reset.abort();
  await turns(() => made.refusals.length === 6);
  for (const { error } of made.refusals.slice(0, 5)) assert.match(String(error), /ended after \d+ bytes/);
  assert.equal(made.server.stats().proxyRefused, 6);
  assert.equal(made.contexts.length, 0);
});

test("a client behind the proxy can't choose its address: its own header is data", async () => {
  await using made = await echoServer({});
  const spoofed = line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
  await using proxy = await connectTo(made.server);
  await proxy.write([HEADER, spoofed]);
  assert.equal(await proxy.readLine(), spoofed.toString().trimEnd());
  assert.equal(String(made.contexts[0]!.client), String(client));
});

test("after LOCAL and UNKNOWN, the proxy itself is the client", async () => {
  await using made = await echoServer({});
  assert.equal(await visit(made.server, encodeProxyHeader({ local: true })), "hello");
  assert.equal(await visit(made.server, encodeProxyHeader({ version: 1 })), "hello");
  const [local, unknown] = made.contexts;
  assert.equal(local!.proxyHeader!.local, true);
  assert.equal(local!.client, local!.peer);
  assert.equal(unknown!.client, unknown!.peer);
});

test("addresses of UNIX sockets and of IPv6 are clients too", async () => {
  await using made = await echoServer({});
  const path = [new UnixAddress("/run/client"), new UnixAddress("/run/server")] as const;
  const six = [new Inet6Address("2001:db8::1", 1), new Inet6Address("2001:db8::2", 2)] as const;
  for (const [source, to] of [path, six]) {
    assert.equal(await visit(made.server, encodeProxyHeader({ source, destination: to })), "hello");
    assert.equal(String(made.contexts.at(-1)!.client), String(source));
  }
});

test("a UNIX socket needs a header from every peer", async () => {
  await using made = await echoServer({}, `unix:${join(folder, "server.sock")}`);
  await using proxy = await connect(endpointOf(made.server));
  await proxy.write([HEADER, "hello\n"]);
  assert.equal(await proxy.readLine(), "hello");
  assert.equal(String(made.contexts[0]!.client), String(client));
  await using stranger = await connect(endpointOf(made.server));
  await stranger.write("hello\n");
  assert.equal(await readToEnd(stranger), "end:");
});

test("over any listener, the header is read from the connection", async () => {
  const listener = new MemoryListener();
  const seen = deferred<ConnectionContext>();
  await using server = await serve(listener, (_, context) => seen.resolve(context), { proxyProtocol: PROXIES });
  const proxy = await listener.connect();
  await proxy.write(HEADER);
  assert.equal(String((await seen.promise).client), String(client));
  await proxy.close();
  await server.drain();
});

test("limits and lists of addresses apply to the client, not to the proxy", async () => {
  await using made = await echoServer({
    maxConnectionsPerAddress: 1,
    deny: ["192.0.2.9"],
    allow: ["192.0.2.0/24", "127.0.0.1", "2001:db8::/32"],
  });
  const held: Stream[] = [];
  const ask = async (host: string): Promise<string> => {
    const source = host.includes(":") ? new Inet6Address(host, 1) : new InetAddress(host, 1);
    const stream = await connectTo(made.server);
    held.push(stream);
    await stream.write([encodeProxyHeader({ source, destination }), "hello\n"]);
    return stream.readLine().then(String, (error: unknown) => (error as { code: string }).code);
  };
  const hosts = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "192.0.2.9", "203.0.113.1"];
  const answers: string[] = [];
  for (const host of [...hosts, "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]) answers.push(await ask(host));
  const R = "ECONNRESET";
  assert.deepEqual(answers, ["hello", R, "hello", R, R, R, "hello", R, "hello"]);
  assert.deepEqual(
    made.refusals.map(({ reason, client: from }) => `${reason} ${String(from).replace(/:\d+$/, "")}`),
    [
      "maxConnectionsPerAddress 192.0.2.1",
      "maxConnectionsPerAddress 192.0.2.2",
      "deny 192.0.2.9",
      "allow 203.0.113.1",
      "maxConnectionsPerAddress [2001:db8::2]",
    ],
  );
  const { proxyRefused, refused } = made.server.stats();
  assert.deepEqual({ proxyRefused, refused }, { proxyRefused: 0, refused: 5 });
  await Promise.all(held.map((stream) => stream.close()));
});

test("a header that is not complete in time is refused", async () => {
  using clock = new TestClock();
  await using made = await echoServer({ proxyProtocol: { ...PROXIES, timeout: 1000 } });
  await using proxy = await connectTo(made.server);
  for (const byte of HEADER.subarray(0, 4)) {
    await proxy.write(Uint8Array.of(byte));
    await clock.advance(240);
  }
  assert.equal(made.refusals.length, 0);
  await clock.advance(100);
  assert.equal(await readToEnd(proxy), "ECONNRESET");
  assert.equal((made.refusals[0]!.error as { code: string }).code, "ETIMEDOUT");
});

test("connections without a header can't take the places of others", async () => {
  await using made = await echoServer({ maxConnections: 4 });
  const silent = await Promise.all(Array.from({ length: 20 }, () => connectTo(made.server)));
  for (const stream of silent) await stream.write(HEADER.subarray(0, 7));
  assert.equal(await visit(made.server, HEADER), "hello");
  await turns(() => made.server.stats().refused >= 17);
  assert.match(String((made.refusals[0]!.error as Error).cause), /proxyProtocol\.maxPending/);
  // The youngest are still there, and are served when their header comes.
  const last = silent.at(-1)!;
  await last.write([HEADER.subarray(7), "late\n"]);
  assert.equal(await last.readLine(), "late");
  assert.equal(made.server.stats().refused, 17);
  await Promise.all(silent.map((stream) => stream.close()));
});

test("maxPending bounds the connections whose header is pending", async () => {
  await using made = await echoServer({ proxyProtocol: { ...PROXIES, maxPending: 1 } });
  await using first = await connectTo(made.server);
  assert.equal(await visit(made.server, HEADER), "hello");
  assert.equal(await readToEnd(first), "ECONNRESET");
});

test("headers that have arrived are read before a connection is reset, however many come at a time", async () => {
  await using made = await echoServer({ maxConnectionsPerAddress: null, proxyProtocol: { ...PROXIES, maxPending: 8 } });
  const clients = await Promise.all(Array.from({ length: 100 }, () => connectTo(made.server)));
  await Promise.all(clients.map((stream) => stream.write([HEADER, "hello\n"])));
  const answers = await Promise.all(clients.map((stream) => stream.readLine()));
  assert.deepEqual(new Set(answers), new Set(["hello"]));
  assert.equal(made.server.stats().refused, 0);
  await Promise.all(clients.map((stream) => stream.close()));
});

test("with whenFull: queue, clients of a full server wait, and none is reset", async () => {
  await using made = await echoServer({ maxConnections: 4, maxConnectionsPerAddress: null });
  let most = 0;
  const visits = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const answer = await visit(made.server, HEADER);
      most = Math.max(most, made.server.stats().connections);
      return answer;
    }),
  );
  assert.deepEqual(new Set(visits), new Set(["hello"]));
  assert.ok(most <= 4, `${most} connections`);
  assert.equal(made.server.stats().refused, 0);
});

test("however many silent connections come at a time, only maxPending of them are accepted", async () => {
  using clock = new TestClock();
  await using made = await echoServer({ proxyProtocol: { ...PROXIES, maxPending: 4 } });
  const before = openDescriptors().size;
  const silent = await Promise.all(Array.from({ length: 40 }, () => connectTo(made.server)));
  for (let step = 0; step < 3; step++) {
    await clock.advance(100);
    // Those of the clients, of the server, and one that takes the place of another.
    assert.ok(openDescriptors().size - before <= 40 + 5, `${openDescriptors().size - before} descriptors`);
  }
  assert.ok(made.refusals.length >= 4, `${made.refusals.length} were reset for others`);
  await Promise.all(silent.map((stream) => stream.close()));
});

test("a full server refuses or queues connections before it reads their header", async () => {
  await using made = await echoServer({ maxConnections: 1, whenFull: "refuse" });
  await using one = await connectTo(made.server);
  await one.write([HEADER, "hello\n"]);
  assert.equal(await one.readLine(), "hello");
  assert.equal(await visit(made.server, HEADER), "ECONNRESET");
  assert.equal(made.refusals[0]!.reason, "maxConnections");
});

test("drain() serves a connection whose header is pending, and cuts it after its timeout", async () => {
  await using made = await echoServer({});
  await using slow = await connectTo(made.server);
  await slow.write(HEADER.subarray(0, 5));
  await using probe = await connectTo(made.server);
  await probe.write([HEADER, "hello\n"]);
  assert.equal(await probe.readLine(), "hello");
  await probe.close();
  const drained = made.server.drain({ timeout: null });
  await slow.write([HEADER.subarray(5), "late\n"]);
  assert.equal(await slow.readLine(), "late");
  assert.equal(made.contexts[1]!.draining.aborted, true);
  await slow.close();
  await drained;

  await using other = await echoServer({});
  await using silent = await connectTo(other.server);
  await silent.write(HEADER.subarray(0, 5));
  assert.equal(await visit(other.server, HEADER), "hello");
  await other.server.drain({ timeout: 0 });
  assert.equal(await readToEnd(silent), "ECONNRESET");
  assert.equal(other.refusals[0]!.reason, "draining");
});

test("the log of a server ends with the event end, after the connections whose header was pending", async () => {
  const events: string[] = [];
  const log = (event: { event: string; refused?: number }): void => void events.push(`${event.event} ${event.refused}`);
  const server = await serve(LOCAL, echo, { proxyProtocol: PROXIES, log });
  await using silent = await connectTo(server);
  await silent.write(HEADER.subarray(0, 5));
  assert.equal(await visit(server, HEADER), "hello");
  await turns(() => server.stats().connections === 0);
  await server.close();
  assert.equal(await readToEnd(silent), "ECONNRESET");
  await turns(() => events.length === 4);
  assert.deepEqual(events.slice(1), ["closed undefined", "refused undefined", "end 1"]);
});

test("close() cuts connections whose header is pending", async () => {
  await using made = await echoServer({});
  await using silent = await connectTo(made.server);
  await silent.write(HEADER.subarray(0, 5));
  assert.equal(await visit(made.server, HEADER), "hello");
  await made.server.close();
  assert.equal(await readToEnd(silent), "ECONNRESET");
});

const overTls = async (server: Server, header: Uint8Array, localAddress = "127.0.0.1"): Promise<string> => {
  const { port } = server.address as InetAddress;
  const plain = await connect(["127.0.0.1", port], { localAddress: [localAddress, 0] });
  try {
    await plain.write(header);
    await using secured = new Stream(await wrapTls(plain, { ca: certificates().ca.cert, servername: "localhost" }));
    await secured.write("hello\n");
    return String(await secured.readLine());
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await plain.close();
  }
};

test("over TLS the header comes before the handshake, and the client's address counts", async () => {
  await using made = await echoServer({ listen: { tls: serving() }, deny: ["192.0.2.9"] }, "tls://127.0.0.1:0");
  assert.equal(await overTls(made.server, HEADER), "hello");
  assert.equal(String(made.contexts[0]!.client), String(client));
  assert.equal(String(made.contexts[0]!.proxyHeader!.destination), String(destination));
  const denied = encodeProxyHeader({ source: new InetAddress("192.0.2.9", 1), destination });
  assert.match(await overTls(made.server, denied), /ECONNRESET/);
  assert.match(await overTls(made.server, HEADER, "127.0.0.2"), /ECONNRESET|EPIPE/);
  assert.match(await overTls(made.server, Buffer.alloc(0)), /ECONNRESET|EPIPE/);
  assert.deepEqual(
    made.refusals.map(({ reason }) => reason),
    ["deny", "proxyProtocol", "proxyProtocol"],
  );
  assert.equal(made.server.stats().proxyRefused, 2);
});

test("over TLS, headers wait for a place, and none that has arrived is refused", async () => {
  const listen = { tls: serving() };
  const opts = { listen, maxConnectionsPerAddress: null, proxyProtocol: { ...PROXIES, maxPending: 2 } };
  await using made = await echoServer(opts, "tls://127.0.0.1:0");
  const answers = await Promise.all(Array.from({ length: 30 }, () => overTls(made.server, HEADER)));
  assert.deepEqual(new Set(answers), new Set(["hello"]));
  assert.equal(made.server.stats().refused, 0);
});

test("the first record of TLS may come in the same segment as the header", async () => {
  await using made = await echoServer({ listen: { tls: serving() } }, "tls://127.0.0.1:0");
  const script = `
import socket, ssl, sys
s = socket.create_connection(("127.0.0.1", ${(made.server.address as InetAddress).port}))
i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
c = ssl.create_default_context(cafile="${certificates().ca.certFile}")
t = c.wrap_bio(i, o, server_hostname="localhost")
first = bytes.fromhex("${HEADER.toString("hex")}")
while True:
    try:
        t.do_handshake(); break
    except ssl.SSLWantReadError:
        s.sendall(first + o.read()); first = b""
        i.write(s.recv(65536))
t.write(b"hello\\n"); s.sendall(o.read())
while True:
    try:
        sys.stdout.write(t.read(100).decode()); break
    except ssl.SSLWantReadError:
        i.write(s.recv(65536))
`;
  const { stdout: out } = await promisify(execFile)("python3", ["-c", script], { timeout: 20_000 });
  assert.equal(out, "hello\n");
  assert.equal(String(made.contexts[0]!.client), String(client));
});

test("over TLS, silent connections are dropped for others, or end with their deadline, or with close()", async () => {
  await using made = await echoServer(
    {
      listen: { tls: { ...serving(), maxHandshakes: 2, silenceTimeout: 0 } },
      proxyProtocol: { ...PROXIES, timeout: null },
    },
    "tls://127.0.0.1:0",
  );
  const silent = await Promise.all([1, 2, 3].map(() => connectTo(made.server)));
  assert.equal(await overTls(made.server, HEADER), "hello");
  await made.server.close();
  for (const stream of silent) {
    assert.equal(await readToEnd(stream), "ECONNRESET");
    await stream.close();
  }
});

test("serve() refuses wrong options of proxyProtocol", async () => {
  for (const [value, name, message] of [
    [true, "TypeError", /proxyProtocol/],
    [{}, "TypeError", /proxyProtocol\.from is undefined, required the addresses of the proxies/],
    [{ from: ["all"] }, "TypeError", /proxyProtocol\.from has "all", required a network/],
    [{ from: "10.0.0.0/8" }, "TypeError", /proxyProtocol\.from is "10\.0\.0\.0\/8"/],
    [{ ...PROXIES, maxBytes: 100 }, "RangeError", /proxyProtocol\.maxBytes is 100, required a whole number from 232/],
    [{ ...PROXIES, timeout: -1 }, "RangeError", /proxyProtocol\.timeout is -1/],
    [{ ...PROXIES, maxPending: 0 }, "RangeError", /proxyProtocol\.maxPending is 0/],
    [{ ...PROXIES, form: [] }, "TypeError", /form.*from/],
  ] as const) {
    const opts = { proxyProtocol: value as unknown as ServeOptions["proxyProtocol"] };
    await assert.rejects(serve(LOCAL, echo, opts), { name, message });
  }
});
