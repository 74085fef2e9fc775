// The output of console.log(), String() and JSON.stringify() for the objects of the package.
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  bindUdp,
  connect,
  connectUdp,
  DatagramBatch,
  DatagramQueue,
  forward,
  type Inspectable,
  type Description,
  listen,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  Socket,
  socketpair,
  Stream,
  TlsListener,
  type TlsConn,
  type UdpSocket,
} from "berkeley";
import * as sync from "berkeley/sync";
import { MemoryListener, memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { certificates, everyKind, serving, tlsPair, trusting } from "../tls/support.js";

checkLeaks();

type Looked = Inspectable<Description>;

/** The three forms, after the checks that hold for every object. */
function look(object: Looked): Record<string, unknown> & Description {
  const line = String(object);
  assert.equal(inspect(object), line);
  assert.ok(!line.includes("\n"), "it is one line");
  assert.match(line, /^\w+ \{.*\}$/);
  for (const depth of [0, 1, 5, null]) assert.ok(inspect({ object }, { depth }).includes(line), `depth ${depth}`);
  assert.equal(inspect(object, { depth: -1 }), line);
  const fields = object.toJSON();
  assert.deepEqual(JSON.parse(JSON.stringify({ object })), { object: JSON.parse(JSON.stringify(fields)) });
  assert.equal(line.split(" ")[0], fields.kind);
  return fields as Record<string, unknown> & Description;
}

test("a TCP socket shows its descriptor, its kind, the kernel's state and both addresses, in each state", async () => {
  const server = new Socket(AF_INET, SOCK_STREAM);
  const kind = { kind: "Socket", family: "AF_INET", type: "SOCK_STREAM", protocol: 0, buffered: 0, pending: [] };
  const fresh = look(server);
  assert.deepEqual(fresh, { ...kind, fd: server.fileno(), state: "CLOSE", local: "0.0.0.0:0", peer: null });
  await server.bind("127.0.0.1:0");
  server.listen();
  const local = String(server.getsockname());
  assert.deepEqual(look(server), { ...kind, fd: server.fileno(), state: "LISTEN", local, peer: null });
  const client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  const peer = String(client.getsockname());
  const fd = client.fileno();
  assert.deepEqual(look(client), { ...kind, fd, state: "ESTABLISHED", local: peer, peer: local });
  const [accepted] = await server.accept();
  client.close();
  assert.deepEqual(look(client), { ...kind, fd: -1, state: "closed", local: null, peer: null });
  assert.equal((await accepted.recv(10)).length, 0);
  assert.equal(look(accepted)["state"], "CLOSE_WAIT");
  accepted.close();
  server.close();
});

test("a socket that is not TCP shows whether it listens, is connected or bound", async () => {
  const udp = new Socket(AF_INET6, SOCK_DGRAM);
  assert.deepEqual([look(udp)["state"], look(udp)["family"]], ["unbound", "AF_INET6"]);
  await udp.bind("[::1]:0");
  assert.equal(look(udp)["state"], "bound");
  await udp.connect(udp.getsockname());
  assert.deepEqual([look(udp)["state"], look(udp)["peer"]], ["connected", String(udp.getsockname())]);
  udp.close();

  const unix = new Socket(AF_UNIX, SOCK_STREAM);
  assert.equal(look(unix)["state"], "unbound");
  await unix.bind("");
  assert.equal(look(unix)["state"], "bound");
  unix.listen();
  assert.equal(look(unix)["state"], "listening");
  assert.match(String(look(unix)["local"]), /^unix:@/);
  unix.close();
});

test("a raw socket is open: it is neither bound nor connected", { skip: skipRaw() }, () => {
  const raw = new Socket(AF_INET, SOCK_RAW, 255);
  assert.deepEqual([look(raw)["state"], look(raw)["type"]], ["open", "SOCK_RAW"]);
  raw.close();
});

function skipRaw(): string | false {
  try {
    new Socket(AF_INET, SOCK_RAW, 255).close();
    return false;
  } catch (error) {
    return `raw sockets need CAP_NET_RAW: ${String(error)}`;
  }
}

test("a socket shows the calls that wait, in each queue, and forgets them when they have ended", async () => {
  const [left, right] = socketpair();
  const first = left.recv(1);
  const second = left.readable();
  assert.deepEqual(look(left)["pending"], ["recv", "poll"]);
  assert.match(String(left), /pending: recv \+ poll/);
  await right.sendAll("x");
  await first;
  right.close();
  await second;
  assert.deepEqual(look(left)["pending"], []);
  left.close();
});

test("the blocking socket shows the same fields", () => {
  const [left, right] = sync.socketpair();
  const awaitable = new Socket();
  assert.deepEqual(Object.keys(look(left)), Object.keys(look(awaitable)));
  awaitable.close();
  assert.deepEqual([look(left)["state"], look(left)["peer"]], ["connected", "unix:"]);
  const stream = left.stream();
  right.sendAll("one\ntwo\n");
  assert.equal(stream.readLine(), "one");
  assert.equal(look(left)["buffered"], 4);
  left.close();
  assert.deepEqual([look(left)["state"], look(left)["fd"], look(left)["buffered"]], ["closed", -1, 0]);
  right.close();
});

test("a listener, its streams and their sockets show addresses, buffered bytes and counters, also when closed", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const local = String(listener.address);
  const client = await connect(`tcp://${local}`);
  const server = await listener.accept();
  await client.write("one\ntwo\n");
  assert.equal(await server.readLine(), "one");
  const shown = look(server);
  assert.equal(shown.kind, "Stream");
  assert.deepEqual(
    [shown["state"], shown["local"], shown["peer"], shown["buffered"], shown["conn"]],
    ["ESTABLISHED", local, String(server.remoteAddress), 4, "SocketConn"],
  );
  assert.ok((shown["fd"] as number) > 0);
  assert.equal(look(server.conn)["buffered"], 4);
  const found = look(listener);
  assert.deepEqual([found.kind, found["state"], found["local"]], ["SocketListener", "LISTEN", local]);
  assert.equal((found["stats"] as { accepted: number }).accepted, 1);
  const peer = String(server.remoteAddress);
  for (const one of [client, server, listener]) await one.close();
  const after = look(server);
  assert.deepEqual([after["state"], after["local"], after["peer"], after["fd"]], ["closed", local, peer, -1]);
  assert.deepEqual([look(listener)["state"], look(listener)["local"]], ["closed", local]);
});

test("UDP sockets, forwarders, queues and batches are shown", async () => {
  const server: UdpSocket = await bindUdp("udp://127.0.0.1:0");
  const client = await connectUdp(`udp://${String(server.address)}`);
  const shown = look(client);
  assert.deepEqual([shown.kind, shown["state"], shown["peer"]], ["UdpSocket", "connected", String(server.address)]);
  const queue = new DatagramQueue(client.socket);
  assert.deepEqual([look(queue).kind, look(queue)["state"]], ["DatagramQueue", "open"]);
  const ended = new DatagramQueue(client.socket);
  ended.close();
  assert.equal(look(ended)["state"], "closed");
  const batch = new DatagramBatch({ capacity: 2, size: 16 });
  batch.add("secret data");
  assert.deepEqual(look(batch), { kind: "DatagramBatch", count: 1, capacity: 2, size: 16 });
  const forwarder = await forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:1");
  assert.deepEqual([look(forwarder).kind, look(forwarder)["pending"]], ["Forwarder", ["accept"]]);
  await Promise.all([forwarder.close(), server.close(), client.close()]);
  for (const one of [forwarder, server, client, queue]) assert.equal(look(one)["state"], "closed");
  assert.equal(look(server)["local"], String(server.address));
});

test("connections and listeners in memory are shown, with the calls that wait", async () => {
  const [a, b] = memoryPair({ capacity: 4 });
  const writes = [a.write("12345"), a.closeWrite()];
  assert.deepEqual(look(a), {
    kind: "MemoryConn",
    state: "open",
    local: null,
    peer: null,
    unread: 4,
    pending: ["write", "closeWrite"],
  });
  const stream = new Stream(b);
  assert.deepEqual([look(stream)["conn"], look(stream)["state"]], ["MemoryConn", "open"]);
  assert.equal((await stream.readExactly(5)).toString(), "12345");
  await Promise.all(writes);
  await stream.close();
  await a.close();
  assert.deepEqual([look(stream)["state"], look(a)["state"]], ["closed", "closed"]);
  const listener = new MemoryListener();
  const accepting = listener.accept();
  assert.deepEqual(look(listener)["pending"], ["accept"]);
  const [client] = await Promise.all([listener.connect(), accepting]);
  await client.close();
  await (await accepting).close();
  await listener.close();
  assert.equal(look(listener)["state"], "closed");
});

for (const [name, pair] of Object.entries(everyKind)) {
  test(`a TLS connection ${name} shows the negotiated values, and no key, session, certificate or data`, async () => {
    const [client, server] = await tlsPair(pair, trusting(), serving());
    await client.write("the password is swordfish");
    const stream: Stream<TlsConn> = new Stream(server);
    await stream.peek(1);
    for (const one of [client, server, stream]) {
      const text = [String(one), JSON.stringify(one), inspect(one, { depth: 9, showHidden: false })].join("\n");
      assert.doesNotMatch(text, /swordfish|BEGIN|<Buffer|session|certificate|\bkey/i);
    }
    const shown = look(client);
    assert.deepEqual([shown.kind, shown["state"]], ["TlsConn", "open"]);
    assert.match(String(client), /tls: \{ protocol: TLSv1\.3, cipher: \w+, servername: localhost, authorized: true \}/);
    const read = client.read(new Uint8Array(9));
    assert.deepEqual(look(client)["pending"], ["read"]);
    await server.write("done");
    await read;
    await Promise.all([client.close(), stream.close()]);
    assert.deepEqual([look(client)["state"], look(stream)["state"], look(client)["fd"]], ["closed", "closed", -1]);
  });
}

test("listeners of TLS show their handshakes", async () => {
  const listener = await listen("tls://127.0.0.1:0", { tls: serving(certificates().server) });
  const shown = look(listener);
  assert.deepEqual([shown.kind, shown["state"]], ["TlsSocketListener", "LISTEN"]);
  assert.equal((shown["stats"] as { handshakes: number }).handshakes, 0);
  await listener.close();
  const below = new TlsListener(new MemoryListener(), { tls: serving() });
  assert.deepEqual(look(below)["state"], "listening");
  await below.close();
  assert.deepEqual(look(below)["state"], "closed");
});

test("control characters in the name of a peer are escaped in the line", async () => {
  const [left, right] = [new Socket(AF_UNIX, SOCK_DGRAM), new Socket(AF_UNIX, SOCK_DGRAM)];
  await right.bind({ path: `\0looking-${process.pid}\u001b[31m\n\u202e` });
  await left.connect(right.getsockname());
  const line = String(left);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(line, /[\0-\x1f\u202e]/);
  assert.match(line, /\\u001b\[31m\\u000a\\u202e/);
  assert.equal(inspect(left), line);
  left.close();
  right.close();
});

test("a prototype, an object around ours and a proxy are shown without their fields, and nothing throws", async () => {
  const socket = new Socket();
  const stream = new Stream(memoryPair()[0]);
  const trap = new Proxy(socket, {
    get(_target, key) {
      if (key === "toString" || key === "toJSON") return Reflect.get(Socket.prototype, key) as unknown;
      throw new Error("a trap");
    },
  });
  for (const odd of [Socket.prototype, Object.create(socket) as Socket, new Proxy(socket, {}), Stream.prototype]) {
    assert.match(odd.toString(), /^(Socket|Stream) \{\}$/);
    assert.deepEqual(Object.keys(odd.toJSON()), ["kind"]);
    inspect(odd);
  }
  assert.equal(trap.toString(), "Object {}");
  assert.equal(Socket.prototype.toString.call(1 as unknown as Socket), "Object {}");
  await stream.close();
  socket.close();
});

test("looking at a socket changes nothing: no error is taken, no byte, and no call is woken", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const client = new Socket();
  await client.connect(listener.address);
  const server = await listener.accept();
  server.abort();
  // The reset has arrived when the socket is readable.
  await client.readable();
  look(client);
  await assert.rejects(client.recv(1), { code: "ECONNRESET" });
  client.close();
  await listener.close();
});
