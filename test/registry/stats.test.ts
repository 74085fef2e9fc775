// stats(): the counters of sockets, streams, listeners and servers.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  bindUdp,
  type Conn,
  connect,
  connectUdp,
  DatagramBatch,
  forward,
  listen,
  MSG_WAITALL,
  SOCK_DGRAM,
  Socket,
  socketpair,
  Stream,
} from "berkeley";
import * as sync from "berkeley/sync";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { everyKind, serving, tlsPair, trusting } from "../tls/support.js";

checkLeaks();

test("a socket counts bytes and calls in both directions: at once, after a wait, and in parts", async () => {
  const [left, right] = socketpair();
  assert.deepEqual(left.stats(), { bytesReceived: 0, bytesSent: 0, reads: 0, writes: 0 });
  await left.send("12345");
  assert.equal(left.trySend("678"), 3);
  await right.recv(2);
  assert.equal(right.tryRecv(100)?.length, 6);
  const waited = right.recv(10, { flags: MSG_WAITALL });
  await left.sendAll("123");
  await left.sendAll(["4567", "890"]);
  await waited;
  assert.deepEqual(left.stats(), { bytesReceived: 0, bytesSent: 18, reads: 0, writes: 4 });
  assert.deepEqual(right.stats(), { bytesReceived: 18, bytesSent: 0, reads: 3, writes: 0 });
  // Larger than the buffers of the kernel: sent in several parts, counted as one call.
  const size = 8 << 20;
  const sending = left.sendAll(new Uint8Array(size));
  let got = 0;
  while (got < size) got += (await right.recv(1 << 20)).length;
  await sending;
  assert.deepEqual([left.stats().bytesSent, left.stats().writes], [18 + size, 5]);
  assert.equal(right.stats().bytesReceived, 18 + size);
  await assert.rejects(right.recv(1, { timeout: 0 }));
  assert.equal(right.stats().bytesReceived, 18 + size, "a call that failed does not count");
  left.close();
  right.close();
  assert.equal(left.stats().bytesSent, 18 + size, "the counters stay");
});

const receivers: Readonly<Record<string, (socket: Socket, flags: number) => Promise<unknown>>> = {
  recv: (socket, flags) => socket.recv(6, { flags }),
  recvInto: (socket, flags) => socket.recvInto(Buffer.alloc(6), { flags }),
  recvfrom: (socket, flags) => socket.recvfrom(6, { flags }),
  recvfromInto: (socket, flags) => socket.recvfromInto(Buffer.alloc(6), { flags }),
  recvmsg: (socket, flags) => socket.recvmsg(6, { flags }),
  recvmsgInto: (socket, flags) => socket.recvmsgInto([Buffer.alloc(2), Buffer.alloc(4)], { flags }),
};

for (const [name, receive] of Object.entries(receivers)) {
  test(`${name}() with MSG_WAITALL counts all its bytes, in one part and in two`, async () => {
    const [left, right] = socketpair();
    await left.sendAll("123456");
    await receive(right, MSG_WAITALL);
    assert.deepEqual([right.stats().bytesReceived, right.stats().reads], [6, 1]);
    const waiting = receive(right, MSG_WAITALL);
    await left.sendAll("123");
    await left.sendAll("456");
    await waiting;
    assert.deepEqual([right.stats().bytesReceived, right.stats().reads], [12, 2]);
    left.close();
    right.close();
  });
}

test("blocking calls with MSG_WAITALL count all their bytes", () => {
  const [left, right] = sync.socketpair();
  left.sendAll("123456123456");
  right.recv(6, { flags: MSG_WAITALL });
  right.recvmsg(6, { flags: MSG_WAITALL });
  assert.deepEqual([right.stats().bytesReceived, right.stats().reads], [12, 2]);
  left.close();
  right.close();
});

test("a stream over a socket has the counters of its socket", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const client = await connect(`tcp://${String(listener.address)}`);
  const server = await listener.accept();
  await client.write("hello\n");
  await server.readLine();
  assert.deepEqual(client.stats(), { bytesReceived: 0, bytesSent: 6, reads: 0, writes: 1 });
  assert.deepEqual(server.stats(), { bytesReceived: 6, bytesSent: 0, reads: 1, writes: 0 });
  assert.equal(listener.stats().accepted, 1);
  await client.close();
  await server.close();
  await listener.close();
  assert.equal(server.stats().bytesReceived, 6);
  assert.equal(listener.stats().accepted, 1);
});

for (const [name, pair] of Object.entries(everyKind)) {
  test(`TLS ${name} counts the bytes of the program, not those of the records`, async () => {
    const [client, server] = await tlsPair(pair, trusting(), serving());
    const total = 300_000;
    const stream = new Stream(server);
    const read = stream.readExactly(total + 3);
    await client.write("abc");
    await client.write(new Uint8Array(total));
    await read;
    assert.deepEqual([client.stats().bytesSent, client.stats().writes], [total + 3, 2]);
    assert.equal(stream.stats().bytesReceived, total + 3);
    assert.equal(client.stats().bytesReceived, 0);
    await Promise.all([client.close(), stream.close()]);
    assert.equal(stream.stats().bytesReceived, total + 3);
  });
}

test("a stream counts by itself over a connection that does not", async () => {
  const [a, b] = memoryPair();
  const foreign = (conn: Conn): Conn =>
    new Proxy(conn, {
      get: (target, key) => {
        if (key === "stats") return undefined;
        const value = Reflect.get(target, key) as unknown;
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  const [left, right] = [new Stream(foreign(a)), new Stream(foreign(b))];
  await left.write("zażółć\n");
  await left.write([Uint8Array.of(1, 2), "é"]);
  await right.readLine();
  await right.readExactly(4);
  assert.deepEqual(left.stats(), { bytesReceived: 0, bytesSent: 15, reads: 0, writes: 2 });
  assert.equal(right.stats().bytesReceived, 15);
  // The conns themselves count the same.
  assert.equal(a.stats().bytesSent, 15);
  assert.equal(b.stats().bytesReceived, 15);
  await left.close();
  await right.close();
});

test("a UDP socket counts datagrams, also in batches, their bytes, and those that the kernel dropped", async () => {
  const server = await bindUdp("udp://127.0.0.1:0", { receiveBuffer: 2304 });
  const client = await connectUdp(`udp://${String(server.address)}`);
  await client.send("1234");
  await server.receive();
  const batch = new DatagramBatch();
  batch.add("a");
  batch.add("b");
  await client.socket.sendmmsg(batch);
  await server.socket.recvmmsg(new DatagramBatch());
  assert.deepEqual(client.stats(), { received: 0, sent: 3, bytesReceived: 0, bytesSent: 4, dropped: 0 });
  assert.deepEqual(server.stats(), { received: 3, sent: 0, bytesReceived: 4, bytesSent: 0, dropped: 0 });
  for (let i = 0; i < 100; i++) await client.send(new Uint8Array(500));
  const { dropped } = server.stats();
  assert.ok(dropped > 0 && dropped < 100, `${dropped} were dropped`);
  await server.close();
  await client.close();
  assert.equal(server.stats().dropped, dropped, "the count stays after close()");
});

test("a listener reports the accept queue of the kernel, on TCP only", async () => {
  const listener = await listen("tcp://127.0.0.1:0", { backlog: 7 });
  const clients = [new Socket(), new Socket()];
  for (const client of clients) await client.connect(listener.address);
  assert.deepEqual(listener.stats(), { accepted: 0, queued: 2, backlog: 7 });
  await (await listener.accept()).close();
  assert.deepEqual(listener.stats(), { accepted: 1, queued: 1, backlog: 7 });
  for (const client of clients) client.close();
  await listener.close();
  assert.deepEqual(listener.stats(), { accepted: 1, queued: undefined, backlog: undefined });
  const unix = await listen(`unix:@stats-${process.pid}`);
  assert.deepEqual(unix.stats(), { accepted: 0, queued: undefined, backlog: undefined });
  await unix.close();
});

test("a forwarder counts connections, failures, and the bytes of connections that have ended", async () => {
  const target = await listen("tcp://127.0.0.1:0");
  let ended: () => void;
  const end = new Promise<void>((resolve) => (ended = resolve));
  const forwarder = await forward("tcp://127.0.0.1:0", `tcp://${String(target.address)}`, { onEnd: () => ended() });
  const client = await connect(`tcp://${String(forwarder.address)}`);
  const server = await target.accept();
  await client.write("12345");
  assert.equal((await server.readExactly(5)).length, 5);
  assert.deepEqual([forwarder.stats().accepted, forwarder.stats().connections], [1, 1]);
  await server.write("678");
  await client.readExactly(3);
  await client.close();
  await server.close();
  await end;
  const { accepted, failed, refused, shortages, toTarget, toClient, connections } = forwarder.stats();
  assert.deepEqual([accepted, failed, refused, shortages], [1, 0, 0, 0]);
  assert.deepEqual([toTarget, toClient, connections], [5, 3, 0]);
  await forwarder.close();
  await target.close();
});

test("sendSegments and sendto count on a plain datagram socket", async () => {
  const receiver = new Socket(AF_INET, SOCK_DGRAM);
  await receiver.bind("127.0.0.1:0");
  const sender = new Socket(AF_INET, SOCK_DGRAM);
  await sender.sendto("hello", receiver.getsockname());
  await receiver.recvfrom(100);
  assert.deepEqual([sender.stats().bytesSent, sender.stats().writes], [5, 1]);
  assert.deepEqual([receiver.stats().bytesReceived, receiver.stats().reads], [5, 1]);
  sender.close();
  receiver.close();
});

test("the blocking socket counts the same", () => {
  const [left, right] = sync.socketpair();
  left.send("12345");
  assert.equal(left.trySend("678"), 3);
  right.recv(2);
  assert.equal(right.tryRecv(100)?.length, 6);
  left.sendAll(["123", "456"]);
  right.recv(6, { flags: MSG_WAITALL });
  assert.deepEqual(left.stats(), { bytesReceived: 0, bytesSent: 14, reads: 0, writes: 3 });
  assert.deepEqual(right.stats(), { bytesReceived: 14, bytesSent: 0, reads: 3, writes: 0 });
  assert.throws(() => right.recv(1, { timeout: 0 }));
  left.close();
  right.close();
  assert.equal(right.stats().bytesReceived, 14);
});
