// Loops over the datagrams of plain sockets, awaitable and blocking.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  bindUdp,
  connectUdp,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  Socket,
  SocketError,
  socketpair,
} from "berkeley";
import * as blocking from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const patience = { timeout: 10_000 };
const code = (expected: string) => (error: unknown) => {
  assert.ok(error instanceof SocketError, String(error));
  assert.equal(error.code, expected);
  return true;
};

test("a loop gives whole datagrams and their senders, and one that ends early loses none", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  await socket.bind("127.0.0.1:0");
  const own = String(socket.getsockname());
  const texts = ["", "one", "x".repeat(60_000), "last"];
  for (const text of texts) await socket.sendto(text, own);
  const seen: string[] = [];
  for (const _ of texts) {
    for await (const [data, address] of socket.datagrams(patience)) {
      assert.equal(String(address), own);
      seen.push(data.toString());
      break;
    }
  }
  assert.deepEqual(seen, texts);
});

test("the loop ends quietly after close(), while it waits and between two turns", async () => {
  for (const early of [true, false]) {
    const socket = new Socket(AF_INET, SOCK_DGRAM);
    await socket.bind("127.0.0.1:0");
    await socket.sendto("x", socket.getsockname());
    let turns = 0;
    for await (const [data] of socket.datagrams(patience)) {
      assert.equal(String(data), "x");
      turns++;
      if (early) socket.close();
      else setImmediate(() => socket.close());
    }
    assert.equal(turns, 1);
  }
});

test("another error is thrown out of the loop, and a new loop goes on", async () => {
  const nobody = await bindUdp("udp://127.0.0.1:0");
  const { address } = nobody;
  await nobody.close();
  await using udp = await connectUdp(address);
  for (const loop of [udp, udp.socket.datagrams(patience)]) {
    const next = loop[Symbol.asyncIterator]().next();
    await udp.send("x");
    await assert.rejects(next, code("ECONNREFUSED"));
  }
  await assert.rejects(udp.socket.datagrams({ timeout: 0 }).next(), code("ETIMEDOUT"));
  const reason = new Error("enough");
  await assert.rejects(udp.socket.datagrams({ signal: AbortSignal.abort(reason) }).next(), reason);
});

test("a datagram of a UNIX socket that is larger than 64 KiB comes as a whole, on both sockets", async () => {
  for (const type of [SOCK_DGRAM, SOCK_SEQPACKET]) {
    const [left, right] = socketpair(AF_UNIX, type);
    left.setsockopt(SO_SNDBUF, 1 << 18);
    const large = Buffer.alloc(150_000, "large");
    await left.sendAll(large);
    await left.sendAll("small");
    const got: Buffer[] = [];
    for await (const [data] of right.datagrams(patience)) if (got.push(data) === 2) break;
    assert.ok(got[0]!.equals(large));
    assert.equal(String(got[1]), "small");
    await left.sendAll(large);
    using twin = blocking.Socket.fromfd(right.detach());
    assert.ok(twin.datagrams(patience).next().value[0].equals(large));
    left.close();
  }
});

test("the loop of the blocking socket gives the datagrams until the socket is closed", () => {
  using socket = new blocking.Socket(AF_INET, SOCK_DGRAM);
  socket.bind("127.0.0.1:0");
  const own = socket.getsockname();
  for (const text of ["1", "2", "3"]) socket.sendto(text, own);
  const seen: string[] = [];
  for (const [data] of socket.datagrams()) {
    seen.push(String(data));
    break;
  }
  for (const [data, address] of socket.datagrams(patience)) {
    assert.equal(String(address), String(own));
    seen.push(String(data));
    if (seen.length === 3) socket.close();
  }
  assert.deepEqual(seen, ["1", "2", "3"]);
  using other = new blocking.Socket(AF_INET, SOCK_DGRAM);
  assert.throws(() => other.datagrams({ timeout: 0 }).next(), code("ETIMEDOUT"));
});

test("stream sockets and wrong options are refused", async () => {
  await using stream = new Socket();
  using twin = new blocking.Socket();
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  using other = new blocking.Socket(AF_INET, SOCK_DGRAM);
  for (const call of [() => stream.datagrams(), () => twin.datagrams()]) {
    assert.throws(
      call,
      /^TypeError: Cannot read datagrams: the socket is of type 1, required a datagram socket; use stream/,
    );
  }
  for (const call of [() => socket.datagrams(5 as never), () => other.datagrams(5 as never)]) {
    assert.throws(call, /^TypeError: Cannot read datagrams: options are 5, required an object/);
  }
  for (const call of [() => socket.datagrams({ size: 5 } as object), () => other.datagrams({ size: 5 } as object)]) {
    assert.throws(call, /^TypeError: Cannot read datagrams: option "size" is unknown/);
  }
});
