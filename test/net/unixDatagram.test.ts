// UNIX datagram sockets by endpoint: the file, its mode, a stale file, its removal; datagrams and answers.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  bindUnixDatagram,
  BPF_K,
  BPF_RET,
  connectUnixDatagram,
  SO_SNDBUF,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  type SocketError,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Folder, rejection } from "./support.js";

checkLeaks();

const patience = { timeout: 10_000 };
const modeOf = (path: string): number => lstatSync(path).mode & 0o777;

/** The file of a socket that no process has open any more, as a crash leaves it. */
async function leaveBehind(path: string, type: number): Promise<void> {
  const socket = new Socket(AF_UNIX, type);
  await socket.bind(`unix:${path}`);
  socket.close();
  assert.ok(lstatSync(path).isSocket());
}

test("a client with a path of its own gets the answer, and close() removes both files", async () => {
  await using folder = new Folder();
  const [near, far] = [folder.join("client"), folder.join("server")];
  const server = await bindUnixDatagram(`unix:${far}`);
  const client = await connectUnixDatagram({ path: far }, { localAddress: `unix:${near}` });
  assert.equal(client.remoteAddress?.path, far);
  assert.equal(client.address.path, near);
  await client.send(["ask", "ed"]);
  const { address, data } = await server.receive(patience);
  assert.equal(address.path, near);
  assert.equal(data.toString(), "asked");
  await server.send("answered", address);
  assert.equal(String((await client.receive(patience)).data), "answered");
  await client.close();
  await server.close();
  assert.deepEqual([existsSync(near), existsSync(far)], [false, false]);
  assert.equal(server.address.path, far);
});

test("without a localAddress the kernel chooses an abstract name, to which the server can answer", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-${process.pid}`);
  await using client = await connectUnixDatagram(server.address);
  assert.match(client.address.path, /^\0.{5}$/);
  await client.send("x");
  await server.send("y", (await server.receive(patience)).address);
  assert.equal(String((await client.receive(patience)).data), "y");
});

test("the sender of a datagram that is not bound has an empty path, and an answer to it is refused", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-unnamed-${process.pid}`);
  await using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  await sender.sendto("", server.address);
  const { address, data } = await server.receive(patience);
  assert.deepEqual([address.path, data.length], ["", 0]);
  await assert.rejects(server.send("x", address), /^TypeError: Cannot send: address has no path, required one/);
});

test("a datagram of any size that the sender can send arrives as a whole", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-large-${process.pid}`);
  await using client = await connectUnixDatagram(server.address, { sendBuffer: 1 << 18 });
  const most = client.socket.getsockopt(SO_SNDBUF) - 1024;
  for (const size of [0, 1, 65_535, 65_536, 65_537, most]) {
    await client.send(Buffer.alloc(size, size & 0xff), undefined, patience);
    // Two calls wait at the same time, and each gets a datagram of its own.
    const both = [server.receive(patience), server.receive(patience)];
    await client.send("next", undefined, patience);
    const [first, second] = await Promise.all(both);
    assert.equal(first!.data.length, size);
    assert.ok(first!.data.equals(Buffer.alloc(size, size & 0xff)));
    assert.equal(String(second!.data), "next");
  }
  assert.equal((await rejection(client.send(Buffer.alloc(1 << 22)))).code, "EMSGSIZE");
});

test("a loop that ends early loses nothing, and ends quietly after close() of this side", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-loop-${process.pid}`);
  await using client = await connectUnixDatagram(server.address);
  for (const text of ["1", "2", "3"]) await client.send(text);
  const seen: string[] = [];
  for await (const { data } of server) {
    seen.push(String(data));
    break;
  }
  for await (const { data } of server) {
    seen.push(String(data));
    if (seen.length === 3) setImmediate(() => void server.close());
  }
  assert.deepEqual(seen, ["1", "2", "3"]);
  assert.equal((await rejection(server.receive())).code, "EBADF");
});

test("the kernel's queue is bounded: send() waits while it is full, and goes on when there is room", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-full-${process.pid}`);
  await using client = await connectUnixDatagram(server.address);
  let sent = 0;
  let error: SocketError | undefined;
  while (error === undefined) {
    await client.send(String(sent), undefined, { timeout: 0 }).then(
      () => sent++,
      (reason: SocketError) => (error = reason),
    );
  }
  assert.equal(error.code, "ETIMEDOUT");
  const waiting = client.send("last", undefined, patience);
  for (let count = 0; count < sent; count++) {
    assert.equal(String((await server.receive(patience)).data), String(count));
  }
  await waiting;
  assert.equal(String((await server.receive(patience)).data), "last");
});

test("an error that is no close of this side is thrown out of a loop", async () => {
  await using server = await bindUnixDatagram(`unix:@berkeley-error-${process.pid}`);
  await using client = await connectUnixDatagram(server.address);
  await using other = await bindUnixDatagram(`unix:@berkeley-other-${process.pid}`);
  // A peer that connects to another socket loses what it has not received, which the kernel reports to the sender
  // (unix_dgram_disconnected).
  await server.socket.connect(client.address);
  await client.send("lost");
  client.socket.timeout = 10_000;
  const next = client[Symbol.asyncIterator]().next();
  await server.socket.connect(other.address);
  assert.equal((await rejection(next)).code, "ECONNRESET");
});

test("the file has the given mode with any umask, and never more permissions", async (t) => {
  await using folder = new Folder();
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  for (const mode of [0o600, 0o660, 0o777, 0o000]) {
    const path = folder.join(`mode-${mode.toString(8)}`);
    await using socket = await bindUnixDatagram({ path }, { mode });
    assert.equal(modeOf(path), mode);
    assert.ok(socket.address);
  }
  const path = folder.join("peer");
  await using server = await bindUnixDatagram({ path });
  assert.equal(modeOf(path), 0o700, "without a mode the umask decides");
  const own = folder.join("own");
  await using client = await connectUnixDatagram(server.address, { localAddress: { path: own }, mode: 0o622 });
  assert.equal(modeOf(own), 0o622);
  assert.equal(client.address.path, own);
});

test("a stale file of any type of socket is replaced, on both sides", async () => {
  await using folder = new Folder();
  for (const type of [SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM]) {
    const [near, far] = [folder.join(`client-${type}`), folder.join(`server-${type}`)];
    await leaveBehind(near, type);
    await leaveBehind(far, type);
    await using server = await bindUnixDatagram({ path: far });
    await using client = await connectUnixDatagram({ path: far }, { localAddress: { path: near } });
    await client.send("x");
    assert.equal((await server.receive(patience)).address.path, near);
  }
});

test("a path that any kind of socket uses is not replaced, and its owner does not notice the attempt", async () => {
  await using folder = new Folder();
  const path = folder.join("datagrams");
  await using first = await bindUnixDatagram({ path });
  assert.equal(
    (await rejection(bindUnixDatagram({ path }))).message,
    `bind EADDRINUSE ${path}: address already in use`,
  );
  assert.equal((await rejection(first.receive({ timeout: 0 }))).code, "ETIMEDOUT");

  // A socket that is connected to another one refuses to be connected to.
  const connected = folder.join("connected");
  await using peer = await connectUnixDatagram({ path }, { localAddress: { path: connected } });
  assert.equal((await rejection(bindUnixDatagram({ path: connected }))).code, "EADDRINUSE");
  await peer.send("still there");
  assert.equal((await first.receive(patience)).address.path, connected);

  for (const type of [SOCK_STREAM, SOCK_SEQPACKET]) {
    const other = folder.join(`other-${type}`);
    await using socket = new Socket(AF_UNIX, type);
    await socket.bind({ path: other });
    assert.equal((await rejection(bindUnixDatagram({ path: other }))).code, "EADDRINUSE");
    assert.equal(
      (await rejection(connectUnixDatagram({ path }, { localAddress: { path: other } }))).code,
      "EADDRINUSE",
    );
    assert.ok(lstatSync(other).isSocket());
  }
});

test("a file that is no socket stays", async () => {
  await using folder = new Folder();
  writeFileSync(folder.join("file"), "precious");
  mkdirSync(folder.join("folder"));
  await leaveBehind(folder.join("socket"), SOCK_DGRAM);
  symlinkSync(folder.join("socket"), folder.join("link"));
  symlinkSync(folder.join("nothing"), folder.join("dangling"));
  for (const name of ["file", "folder", "link", "dangling"]) {
    assert.equal((await rejection(bindUnixDatagram({ path: folder.join(name) }))).code, "EADDRINUSE", name);
    assert.ok(lstatSync(folder.join(name)));
  }
  assert.ok(existsSync(folder.join("socket")));
});

test("close() removes only its own file, and none with unlink: false", async () => {
  await using folder = new Folder();
  const path = folder.join("a");
  const first = await bindUnixDatagram({ path });
  renameSync(path, folder.join("moved"));
  await using second = await bindUnixDatagram({ path });
  await first.close();
  assert.ok(existsSync(path) && existsSync(folder.join("moved")));
  await second.close({ unlink: false });
  assert.ok(existsSync(path));
  const third = await bindUnixDatagram({ path }, { unlink: false });
  await third.close();
  assert.ok(existsSync(path));
  const fourth = await bindUnixDatagram({ path }, { unlink: false });
  await fourth.close({ unlink: true });
  assert.equal(existsSync(path), false);
});

test("a failed connect removes the file that it has made", async () => {
  await using folder = new Folder();
  const own = folder.join("own");
  const options = { localAddress: { path: own } };
  assert.equal((await rejection(connectUnixDatagram({ path: folder.join("nobody") }, options))).code, "ENOENT");
  await leaveBehind(folder.join("left"), SOCK_DGRAM);
  assert.equal((await rejection(connectUnixDatagram({ path: folder.join("left") }, options))).code, "ECONNREFUSED");
  assert.equal(existsSync(own), false);
});

test("a signal ends the call, and closes the socket of bindUnixDatagram() later", async () => {
  await using folder = new Folder();
  const path = folder.join("a");
  await assert.rejects(bindUnixDatagram({ path }, { signal: AbortSignal.abort(new Error("no")) }), /no/);
  assert.equal(existsSync(path), false);
  const controller = new AbortController();
  const socket = await bindUnixDatagram({ path }, { signal: controller.signal });
  const loop = (async () => {
    for await (const datagram of socket) assert.fail(String(datagram.data));
  })();
  controller.abort();
  await loop;
  assert.equal(existsSync(path), false);
});

test("a descriptor of this process is taken over, and its file stays with its maker", async () => {
  await using folder = new Folder();
  const path = folder.join("a");
  const made = new Socket(AF_UNIX, SOCK_DGRAM);
  await made.bind({ path });
  await using server = await bindUnixDatagram({ fd: made.detach() });
  assert.equal(server.address.path, path);
  await using client = await connectUnixDatagram({ path });
  await client.send("x");
  assert.equal(String((await server.receive(patience)).data), "x");
  await server.close();
  assert.ok(existsSync(path));
  const wrong = new Socket(AF_INET, SOCK_DGRAM);
  const fd = wrong.detach();
  assert.equal((await rejection(bindUnixDatagram({ fd }))).code, "EAFNOSUPPORT");
  Socket.fromfd(fd).close();
});

test("a filter is there before the first datagram", async () => {
  const filter = [{ code: BPF_RET | BPF_K, k: 2 }];
  await using server = await bindUnixDatagram(`unix:@berkeley-filter-${process.pid}`, { filter });
  await using client = await connectUnixDatagram(server.address);
  await client.send("abc");
  assert.equal(String((await server.receive(patience)).data), "ab");
});

test("python3 and socat are peers", { timeout: 60_000 }, async () => {
  await using folder = new Folder();
  const path = folder.join("server");
  await using server = await bindUnixDatagram({ path }, { mode: 0o600 });
  const serving = (async () => {
    for await (const { address, data } of server) {
      if (data.length === 0) return;
      await server.send(data.toString().toUpperCase(), address);
    }
  })();
  const peer = async (command: string, args: readonly string[], input: string): Promise<string> => {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stdin.end(input);
    await once(child, "close");
    return output;
  };
  const python = `
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(folder.join("python"))})
s.settimeout(30)
s.sendto(b"from python", ${JSON.stringify(path)})
print(s.recvfrom(100))
`;
  assert.equal(await peer("python3", ["-c", python], ""), `(b'FROM PYTHON', '${path}')\n`);
  if (spawnSync("socat", ["-V"]).status === 0) {
    const target = `UNIX-SENDTO:${path},bind=${folder.join("socat")}`;
    assert.equal(await peer("socat", ["-t", "5", "-", `${target},shut-none,end-close`], "from socat"), "FROM SOCAT");
  }
  await using last = new Socket(AF_UNIX, SOCK_DGRAM);
  await last.sendto("", server.address);
  await serving;
});

test("wrong arguments are refused before any call", async () => {
  const cases: readonly (readonly [() => Promise<unknown>, RegExp])[] = [
    [
      () => bindUnixDatagram("tcp://127.0.0.1:80"),
      /^TypeError: Cannot bind a UNIX datagram socket at "tcp:.*required unix/,
    ],
    [() => bindUnixDatagram("unix:"), /^TypeError/],
    [() => bindUnixDatagram(`unix:/${"x".repeat(200)}`), /^RangeError: .*path has 201 bytes/],
    [() => bindUnixDatagram("unix:@a", { mode: 0o600 }), /mode applies to files, required a path/],
    [() => bindUnixDatagram("unix:/tmp/a", { mode: 0o1777 }), /^RangeError: .*mode is 1023/],
    [() => bindUnixDatagram("unix:/tmp/a", { timeout: 5 } as object), /option "timeout" is unknown/],
    [() => bindUnixDatagram("unix:/tmp/a", { receiveBuffer: 0 }), /^RangeError: .*receiveBuffer is 0/],
    [
      () => bindUnixDatagram("unix:/tmp/a", { filter: {} as never }),
      /filter is \{\}, required an array of instructions/,
    ],
    [() => bindUnixDatagram("unix:/tmp/a", { unlink: 1 as never }), /unlink is 1, required true or false/],
    [() => bindUnixDatagram("unix:/tmp/a", { signal: {} as never }), /signal is/],
    [() => bindUnixDatagram("fd:0", { mode: 0o600 }), /option "mode" is unknown for this endpoint/],
    [() => connectUnixDatagram("fd:0"), /the endpoint is a descriptor, required unix:\/path/],
    [() => connectUnixDatagram("unix:@a", { localAddress: ["127.0.0.1", 5] }), /localAddress is \["127.0.0.1", 5\]/],
    [() => connectUnixDatagram("unix:@a", { mode: 0o600 }), /mode applies to files/],
  ];
  for (const [call, message] of cases) {
    await assert.rejects(call(), (error) => (assert.match(String(error), message), true));
  }
  await using socket = await bindUnixDatagram(`unix:@berkeley-args-${process.pid}`);
  for (const [call, message] of [
    [() => socket.send("x", ["127.0.0.1", 5]), /address is \["127.0.0.1", 5\], required one of a UNIX socket/],
    [() => socket.send(5 as never, socket.address), /data is 5/],
    [() => socket.receive({ max: 5 } as object), /option "max" is unknown/],
    [() => socket.close({ unlink: "no" as never }), /unlink is "no"/],
  ] as const) {
    await assert.rejects(call(), (error) => (assert.match(String(error), message), true));
  }
});
