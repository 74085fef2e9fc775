// SocketConn and Socket.stream(), in addition to the conformance suite: on real sockets and on a fake kernel.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  type InetAddress,
  Socket,
  socketpair,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SocketConn,
  Stream,
} from "berkeley";
import { fakeKernel, IN, keepAlive, OUT, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

async function tcpPair(): Promise<[Socket, Socket]> {
  await using listener = new Socket(AF_INET);
  await listener.bind("127.0.0.1:0");
  listener.listen();
  const client = new Socket(AF_INET);
  await client.connect(listener.getsockname());
  const [server] = await listener.accept();
  return [client, server];
}

test("stream() gives the same stream each time", async () => {
  const [left, right] = socketpair();
  const stream = left.stream({ maxLine: 5 });
  assert.ok(stream instanceof Stream);
  assert.equal(left.stream(), stream);
  assert.throws(() => left.stream({ maxLine: 6 }), TypeError);
  await right.sendAll("0123456789\n");
  await assert.rejects(stream.readLine(), { name: "LimitError", max: 5 });
  await stream.close();
  assert.equal(left.closed, true);
  right.close();
});

test("stream() and SocketConn refuse sockets that keep messages apart", () => {
  for (const type of [SOCK_DGRAM, SOCK_SEQPACKET]) {
    const [left, right] = socketpair(AF_UNIX, type);
    assert.throws(() => left.stream(), TypeError);
    assert.throws(() => new SocketConn(right), TypeError);
    left.close();
    right.close();
  }
});

test("SocketConn has the addresses of both ends, before and after the end", async () => {
  const [client, server] = await tcpPair();
  const a = new SocketConn(client);
  const b = new SocketConn(server);
  const remote = String(server.getsockname());
  const local = String(client.getsockname());
  b.abort();
  await assert.rejects(a.read(Buffer.alloc(1)), { code: "ECONNRESET" });
  await a.close();
  assert.equal(String(a.localAddress), local);
  assert.equal(String(a.remoteAddress), remote);
  assert.equal(String(b.remoteAddress), local);
  assert.ok((a.remoteAddress as InetAddress).port > 0);
});

test("SocketConn makes no system call for an address that it was given", () => {
  const { sys, socket } = fakeKernel();
  const address = { local: undefined, remote: undefined };
  const conn = new SocketConn(socket(), address);
  assert.equal(sys.count("getpeername"), 1);
  const other = new SocketConn(socket(), {
    local: conn.localAddress,
    remote: { family: 99, data: new Uint8Array(0) } as never,
  });
  assert.equal(sys.count("getpeername"), 1);
  assert.equal(other.remoteAddress?.family, 99);
  void conn.close();
  void other.close();
});

test("a read and a write of SocketConn are one call each", async () => {
  const { sys, socket } = fakeKernel();
  const conn = new SocketConn(socket());
  sys.script("recv", Buffer.from("hello"));
  sys.script("send", 5);
  assert.equal(await conn.read(Buffer.alloc(5)), 5);
  await conn.write("hello");
  assert.equal(sys.count("recv"), 1);
  assert.equal(sys.count("send"), 1);
  await conn.close();
});

test("closeWrite() waits for the writes before it, and comes although its wait was cut short", async () => {
  const { sys, socket, fire } = fakeKernel();
  const raw = socket();
  const conn = new SocketConn(raw);
  const EAGAIN = -11;
  sys.script("send", 3, EAGAIN, 2);
  const writing = watch(conn.write("hello"));
  await assert.rejects(conn.closeWrite({ timeout: 1 }), { code: "ETIMEDOUT", syscall: "shutdown" });
  const control = new AbortController();
  const cut = watch(conn.closeWrite({ signal: control.signal }));
  const reason = new Error("enough");
  control.abort(reason);
  await turn();
  assert.equal(cut.error, reason);
  await assert.rejects(conn.write("more"), { code: "EPIPE" });
  assert.equal(sys.count("shutdown"), 0);
  const ending = watch(conn.closeWrite());
  fire(OUT, raw);
  await turn();
  assert.equal(writing.state, "resolved");
  assert.equal(ending.state, "resolved");
  assert.equal(sys.count("shutdown"), 1);
  await conn.closeWrite();
  assert.equal(sys.count("shutdown"), 1);
  await conn.close();
  await assert.rejects(conn.closeWrite(), { code: "EBADF" });
});

test("a read of SocketConn is busy while any call waits to receive, and free afterwards", async () => {
  const { sys, socket, fire } = fakeKernel();
  const raw = socket();
  const conn = new SocketConn(raw);
  const readable = watch(raw.readable());
  await assert.rejects(conn.read(Buffer.alloc(1)), { name: "BusyError" });
  sys.script("poll", 1);
  fire(IN, raw);
  await turn();
  assert.equal(readable.state, "resolved");
  sys.script("recv", Buffer.from("x"));
  assert.equal(await conn.read(Buffer.alloc(1)), 1);
  await conn.close();
});

test("accept() refuses a patience that is neither true nor false", async () => {
  await using listener = new Socket(AF_INET);
  await assert.rejects(listener.accept({ retryOnShortage: 1 as unknown as boolean }), TypeError);
  await assert.rejects(listener.accept({ retryOnShortage: null as never }), {
    name: "TypeError",
    message: "Cannot accept: retryOnShortage is null, required true or false",
  });
});
