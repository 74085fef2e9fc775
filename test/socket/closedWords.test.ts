// The messages of calls after close(), of every kind of object: those of this package and not those of the kernel.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  AF_INET,
  bindUdp,
  connect,
  connectUdp,
  DatagramBatch,
  listen,
  Reconnector,
  SHUT_WR,
  SO_KEEPALIVE,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  SocketError,
  socketpair,
  Stream,
} from "berkeley";
import { Socket as SyncSocket, socketpair as syncPair } from "berkeley/sync";
import { MemoryListener, memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const BEFORE = "the socket was closed before this call";
const DURING = "the socket was closed during this call";

/** Runs a call that must fail because of close(). */
async function failure(call: () => unknown): Promise<SocketError> {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof SocketError, String(error));
    return error;
  }
  return assert.fail("the call has succeeded");
}

type Calls = Readonly<Record<string, () => unknown>>;

async function allSay(calls: Calls): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(call);
    assert.equal(error.code, "EBADF", name);
    assert.ok(error.message.includes(BEFORE), `${name}: ${error.message}`);
    assert.match(error.message, /; look for the close\(\)/, name);
  }
}

test("calls of a closed socket say that it was closed", async () => {
  const socket = new Socket(AF_INET, SOCK_STREAM);
  socket.close();
  await allSay({
    recv: () => socket.recv(1),
    recvInto: () => socket.recvInto(Buffer.alloc(1)),
    send: () => socket.send("x"),
    sendAll: () => socket.sendAll("x"),
    trySend: () => socket.trySend("x"),
    tryRecv: () => socket.tryRecv(1),
    accept: () => socket.accept(),
    connect: () => socket.connect(["127.0.0.1", 1]),
    bind: () => socket.bind(["127.0.0.1", 0]),
    listen: () => socket.listen(),
    shutdown: () => socket.shutdown(SHUT_WR),
    getsockname: () => socket.getsockname(),
    getpeername: () => socket.getpeername(),
    getsockopt: () => socket.getsockopt(SO_KEEPALIVE),
    setsockopt: () => socket.setsockopt(SO_KEEPALIVE, true),
    readable: () => socket.readable(),
    dup: () => socket.dup(),
  });
});

test("calls of a closed blocking socket say that it was closed", async () => {
  const socket = new SyncSocket(AF_INET, SOCK_STREAM);
  socket.close();
  const [left, right] = syncPair();
  const stream = left.stream();
  left.close();
  right.close();
  await allSay({
    recv: () => socket.recv(1),
    send: () => socket.send("x"),
    sendAll: () => socket.sendAll("x"),
    accept: () => socket.accept(),
    bind: () => socket.bind(["127.0.0.1", 0]),
    getsockname: () => socket.getsockname(),
    setsockopt: () => socket.setsockopt(SO_KEEPALIVE, true),
    readLine: () => stream.readLine(),
  });
});

test("calls of closed streams, listeners, UDP sockets and connections in memory say that they were closed", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const stream = await connect(listener.address);
  await (await listener.accept()).close();
  await stream.close();
  await listener.close();
  const udp = await bindUdp("udp://127.0.0.1:0");
  const client = await connectUdp(udp.address);
  await client.close();
  await udp.close();
  const [conn, peer] = memoryPair();
  await conn.close();
  await peer.close();
  const memory = new Stream(conn);
  const queue = new MemoryListener();
  await queue.close();
  const reconnector = new Reconnector("tcp://127.0.0.1:1");
  await reconnector.close();
  const datagrams = new Socket(AF_INET, SOCK_DGRAM);
  datagrams.close();
  await allSay({
    read: () => stream.read(),
    readLine: () => stream.readLine(),
    frames: () => stream.lines().read(),
    write: () => stream.write("x"),
    tryWrite: () => stream.tryWrite(Buffer.from("x")),
    closeWrite: () => stream.closeWrite(),
    whenBroken: () => stream.whenBroken(),
    whenEnded: () => stream.whenEnded(),
    option: () => stream.socket.getsockopt(SO_KEEPALIVE),
    accept: () => listener.accept(),
    receive: () => udp.receive(),
    "send of udp": () => udp.send("x", ["127.0.0.1", 9]),
    "send of a connected udp": () => client.send("x"),
    batch: () => datagrams.recvmmsg(new DatagramBatch({ capacity: 1 })),
    "read in memory": () => memory.read(),
    "write in memory": () => memory.write("x"),
    "accept in memory": () => queue.accept(),
    connection: () => reconnector.connection(),
  });
});

test("calls that wait when their object is closed say so", async () => {
  const [left, right] = socketpair();
  const stream = left.stream();
  const waiting = stream.read();
  const ended = stream.whenEnded();
  await stream.close();
  for (const call of [waiting, ended]) {
    const error = await failure(() => call);
    assert.equal(error.code, "ECANCELED");
    assert.ok(error.message.includes(DURING), error.message);
  }
  right.close();
});

test("detach() of a descriptor that other code has closed fails with EBADF, and the socket is closed", () => {
  const program = `
    import { closeSync } from "node:fs";
    import { Socket } from "berkeley";
    import { Socket as BlockingSocket } from "berkeley/sync";
    for (const make of [() => new Socket(), () => new BlockingSocket()]) {
      for (const blocking of [false, true]) {
        const socket = make();
        closeSync(socket.fileno());
        try { socket.detach({ blocking }); } catch (error) { console.log(error.code, socket.fileno()); }
      }
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
  });
  assert.deepEqual([stdout, stderr], ["EBADF -1\n".repeat(4), ""]);
});

test("a descriptor that other code has closed keeps the words of the kernel", () => {
  // In a process of its own, because a descriptor that is closed twice could belong to another file of this one.
  const program = `
    import { Socket } from "berkeley";
    import { closeSync } from "node:fs";
    const socket = new Socket();
    closeSync(socket.fileno());
    try { socket.getsockname(); } catch (error) { console.log(error.message); }
    process.exit();`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  assert.match(stdout, /getsockname EBADF: bad file descriptor/);
});
