// connect() on real sockets: the attempt that wins, the sockets that are closed, and the errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  connect,
  type HostFamily,
  InetAddress,
  Inet6Address,
  listen,
  type Resolver,
  SO_KEEPALIVE,
  Socket,
  socketpair,
  SOCK_DGRAM,
  SOCK_STREAM,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  UnixAddress,
} from "berkeley";
import { checkLeaks, openDescriptors } from "../../support/leaks.js";
import { causes, connOf, rejection } from "../support.js";
import { BlackHole } from "./blackHole.js";

checkLeaks();

/** A resolver that returns these addresses, and records the names of the lookups. */
function resolverOf(six: readonly string[], four: readonly string[], asked: [string, HostFamily][] = []): Resolver {
  return (host, family) => {
    asked.push([host, family]);
    return Promise.resolve(family === AF_INET6 ? six : four);
  };
}

/** A port of this host without a listener. A socket is bound to it, so no other program uses it. */
async function closedPort(): Promise<Socket> {
  const socket = new Socket(AF_INET, SOCK_STREAM);
  await socket.bind("127.0.0.1:0");
  return socket;
}

/**
 * Runs `run` until it takes between `least` and `most` ms, three times at most: a machine that is busy with other
 * things may be late, but is not late each time.
 */
async function timed(least: number, most: number, run: () => Promise<void>): Promise<void> {
  for (let left = 9; ; left--) {
    const began = performance.now();
    await run();
    const took = performance.now() - began;
    if (took >= least && took < most) return;
    assert.ok(left > 0 && took >= least, `it took ${took} ms, required ${least} to ${most}`);
  }
}

const portOf = (socket: Socket): number => (socket.getsockname() as InetAddress).port;
const sockets = (): number => [...openDescriptors().values()].filter((target) => target.startsWith("socket:")).length;

test("connect() gives a stream to a listener, with both addresses", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  await client.write("question\n");
  assert.equal(await server.readLine(), "question");
  await server.write("answer\n");
  assert.equal(await client.readLine(), "answer");
  assert.equal(String(client.remoteAddress), String(listener.address));
  assert.equal(String(client.localAddress), String(server.remoteAddress));
  assert.equal(String(server.localAddress), String(client.remoteAddress));
});

test("connect() to the address of a wildcard listener is to this machine, and says to which address", async () => {
  for (const [endpoint, host] of [
    ["tcp://[::]:0", "::1"],
    ["tcp://0.0.0.0:0", "127.0.0.1"],
  ] as const) {
    await using listener = await listen(endpoint);
    await using client = await connect(listener.address, { timeout: 2 ** 31 - 1 });
    await using server = await listener.accept();
    assert.equal((client.remoteAddress as InetAddress).host, host);
    assert.equal(String(server.localAddress), String(client.remoteAddress));
  }
});

test("connect() takes a string, a tuple and an object for the same place", async () => {
  await using listener = await listen(["127.0.0.1", 0]);
  const { port } = listener.address as InetAddress;
  for (const endpoint of [`tcp://127.0.0.1:${port}`, ["127.0.0.1", port], { host: "127.0.0.1", port }] as const) {
    await using client = await connect(endpoint);
    await using server = await listener.accept();
    assert.equal(String(client.localAddress), String(server.remoteAddress));
  }
});

test("connect() looks up IPv6 and IPv4 addresses, and uses the endpoint's port", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const asked: [string, HostFamily][] = [];
  const resolver = resolverOf([], ["127.0.0.1"], asked);
  await using client = await connect(`tcp://some.example:${port}`, { resolver });
  await using server = await listener.accept();
  assert.equal(String(client.remoteAddress), `127.0.0.1:${port}`);
  assert.ok(server.remoteAddress);
  assert.deepEqual(asked, [
    ["some.example", AF_INET6],
    ["some.example", AF_INET],
  ]);
});

test("connect() takes addresses of a resolver as objects, whose port counts for nothing", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const resolver: Resolver = (_host, family) =>
    Promise.resolve(family === AF_INET6 ? [new Inet6Address("::1", 1)] : [new InetAddress("127.0.0.1", 1)]);
  await using client = await connect(["some.example", port], { resolver });
  await using server = await listener.accept();
  assert.ok(server.remoteAddress);
  assert.equal(String(client.remoteAddress), `127.0.0.1:${port}`);
});

test("connect() refuses a result of a resolver that is not an address of the family", async () => {
  const wrong: unknown[] = [["127.0.0.1"], ["name.example"], [5], "127.0.0.1", undefined];
  for (const six of wrong) {
    const resolver = ((_host: string, family: number) =>
      Promise.resolve(family === AF_INET6 ? six : [])) as unknown as Resolver;
    assert.equal((await rejection(connect("tcp://some.example:1", { resolver }))).name, "TypeError");
  }
});

test("connect() prefers IPv6 and closes nothing that it did not open", async () => {
  await using four = await listen("tcp://127.0.0.1:0");
  const { port } = four.address as InetAddress;
  await using six = await listen(`tcp://[::1]:${port}`);
  await using client = await connect(`tcp://some.example:${port}`, { resolver: resolverOf(["::1"], ["127.0.0.1"]) });
  await using server = await six.accept();
  assert.equal(String(client.remoteAddress), `[::1]:${port}`);
  assert.ok(server.remoteAddress);
  assert.equal((await rejection(four.accept({ timeout: 0 }))).code, "ETIMEDOUT", "IPv4 was not tried");
});

test("connect() goes on to the next address at once when one refuses", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const resolver = resolverOf(["::1"], ["127.0.0.2", "127.0.0.1"]);
  const before = performance.now();
  await using client = await connect(`tcp://some.example:${port}`, { resolver, attemptDelay: 2000 });
  await using server = await listener.accept();
  assert.ok(server.remoteAddress);
  assert.equal(String(client.remoteAddress), `127.0.0.1:${port}`);
  assert.ok(performance.now() - before < 2000, "no attempt waited for the delay");
});

test("connect() passes over a first address that answers nothing, within the attempt delay and 50 ms", async () => {
  await using hole = await BlackHole.open("::1");
  await using listener = await listen(`tcp://127.0.0.1:${hole.port}`);
  const resolver = resolverOf(["::1"], ["127.0.0.1"]);
  const before = sockets();
  await timed(249, 300, async () => {
    await using client = await connect(`tcp://some.example:${hole.port}`, { resolver });
    assert.equal(String(client.remoteAddress), `127.0.0.1:${hole.port}`);
    assert.equal(sockets(), before + 1, "the loser is closed");
  });
  await using server = await listener.accept();
  assert.ok(server.remoteAddress);
});

test("connect() has several attempts under way at the same time, as many as there are delays", async () => {
  await using hole = await BlackHole.open("127.0.0.1");
  const { port } = hole;
  await using other = await BlackHole.open("127.0.0.2", port);
  await using listener = await listen(`tcp://127.0.0.3:${port}`);
  assert.equal(other.port, port);
  const resolver = resolverOf([], ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
  await timed(79, 130, async () => {
    await using client = await connect(`tcp://some.example:${port}`, { resolver, attemptDelay: 40 });
    assert.equal(String(client.remoteAddress), `127.0.0.3:${port}`);
  });
  await using server = await listener.accept();
  assert.ok(server.remoteAddress);
});

test("connect() begins with IPv4 when IPv6 is not answered within the resolution delay", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  let unneeded: AbortSignal | undefined;
  const resolver: Resolver = (_host, family, signal) => {
    if (family === AF_INET) return Promise.resolve(["127.0.0.1"]);
    unneeded = signal;
    return new Promise(() => undefined);
  };
  await timed(49, 100, async () => {
    await using client = await connect(`tcp://some.example:${port}`, { resolver });
    assert.equal(unneeded?.aborted, true, "the resolver hears that nobody needs its answer");
    await using server = await listener.accept();
    assert.equal(String(server.remoteAddress), String(client.localAddress));
  });
});

test("connect() rejects with the most telling error when all fail, and with all of them in its cause", async () => {
  await using closed = await closedPort();
  const port = portOf(closed);
  // 255.255.255.255 is no destination of TCP, which is known here without a packet.
  const resolver = resolverOf([], ["127.0.0.1", "255.255.255.255"]);
  const error = await rejection(connect(`tcp://some.example:${port}`, { resolver }));
  assert.equal(error.message, `connect ECONNREFUSED 127.0.0.1:${port}: connection refused`);
  assert.ok(error.cause instanceof AggregateError);
  assert.deepEqual(causes(error), [`ECONNREFUSED 127.0.0.1:${port}`, `ENETUNREACH 255.255.255.255:${port}`]);
});

test("connect() to one address that refuses says so, without a cause that repeats it", async () => {
  await using closed = await closedPort();
  const error = await rejection(connect(closed.getsockname() as InetAddress));
  assert.equal(error.code, "ECONNREFUSED");
  assert.equal(error.cause, undefined);
});

test("connect() says which resolver error there was when a name has no address", async () => {
  const failing: Resolver = (host) => Promise.reject(Object.assign(new Error(`no ${host}`), { code: "ENOTFOUND" }));
  assert.equal((await rejection(connect("tcp://some.example:1", { resolver: failing }))).message, "no some.example");
  const empty = await rejection(connect("tcp://some.example:1", { resolver: resolverOf([], []) }));
  assert.equal(empty.code, "EAI_NODATA");
  assert.equal(empty.message, "getaddrinfo EAI_NODATA some.example: no address");
});

test("connect() resolves a name of this machine by the system's resolver", async () => {
  await using listener = await listen("tcp://[::]:0");
  await using client = await connect(["localhost", (listener.address as Inet6Address).port], { timeout: 10_000 });
  await using server = await listener.accept();
  await client.write("x");
  assert.equal((await server.readExactly(1)).toString(), "x");
});

test("connect() ends everything when its timeout has run out, and says how far it was", async () => {
  await using hole = await BlackHole.open("127.0.0.1");
  const { port } = hole;
  const before = sockets();
  const resolver = resolverOf(["::1"], ["127.0.0.1"]);
  const error = await rejection(connect(`tcp://some.example:${port}`, { resolver, timeout: 30 }));
  assert.equal(error.message, `connect ETIMEDOUT some.example:${port}: the timeout has passed`);
  assert.deepEqual(causes(error), [`ECONNREFUSED ::1:${port}`, `ETIMEDOUT 127.0.0.1:${port}`]);
  assert.equal(sockets(), before);
});

test("connect() times out in the resolver as well", async () => {
  const resolver: Resolver = () => new Promise(() => undefined);
  const error = await rejection(connect("tcp://some.example:80", { resolver, timeout: 5 }));
  assert.equal(error.message, "getaddrinfo ETIMEDOUT some.example:80: the timeout has passed");
});

test("connect() rejects with the reason of its signal, and closes its pending attempts", async () => {
  await using hole = await BlackHole.open("127.0.0.1");
  const before = sockets();
  const control = new AbortController();
  const reason = new Error("enough");
  const connecting = rejection(connect(`tcp://127.0.0.1:${hole.port}`, { signal: control.signal }));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sockets(), before + 1);
  control.abort(reason);
  assert.equal(await connecting, reason);
  assert.equal(sockets(), before);
  assert.equal(await rejection(connect("tcp://127.0.0.1:1", { signal: control.signal })), reason);
});

test("connect() comes from the local address that it is given, of that family only", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const asked: [string, HostFamily][] = [];
  const resolver = resolverOf(["::1"], ["127.0.0.1"], asked);
  await using client = await connect(`tcp://some.example:${port}`, { resolver, localAddress: "127.0.0.9:0" });
  await using server = await listener.accept();
  assert.equal((client.localAddress as InetAddress).host, "127.0.0.9");
  assert.equal(String(server.remoteAddress), String(client.localAddress));
  assert.deepEqual(asked, [["some.example", AF_INET]]);
});

test("connect() shares a local port among its attempts", async () => {
  await using hole = await BlackHole.open("127.0.0.1");
  await using listener = await listen(`tcp://127.0.0.2:${hole.port}`);
  const own = await closedPort();
  const port = portOf(own);
  own.close();
  const resolver = resolverOf([], ["127.0.0.1", "127.0.0.2"]);
  const options = { resolver, attemptDelay: 20, localAddress: ["", port] } as const;
  await using client = await connect(`tcp://some.example:${hole.port}`, options);
  await using server = await listener.accept();
  assert.equal((server.remoteAddress as InetAddress).port, port);
  assert.equal((client.localAddress as InetAddress).port, port);
});

test("connect() takes no connection of a socket to itself for one", async () => {
  const own = await closedPort();
  const address = own.getsockname() as InetAddress;
  own.close();
  const error = await rejection(connect(address, { localAddress: address }));
  assert.equal(error.message, `connect ECONNREFUSED ${String(address)}: connection refused`);
});

test("connect() uses one family only with the option", async () => {
  await using listener = await listen("tcp://[::]:0");
  const { port } = listener.address as Inet6Address;
  const resolver = resolverOf(["::1"], ["127.0.0.1"]);
  await using client = await connect(`tcp://some.example:${port}`, { resolver, family: AF_INET });
  assert.equal(String(client.remoteAddress), `127.0.0.1:${port}`);
  assert.equal((await rejection(connect(`tcp://[::1]:${port}`, { family: AF_INET }))).name, "TypeError");
});

test("connect() switches Nagle's algorithm off by default", async () => {
  await using listener = await listen("tcp://127.0.0.1:0", { noDelay: false });
  await using quick = await connect(listener.address);
  await using slow = await connect(listener.address, { noDelay: false });
  assert.equal(connOf(quick).socket.getsockopt(TCP_NODELAY), true);
  assert.equal(connOf(slow).socket.getsockopt(TCP_NODELAY), false);
});

test("connect() sets keep-alive in milliseconds", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using plain = await connect(listener.address);
  await using kept = await connect(listener.address, { keepAlive: true });
  const keepAlive = { idle: 30_000, interval: 5_000, count: 3 };
  await using tuned = await connect(listener.address, { keepAlive });
  assert.equal(connOf(plain).socket.getsockopt(SO_KEEPALIVE), false);
  assert.equal(connOf(kept).socket.getsockopt(SO_KEEPALIVE), true);
  const { socket } = connOf(tuned);
  assert.equal(socket.getsockopt(SO_KEEPALIVE), true);
  assert.equal(socket.getsockopt(TCP_KEEPIDLE), 30);
  assert.equal(socket.getsockopt(TCP_KEEPINTVL), 5);
  assert.equal(socket.getsockopt(TCP_KEEPCNT), 3);
});

test("connect() keeps to an interface", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address, { bindToDevice: "lo" });
  assert.ok(client.localAddress);
  assert.equal((await rejection(connect(listener.address, { bindToDevice: "no-such-device" }))).code, "ENODEV");
});

test("connect() passes the limits of the stream on", async () => {
  await using listener = await listen("tcp://127.0.0.1:0", { maxLine: 20 });
  await using client = await connect(listener.address, { maxLine: 10 });
  await using server = await listener.accept();
  const text = `${"x".repeat(15)}\n`;
  await client.write(text);
  assert.equal(await server.readLine(), "x".repeat(15));
  await server.write(text);
  assert.equal((await rejection(client.readLine())).name, "LimitError");
});

test("connect() reaches a UNIX socket by its abstract name", async () => {
  const name = `unix:@berkeley-connect-${process.pid}`;
  await using listener = await listen(name);
  await using client = await connect(name, { localAddress: new UnixAddress(`\0berkeley-client-${process.pid}`) });
  await using server = await listener.accept();
  assert.equal(String(server.remoteAddress), `unix:@berkeley-client-${process.pid}`);
  assert.equal(String(server.localAddress), name);
  assert.equal(String(client.remoteAddress), name);
  const error = await rejection(connect("unix:@berkeley-nobody"));
  assert.equal(error.message, "connect ECONNREFUSED @berkeley-nobody: connection refused");
});

test("connect() takes over a descriptor that is connected, and leaves one alone that is not", async () => {
  const [left, right] = socketpair(AF_UNIX, SOCK_STREAM);
  await using stream = await connect(`fd:${left.detach()}`);
  await using other = right.stream();
  await stream.write("over\n");
  assert.equal(await other.readLine(), "over");

  const [datagram, peer] = socketpair(AF_UNIX, SOCK_DGRAM);
  const fd = datagram.detach();
  assert.equal((await rejection(connect({ fd }))).code, "EPROTOTYPE");
  Socket.fromfd(fd).close();
  peer.close();

  const idle = new Socket(AF_INET, SOCK_STREAM).detach();
  assert.equal((await rejection(connect({ fd: idle }))).code, "ENOTCONN");
  Socket.fromfd(idle).close();
  assert.equal((await rejection(connect("fd:9999"))).code, "EBADF");
});

test("connect() refuses endpoints that are no destination of a stream", async () => {
  for (const endpoint of ["udp://127.0.0.1:1", "systemd:http", "http://127.0.0.1:1", "127.0.0.1", "tcp://:80"]) {
    assert.equal((await rejection(connect(endpoint))).name, "TypeError", endpoint);
  }
  assert.equal((await rejection(connect(["", 80]))).name, "TypeError");
});

test("connect() refuses a host name that is too long or has a NUL, and cuts none", async () => {
  const asked: [string, HostFamily][] = [];
  const resolver = resolverOf([], [], asked);
  const label = "a".repeat(49);
  const longest = `${label}.${label}.${label}.${label}.${label}.abc`;
  assert.equal(longest.length, 253);
  assert.equal((await rejection(connect([longest, 1], { resolver }))).code, "EAI_NODATA");
  assert.equal(asked[0]![0], longest);
  asked.length = 0;
  assert.equal((await rejection(connect([`${longest}d`, 1], { resolver }))).name, "RangeError");
  assert.equal((await rejection(connect(["evil.example\0.good.example", 1], { resolver }))).name, "TypeError");
  assert.equal((await rejection(connect("tcp://0177.0.0.1:1", { resolver }))).name, "TypeError");
  assert.deepEqual(asked, []);
});

test("connect() refuses options of the wrong type or range before it does anything", async () => {
  const asked: [string, HostFamily][] = [];
  const resolver = resolverOf([], [], asked);
  const wrong: [options: object, error: string][] = [
    [{ timeout: "5" }, "TypeError"],
    [{ timeout: -1 }, "RangeError"],
    [{ signal: {} }, "TypeError"],
    [{ noDelay: 1 }, "TypeError"],
    [{ keepAlive: 5 }, "TypeError"],
    [{ keepAlive: { idle: 1500 } }, "RangeError"],
    [{ keepAlive: { idle: "5" } }, "TypeError"],
    [{ keepAlive: { count: 0 } }, "RangeError"],
    [{ keepAlive: { delay: 1 } }, "TypeError"],
    [{ family: 17 }, "TypeError"],
    [{ resolver: "dns" }, "TypeError"],
    [{ attemptDelay: 9 }, "RangeError"],
    [{ attemptDelay: 2001 }, "RangeError"],
    [{ resolutionDelay: -1 }, "RangeError"],
    [{ resolutionDelay: null }, "TypeError"],
    [{ maxAttempts: 0 }, "RangeError"],
    [{ localAddress: "name.example:0" }, "TypeError"],
    [{ localAddress: "unix:@x" }, "TypeError"],
    [{ localAddress: "127.0.0.1:0", family: AF_INET6 }, "TypeError"],
    [{ bindToDevice: "" }, "TypeError"],
    [{ bindToDevice: "sixteen-bytes-xx" }, "RangeError"],
    [{ maxLine: 0 }, "RangeError"],
    [{ readSize: "1" }, "TypeError"],
    [{ via: 5 }, "TypeError"],
    [{ mode: 0o600 }, "TypeError"],
  ];
  for (const [options, name] of wrong) {
    const error = await rejection(connect("tcp://some.example:1", { resolver, ...options }));
    assert.equal(error.name, name, JSON.stringify(options));
  }
  assert.equal((await rejection(connect("unix:@x", { noDelay: true }))).name, "TypeError");
  assert.equal((await rejection(connect("tcp://some.example:1", null as unknown as object))).name, "TypeError");
  assert.deepEqual(asked, []);
});
