// The WinterTC sockets proposal, on real connections.

import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { listen, type SocketListener, Stream, wrapTls } from "berkeley";
import { connect, createBinding, type Socket, SocketError, type SocketOptions } from "berkeley/wintertc";
import { checkLeaks } from "../support/leaks.js";
import { FakeProxy } from "../net/proxy/fakeProxy.js";
import { certificates } from "../tls/support.js";

checkLeaks();

/** A socket of the proposal and the other end of its connection. */
async function pair(options?: SocketOptions): Promise<[Socket, Stream]> {
  await using listener = await listen("tcp://127.0.0.1:0");
  const socket = connect(String(listener.address), options);
  return [socket, await listener.accept()];
}

const port = ({ address }: SocketListener): number => ("port" in address ? address.port : 0);

/** The error of a promise. */
async function rejection(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it resolved, required a rejection");
}

test("connect() returns a socket whose streams can be used at once", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const socket = connect({ hostname: "127.0.0.1", port: port(listener) });
  const writer = socket.writable.getWriter();
  const writing = writer.write("text, ");
  const reading = socket.readable.getReader().read();
  await using peer = await listener.accept();
  await writing;
  await writer.write(new Uint8Array([98, 121, 116, 101, 115]));
  await writer.write(new Uint16Array([0x3a20]));
  await writer.write(new Uint8Array([33]).buffer);
  assert.equal((await peer.readExactly(14)).toString(), "text, bytes :!");
  await peer.write("answer");
  assert.deepEqual(await reading, { done: false, value: new Uint8Array(Buffer.from("answer")) });
  const { localAddress, remoteAddress, alpn } = await socket.opened;
  assert.deepEqual([localAddress, remoteAddress, alpn], [String(peer.remoteAddress), String(listener.address), null]);
  assert.deepEqual([socket.upgraded, socket.secureTransport], [false, "off"]);
  await socket.close();
  assert.equal(await peer.read(), null);
});

test("a reader can bring its own memory", async () => {
  const [socket, peer] = await pair();
  await peer.write("12345");
  const reader = socket.readable.getReader({ mode: "byob" });
  const { value } = (await reader.read(new Uint8Array(3))) as { value: Uint8Array };
  assert.equal(Buffer.from(value).toString(), "123");
  const rest = (await reader.read(new Uint8Array(100))) as { value: Uint8Array };
  assert.equal(Buffer.from(rest.value).toString(), "45");
  await socket.close();
  await peer.close();
});

test("closed resolves when the peer has finished and all bytes were read, and written bytes arrive", async () => {
  const [socket, peer] = await pair();
  await socket.writable.getWriter().write("last words");
  await peer.write("bye");
  await peer.closeWrite();
  assert.equal(await text(socket.readable as never), "bye");
  await socket.closed;
  assert.equal((await peer.readExactly(10)).toString(), "last words");
  assert.equal(await peer.read(), null);
  await peer.close();
});

test("with allowHalfOpen the writable stays open after the peer's end, until it is closed", async () => {
  const [socket, peer] = await pair({ allowHalfOpen: true });
  await peer.closeWrite();
  assert.equal(await text(socket.readable as never), "");
  let closed = false;
  void socket.closed.then(() => (closed = true));
  const writer = socket.writable.getWriter();
  await writer.write("still here");
  assert.equal((await peer.readExactly(10)).toString(), "still here");
  assert.equal(closed, false);
  await writer.close();
  assert.equal(await peer.read(), null);
  await socket.closed;
  await peer.close();
});

test("close() ends reads, rejects writes with its reason, and delivers the written bytes", async () => {
  const [socket, peer] = await pair();
  const reader = socket.readable.getReader();
  const writer = socket.writable.getWriter();
  await writer.write("before");
  const reading = reader.read();
  const reason = new Error("enough");
  const closing = socket.close(reason);
  assert.equal(closing, socket.closed);
  await closing;
  assert.deepEqual(await reading, { done: true, value: undefined });
  assert.deepEqual(await reader.read(), { done: true, value: undefined });
  assert.equal(await rejection(writer.write("after")), reason);
  assert.equal(await rejection(writer.closed), reason);
  assert.equal((await peer.readExactly(6)).toString(), "before");
  assert.equal(await peer.read(), null);
  await socket.close();
  await peer.close();
});

test("close() while the socket connects rejects opened with the reason, and ends waiting calls", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const socket = connect(String(listener.address));
  const reading = socket.readable.getReader().read();
  const writing = rejection(socket.writable.getWriter().write("x"));
  const reason = new Error("changed my mind");
  await socket.close(reason);
  assert.equal(await rejection(socket.opened), reason);
  assert.deepEqual(await reading, { done: true, value: undefined });
  assert.equal(await writing, reason);
});

test("a connection that fails rejects opened and closed with a SocketError, and errors the streams", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  await listener.close();
  const socket = connect(String(listener.address));
  const error = await rejection(socket.opened);
  assert.ok(error instanceof SocketError);
  assert.ok(error instanceof TypeError);
  assert.match(error.message, /^SocketError: connect ECONNREFUSED 127\.0\.0\.1:\d+: connection refused$/);
  assert.equal(error.code, "ECONNREFUSED");
  assert.equal(await rejection(socket.closed), error);
  assert.equal(await rejection(socket.readable.getReader().read()), error);
  assert.equal(await rejection(socket.writable.getWriter().write("x")), error);
  assert.equal(await rejection(socket.close()), error);
});

test("a reset errors the reader and closes the socket", async () => {
  const [socket, peer] = await pair();
  const reading = socket.readable.getReader().read();
  await socket.opened;
  peer.abort();
  const error = await rejection(reading);
  assert.ok(error instanceof SocketError);
  assert.equal(error.code, "ECONNRESET");
  await socket.closed;
  assert.equal(await rejection(socket.writable.getWriter().write("x")), error);
});

test("aborting the writable cuts the connection", async () => {
  const [socket, peer] = await pair();
  await socket.opened;
  await socket.writable.abort(new Error("half of it"));
  assert.equal((await rejection(peer.read())).code, "ECONNRESET");
  await socket.closed;
  await peer.close();
});

test("cancelling the readable and closing the writable close the connection, but closed stays pending", async () => {
  const [socket, peer] = await pair();
  let closed = false;
  void socket.closed.then(() => (closed = true));
  await socket.readable.cancel();
  await socket.writable.close();
  assert.equal(await peer.read(), null);
  // The reading side is closed, so the kernel rejects the peer's writes.
  const error = await rejection(
    (async () => {
      for (;;) await peer.write("anybody?");
    })(),
  );
  assert.match(error.code ?? "", /^(EPIPE|ECONNRESET)$/);
  assert.equal(closed, false);
  await socket.close();
  await peer.close();
});

test("writers are held back while the peer does not read", async () => {
  const [socket, peer] = await pair();
  const writer = socket.writable.getWriter();
  const chunk = new Uint8Array(1 << 20);
  let written = 0;
  const filling = (async () => {
    for (; written < 64; written++) await writer.write(chunk);
  })();
  // Writes resolve until the buffers are full. Then they continue only when the peer reads.
  await peer.readExactly(1 << 20);
  assert.ok(written < 64, "64 MiB went out to a peer that has read one");
  let left = 63 << 20;
  while (left > 0) left -= (await peer.read())!.length;
  await filling;
  await socket.close();
  await peer.close();
});

const wrong: readonly [what: string, address: unknown, options: unknown, message: RegExp][] = [
  ["an address without a port", "localhost", {}, /SocketError: /],
  ["an address that only looks numeric", "127.1:80", {}, /SocketError: /],
  [
    "no address",
    undefined,
    {},
    /^SocketError: Cannot connect: address is undefined, required "hostname:port" or \{ hostname, port \}$/,
  ],
  ["a port out of range", { hostname: "localhost", port: 65_536 }, {}, /SocketError: /],
  [
    "port 0",
    { hostname: "localhost", port: 0 },
    {},
    /^SocketError: Cannot connect: address is \{.*\}, required a host and a port from 1 to 65535$/,
  ],
  ["a path", "unix:/run/x.sock", {}, /SocketError: /],
  [
    "a secureTransport of its own",
    "localhost:1",
    { secureTransport: "tls" },
    /^SocketError: Cannot connect: secureTransport is "tls", required "off", "on" or "starttls"$/,
  ],
  [
    "alpn without TLS",
    "localhost:1",
    { alpn: ["h2"] },
    /^SocketError: Cannot connect: secureTransport is "off", required "on" or "starttls" with the option alpn$/,
  ],
  [
    "sni without TLS",
    "localhost:1",
    { sni: "a.test" },
    /^SocketError: Cannot connect: secureTransport is "off", required "on" or "starttls" with the option sni$/,
  ],
  ["options that are none", "localhost:1", null, /^SocketError: Cannot connect: options are null, required an object$/],
];

for (const [what, address, options, message] of wrong) {
  test(`connect() refuses ${what} at once`, () => {
    const attempt = (): unknown => connect(address as string, options as SocketOptions);
    assert.throws(attempt, (error: Error) => error instanceof SocketError && message.test(error.message));
  });
}

/** A listener for tests of TLS, and a binding that trusts its certificate. */
async function secure(): Promise<{
  listener: SocketListener;
  binding: ReturnType<typeof createBinding>;
  accept: () => Promise<Stream>;
}> {
  const { ca, server } = certificates();
  const listener = await listen("tcp://127.0.0.1:0");
  const accept = async (): Promise<Stream> => {
    const plain = await listener.accept();
    return new Stream(
      await wrapTls(plain, { isServer: true, cert: server.cert, key: server.key, alpnProtocols: ["b", "a"] }),
    );
  };
  return { listener, binding: createBinding({ tls: { ca: ca.cert } }), accept };
}

test('secureTransport "on" opens with TLS, and opened has the protocol of ALPN', async () => {
  const { listener, binding, accept } = await secure();
  const options: SocketOptions = { secureTransport: "on", alpn: ["a", "b"] };
  const socket = binding.connect({ hostname: "localhost", port: port(listener) }, options);
  await using peer = await accept();
  assert.equal((await socket.opened).alpn, "b");
  assert.equal(socket.secureTransport, "on");
  await socket.writable.getWriter().write("secret\n");
  assert.equal(await peer.readLine(), "secret");
  await peer.write("yes");
  await peer.closeWrite();
  assert.equal(await text(socket.readable as never), "yes");
  await socket.closed;
  assert.throws(() => socket.startTls(), SocketError);
  await listener.close();
});

test("a certificate that is not trusted, or has another name, rejects opened and closed", async () => {
  const { listener, binding, accept } = await secure();
  const address = { hostname: "localhost", port: port(listener) };
  const attempts: [open: () => Socket, code: string][] = [
    [() => connect(address, { secureTransport: "on" }), "SELF_SIGNED_CERT_IN_CHAIN"],
    [() => binding.connect(address, { secureTransport: "on", sni: "elsewhere.test" }), "ERR_TLS_CERT_ALTNAME_INVALID"],
  ];
  for (const [open, code] of attempts) {
    const socket = open();
    const accepting = accept().then(
      (stream) => stream.close(),
      () => undefined,
    );
    const error = await rejection(socket.opened);
    assert.ok(error instanceof SocketError);
    assert.match(error.code ?? "", new RegExp(`^(${code}|UNABLE_TO_.*)$`));
    assert.equal(await rejection(socket.closed), error);
    await accepting;
  }
  await listener.close();
});

test("startTls() returns another socket for the same connection, and closes the first", async () => {
  const { ca, server } = certificates();
  await using listener = await listen("tcp://127.0.0.1:0");
  const { connect: open } = createBinding({ tls: { ca: ca.cert } });
  const plain = open({ hostname: "localhost", port: port(listener) }, { secureTransport: "starttls" });
  const accepted = await listener.accept();
  const reader = plain.readable.getReader();
  const writer = plain.writable.getWriter();
  await accepted.write("220 ready\r\n");
  assert.equal(Buffer.from((await reader.read()).value!).toString(), "220 ready\r\n");
  await writer.write("STARTTLS\r\n");
  assert.equal(await accepted.readLine(), "STARTTLS");
  await accepted.write("220 go ahead\r\n");
  assert.equal(Buffer.from((await reader.read()).value!).toString(), "220 go ahead\r\n");

  const waiting = reader.read();
  const socket = plain.startTls();
  assert.deepEqual([plain.upgraded, socket.upgraded, socket.secureTransport], [true, false, "on"]);
  await using peer = new Stream(await wrapTls(accepted, { isServer: true, cert: server.cert, key: server.key }));
  await socket.opened;
  await plain.closed;
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.match((await rejection(writer.write("x"))).message, /upgraded by startTls/);
  assert.throws(() => plain.startTls(), SocketError);
  await plain.close();

  await socket.writable.getWriter().write("EHLO again\r\n");
  assert.equal(await peer.readLine(), "EHLO again");
  await peer.write("250 hello again\r\n");
  const secureReader = socket.readable.getReader();
  assert.equal(Buffer.from((await secureReader.read()).value!).toString(), "250 hello again\r\n");
  await socket.close();
  assert.equal(await peer.read(), null);
});

test("startTls() before the connection is established waits for it, and can be cancelled", async () => {
  const { listener, binding, accept } = await secure();
  const address = { hostname: "localhost", port: port(listener) };
  const socket = binding.connect(address, { secureTransport: "starttls" }).startTls();
  await using peer = await accept();
  await socket.opened;
  await socket.writable.getWriter().write("hello\n");
  assert.equal(await peer.readLine(), "hello");
  await socket.close();

  const abandoned = binding.connect(address, { secureTransport: "starttls" }).startTls();
  const reason = new Error("never mind");
  await abandoned.close(reason);
  assert.equal(await rejection(abandoned.opened), reason);
  await listener.close();
});

test("startTls() is refused unless secureTransport is starttls", async () => {
  const [socket, peer] = await pair();
  assert.throws(
    () => socket.startTls(),
    /^SocketError: SocketError: Cannot startTls: secureTransport is "off", required "starttls"$/,
  );
  assert.equal(socket.upgraded, false);
  await socket.close();
  await peer.close();
});

test("the timeout of a binding covers the handshake", async () => {
  await using silent = await listen("tcp://127.0.0.1:0");
  const { connect: dial } = createBinding({ connect: { timeout: 250 } });
  const socket = dial(`127.0.0.1:${port(silent)}`, { secureTransport: "on" });
  const error = await rejection(socket.opened);
  assert.ok(error instanceof SocketError);
  assert.equal(error.code, "ETIMEDOUT");
  assert.equal((error.cause as { syscall?: string }).syscall, "tls_handshake");
  await rejection(socket.closed);
});

test("bytes that arrive together with a proxy's answer are read", async () => {
  await using proxy = await FakeProxy.open(async (client) => {
    await client.readUntil("\r\n\r\n");
    await client.write("HTTP/1.1 200 OK\r\n\r\n220 mail.example ready");
  });
  const { connect: dial } = createBinding({ connect: { via: `http://127.0.0.1:${proxy.port}` } });
  const socket = dial("mail.example:25");
  assert.equal(await text(socket.readable), "220 mail.example ready");
  await socket.closed;
});
