// listen() for TCP, abstract names, vsock and descriptors, and the listener that it returns.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_VSOCK,
  type IoOptions,
  connect,
  type Inet6Address,
  type InetAddress,
  IPV6_V6ONLY,
  listen,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  Socket,
  SOCK_DGRAM,
  SOCK_STREAM,
  type Stream,
  TCP_KEEPIDLE,
  TCP_NODELAY,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { EMFILE } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../../support/leaks.js";
import { errnoOf, errnoOfSocket } from "../../socket/families/kernel.js";
import { connOf, rejection } from "../support.js";

checkLeaks();

const portOf = (address: unknown): number => (address as InetAddress).port;

test("listen() reports the port that the kernel chose", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { host, port } = listener.address as InetAddress;
  assert.equal(host, "127.0.0.1");
  assert.ok(port > 0);
  assert.equal(String(listener.socket.getsockname()), String(listener.address));
});

test("listen() at [::] takes connections of both families", async () => {
  await using listener = await listen("tcp://[::]:0");
  const port = portOf(listener.address);
  for (const [endpoint, remote] of [
    [`tcp://127.0.0.1:${port}`, "::ffff:127.0.0.1"],
    [`tcp://[::1]:${port}`, "::1"],
  ] as const) {
    await using client = await connect(endpoint);
    await using server = await listener.accept();
    assert.equal((server.remoteAddress as Inet6Address).host, remote);
    assert.equal((server.localAddress as Inet6Address).host, remote, "not the wildcard");
    assert.equal(portOf(client.remoteAddress), port);
  }
});

test("listen() at the wildcard of no family takes both", async () => {
  await using listener = await listen(["", 0]);
  assert.equal((listener.address as Inet6Address).host, "::");
  await using client = await connect(["127.0.0.1", portOf(listener.address)]);
  await using server = await listener.accept();
  assert.ok(client.localAddress && server.localAddress);
});

test("listen() at the wildcard takes IPv4 where there is no IPv6", async (t) => {
  const { socket } = calls;
  t.after(() => (calls.socket = socket));
  const EAFNOSUPPORT = 97;
  calls.socket = (family, type, protocol) => (family === AF_INET6 ? -EAFNOSUPPORT : socket(family, type, protocol));
  await using listener = await listen(["", 0]);
  assert.equal((listener.address as InetAddress).host, "0.0.0.0");
  assert.equal((await rejection(listen("tcp://[::]:0"))).code, "EAFNOSUPPORT");
  assert.equal((await rejection(listen(["", 0], { ipv6Only: true }))).code, "EAFNOSUPPORT");
});

test("listen() leaves IPv4 to others with ipv6Only", async () => {
  await using six = await listen("tcp://[::]:0", { ipv6Only: true });
  assert.equal(six.socket.getsockopt(IPV6_V6ONLY), true);
  const port = portOf(six.address);
  await using four = await listen(`tcp://0.0.0.0:${port}`);
  await using client = await connect(`tcp://127.0.0.1:${port}`);
  await using server = await four.accept();
  assert.ok(client.localAddress && server.localAddress);
});

test("listen() resolves a name of this machine", async () => {
  await using listener = await listen("tcp://localhost:0");
  assert.ok(["127.0.0.1", "::1"].includes((listener.address as InetAddress).host));
});

test("listen() sets SO_REUSEADDR, and SO_REUSEPORT with the option", async () => {
  await using first = await listen("tcp://127.0.0.1:0", { reusePort: true });
  await using second = await listen(first.address, { reusePort: true, reuseAddr: false });
  assert.equal(first.socket.getsockopt(SO_REUSEADDR), true);
  assert.equal(first.socket.getsockopt(SO_REUSEPORT), true);
  assert.equal(second.socket.getsockopt(SO_REUSEADDR), false);
  const error = await rejection(listen(first.address));
  assert.equal(error.message, `bind EADDRINUSE ${String(first.address)}: address already in use`);
});

test("listen() takes the port of a server that left connections in TIME-WAIT", async () => {
  const first = await listen("tcp://127.0.0.1:0");
  const client = await connect(first.address);
  const server = await first.accept();
  await server.close();
  assert.equal(await client.read(), null);
  await client.close();
  await first.close();
  await using second = await listen(first.address);
  assert.equal(String(second.address), String(first.address));
});

test("connections inherit the options of their listener", async () => {
  await using listener = await listen("tcp://127.0.0.1:0", { keepAlive: { idle: 7000 } });
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  const { socket } = connOf(server);
  assert.equal(socket.getsockopt(TCP_NODELAY), true);
  assert.equal(socket.getsockopt(SO_KEEPALIVE), true);
  assert.equal(socket.getsockopt(TCP_KEEPIDLE), 7);
  assert.ok(client.localAddress);
});

test("listen() has the kernel keep as many connections as the backlog says", async () => {
  await using listener = await listen("tcp://127.0.0.1:0", { backlog: 0 });
  await using first = await connect(listener.address);
  const error = await rejection(connect(listener.address, { timeout: 30 }));
  assert.equal(error.code, "ETIMEDOUT", "the queue has room for one");
  await using taken = await listener.accept();
  assert.equal(String(taken.remoteAddress), String(first.localAddress));
});

test("accept() serves several calls in order", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const accepted = Promise.all([listener.accept(), listener.accept()]);
  await using first = await connect(listener.address);
  await using second = await connect(listener.address);
  const [a, b] = await accepted;
  assert.equal(String(a.remoteAddress), String(first.localAddress));
  assert.equal(String(b.remoteAddress), String(second.localAddress));
  await Promise.all([a.close(), b.close()]);
});

test("accept() refuses options that are none", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  for (const opts of [5, "x", null, []]) {
    await assert.rejects(listener.accept(opts as unknown as IoOptions), /^TypeError: Cannot accept: options are/);
  }
});

test("accept() that was cut short loses no connection", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  assert.equal((await rejection(listener.accept({ timeout: 1 }))).code, "ETIMEDOUT");
  const control = new AbortController();
  const waiting = rejection(listener.accept({ signal: control.signal }));
  control.abort(new Error("enough"));
  assert.equal((await waiting).message, "enough");
  await using client = await connect(listener.address);
  await using server = await listener.accept({ timeout: 5000 });
  assert.equal(String(server.remoteAddress), String(client.localAddress));
});

test("accept() waits out a lack of descriptors", async (t) => {
  const { accept } = calls;
  t.after(() => (calls.accept = accept));
  let tried = 0;
  calls.accept = (fd, room) => (++tried <= 3 ? EMFILE : accept(fd, room));
  await using listener = await listen("tcp://127.0.0.1:0");
  const accepting = listener.accept();
  await using client = await connect(listener.address);
  await using server = await accepting;
  assert.equal(String(server.remoteAddress), String(client.localAddress));
  assert.equal(tried > 3, true);
});

test("close() ends accept() and the loop, keeps accepted connections and closes the others", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const seen: Stream[] = [];
  const loop = (async () => {
    for await (const stream of listener) seen.push(stream);
  })();
  await using first = await connect(listener.address);
  await first.write("x");
  while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([listener.close(), listener.close()]);
  await loop;
  const { address } = listener;
  assert.equal((await rejection(listener.accept())).code, "EBADF");
  assert.equal((await rejection(connect(address))).code, "ECONNREFUSED");
  await using kept = seen[0]!;
  assert.equal((await kept.readExactly(1)).toString(), "x");

  const other = await listen("tcp://127.0.0.1:0");
  const waiting = rejection(other.accept());
  await other.close();
  assert.equal((await waiting).code, "ECANCELED");

  const full = await listen("tcp://127.0.0.1:0");
  await using unseen = await connect(full.address);
  await full.close();
  assert.equal((await rejection(unseen.read())).code, "ECONNRESET");
});

test("leaving the loop over connections leaves the listener open", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  for (let round = 0; round < 2; round++) {
    await using client = await connect(listener.address);
    for await (const stream of listener) {
      assert.equal(String(stream.remoteAddress), String(client.localAddress));
      await stream.close();
      break;
    }
  }
});

test("listen() takes over a descriptor that listens", async () => {
  const socket = new Socket(AF_INET, SOCK_STREAM);
  await socket.bind("127.0.0.1:0");
  socket.listen();
  const address = String(socket.getsockname());
  await using listener = await listen({ fd: socket.detach() }, { backlog: 5 });
  assert.equal(String(listener.address), address);
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  assert.equal(connOf(server).socket.getsockopt(TCP_NODELAY), true);
  assert.ok(client.localAddress);
});

test("listen() leaves a descriptor alone that does not listen, or is of another kind", async () => {
  const idle = new Socket(AF_INET, SOCK_STREAM).detach();
  const error = await rejection(listen(`fd:${idle}`));
  assert.equal(error.message, "listen EINVAL: invalid argument");
  assert.match(String(error.cause), /does not listen/);
  Socket.fromfd(idle).close();
  const datagram = new Socket(AF_INET, SOCK_DGRAM).detach();
  assert.equal((await rejection(listen(`fd:${datagram}`))).code, "EPROTOTYPE");
  Socket.fromfd(datagram).close();
  assert.equal((await rejection(listen("fd:9999"))).code, "EBADF");
});

test("listen() refuses an address that is no local one, and one that is taken", async () => {
  assert.equal((await rejection(listen("tcp://192.0.2.1:0"))).code, "EADDRNOTAVAIL");
  const name = `unix:@berkeley-taken-${process.pid}`;
  await using first = await listen(name);
  assert.equal(String(first.address), name);
  assert.equal((await rejection(listen(name))).code, "EADDRINUSE");
});

test("listen() refuses endpoints and options that mean nothing to it", async () => {
  const wrong: [endpoint: string, options: object | undefined, error: string][] = [
    ["udp://127.0.0.1:0", undefined, "TypeError"],
    ["tcp://127.0.0.1:0", { mode: 0o600 }, "TypeError"],
    ["tcp://127.0.0.1:0", { backlog: "5" }, "TypeError"],
    ["tcp://127.0.0.1:0", { backlog: 1.5 }, "RangeError"],
    ["tcp://127.0.0.1:0", { reuseAddr: 1 }, "TypeError"],
    ["tcp://127.0.0.1:0", { maxFrame: 0 }, "RangeError"],
    ["tcp://127.0.0.1:0", { unsetEnv: true }, "TypeError"],
    ["tcp://127.0.0.1:0", { bindToDevice: "no such" }, "TypeError"],
    ["tcp://127.0.0.1:0", { ipv6Only: true }, "TypeError"],
    ["unix:@x", { mode: 0o600 }, "TypeError"],
    ["unix:@x", { noDelay: true }, "TypeError"],
    ["unix:@x", { mode: 0o1777 }, "RangeError"],
    ["unix:@x", { mode: "600" }, "TypeError"],
    ["tcp://1.2.3:0", undefined, "TypeError"],
  ];
  for (const [endpoint, options, name] of wrong) {
    assert.equal((await rejection(listen(endpoint, options))).name, name, `${endpoint} ${JSON.stringify(options)}`);
  }
});

const withoutVsock = errnoOfSocket(AF_VSOCK, SOCK_STREAM, 0);

test("listen() takes a port of vsock", { skip: withoutVsock }, async () => {
  // Any of the machine's ids; and any port, for which the kernel chooses one.
  await using listener = await listen("vsock://4294967295:4294967295");
  const { family, cid, port } = listener.address;
  assert.equal(family, AF_VSOCK);
  assert.equal(cid, 0xffff_ffff);
  assert.notEqual(port, 0xffff_ffff);
  assert.equal((await rejection(listen(listener.address))).code, "EADDRINUSE");
  assert.equal((await rejection(listen("vsock://1:1", { noDelay: true }))).name, "TypeError");
});

/** The reason why vsock has no loopback here, or false. It requires the kernel module vsock_loopback. */
const withoutLoopback = errnoOf(`socket.socket(${AF_VSOCK}, ${SOCK_STREAM}).bind((1, 0xffffffff))`);

test("connect() reaches a listener by vsock", { skip: withoutVsock ?? withoutLoopback }, async () => {
  await using listener = await listen("vsock://1:4294967295");
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  await client.write("over vsock\n");
  assert.equal(await server.readLine(), "over vsock");
});
