// whenEnded(): the end of the peer, or a reset, while no call reads. It takes no byte.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type Conn, pending, SHUT_WR, type SocketConn, SocketError, Stream, TimeoutError } from "berkeley";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { overTcp, overUnix, tlsPair } from "../tls/support.js";

// whenEnded() does not keep the process alive.
const alive = setInterval(() => undefined, 60_000);
after(() => clearInterval(alive));

checkLeaks();

type Ends = readonly [peer: Conn, stream: Stream];

/** The connections whose end comes from the kernel: the peer, and a stream. */
const KINDS: Readonly<Record<string, () => Promise<Ends>>> = {
  tcp: async () => {
    const [peer, conn] = await overTcp();
    return [peer, new Stream(conn)];
  },
  unix: async () => {
    const [peer, conn] = await overUnix();
    return [peer, new Stream(conn)];
  },
  tls: async () => {
    const [client, server] = await tlsPair(overTcp);
    return [client, new Stream(server)];
  },
};

async function close(...conns: readonly Conn[]): Promise<void> {
  for (const conn of conns) await conn.close();
}

for (const [name, make] of Object.entries(KINDS)) {
  test(`whenEnded() resolves with undefined when the peer closes an idle connection, ${name}`, async () => {
    const [peer, stream] = await make();
    const ended = stream.whenEnded();
    await peer.close();
    assert.equal(await ended, undefined);
    // A later call finds the same.
    assert.equal(await stream.whenEnded(), undefined);
    assert.equal(await stream.read(), null);
    await close(stream);
  });

  test(`whenEnded() leaves the last bytes for the reads, ${name}`, async () => {
    const [peer, stream] = await make();
    const ended = stream.whenEnded();
    await peer.write("one\ntwo\n");
    await peer.close();
    assert.equal(await ended, undefined);
    const lines: string[] = [];
    for await (const line of stream.lines()) lines.push(line);
    assert.deepEqual(lines, ["one", "two"]);
    await close(stream);
  });

  test(`whenEnded() comes besides a read that waits, and after a half-close the stream still writes, ${name}`, async () => {
    const [peer, stream] = await make();
    const ended = stream.whenEnded();
    const line = stream.readLine();
    await peer.write("only\n");
    assert.equal(await line, "only");
    const end = stream.readLine();
    await peer.closeWrite();
    assert.deepEqual(await Promise.all([ended, end]), [undefined, null]);
    await stream.write("answer\n");
    assert.equal(await new Stream(peer).readLine(), "answer");
    await close(peer, stream);
  });

  test(`whenEnded() ends with its timeout, its signal and close(), ${name}`, async () => {
    const [peer, stream] = await make();
    await assert.rejects(stream.whenEnded({ timeout: 1 }), TimeoutError);
    await assert.rejects(stream.whenEnded({ signal: AbortSignal.abort(new Error("enough")) }), /enough/);
    await assert.rejects(stream.whenEnded({ time: 1 } as object), /option "time" is unknown/);
    const waiting = assert.rejects(stream.whenEnded(), { code: "ECANCELED" });
    await stream.close();
    await waiting;
    await assert.rejects(stream.whenEnded(), { code: "EBADF" });
    await close(peer);
  });
}

/** Whether an error says that the connection between these ends was reset. */
function isReset(error: unknown, conn: Conn): boolean {
  if (!(error instanceof SocketError)) return false;
  const { code, local, peer } = error;
  assert.deepEqual([code, local, peer], ["ECONNRESET", String(conn.localAddress), String(conn.remoteAddress)]);
  return true;
}

for (const name of ["tcp", "tls"] as const) {
  test(`after a reset of an idle connection whenEnded() and whenBroken() have the error, with both ends, ${name}`, async () => {
    const [peer, stream] = await KINDS[name]!();
    const waiting = [stream.whenEnded(), stream.whenBroken()];
    peer.abort();
    for (const error of await Promise.all(waiting)) {
      assert.ok(isReset(error, stream));
      // Nothing was sent, so the error names no send.
      assert.notEqual((error as SocketError).syscall, "send");
    }
    // The read gets the error too.
    await assert.rejects(stream.read(), { code: "ECONNRESET" });
    await close(peer, stream);
  });

  test(`after a read has failed with a reset, whenEnded() and whenBroken() report the reset too, ${name}`, async () => {
    const [peer, stream] = await KINDS[name]!();
    const waiting = [stream.whenEnded(), stream.whenBroken()];
    const reading = assert.rejects(stream.read(), { code: "ECONNRESET" });
    peer.abort();
    await reading;
    for (const error of await Promise.all(waiting)) assert.ok(isReset(error, stream));
    for (const error of [await stream.whenEnded(), await stream.whenBroken()]) assert.ok(isReset(error, stream));
    await close(peer, stream);
  });
}

test("pending() lists whenEnded() as a call that keeps nothing alive", async () => {
  const [peer, conn] = await overTcp();
  const stream = new Stream(conn);
  const ended = stream.whenEnded().catch(() => undefined);
  assert.deepEqual(
    pending().map(({ call, keepsAlive }) => [call, keepsAlive]),
    [["poll", false]],
  );
  await close(peer, stream);
  await ended;
});

test("whenEnded() of a connection without the method settles with close()", async () => {
  const [peer, conn] = memoryPair();
  const stream = new Stream(conn);
  const ended = assert.rejects(stream.whenEnded(), { code: "ECANCELED", syscall: "whenEnded" });
  await stream.close();
  await ended;
  await assert.rejects(stream.whenEnded(), { code: "EBADF" });
  await peer.close();
});

test("the end of this side is no end of the peer", async () => {
  const [peer, conn] = (await overTcp()) as [SocketConn, SocketConn];
  const stream = new Stream(conn);
  const ended = stream.whenEnded();
  conn.socket.shutdown(SHUT_WR);
  await assert.rejects(stream.whenEnded({ timeout: 1 }), TimeoutError);
  await peer.close();
  assert.equal(await ended, undefined);
  await close(stream);
});
