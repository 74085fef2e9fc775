// Every call that returns a promise never throws, returns a new promise, and its error shows whether a deadline of the
// caller has passed or the connection has failed.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  bindUdp,
  connect,
  connectUdp,
  create_connection,
  create_server,
  DatagramBatch,
  DatagramQueue,
  forward,
  getaddrinfo,
  getdefaulttimeout,
  listen,
  poll,
  pump,
  recv_fds,
  send_fds,
  setdefaulttimeout,
  SOCK_DGRAM,
  Socket,
  SocketConn,
  SocketError,
  socketpair,
  splice,
  Stream,
  TimeoutError,
  toDuplex,
  TlsListener,
  wrapTls,
} from "berkeley";
import { memoryPair, MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";
import { Program } from "../support/program.js";
import { serving } from "../tls/support.js";

checkLeaks();

type Loose = (...args: unknown[]) => unknown;

test("no waiting call throws when the poller cannot be opened, each rejects with its errno, and the next try works", async () => {
  await using program = new Program("sh", [
    "-c",
    `ulimit -n 256 && exec "$0" --input-type=module --eval "$1"`,
    process.execPath,
    `
      import { DatagramBatch, listen, poll, POLLIN, Socket, SocketConn, socketpair, AF_UNIX, SOCK_DGRAM, splice, sendfile } from "berkeley";
      import { openSync, closeSync } from "node:fs";
    `.replace(", sendfile", "") +
      `
      console.log("warm-up"); // Opens what Node opens at the first output.
      await new Promise((resolve) => setTimeout(resolve, 1));
      await import("node:dns");
      const pairs = Array.from({ length: 14 }, () => socketpair());
      const grams = socketpair(AF_UNIX, SOCK_DGRAM);
      const full = pairs.pop();
      while (full[0].trySend(Buffer.alloc(65_536)) !== undefined);
      const whole = pairs.pop();
      while (whole[0].trySend(Buffer.alloc(65_536)) !== undefined);
      const server = new Socket();
      await server.bind("127.0.0.1:0");
      const streams = pairs.map(([a]) => a);
      const stream = pairs.pop()[0].stream();
      const conn = new SocketConn(pairs.pop()[0]);
      const open = [];
      try { for (;;) open.push(openSync("/dev/null")); } catch {}
      server.listen(); // Tries to open the poller.
      const calls = {
        recv: () => streams[0].recv(1),
        recvInto: () => streams[1].recvInto(Buffer.alloc(1)),
        recvfrom: () => streams[2].recvfrom(1),
        recvmsg: () => streams[3].recvmsg(1),
        recvmmsg: () => grams[0].recvmmsg(new DatagramBatch()),
        send: () => full[0].send(Buffer.alloc(65_536)),
        sendAll: () => whole[0].sendAll(Buffer.alloc(65_536)),
        readable: () => streams[4].readable(),
        accept: () => server.accept(),
        poll: () => poll([{ socket: streams[5], events: POLLIN }]),
        splice: () => splice(streams[6], streams[7]),
        read: () => conn.read(Buffer.alloc(1)),
        readLine: () => stream.readLine(),
        next: () => server[Symbol.asyncIterator]().next(),
      };
      const results = {};
      for (const [name, call] of Object.entries(calls)) {
        try {
          results[name] = await call().then(() => "resolved", ({ code }) => code);
        } catch (error) {
          results[name] = "threw " + error.message;
        }
      }
      for (const fd of open) closeSync(fd);
      const line = stream.readLine({ timeout: 0 }).catch((error) => error.code);
      results.after = await line;
      console.log(JSON.stringify(results));
      process.exit(0);
    `,
  ]);
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const { after, ...results } = JSON.parse(stdout.split("\n")[1]!) as Record<string, string>;
  assert.deepEqual(
    Object.entries(results).filter(([, outcome]) => outcome !== "EMFILE"),
    [],
  );
  assert.equal(Object.keys(results).length, 14);
  assert.equal(after, "ETIMEDOUT");
});

/** What no call can make anything of. */
function hostile(): unknown[] {
  const thrower = (): never => {
    throw new Error("a getter of the caller's");
  };
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const getters = {};
  for (const name of ["length", "timeout", "signal", "flags", "address", "host", "port", "family", "fds", "type"]) {
    Object.defineProperty(getters, name, { get: thrower, enumerable: true });
  }
  return [
    undefined,
    null,
    Symbol("hostile"),
    7n,
    -1,
    NaN,
    "\0",
    [],
    [null],
    {},
    Object.create(null),
    thrower,
    getters,
    new Proxy({}, { get: thrower, has: thrower, getPrototypeOf: thrower, ownKeys: thrower }),
    revoked.proxy,
    Object.freeze({ signal: 1, timeout: "soon" }),
  ];
}

/** Calls everything that returns a promise with arguments that are wrong; what throws, or returns something else. */
async function offences(name: string, calls: Readonly<Record<string, Loose>>, most = 3): Promise<string[]> {
  const found: string[] = [];
  for (const [method, call] of Object.entries(calls)) {
    for (let wrong = 0; wrong < most; wrong++) {
      for (const value of hostile()) {
        const args: unknown[] = Array.from({ length: wrong }, () => "127.0.0.1:1");
        // The last argument of a call that would otherwise wait.
        args.push(value);
        try {
          const result = call(...args, ...(wrong < most - 1 ? [{ timeout: 0 }] : []));
          if (result instanceof Promise) void result.catch(() => undefined);
          else if (result !== undefined) found.push(`${name}.${method} gave ${typeof result}`);
        } catch (error) {
          found.push(`${name}.${method}: argument ${wrong}: ${String(error)}`);
        }
      }
    }
  }
  return [...new Set(found)];
}

function methods(object: object, names: readonly string[]): Record<string, Loose> {
  return Object.fromEntries(
    names.map((name) => [name, (...args) => ((object as Record<string, Loose>)[name] as Loose).apply(object, args)]),
  );
}

const CONN = ["read", "write", "closeWrite"];
const SOCKET = (
  "recv recvInto recvfrom recvfromInto send sendAll sendto recvmsg recvmsgInto sendmsg recvmmsg sendmmsg sendSegments " +
  "sendfile readable writable accept bind connect"
).split(" ");
const STREAM = ["readExactly", "readUntil", "readLine", "peek", "pipeTo"];

test("no call that returns a promise throws, with any argument", async () => {
  const [left, right] = socketpair();
  const [a, b] = socketpair();
  const [grams, others] = socketpair(AF_UNIX, SOCK_DGRAM);
  const [memory, far] = memoryPair();
  const [one, two] = memoryPair();
  const [bridged, beyond] = memoryPair();
  const listener = await listen("tcp://127.0.0.1:0");
  const inMemory = new MemoryListener();
  const udp = await bindUdp("udp://127.0.0.1:0");
  const queue = new DatagramQueue(grams);
  const secure = new TlsListener(new MemoryListener(), { tls: serving() });
  const bridge = Stream.fromDuplex(toDuplex(bridged)).conn;
  const stream = a.stream();
  const over = new Stream(one);
  const found = [
    ...(await offences("Socket", methods(left, SOCKET))),
    ...(await offences("datagrams", methods(grams, SOCKET))),
    ...(await offences("SocketConn", methods(new SocketConn(b), CONN))),
    ...(await offences("Stream", methods(stream, [...CONN, ...STREAM]))),
    ...(await offences("Stream in memory", methods(over, [...CONN, ...STREAM]))),
    ...(await offences("MemoryConn", methods(memory, CONN))),
    ...(await offences("BridgeConn", methods(bridge, CONN))),
    ...(await offences("SocketListener", methods(listener, ["accept"]))),
    ...(await offences("MemoryListener", methods(inMemory, ["accept", "connect"]))),
    ...(await offences("TlsListener", methods(secure, ["accept"]))),
    ...(await offences("UdpSocket", methods(udp, ["receive", "send"]))),
    ...(await offences("DatagramQueue", methods(queue, ["send", "flush"]))),
    ...(await offences("functions", {
      poll: poll as Loose,
      pump: pump as Loose,
      splice: splice as Loose,
      recv_fds: recv_fds as Loose,
      send_fds: send_fds as Loose,
      wrapTls: wrapTls as Loose,
      forward: forward as Loose,
      create_connection: create_connection as Loose,
    })),
    ...(await offences("endpoints", { connect: connect as Loose, getaddrinfo: getaddrinfo as Loose }, 2)),
    ...(await offences("addresses", { connectUdp: connectUdp as Loose }, 1)),
  ];
  for (const end of [left, right, b, grams, others]) end.close();
  for (const end of [stream, over, memory, far, two, bridge, beyond, listener, inMemory, secure, udp])
    await end.close();
  assert.deepEqual(found, []);
});

test("no two callers get the same promise", async () => {
  const [a, b] = socketpair();
  const [memory, far] = memoryPair();
  const bridge = Stream.fromDuplex(toDuplex(memory));
  const seen = new Set<unknown>();
  let calls = 0;
  const note = (promise: Promise<unknown>): void => {
    calls++;
    seen.add(promise);
    promise.catch(() => undefined);
  };
  for (let i = 0; i < 3; i++) {
    note(a.send("x"));
    note(b.send(Buffer.from("x")));
    note(a.sendAll(Buffer.from("xy")));
    note(b.sendAll("xy"));
    note(a.recvInto(Buffer.alloc(1)));
    note(b.recvInto(Buffer.alloc(1)));
    note(a.readable());
    note(a.writable());
    note(b.bind("").catch(() => undefined));
  }
  const stream = a.stream();
  for (let i = 0; i < 2; i++) {
    note(stream.write("x"));
    note(stream.closeWrite());
    note(bridge.write("x"));
    note(bridge.closeWrite());
  }
  for (let i = 0; i < 2; i++) {
    note(stream.close());
    note(bridge.close());
    note(far.close());
  }
  b.close();
  assert.equal(seen.size, calls);
});

test("a deadline of the caller is a TimeoutError, with the code and number of the kernel's", async () => {
  const [a, b] = socketpair();
  const [memory, far] = memoryPair();
  await using listener = await listen("tcp://127.0.0.1:0");
  await using inMemory = new MemoryListener();
  const stream = b.stream();
  const calls: Promise<unknown>[] = [
    a.recv(1, { timeout: 0 }),
    a.recv(1, { timeout: 1 }),
    stream.readLine({ timeout: 1 }),
    memory.read(Buffer.alloc(1), { timeout: 1 }),
    memory.read(Buffer.alloc(1), { timeout: 0 }).catch(() => new Stream(far).read({ timeout: 0 })),
    listener.accept({ timeout: 1 }),
    inMemory.accept({ timeout: 1 }),
    splice(a, b, { timeout: 1 }),
  ];
  for (const settled of await Promise.allSettled(calls)) {
    assert.equal(settled.status, "rejected");
    const error: unknown = settled.reason;
    assert.ok(error instanceof TimeoutError, String(error));
    assert.ok(error instanceof SocketError);
    assert.deepEqual([error.code, error.errno, error.name], ["ETIMEDOUT", -110, "SocketError"]);
  }
  a.close();
  await stream.close();
});

const dead = ["--net"];
test(
  "a connection that died is an ETIMEDOUT that is no TimeoutError",
  { skip: !canUnshare(dead) && "needs the right to make a network namespace" },
  () => {
    // No host has the hardware address of the neighbour, and the kernel gives up after one retry.
    const { status, stdout, stderr } = runUnshared(
      dead,
      `ip link add here type veth peer name there
       ip link set here up
       ip link set there up
       ip address add 10.9.0.1/24 dev here
       ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:99 dev here
       exec "$NODE" --input-type=module --eval "$1"`,
      [
        `
        import { connect, Socket, SocketError, TCP_SYNCNT, TCP_USER_TIMEOUT, TimeoutError } from "berkeley";
        const tell = (error) => console.log(error.code, error instanceof SocketError, error instanceof TimeoutError);
        const socket = new Socket();
        socket.setsockopt(TCP_SYNCNT, 1);
        socket.setsockopt(TCP_USER_TIMEOUT, 1);
        await socket.connect("10.9.0.2:9").catch(tell);
        socket.close();
        await connect("tcp://10.9.0.2:9", { timeout: 10 }).catch(tell);
        `,
      ],
    );
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "ETIMEDOUT true false\nETIMEDOUT true true\n");
  },
);

test("the default timeout holds for sockets, and for no listener, stream or UDP socket", async () => {
  setdefaulttimeout(1);
  try {
    const [a, b] = socketpair();
    const [c, d] = socketpair();
    await assert.rejects(a.recv(1), TimeoutError);
    await using listener = await listen("tcp://127.0.0.1:0");
    await using udp = await bindUdp("udp://127.0.0.1:0");
    await using server = await create_server("127.0.0.1:0");
    assert.equal(getdefaulttimeout(), 1);
    assert.equal(server.timeout, 1);
    await assert.rejects(server.accept(), TimeoutError);
    await using client = await connect(listener.address);
    await using peer = await listener.accept();
    c.timeout = 1;
    const waiting = [
      listener.accept(),
      client.readLine(),
      peer.read(),
      b.stream().readLine(),
      udp.receive(),
      client.conn.read === undefined ? undefined : peer.closeWrite(),
    ];
    // What was set on the socket holds; it is later than all that would have come before it.
    await assert.rejects(c.stream().readLine(), TimeoutError);
    const open = Symbol("open");
    const states = await Promise.all(waiting.slice(0, 5).map((one) => Promise.race([one, Promise.resolve(open)])));
    // peer.closeWrite() is the client's end.
    assert.deepEqual(states, [open, null, open, open, open]);
    await udp.close();
    await listener.close();
    for (const one of waiting) void one?.catch(() => undefined);
    await a.stream().close();
    await b.stream().close();
    await c.stream().close();
    d.close();
    await using gram = new Socket(AF_INET, SOCK_DGRAM);
    assert.equal(gram.timeout, 1);
    const copy = gram.dup();
    assert.equal(copy.timeout, 1);
    copy.close();
    assert.ok(new DatagramBatch().capacity > 0);
  } finally {
    setdefaulttimeout(null);
  }
});
