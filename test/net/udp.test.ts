// UDP: packets and their addresses, the receive buffer of the kernel as the only queue, errors of connected sockets.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  bindUdp,
  connectUdp,
  type HostFamily,
  type Resolver,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  Socket,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { causes, rejection } from "./support.js";

checkLeaks();

const LOCAL = "udp://127.0.0.1:0";

test("bindUdp() receives packets whole, each with its address, and answers them", async () => {
  await using server = await bindUdp(LOCAL);
  await using client = await bindUdp(LOCAL);
  await client.send("one", server.address);
  await client.send(["t", Buffer.from("wo")], String(server.address));
  await client.send("", server.address);
  for (const text of ["one", "two", ""]) {
    const { data, address } = await server.receive();
    assert.equal(data.toString(), text);
    assert.equal(String(address), String(client.address));
  }
  await server.send("answer", client.address);
  assert.equal((await client.receive()).data.toString(), "answer");
});

test("a UDP socket sends the longest possible packet, and refuses a longer one", async () => {
  await using server = await bindUdp(LOCAL, { receiveBuffer: 1 << 20 });
  await using client = await connectUdp(server.address);
  const longest = Buffer.alloc(65_507, 7);
  await client.send(longest);
  const { data } = await server.receive();
  assert.equal(data.equals(longest), true);
  assert.equal((await rejection(client.send(Buffer.alloc(65_508)))).code, "EMSGSIZE");
});

test("iteration gives the packets one after the other until the socket is closed", async () => {
  const server = await bindUdp(LOCAL);
  await using client = await connectUdp(server.address);
  const texts: string[] = [];
  const loop = (async () => {
    for await (const { data } of server) {
      texts.push(data.toString());
      if (texts.length === 3) void server.close();
    }
  })();
  for (const text of ["a", "b", "c"]) await client.send(text);
  await loop;
  assert.deepEqual(texts, ["a", "b", "c"]);
  assert.equal((await rejection(server.receive())).code, "EBADF");
  assert.equal((await rejection(server.send("x", LOCAL.slice(6)))).code, "EBADF");
  assert.ok(server.address.port > 0);
});

test("leaving the loop leaves the socket open, and takes no packet that was not handed out", async () => {
  await using server = await bindUdp(LOCAL);
  await using client = await connectUdp(server.address);
  await client.send("first");
  await client.send("second");
  for await (const { data } of server) {
    assert.equal(data.toString(), "first");
    break;
  }
  assert.equal((await server.receive()).data.toString(), "second");
});

test("close() ends a call that waits, and a loop", async () => {
  const socket = await bindUdp(LOCAL);
  const waiting = rejection(socket.receive());
  await Promise.all([socket.close(), socket.close()]);
  assert.equal((await waiting).code, "ECANCELED");
  for await (const { data } of socket) assert.fail(data.toString());
});

test("receive() that was cut short loses no packet", async () => {
  await using server = await bindUdp(LOCAL);
  await using client = await connectUdp(server.address);
  assert.equal((await rejection(server.receive({ timeout: 1 }))).code, "ETIMEDOUT");
  const control = new AbortController();
  const waiting = rejection(server.receive({ signal: control.signal }));
  control.abort(new Error("enough"));
  assert.equal((await waiting).message, "enough");
  await client.send("kept");
  assert.equal((await server.receive()).data.toString(), "kept");
});

test("packets wait only in the kernel: packets beyond the receive buffer are dropped and counted", async () => {
  await using server = await bindUdp(LOCAL, { receiveBuffer: 16_384 });
  await using client = await connectUdp(server.address);
  assert.equal(server.socket.getsockopt(SO_RCVBUF), 32_768, "the kernel doubles it for its own use");
  const iterator = server[Symbol.asyncIterator]();
  const first = iterator.next();
  const sent = 500;
  for (let index = 0; index < sent; index++) await client.send(Buffer.alloc(1000, index));
  assert.equal((await first).value?.data.length, 1000);
  let received = 1;
  for (;;) {
    const packet = await server.receive({ timeout: 0 }).catch(() => undefined);
    if (packet === undefined) break;
    received++;
  }
  assert.ok(received < 40, `received ${received} of ${sent}`);
  assert.equal(received + server.stats().dropped, sent);
});

test("a connected socket receives from its peer only", async () => {
  await using server = await bindUdp(LOCAL);
  await using stranger = await bindUdp(LOCAL);
  await using client = await connectUdp(server.address);
  await stranger.send("from a stranger", client.address);
  await server.send("from the peer", client.address);
  assert.equal((await client.receive()).data.toString(), "from the peer");
  assert.equal(String(client.remoteAddress), String(server.address));
  assert.equal(server.remoteAddress, undefined);
});

test("a connected socket reports that a packet was refused, and can be used further", async () => {
  const gone = await bindUdp(LOCAL);
  const { address } = gone;
  await gone.close();
  await using client = await connectUdp(address);
  await client.send("x");
  assert.equal((await rejection(client.receive({ timeout: 5000 }))).code, "ECONNREFUSED");
  await using server = await bindUdp(address);
  await client.send("y");
  assert.equal((await server.receive()).data.toString(), "y");
});

test("bindUdp() at the wildcard of no family takes packets of both", async () => {
  await using server = await bindUdp(["", 0]);
  assert.equal(server.address.host, "::");
  const { port } = server.address;
  for (const host of ["127.0.0.1", "::1"]) {
    await using client = await connectUdp([host, port]);
    await client.send(host);
    const { data, address } = await server.receive();
    assert.equal(data.toString(), host);
    assert.equal(address.host, host === "::1" ? host : `::ffff:${host}`);
    await server.send("back", address);
    assert.equal((await client.receive()).data.toString(), "back");
  }
});

test("bindUdp() leaves IPv4 to others with ipv6Only", async () => {
  await using six = await bindUdp("udp://[::]:0", { ipv6Only: true });
  await using four = await bindUdp(["0.0.0.0", six.address.port]);
  await using client = await connectUdp(["127.0.0.1", six.address.port]);
  await client.send("x");
  assert.equal((await four.receive()).data.toString(), "x");
});

test("bindUdp() shares an address only with the option", async () => {
  await using first = await bindUdp(LOCAL);
  assert.equal((await rejection(bindUdp(first.address))).code, "EADDRINUSE");
  await using one = await bindUdp(LOCAL, { reusePort: true });
  await using two = await bindUdp(one.address, { reusePort: true });
  assert.equal(two.socket.getsockopt(SO_REUSEPORT), true);
  await using three = await bindUdp(LOCAL, { reuseAddr: true });
  await using four = await bindUdp(three.address, { reuseAddr: true });
  assert.equal(four.socket.getsockopt(SO_REUSEADDR), true);
  assert.equal(first.socket.getsockopt(SO_REUSEADDR), false);
});

test("bindUdp() and connectUdp() set the options that they take", async () => {
  await using socket = await bindUdp(LOCAL, { sendBuffer: 20_000, broadcast: true, bindToDevice: "lo" });
  assert.equal(socket.socket.getsockopt(SO_SNDBUF), 40_000);
  assert.equal(socket.socket.getsockopt(SO_BROADCAST), true);
  await using other = await connectUdp(socket.address, { localAddress: "127.0.0.7:0" });
  assert.equal(other.address.host, "127.0.0.7");
});

test("connectUdp() takes the first address of a name that there is a route to", async () => {
  await using server = await bindUdp(LOCAL);
  const asked: [string, HostFamily][] = [];
  const resolver: Resolver = (host, family) => {
    asked.push([host, family]);
    return Promise.resolve(family === AF_INET6 ? ["2001:db8::1"] : ["127.0.0.1"]);
  };
  // From an address of IPv4 there is no way to one of IPv6.
  const options = { resolver, localAddress: "127.0.0.1:0" };
  await using client = await connectUdp({ host: "some.example", port: server.address.port }, options);
  assert.equal(String(client.remoteAddress), String(server.address));
  assert.deepEqual(asked, [
    ["some.example", AF_INET6],
    ["some.example", AF_INET],
  ]);
  const error = await rejection(
    connectUdp("udp://some.example:53", {
      resolver: (_host, family) => Promise.resolve(family === AF_INET ? ["127.0.0.1", "127.0.0.2"] : []),
      localAddress: "[::1]:0",
    }),
  );
  assert.equal(causes(error).length, 2);
});

test("connectUdp() gives up at its timeout and signal while it resolves", async () => {
  const resolver: Resolver = () => new Promise(() => undefined);
  const late = await rejection(connectUdp("udp://some.example:53", { resolver, timeout: 5 }));
  assert.equal(late.message, "getaddrinfo ETIMEDOUT some.example:53: the timeout has passed");
  const control = new AbortController();
  const cut = rejection(bindUdp("udp://some.example:53", { resolver, signal: control.signal }));
  control.abort(new Error("enough"));
  assert.equal((await cut).message, "enough");
  const none = await rejection(connectUdp("udp://some.example:53", { resolver: () => Promise.resolve([]) }));
  assert.equal(none.code, "EAI_NODATA");
});

test("bindUdp() resolves a name of this machine", async () => {
  await using socket = await bindUdp("udp://localhost:0");
  assert.ok(["::1", "127.0.0.1"].includes(socket.address.host));
});

test("bindUdp() takes over a bound descriptor, and leaves one of another kind alone", async () => {
  const made = new Socket(AF_INET, SOCK_DGRAM);
  await made.bind("127.0.0.1:0");
  const address = made.getsockname();
  await using socket = await bindUdp({ fd: made.detach() });
  await using client = await connectUdp(address);
  await client.send("x");
  assert.equal((await socket.receive()).data.toString(), "x");
  const stream = new Socket(AF_INET, SOCK_STREAM).detach();
  assert.equal((await rejection(bindUdp(`fd:${stream}`))).code, "EPROTOTYPE");
  Socket.fromfd(stream).close();
});

test("bindUdp() and connectUdp() refuse wrong arguments before they make a socket", async () => {
  const binds: [endpoint: unknown, options: object | undefined, name: string][] = [
    ["tcp://127.0.0.1:0", undefined, "TypeError"],
    ["unix:@x", undefined, "TypeError"],
    [{ scheme: "tcp", host: "127.0.0.1", port: 0 }, undefined, "TypeError"],
    ["127.0.0.1:0", undefined, "TypeError"],
    [LOCAL, { receiveBuffer: 0 }, "RangeError"],
    [LOCAL, { receiveBuffer: "1" }, "TypeError"],
    [LOCAL, { reusePort: 1 }, "TypeError"],
    [LOCAL, { ipv6Only: true }, "TypeError"],
    [LOCAL, { noDelay: true }, "TypeError"],
    [LOCAL, { resolver: 1 }, "TypeError"],
    [["a".repeat(254), 1], undefined, "RangeError"],
    [["a\0b", 1], undefined, "TypeError"],
  ];
  for (const [endpoint, options, name] of binds) {
    assert.equal((await rejection(bindUdp(endpoint as string, options))).name, name, JSON.stringify(endpoint));
  }
  for (const endpoint of ["fd:3", "systemd:x", ["", 1], "vsock://1:1"] as const) {
    assert.equal((await rejection(connectUdp(endpoint))).name, "TypeError", String(endpoint));
  }
  assert.equal((await rejection(connectUdp(LOCAL, { localAddress: "some.example:0" }))).name, "TypeError");
  await using socket = await bindUdp(LOCAL);
  assert.equal((await rejection(socket.send(5 as unknown as string))).name, "TypeError");
  assert.equal((await rejection(socket.send("x"))).code, "EDESTADDRREQ");
  assert.equal((await rejection(socket.send("x", "0177.0.0.1:1"))).name, "TypeError");
});

test("a resolver that aborts the signal of its call ends the call, although it never answers", async () => {
  for (const make of [bindUdp, connectUdp]) {
    const control = new AbortController();
    const reason = new Error("enough");
    const resolver = (): Promise<never> => {
      control.abort(reason);
      return new Promise(() => undefined);
    };
    const made = make("udp://name.invalid:1", { signal: control.signal, resolver, timeout: 10_000 });
    await assert.rejects(made, reason);
    assert.equal(getEventListeners(control.signal, "abort").length, 0);
  }
});
