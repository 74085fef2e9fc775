// Bytes that a stream has read ahead are part of the connection: calls that move the bytes of the connection send them
// first, and calls that would skip them are refused.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BufferedError,
  BusyError,
  type Conn,
  MSG_PEEK,
  pump,
  send_fds,
  SHUT_WR,
  type Socket,
  SocketConn,
  socketpair,
  splice,
  Stream,
  TimeoutError,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../../support/leaks.js";
import { type MakePair, overTcp, overUnix, tlsPair, withoutDescriptor } from "../../tls/support.js";

checkLeaks();

const kinds: Record<string, MakePair> = {
  TCP: overTcp,
  "a UNIX socket": overUnix,
  memory: () => memoryPair(),
  "TLS on TCP": () => tlsPair(overTcp),
  "TLS in JavaScript": () => tlsPair(withoutDescriptor(overTcp)),
};

/** What comes until the end. */
async function all(conn: Conn): Promise<string> {
  let text = "";
  for await (const piece of new Stream(conn)) text += piece.toString("latin1");
  return text;
}

const socketOf = (stream: Stream): Socket => (stream.conn as SocketConn).socket;

/** A stream that has read one line and has the bytes after it in its buffer. */
async function readAhead(makePair: MakePair, rest: string): Promise<[far: Conn, stream: Stream]> {
  const [far, near] = await makePair();
  const stream = new Stream(near);
  await far.write(`line\n${rest}`);
  assert.equal(await stream.readLine(), "line");
  while (stream.buffered < rest.length) await stream.peek(rest.length);
  return [far, stream];
}

for (const [one, makeOne] of Object.entries(kinds)) {
  for (const [other, makeOther] of Object.entries(kinds)) {
    test(`pump() of streams over ${one} and ${other} sends the bytes that were read ahead first, and passes on half-closes`, async () => {
      const [client, a] = await readAhead(makeOne, "ahead of a, ");
      const [server, b] = await readAhead(makeOther, "ahead of b, ");
      const pumping = pump(a, b);
      await assert.rejects(a.read(), BusyError);
      await client.write("from a");
      await client.closeWrite();
      assert.equal(await all(server), "ahead of a, from a");
      await server.write("from b");
      await server.closeWrite();
      assert.equal(await all(client), "ahead of b, from b");
      assert.deepEqual(await pumping, { aToB: 18, bToA: 18 });
      assert.equal(await a.read(), null);
      for (const conn of [client, a, server, b]) await conn.close();
    });
  }
}

test("pump() and splice() of the socket below a stream send the buffered bytes of the stream", async () => {
  const [client, a] = await readAhead(overTcp, "ahead, ");
  const [target, server] = socketpair();
  const pumping = pump(socketOf(a), target);
  await client.write("behind");
  await client.closeWrite();
  assert.equal(await all(new SocketConn(server)), "ahead, behind");
  server.shutdown(SHUT_WR);
  assert.deepEqual(await pumping, { aToB: 13, bToA: 0 });
  for (const one of [client, a]) await one.close();
  target.close();
  server.close();

  const [left, s] = await readAhead(overUnix, "ten bytes!and five");
  const [to, out] = socketpair();
  assert.equal(await splice(socketOf(s), to, { count: 10, end: false }), 10);
  assert.equal(s.buffered, 8);
  await left.closeWrite();
  assert.equal(await splice(s, to), 8);
  assert.equal(await all(new SocketConn(out)), "ten bytes!and five");
  for (const one of [left, s]) await one.close();
  to.close();
  out.close();
});

test("a socket and a stream over TLS are pumped too, with the buffered bytes of a stream on the socket", async () => {
  const [client, a] = await readAhead(overTcp, "ahead, ");
  const [peer, secure] = await tlsPair(overTcp);
  const pumping = pump(socketOf(a), new Stream(secure));
  await client.write("behind");
  await client.closeWrite();
  assert.equal(await all(peer), "ahead, behind");
  await peer.write("back");
  await peer.closeWrite();
  assert.equal(await all(client), "back");
  assert.deepEqual(await pumping, { aToB: 13, bToA: 4 });
  for (const conn of [client, a, peer, secure]) await conn.close();
});

test("more bytes than the destination takes at once are sent completely, and an abort reports the number of sent bytes", async () => {
  const size = 4 << 20;
  const [far, near] = await overUnix();
  const stream = new Stream(near);
  const writing = far.write(Buffer.alloc(size, "x"));
  await stream.peek(size);
  await writing;
  const [target, slow] = socketpair();
  const controller = new AbortController();
  const reason = new Error("enough");
  const pumping = pump(stream, target, { signal: controller.signal });
  await slow.recv(1, { flags: MSG_PEEK });
  controller.abort(reason);
  const error = (await pumping.catch((one: unknown) => one)) as { aToB: { transferred: number; undelivered: Buffer } };
  assert.equal(error, reason);
  const { transferred, undelivered } = error.aToB;
  assert.ok(transferred > 0 && transferred < size);
  assert.equal(transferred + undelivered.length, size);
  const again = target.sendAll(undelivered).then(() => target.shutdown(SHUT_WR));
  assert.equal((await all(new SocketConn(slow))).length, size);
  await again;
  await far.close();
  await stream.close();
  target.close();
  slow.close();
});

test("an error on one side ends both, and unwritten bytes stay in the stream", async () => {
  const [client, a] = await readAhead(overTcp, "ahead");
  const [peer, secure] = await tlsPair(overTcp);
  const pumping = pump(a, new Stream(secure));
  assert.equal((await new Stream(peer).readExactly(5)).toString(), "ahead");
  peer.abort();
  await assert.rejects(pumping, (error) => {
    const { aToB, bToA } = error as Record<"aToB" | "bToA", { transferred: number }>;
    return aToB.transferred === 5 && bToA.transferred === 0;
  });
  await client.write("still usable\n");
  assert.equal(await a.readLine(), "still usable");
  for (const conn of [client, a, peer, secure]) await conn.close();
});

test("pump() over TLS has its deadlines and its signal", async () => {
  for (const opts of [{ timeout: 20 }, { idleTimeout: 20 }, { signal: AbortSignal.timeout(20) }]) {
    const [c, d] = await tlsPair(overTcp);
    const [e, f] = socketpair();
    await assert.rejects(pump(new Stream(d), f, opts), (error: Error & { code?: unknown }) =>
      "signal" in opts ? error.name === "TimeoutError" : error instanceof TimeoutError && error.code === "ETIMEDOUT",
    );
    await Promise.all([c.close(), d.close()]);
    e.close();
    f.close();
  }
});

test("calls that would pass the bytes by are refused with their number, and pass once they are taken", async () => {
  const [far, stream] = await readAhead(overUnix, "12345678");
  const socket = socketOf(stream);
  assert.equal(socket.buffered, 8);
  const refused = (error: unknown): boolean =>
    error instanceof BufferedError && error.code === "ERR_BUFFERED" && error.buffered === 8;
  await assert.rejects(socket.recv(10), refused);
  await assert.rejects(socket.recvInto(Buffer.alloc(10)), refused);
  await assert.rejects(socket.recvmsg(10), refused);
  await assert.rejects(socket.recvfrom(10), refused);
  assert.throws(() => socket.tryRecv(10), refused);
  assert.throws(() => socket.tryRecvInto(Buffer.alloc(10)), refused);
  assert.throws(() => socket.detach(), refused);
  assert.throws(() => new Stream(stream.conn), refused);
  assert.throws(() => socket.stream(), refused);
  const [passing, other] = socketpair();
  await assert.rejects(send_fds(passing, "x", [socket]), refused);
  await assert.rejects(passing.sendmsg("x", { control: [{ type: "SCM_RIGHTS", fds: [socket] }] }), refused);
  assert.equal(other.tryRecv(1), undefined);

  assert.equal((await stream.readExactly(8)).toString(), "12345678");
  assert.equal(socket.buffered, 0);
  await far.write("x");
  assert.equal((await socket.recv(10)).toString(), "x");
  assert.equal(await send_fds(passing, "x", [socket]), 1);
  const again = socket.detach();
  assert.ok(again >= 0);
  const { Socket: Made } = await import("berkeley");
  Made.fromfd(again).close();
  await far.close();
  passing.close();
  other.close();
});

test("a stream on a stream counts: the outer one's bytes go first", async () => {
  const [far, inner] = await readAhead(overUnix, "second, ");
  const outer = new Stream(inner);
  assert.equal((await outer.readExactly(3)).toString(), "sec");
  assert.equal(socketOf(inner).buffered, 5);
  assert.throws(() => inner.toNetSocket(), BufferedError);
  const [target, end] = socketpair();
  await far.write("third");
  await far.closeWrite();
  assert.equal(await splice(outer, target), 10);
  assert.equal(await all(new SocketConn(end)), "ond, third");
  for (const conn of [far, outer]) await conn.close();
  target.close();
  end.close();
});

test("pump() and splice() refuse sources and destinations that they do not support", async () => {
  const [a, b] = memoryPair();
  const [c, d] = socketpair();
  await assert.rejects(pump(a as never, c), TypeError);
  await assert.rejects(splice(new Stream(a), c), TypeError);
  await assert.rejects(splice(c, new Stream(a)), TypeError);
  const busy = d.stream();
  const reading = busy.readLine();
  await assert.rejects(pump(busy, c), BusyError);
  await c.sendAll("x\n");
  assert.equal(await reading, "x");
  await busy.close();
  await assert.rejects(pump(busy, c), { code: "EBADF" });
  c.close();
  await a.close();
  await b.close();
});
