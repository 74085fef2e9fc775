// Arguments from elsewhere: bytes of another realm, signals of another library, and errors and objects of another copy
// of the package, as in a program that loads the package twice.

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import * as own from "berkeley";
import {
  AF_INET,
  AF_UNIX,
  bindUdp,
  BusyError,
  connect,
  type Conn,
  DatagramBatch,
  DatagramQueue,
  delimited,
  type IoOptions,
  IP_TTL,
  listen,
  SO_KEEPALIVE,
  SOCK_DGRAM,
  Socket,
  SocketConn,
  SocketError,
  socketpair,
  SOL_SOCKET,
  Stream,
  TimeoutError,
  TlsConn,
  TlsContext,
  TlsListener,
  toDuplex,
  wrapTls,
} from "berkeley";
import { pump as blockingPump, socketpair as blockingPair } from "berkeley/sync";
import { memoryPair, MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { root } from "../support/program.js";
import { serving, trusting } from "../tls/support.js";

checkLeaks();

// A second copy, as in another node_modules: its classes are others.
const folder = mkdtempSync(join(tmpdir(), "berkeley-copy-"));
const isCode = (path: string): boolean => !/\.(ts|map)$/.test(path);
for (const part of ["dist", "package.json"]) {
  cpSync(join(root, part), join(folder, part), { recursive: true, filter: isCode });
}
symlinkSync(join(root, "build"), join(folder, "build"));
const other = (await import(join(folder, "dist", "index.js"))) as typeof own;
rmSync(folder, { recursive: true });

/** Bytes of another realm, for which `instanceof Uint8Array` is false. */
function alien(...bytes: number[]): Uint8Array<ArrayBuffer> {
  const view = runInNewContext("new Uint8Array(bytes)", { bytes }) as Uint8Array<ArrayBuffer>;
  assert.ok(!(view instanceof Uint8Array));
  return view;
}

const hi = (): Uint8Array<ArrayBuffer> => alien(0x68, 0x69);

test("a socket sends and receives bytes of another realm, by every call", async () => {
  const [a, b] = socketpair();
  await a.send(hi());
  await a.sendAll(hi());
  await a.sendAll([hi(), "!", hi()]);
  assert.equal(a.trySend(hi()), 2);
  await a.sendmsg([hi(), hi()]);
  const room = alien(0, 0, 0, 0);
  let text = "";
  const collect = (count: number): void => void (text += Buffer.from(room.buffer).toString("latin1", 0, count));
  collect(await b.recvInto(room));
  collect(b.tryRecvInto(room)!);
  collect((await b.recvmsgInto([room])).bytes);
  collect((await b.recvfromInto(room))[0]);
  assert.equal(text, "hihihi!hihihihi");
  a.setsockopt(SOL_SOCKET, SO_KEEPALIVE.optname, alien(1, 0, 0, 0));
  assert.equal(a.getsockopt(SO_KEEPALIVE), true);
  a.close();
  b.close();
});

test("datagrams are bytes of another realm, alone, in batches, queues and segments", async () => {
  const [a, b] = socketpair(AF_UNIX, SOCK_DGRAM);
  const batch = new DatagramBatch();
  batch.add(hi());
  batch.add([hi(), hi()]);
  assert.equal(await a.sendmmsg(batch), 2);
  const queue = new DatagramQueue(a);
  await queue.send(hi());
  await queue.flush();
  const lengths = [];
  for (let i = 0; i < 3; i++) lengths.push((await b.recv(10)).length);
  assert.deepEqual(lengths, [2, 4, 2]);
  a.close();
  b.close();
  await using receiver = await bindUdp("udp://127.0.0.1:0");
  await using sender = await bindUdp("udp://127.0.0.1:0");
  await sender.send(hi(), receiver.address);
  await sender.socket.sendto(hi(), receiver.address);
  await sender.socket.sendSegments(alien(1, 2, 3, 4), 2, { address: receiver.address });
  await sender.socket.sendmsg(hi(), {
    address: receiver.address,
    control: [{ level: own.IPPROTO_IP, type: IP_TTL, data: alien(7, 0, 0, 0) }],
  });
  for (let i = 0; i < 5; i++) assert.equal((await receiver.receive()).data.length, 2);
});

/** Reads and writes over any connection. */
async function exchange(a: Conn, b: Conn): Promise<void> {
  await a.write(hi());
  await a.write([hi(), "!"]);
  const stream = new Stream(b);
  const room = alien(0);
  assert.equal(await stream.read(room), 1);
  assert.equal(room[0], 0x68);
  assert.equal((await stream.readUntil(alien(0x21)))?.toString(), "ihi!");
  await a.closeWrite();
  const last = alien(0, 0);
  assert.equal(await b.read(last), 0);
}

test("connections of every kind take bytes of another realm", async () => {
  const [a, b] = socketpair();
  await exchange(new SocketConn(a), new SocketConn(b));
  const [c, d] = memoryPair();
  await exchange(c, d);
  const [e, f] = memoryPair();
  await exchange(Stream.fromDuplex(toDuplex(e)).conn, Stream.fromDuplex(toDuplex(f)).conn);
  const [g, h] = memoryPair();
  const secured = await Promise.all([wrapTls(g, { isServer: true, ...serving() }), wrapTls(h, trusting())]);
  await exchange(secured[0], secured[1]);
  for (const conn of secured) await conn.close();
  for (const conn of [a, b]) conn.close();
  for (const conn of [c, d, e, f]) await conn.close();
});

test("codecs, duplexes and web streams take bytes of another realm", async () => {
  const [a, b] = memoryPair();
  const codec = delimited(alien(0x0a));
  await a.write(codec.encode(hi()));
  for await (const frame of new Stream(b).frames(codec)) {
    assert.equal(frame.toString(), "hi");
    break;
  }
  const { writable } = new Stream(a).toWeb();
  const writer = writable.getWriter();
  await writer.write(hi());
  await writer.close();
  assert.equal(await b.read(Buffer.alloc(10)), 2);
  await b.close();
});

test("addresses of bytes of another realm are taken", () => {
  assert.equal(own.inet_ntoa(alien(127, 0, 0, 1)), "127.0.0.1");
  const batch = new DatagramBatch();
  batch.add("x", { family: 99, data: alien(1, 2) });
  assert.equal(batch.count, 1);
});

/** An AbortSignal as another library makes it: no class of Node's, and no reason where it is old. */
class OtherSignal {
  aborted = false;
  declare reason?: unknown;
  readonly listeners = new Set<() => void>();
  addEventListener(_type: string, listener: () => void): void {
    this.listeners.add(listener);
  }
  removeEventListener(_type: string, listener: () => void): void {
    this.listeners.delete(listener);
  }
  abort(reason?: unknown): void {
    this.aborted = true;
    if (reason !== undefined) this.reason = reason;
    for (const listener of this.listeners) listener();
  }
}

test("a signal that was made elsewhere ends every call that waits, and refuses those that come later", async () => {
  const [a, b] = socketpair();
  const [memory, far] = memoryPair();
  await using listener = await listen("tcp://127.0.0.1:0");
  await using inMemory = new MemoryListener();
  await using udp = await bindUdp("udp://127.0.0.1:0");
  await using secure = new TlsListener(new MemoryListener(), { tls: serving() });
  const stream = b.stream();
  const [silent, plain] = memoryPair();
  const waits: Record<string, (opts: IoOptions) => Promise<unknown>> = {
    recv: (opts) => a.recv(1, opts),
    readLine: (opts) => stream.readLine(opts),
    memory: (opts) => memory.read(Buffer.alloc(1), opts),
    accept: (opts) => listener.accept(opts),
    acceptInMemory: (opts) => inMemory.accept(opts),
    acceptTls: (opts) => secure.accept(opts),
    receive: (opts) => udp.receive(opts),
    poll: (opts) => own.poll([{ socket: a, events: own.POLLIN }], opts),
    wrapTls: ({ signal }) => wrapTls(plain, { ...trusting(), signal }),
  };
  const signal = new OtherSignal();
  const opts = { signal: signal as unknown as AbortSignal };
  const waiting = Object.values(waits).map((wait) => wait(opts));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(signal.listeners.size, 1);
  const reason = new Error("enough");
  signal.abort(reason);
  for (const outcome of await Promise.allSettled(waiting)) {
    assert.ok(outcome.status === "rejected");
    assert.equal(outcome.reason, reason);
  }
  for (const [name, wait] of Object.entries(waits)) await assert.rejects(wait(opts), reason, name);
  const old = new OtherSignal();
  old.abort();
  await assert.rejects(a.recv(1, { signal: old as unknown as AbortSignal }), { name: "AbortError" });
  await assert.rejects(connect("tcp://127.0.0.1:1", { signal: old as unknown as AbortSignal }), { name: "AbortError" });
  for (const wrong of [{}, { aborted: false }, { aborted: "no", addEventListener() {}, removeEventListener() {} }]) {
    await assert.rejects(
      a.recv(1, { signal: wrong as unknown as AbortSignal }),
      /signal is .*, required an AbortSignal/,
    );
    await assert.rejects(
      memory.read(Buffer.alloc(1), { signal: wrong as unknown as AbortSignal }),
      /^TypeError: Cannot read: signal is .*, required an AbortSignal$/,
    );
  }
  a.close();
  await stream.close();
  for (const conn of [memory, far, silent, plain]) await conn.close();
});

test("a signal that was made elsewhere ends what takes several calls: pipeTo(), pump(), end() and loops", async () => {
  const busy: Promise<unknown>[] = [];
  const conns: Conn[] = [];
  const signal = new OtherSignal();
  const opts = { signal: signal as unknown as AbortSignal };
  const pair = (): [Stream, Stream] => {
    const [near, distant] = memoryPair();
    conns.push(near, distant);
    return [new Stream(near), new Stream(distant)];
  };
  const [left, right] = socketpair();
  const source = pair()[1];
  const bySocket = left.stream();
  const piped = pair()[1];
  busy.push(source.pipeTo(pair()[1], opts), piped.pipeTo(right.stream(), opts));
  busy.push(own.pump(pair()[1], pair()[1], opts), bySocket.pipeTo(pair()[1], opts));
  busy.push(pair()[1].lines(opts).next(), pair()[1].frames(delimited("\n"), opts).next());
  const reason = new Error("enough");
  const ending = pair()[1];
  busy.push(ending.end(opts));
  await new Promise((resolve) => setImmediate(resolve));
  signal.abort(reason);
  for (const [index, outcome] of (await Promise.allSettled(busy)).entries()) {
    assert.ok(outcome.status === "rejected", String(index));
    assert.equal(outcome.reason, reason, String(index));
  }
  // Reading goes on where the signal cut it.
  await conns[0]!.write("more\n");
  assert.equal(await source.readLine(), "more");
  // One that was aborted before, and has no method but the two for listeners, closes at once.
  const old = new OtherSignal();
  old.abort();
  const [peer, last] = pair();
  await assert.rejects(last.end({ signal: old as unknown as AbortSignal }), { name: "AbortError" });
  await assert.rejects(peer.read(), { code: "ECONNRESET" });
  left.close();
  right.close();
  for (const conn of conns) await conn.close();
});

test("an error of another copy is an instance of the class, and subclasses are as always", async () => {
  assert.notEqual(other.SocketError, SocketError);
  const socket = new other.Socket();
  const error: unknown = await socket.recv(1).catch((reason: unknown) => reason);
  socket.close();
  assert.ok(error instanceof SocketError && error.code === "ENOTCONN");
  assert.ok(!(error instanceof TimeoutError) && !(error instanceof BusyError));
  const late = new other.TimeoutError(-110, "recv");
  assert.ok(late instanceof TimeoutError && late instanceof SocketError);
  for (const [ours, theirs] of [
    [own.BusyError, new other.BusyError("read")],
    [own.LimitError, new other.LimitError("max", 1, 2)],
    [own.IncompleteReadError, new other.IncompleteReadError(new Uint8Array(1), 2)],
    [own.FrameError, new other.FrameError("no")],
    [own.TlsError, new other.TlsError("CODE", "Cannot", "why")],
  ] as const) {
    assert.ok(theirs instanceof ours);
    assert.ok(!(theirs instanceof SocketError));
  }
  class Mine extends SocketError {}
  assert.ok(!(error instanceof Mine));
  assert.ok(!(new SocketError("EIO", -5, "read") instanceof Mine));
  const mine = new Mine("EIO", -5, "read");
  assert.ok(mine instanceof Mine && mine instanceof SocketError && mine instanceof other.SocketError);
  assert.ok(!(mine instanceof TimeoutError));
  for (const value of [undefined, null, 1, "SocketError", {}, new Error("no"), () => undefined]) {
    assert.ok(!(value instanceof SocketError));
  }
});

test("addresses, endpoints, options, streams, contexts and sockets to pass of another copy are taken", async () => {
  await using receiver = await bindUdp(other.parseEndpoint("udp://127.0.0.1:0"));
  await using sender = new Socket(AF_INET, SOCK_DGRAM);
  const { host, port } = receiver.address as own.InetAddress;
  await sender.sendto("x", new other.InetAddress(host, port));
  assert.equal((await receiver.receive()).data.toString(), "x");
  sender.setsockopt(other.SO_BROADCAST, true);
  assert.equal(sender.getsockopt(own.SO_BROADCAST), true);

  const [a, b] = memoryPair();
  const context = new other.TlsContext(serving());
  // For the name of the client, the callback chooses a context of the other copy.
  const choosing = new TlsContext({ ...serving(), sniCallback: () => context });
  const [chooser, caller] = memoryPair();
  const chosen = await Promise.all([
    wrapTls(chooser, { isServer: true, context: choosing }),
    wrapTls(caller, trusting()),
  ]);
  for (const conn of chosen) await conn.close();
  const [server, client] = await Promise.all([
    wrapTls(new other.Stream(a), { isServer: true, context: context }),
    wrapTls(b, trusting()),
  ]);
  assert.ok(server instanceof TlsConn && client.authorized);
  for (const conn of [server, client]) await conn.close();
  const listener = new TlsListener(new MemoryListener(), { tls: context });
  assert.equal(listener.context, context);
  await listener.close();

  const [c, d] = memoryPair();
  await c.write("line\nmore");
  const ahead = new other.Stream(d);
  await ahead.readLine();
  await assert.rejects(wrapTls(ahead, trusting()), { code: "ERR_TLS_BUFFERED" });
  await c.close();
  await d.close();

  const [left, right] = socketpair();
  const [passed, end] = other.socketpair();
  await own.send_fds(left, "x", [passed]);
  const [, descriptors] = await own.recv_fds(right, 1, 1);
  assert.equal(descriptors.length, 1);
  descriptors.close();
  await own.send_fds(passed, "x", [end]);
  for (const socket of [left, right, passed, end]) socket.close();
});

test("objects that only their own copy of the package can use are refused by name, before any other work", async () => {
  const [x, y] = other.socketpair();
  const [mine, far] = socketpair();
  const named = /a Socket of another copy or entry of berkeley, required a Socket/;
  await assert.rejects(own.splice(x, mine), named);
  await assert.rejects(own.pump(mine, x), named);
  await assert.rejects(own.poll([{ socket: x, events: own.POLLIN }]), named);
  assert.throws(() => new SocketConn(x), named);
  assert.throws(() => new DatagramQueue(x), named);
  const batch = new other.DatagramBatch();
  await assert.rejects(mine.recvmmsg(batch), /a DatagramBatch of another copy/);
  await assert.rejects(mine.sendmmsg(batch), /a DatagramBatch of another copy/);
  const addresses = new other.AddressCache();
  assert.throws(() => new DatagramBatch({ addresses }), /an? AddressCache of another copy/);
  const [blocking, end] = blockingPair();
  await assert.rejects(
    own.pump(mine, blocking as unknown as Socket),
    /b is a Socket of another copy or entry of berkeley, required a Socket/,
  );
  assert.throws(() => blockingPump(blocking, mine as never), named);
  for (const socket of [x, y, mine, far, blocking, end]) socket.close();
});
