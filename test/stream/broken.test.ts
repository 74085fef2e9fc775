// A destination breaks while its source sends nothing: each pipe ends with the error of the destination.

import assert from "node:assert/strict";
import { pipeline } from "node:stream/promises";
import { after, test } from "node:test";
import {
  type Conn,
  pump,
  SHUT_WR,
  SO_LINGER,
  type SocketConn,
  type SocketError,
  splice,
  Stream,
  TimeoutError,
  toDuplex,
  toWeb,
} from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { everyKind, overTcp, overUnix } from "../tls/support.js";

// Neither a source in memory nor whenBroken() keeps the process alive.
const alive = setInterval(() => undefined, 60_000);
after(() => clearInterval(alive));

checkLeaks();

const isGone = (error: unknown): boolean => ["ECONNRESET", "EPIPE"].includes((error as SocketError).code);

for (const [name, makePair] of Object.entries(everyKind)) {
  test(`pipeTo() from a silent source ends when the peer of its destination resets the connection, ${name}`, async () => {
    const [far, source] = memoryPair();
    const [peer, destination] = await makePair();
    const stream = new Stream(source);
    await far.write("before ");
    const piping = stream.pipeTo(destination);
    assert.equal((await new Stream(peer).readExactly(7)).toString(), "before ");
    peer.abort();
    await assert.rejects(piping, isGone);
    await far.write("and after\n");
    assert.equal(await stream.readLine(), "and after");
    for (const conn of [far, stream, peer, destination]) await conn.close();
  });

  test(`pipeTo() from a silent source ends when its destination is closed here, ${name}`, async () => {
    const [far, source] = memoryPair();
    const [peer, destination] = await makePair();
    const stream = new Stream(source);
    const piping = stream.pipeTo(destination);
    piping.catch(() => undefined);
    await destination.close();
    await assert.rejects(piping, { code: "ECANCELED" });
    await assert.rejects(stream.pipeTo(destination), { code: "EBADF" });
    await far.write("still here\n");
    assert.equal(await stream.readLine(), "still here");
    for (const conn of [far, stream, peer]) await conn.close();
  });

  test(`pipeTo() goes on when the peer of the destination has only ended writing, ${name}`, async () => {
    const [far, source] = memoryPair();
    const [peer, destination] = await makePair();
    const piping = new Stream(source).pipeTo(destination);
    await peer.closeWrite();
    assert.equal(await new Stream(destination).read(), null);
    await far.write("late\n");
    assert.equal(await new Stream(peer).readLine(), "late");
    await far.closeWrite();
    assert.equal(await piping, 5);
    for (const conn of [far, source, peer, destination]) await conn.close();
  });

  test(`web streams and Duplexes that are piped into a connection end when it breaks, ${name}`, async () => {
    for (const way of ["web", "duplex"] as const) {
      const [far, source] = memoryPair();
      const [peer, destination] = await makePair();
      const piping =
        way === "web"
          ? toWeb(source).readable.pipeTo(toWeb(destination).writable)
          : pipeline(toDuplex(source), toDuplex(destination));
      piping.catch(() => undefined);
      // After a regular end of a Duplex its bytes can still be read.
      if (way === "duplex" && name.includes("UNIX")) await destination.close();
      else {
        peer.abort();
        await assert.rejects(piping, isGone);
      }
      for (const conn of [far, source, peer, destination]) await conn.close();
    }
  });
}

test("whenBroken() can be cut short, and rejects with ECANCELED and EBADF as reads do", async () => {
  for (const makePair of Object.values(everyKind)) {
    const [a, b] = await makePair();
    await assert.rejects(b.whenBroken!({ timeout: 1 }), (error) => {
      return error instanceof TimeoutError && error.code === "ETIMEDOUT";
    });
    const reason = new Error("enough");
    const controller = new AbortController();
    const waiting = b.whenBroken!({ signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(b.whenBroken!({ signal: controller.signal }), reason);
    await assert.rejects(b.whenBroken!({ timeout: -1 }), RangeError);
    const pending = assert.rejects(b.whenBroken!(), { code: "ECANCELED" });
    await b.close();
    await pending;
    await assert.rejects(b.whenBroken!(), { code: "EBADF" });
    await a.close();
  }
});

test("after whenBroken() has resolved with a reset, a read rejects with ECONNRESET and does not return the end", async () => {
  const [peer, conn] = await overTcp();
  const broken = conn.whenBroken!();
  peer.abort();
  assert.equal(((await broken) as SocketError).code, "ECONNRESET");
  await assert.rejects(conn.read(Buffer.alloc(1)), { code: "ECONNRESET" });
  await conn.close();
});

test("a destination needs no whenBroken(), and that of a stream over it waits until close()", async () => {
  const [peer, conn] = memoryPair();
  const plain = new Stream({
    ...({} as Conn),
    localAddress: undefined,
    remoteAddress: undefined,
    read: (buffer, opts) => conn.read(buffer, opts),
    write: (data, opts) => conn.write(data, opts),
    closeWrite: (opts) => conn.closeWrite(opts),
    close: () => conn.close(),
    abort: () => conn.abort(),
    [Symbol.asyncDispose]: () => conn.close(),
  });
  const waiting = plain.whenBroken();
  const [far, source] = memoryPair();
  await far.write("as before");
  await far.closeWrite();
  assert.equal(await new Stream(source).pipeTo(plain), 9);
  const cancelled = assert.rejects(waiting, { code: "ECANCELED" });
  await plain.close();
  await cancelled;
  for (const one of [peer, far, source]) await one.close();
});

test("splice() from a silent source ends when its destination breaks, and loses no byte", async () => {
  for (const makePair of [overTcp, overUnix]) {
    const [far, from] = (await makePair()) as [SocketConn, SocketConn];
    const [peer, to] = (await makePair()) as [SocketConn, SocketConn];
    const splicing = splice(from.socket, to.socket);
    peer.abort();
    await assert.rejects(splicing, (error) => isGone(error) && (error as { transferred?: number }).transferred === 0);
    await far.write("after");
    assert.equal((await from.socket.recv(10)).toString(), "after");
    for (const conn of [far, from, peer, to]) await conn.close();
  }
});

test("pump() ends when an end that has finished writing is reset", async () => {
  const [far, a] = (await overTcp()) as [SocketConn, SocketConn];
  const [peer, b] = (await overTcp()) as [SocketConn, SocketConn];
  const pumping = pump(a.socket, b.socket);
  peer.socket.shutdown(SHUT_WR);
  assert.equal((await far.socket.recv(10)).length, 0);
  peer.socket.setsockopt(SO_LINGER, 0);
  peer.socket.close();
  await assert.rejects(pumping, { code: "ECONNRESET" });
  for (const conn of [far, a, peer, b]) await conn.close();
});

test("pump() goes on in one direction when the other one has ended regularly", async () => {
  const [far, a] = (await overUnix()) as [SocketConn, SocketConn];
  const [peer, b] = (await overUnix()) as [SocketConn, SocketConn];
  const pumping = pump(a.socket, b.socket);
  await peer.write("the answer");
  peer.socket.close();
  const answer = Buffer.alloc(100);
  assert.equal(await far.read(answer), 10);
  assert.equal(await far.read(answer), 0);
  far.socket.close();
  assert.deepEqual(await pumping, { aToB: 0, bToA: 10 });
  a.socket.close();
  b.socket.close();
});

test("whenBroken() does not keep the process alive", async () => {
  const script = `
    import { socketpair, Stream, toDuplex, toWeb } from "berkeley";
    import { memoryPair } from "berkeley/testing";
    const [a, b] = socketpair();
    const [c, d] = socketpair();
    globalThis.kept = [a, toWeb(b.stream()), c, toDuplex(d.stream()), a.stream().whenBroken()];
    const opts = { timeout: 3_600_000 };
    const [e, f] = socketpair();
    // A Duplex reads ahead, which keeps the process alive until unref().
    const bridged = Stream.fromDuplex(toDuplex(f.stream())).unref();
    kept.push(e, memoryPair()[0].whenBroken(opts), b.stream().whenBroken(opts), bridged.whenBroken(opts));
    console.log("done");
  `;
  await using program = new Program(process.execPath, ["--input-type=module", "-e", script]);
  assert.deepEqual(await program.ended, { status: 0, stdout: "done\n", stderr: "" });
});
