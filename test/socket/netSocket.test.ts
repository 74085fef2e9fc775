// Sockets and streams that are converted to and from node:net: no byte is lost, and nothing leaks.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as netConnect, createServer, type AddressInfo, type Server, Socket as NetSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  BusyError,
  connect,
  listen,
  SHUT_WR,
  SO_REUSEADDR,
  Socket,
  SOCK_DGRAM,
  socketpair,
  Stream,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** Both ends of a connection over a fresh listener at `endpoint`. */
async function pairAt(endpoint: string): Promise<[client: Stream, server: Stream]> {
  await using listener = await listen(endpoint);
  return await Promise.all([connect(listener.address), listener.accept()]);
}

/** A server of node:net on a free port; `pauseOnConnect`, so that Node reads nothing. */
async function netServer(accepted: (socket: NetSocket) => void): Promise<[Server, number]> {
  const server = createServer({ pauseOnConnect: true }, accepted);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return [server, (server.address() as AddressInfo).port];
}

/** Both ends of a connection that node:net accepted. */
async function netPair(): Promise<[client: Socket, accepted: NetSocket]> {
  const connected = resolvers<NetSocket>();
  const [server, port] = await netServer(connected.resolve);
  const client = new Socket();
  await client.connect(["127.0.0.1", port]);
  const accepted = await connected.promise;
  server.close();
  return [client, accepted];
}

function resolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  return { promise: new Promise<T>((settle) => (resolve = settle)), resolve };
}

for (const endpoint of ["tcp://127.0.0.1:0", "tcp://[::1]:0", "unix:@berkeley-net-socket-test"]) {
  test(`toNetSocket() passes a stream at ${endpoint} to node:net, with its buffered bytes`, async () => {
    const [client, server] = await pairAt(endpoint);
    await client.write("line\nbuffered, ");
    assert.equal(await server.readLine(), "line");
    assert.equal(server.buffered > 0, true);
    await client.write("in the kernel");
    const netSocket = server.toNetSocket();
    await client.closeWrite();
    assert.equal(await text(netSocket), "buffered, in the kernel");
    assert.equal(await client.read(), null);
    await client.close();
  });
}

test("toNetSocket() gives a socket that writes, and ends as one of Node's own does", async () => {
  const [client, server] = await pairAt("tcp://127.0.0.1:0");
  const netSocket = server.toNetSocket();
  const { localAddress } = client;
  assert.deepEqual(
    [netSocket.remoteAddress, netSocket.remotePort],
    ["127.0.0.1", localAddress !== undefined && "port" in localAddress ? localAddress.port : 0],
  );
  netSocket.end("answer");
  assert.equal((await client.readExactly(6)).toString(), "answer");
  assert.equal(await client.read(), null);
  await client.close();
  netSocket.resume();
  await once(netSocket, "close");
});

test("toNetSocket() with allowHalfOpen leaves the writing side open after the peer's end", async () => {
  const [client, server] = await pairAt("tcp://127.0.0.1:0");
  const netSocket = server.toNetSocket({ allowHalfOpen: true });
  await client.closeWrite();
  netSocket.resume();
  await once(netSocket, "end");
  netSocket.end("late answer");
  assert.equal((await client.readExactly(11)).toString(), "late answer");
  await client.close();
});

test("after toNetSocket() the stream counts as closed", async () => {
  const [client, server] = await pairAt("tcp://127.0.0.1:0");
  const netSocket = server.toNetSocket();
  await assert.rejects(server.read(), { code: "EBADF" });
  await assert.rejects(server.write("x"), { code: "EBADF" });
  assert.throws(() => server.toNetSocket(), { code: "EBADF" });
  await server.close();
  netSocket.end("still open");
  assert.equal((await client.readExactly(10)).toString(), "still open");
  await client.close();
  netSocket.destroy();
});

test("toNetSocket() refuses while a read is pending, and takes no byte from it", async () => {
  const [client, server] = await pairAt("tcp://127.0.0.1:0");
  const reading = server.readExactly(5);
  assert.throws(() => server.toNetSocket(), BusyError);
  await client.write("hello");
  assert.equal((await reading).toString(), "hello");
  await client.close();
  await server.close();
});

test("toNetSocket() refuses while a write is pending, which then goes on", async () => {
  const [client, server] = await pairAt("tcp://127.0.0.1:0");
  const data = Buffer.alloc(32 << 20, "x");
  const writing = server.write(data);
  assert.throws(() => server.toNetSocket(), { code: "EBUSY", syscall: "toNetSocket" });
  let count = 0;
  while (count < data.length) count += (await client.read())!.length;
  await writing;
  await client.close();
  await server.close();
});

test("toNetSocket() refuses a connection without a descriptor, which stays usable", async () => {
  const [a, b] = memoryPair();
  const stream = new Stream(b);
  assert.throws(
    () => stream.toNetSocket(),
    /^TypeError: Cannot toNetSocket: a \w+ has no descriptor, required a connection over a socket/,
  );
  await a.write("hello\n");
  assert.equal(await stream.readLine(), "hello");
  await a.close();
  await stream.close();
});

test("Socket.toNetSocket() hands a socket over, and refuses a closed one and one of datagrams", async () => {
  const [left, right] = socketpair();
  const netSocket = left.toNetSocket();
  assert.equal(left.closed, true);
  await right.sendAll("to node");
  const [data] = (await once(netSocket, "data")) as [Buffer];
  assert.equal(data.toString(), "to node");
  netSocket.end("from node");
  assert.equal((await right.recv(100)).toString(), "from node");
  right.close();
  await once(netSocket, "close");
  assert.throws(() => right.toNetSocket(), { code: "EBADF" });
  using datagrams = new Socket(AF_INET, SOCK_DGRAM);
  assert.throws(() => datagrams.toNetSocket(), TypeError);
});

test("Socket.toNetSocket() includes the buffered bytes of the socket's stream", async () => {
  const [left, right] = socketpair();
  await right.sendAll("first\nsecond\n");
  right.shutdown(SHUT_WR);
  assert.equal(await left.stream().readLine(), "first");
  assert.equal(await text(left.toNetSocket()), "second\n");
  right.close();
});

test("Socket.fromNetSocket() takes over the connection of a net.Socket without an effect on its peer", async () => {
  const [client, accepted] = await netPair();
  await client.sendAll("before");
  const closed = once(accepted, "close");
  await using socket = Socket.fromNetSocket(accepted);
  await closed;
  assert.equal(accepted.destroyed, true);
  assert.deepEqual([socket.family, socket.type], [AF_INET, 1]);
  assert.deepEqual(socket.getpeername(), client.getsockname());
  await client.sendAll(", after");
  assert.equal((await socket.stream().readExactly(13)).toString(), "before, after");
  await socket.sendAll("answer");
  assert.equal((await client.recv(100)).toString(), "answer");
  client.close();
});

test("Socket.fromNetSocket() takes a UNIX connection that node:net made", async () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-net-socket-"));
  const path = join(folder, "s");
  await using listener = await listen({ path });
  const netSocket = netConnect({ path });
  await using server = await listener.accept();
  if (netSocket.connecting) await once(netSocket, "connect");
  netSocket.pause();
  await using socket = Socket.fromNetSocket(netSocket);
  assert.equal(socket.family, AF_UNIX);
  await socket.sendAll("hello\n");
  assert.equal(await server.readLine(), "hello");
  await listener.close();
  rmSync(folder, { recursive: true });
});

test("Socket.fromNetSocket() and toNetSocket() are a round trip", async () => {
  const [client, accepted] = await netPair();
  const again = Socket.fromNetSocket(accepted).toNetSocket();
  again.end("there and back");
  assert.equal((await client.recv(100)).toString(), "there and back");
  client.close();
  again.resume();
  await once(again, "close");
});

test("Socket.fromNetSocket() refuses what Node has a part of, and leaves it as it is", async () => {
  const [client, accepted] = await netPair();
  const refused = (reason: RegExp): void => assert.throws(() => Socket.fromNetSocket(accepted), reason);

  accepted.resume();
  refused(/TypeError: .*the socket is flowing, required a paused one/);
  accepted.pause();
  // Bytes that Node reads without a listener stay in its buffer.
  const readable = once(accepted, "readable");
  await client.sendAll("read ahead");
  await readable;
  refused(/TypeError: .*readableLength is 10, required 0; take the bytes with read\(\) first/);
  assert.equal(String(accepted.read()), "read ahead");

  const big = Buffer.alloc(32 << 20);
  accepted.write(big);
  refused(/TypeError: .*writableLength is 33554432, required 0/);
  accepted.removeAllListeners("readable");
  for (let left = big.length; left > 0;) left -= (await client.recv(1 << 20)).length;
  if (accepted.writableLength > 0) await once(accepted, "drain");

  const socket = Socket.fromNetSocket(accepted);
  assert.throws(() => Socket.fromNetSocket(accepted), /TypeError: .*the socket is destroyed, required an open one/);
  socket.close();
  client.close();
  assert.throws(() => Socket.fromNetSocket(new NetSocket()), /TypeError: .*the socket has no descriptor/);
  assert.throws(
    () => Socket.fromNetSocket({} as NetSocket),
    /TypeError: .*required a net\.Socket or a net\.BoundSocket/,
  );
});

/** Does the work of net.BoundSocket in a Node without it: a bound socket with its four members. */
function boundSocket(isPipe: boolean): {
  fd(): number;
  address(): unknown;
  close(): void;
  isPipe: boolean;
  socket: Socket;
} {
  const socket = new Socket();
  return {
    fd: () => socket.fileno(),
    address: () => socket.getsockname(),
    close: () => socket.close(),
    isPipe,
    socket,
  };
}

test("Socket.fromNetSocket() takes a bound socket, to listen with it", async () => {
  const bound = boundSocket(false);
  bound.socket.setsockopt(SO_REUSEADDR, true);
  await bound.socket.bind("127.0.0.1:0");
  const address = bound.socket.getsockname();
  await using server = Socket.fromNetSocket(bound);
  assert.equal(bound.socket.closed, true);
  server.listen();
  await using client = new Socket();
  await client.connect(address);
  const [conn] = await server.accept();
  conn.close();
});

test("Socket.fromNetSocket() refuses a bound UNIX socket, whose file Node would remove", () => {
  const bound = boundSocket(true);
  assert.throws(() => Socket.fromNetSocket(bound), /TypeError: .*whose file Node\.js removes/);
  assert.equal(bound.socket.closed, false);
  bound.close();
});

const { BoundSocket } = (await import("node:net")) as unknown as {
  BoundSocket?: new (options: { host: string }) => { fd(): number; address(): { port: number }; close(): void };
};
const missing = BoundSocket === undefined ? "this Node has no net.BoundSocket" : false;

test("Socket.fromNetSocket() takes a net.BoundSocket", { skip: missing }, async () => {
  const bound = new BoundSocket!({ host: "127.0.0.1" });
  const { port } = bound.address();
  await using server = Socket.fromNetSocket(bound);
  server.listen();
  await using client = new Socket();
  await client.connect(["127.0.0.1", port]);
  const [conn] = await server.accept();
  conn.close();
});
