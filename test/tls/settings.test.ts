// The properties and options of the socket below a TLS connection.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  IPPROTO_TCP,
  SO_RCVBUF,
  SO_TYPE,
  SOCK_STREAM,
  Socket,
  SOL_SOCKET,
  Stream,
  TCP_INFO,
  TCP_NODELAY,
  type TlsConn,
  wrapTls,
} from "berkeley";
import { inspect } from "node:util";
import { openSync, closeSync } from "node:fs";
import { tlsStreams } from "../net/tls/support.js";
import { checkLeaks } from "../support/leaks.js";
import { inMemory, overTcp, overUnix, serving, tlsPair, trusting, withoutDescriptor } from "./support.js";

checkLeaks();

const both = async (...conns: readonly { close(): Promise<void> }[]): Promise<void> => {
  await Promise.all(conns.map((conn) => conn.close()));
};

test("a stream over TLS has the addresses, options and TCP_INFO of its socket", async () => {
  const [client, server] = await tlsStreams();
  for (const { conn } of [client, server]) {
    const { socket } = conn;
    assert.ok(socket !== undefined);
    assert.equal(conn.socket, socket);
    assert.deepEqual([socket.family, socket.type], [AF_INET, SOCK_STREAM]);
    assert.equal(String(socket.getsockname()), String(conn.localAddress));
    assert.equal(String(socket.getpeername()), String(conn.remoteAddress));
    socket.setsockopt(TCP_NODELAY, false);
    assert.equal(socket.getsockopt(TCP_NODELAY), false);
    socket.setsockopt(IPPROTO_TCP, TCP_NODELAY.optname, 1);
    assert.equal(socket.getsockopt(TCP_NODELAY), true);
    assert.equal(socket.getsockopt(SOL_SOCKET, SO_TYPE.optname), SOCK_STREAM);
    assert.equal(socket.getsockopt(SOL_SOCKET, SO_TYPE.optname, 4).length, 4);
    assert.ok(socket.getsockopt(SO_RCVBUF) > 0);
  }
  const before = client.conn.socket?.getsockopt(TCP_INFO).tcpi_bytes_sent ?? 0n;
  await client.write(Buffer.alloc(10_000));
  await server.readExactly(10_000);
  const after = client.conn.socket?.getsockopt(TCP_INFO).tcpi_bytes_sent ?? 0n;
  assert.ok(Number(after) - Number(before) > 10_000);
  for (const name of ["close", "detach", "listen", "accept", "fileno", "stream"]) {
    assert.equal((client.conn.socket as unknown as Record<string, unknown>)[name], undefined, name);
  }
  await both(client, server);
});

test("each call of the socket below TLS that transfers bytes is refused with ERR_TLS_SOCKET", async () => {
  const [client, server] = await tlsStreams();
  const refused = { name: "TlsError", code: "ERR_TLS_SOCKET" };
  const calls = client.socket as unknown as Record<string, (first?: unknown) => unknown>;
  const names = Object.getOwnPropertyNames(Socket.prototype).filter((name) =>
    /^(?:try)?(?:recv|send)|^shutdown$/i.test(name),
  );
  assert.equal(names.length, 18);
  for (const name of names) {
    if (/^try|^shutdown/.test(name)) assert.throws(() => calls[name]!(), refused, name);
    else await assert.rejects(calls[name]!() as Promise<unknown>, refused, name);
  }
  // The connection has not changed.
  await client.write("one\n");
  assert.equal(await server.readLine(), "one");
  assert.doesNotMatch(inspect(client.socket), /recv/);
  await both(client, server);
});

for (const [what, give] of [
  ["close()", (conn: TlsConn) => conn.close()],
  ["abort()", (conn: TlsConn) => Promise.resolve(conn.abort())],
] as const) {
  test(`after ${what} it is EBADF, also when the descriptor's number is another's`, async () => {
    const [client, server] = await tlsPair(overTcp);
    const { socket } = client;
    assert.ok(socket !== undefined);
    await give(client);
    const files = Array.from({ length: 8 }, () => openSync("/dev/null", "r"));
    assert.throws(() => socket.getsockopt(TCP_NODELAY), { code: "EBADF", syscall: "getsockopt" });
    assert.throws(() => socket.setsockopt(TCP_NODELAY, true), { code: "EBADF" });
    assert.throws(() => socket.getsockname(), { code: "EBADF" });
    assert.throws(() => socket.getpeername(), { code: "EBADF" });
    for (const file of files) closeSync(file);
    server.abort();
    await both(client, server);
  });
}

test("wrong options are refused as a Socket refuses them", async () => {
  const [client, server] = await tlsPair(overTcp);
  assert.throws(() => client.socket?.setsockopt(TCP_NODELAY, 5 as never), TypeError);
  assert.throws(() => client.socket?.getsockopt(5, 99), { code: "EOPNOTSUPP" });
  await both(client, server);
});

test("TLS over a UNIX socket, over TLS and over a socket that Node does not carry has the socket below; in memory none", async () => {
  const [a, b] = await tlsPair(overUnix);
  assert.equal(a.socket?.family, AF_UNIX);
  await both(a, b);
  const [c, d] = await tlsPair(withoutDescriptor(overTcp));
  assert.equal(String(c.socket?.getsockname()), String(c.localAddress));
  await both(c, d);
  const [outer, other] = await tlsPair(overTcp);
  const inner = await Promise.all([
    wrapTls(new Stream(outer), trusting()),
    wrapTls(other, { ...serving(), isServer: true }),
  ]);
  assert.equal(String(inner[0].socket?.getpeername()), String(outer.remoteAddress));
  await both(...inner);
  const [e, f] = await tlsPair(inMemory);
  assert.equal(e.socket, undefined);
  await both(e, f);
});
