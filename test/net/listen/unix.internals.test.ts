// listen() at a path: the mode of the file, an old file, and the removal of the file.

import assert from "node:assert/strict";
import { existsSync, lstatSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { AF_UNIX, connect, listen, Socket, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../../support/leaks.js";
import { Folder, rejection } from "../support.js";

checkLeaks();

const modeOf = (path: string): number => lstatSync(path).mode & 0o777;

/** Makes the file of a closed socket, as after a crash. */
async function leaveBehind(path: string, type: number = SOCK_STREAM): Promise<void> {
  const socket = new Socket(AF_UNIX, type);
  await socket.bind(`unix:${path}`);
  if (type !== SOCK_DGRAM) socket.listen();
  socket.close();
  assert.ok(lstatSync(path).isSocket());
}

test("listen() makes a socket at the path, and close() removes it", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const listener = await listen(`unix:${path}`);
  await using client = await connect(`unix:${path}`);
  await using server = await listener.accept();
  assert.equal(String(server.localAddress), `unix:${path}`);
  assert.equal(String(client.remoteAddress), `unix:${path}`);
  await listener.close();
  assert.equal(existsSync(path), false);
  await client.write("still");
  assert.equal((await server.readExactly(5)).toString(), "still");
});

test("listen() sets the mode of the file, with any umask", async (t) => {
  await using folder = new Folder();
  const before = process.umask(0o077);
  t.after(() => process.umask(before));
  for (const mode of [0o600, 0o660, 0o666, 0o777, 0o000]) {
    const path = folder.join(`mode-${mode.toString(8)}`);
    await using listener = await listen({ path }, { mode });
    assert.equal(modeOf(path), mode);
    assert.equal(process.umask(), 0o077);
    assert.ok(listener.address);
  }
  await using plain = await listen({ path: folder.join("plain") });
  assert.equal(modeOf(folder.join("plain")), 0o700, "without a mode the umask decides");
  assert.ok(plain.address);
});

test("the socket file never has more permissions than its mode, and has its mode before a client can connect", async (t) => {
  await using folder = new Folder();
  const before = process.umask(0);
  const { bind, listen: nativeListen } = calls;
  t.after(() => {
    process.umask(before);
    Object.assign(calls, { bind, listen: nativeListen });
  });
  const path = folder.join("a.sock");
  const modes: string[] = [];
  calls.bind = (fd, address) => {
    const result = bind(fd, address);
    modes.push(`bound ${modeOf(path).toString(8)}`);
    return result;
  };
  calls.listen = (fd, backlog) => {
    modes.push(`listens ${modeOf(path).toString(8)}`);
    return nativeListen(fd, backlog);
  };
  {
    await using listener = await listen({ path }, { mode: 0o640 });
    assert.ok(listener.address);
  }
  process.umask(0o027);
  await using wide = await listen({ path }, { mode: 0o666 });
  assert.ok(wide.address);
  assert.deepEqual(modes, ["bound 640", "listens 640", "bound 640", "listens 666"]);
});

test("listen() replaces a socket file that no process has open", async () => {
  await using folder = new Folder();
  for (const type of [SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM]) {
    const path = folder.join(`left-${type}`);
    await leaveBehind(path, type);
    await using listener = await listen(`unix:${path}`);
    await using client = await connect(listener.address);
    await using server = await listener.accept();
    assert.ok(client && server);
  }
});

test("listen() does not replace a socket file that is open, and does not disturb its listener", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  await using first = await listen(`unix:${path}`);
  const error = await rejection(listen(`unix:${path}`));
  assert.equal(error.message, `bind EADDRINUSE ${path}: address already in use`);
  assert.equal((await rejection(first.accept({ timeout: 0 }))).code, "ETIMEDOUT", "nobody has called");

  const bound = folder.join("bound.sock");
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  await socket.bind(`unix:${bound}`);
  assert.equal((await rejection(listen(`unix:${bound}`))).code, "EADDRINUSE", "it may be about to listen");
  socket.close();

  const datagrams = folder.join("datagrams.sock");
  const other = new Socket(AF_UNIX, SOCK_DGRAM);
  await other.bind(`unix:${datagrams}`);
  assert.equal((await rejection(listen(`unix:${datagrams}`))).code, "EADDRINUSE");
  other.close();
});

test("listen() does not replace a file that is not a socket", async () => {
  await using folder = new Folder();
  writeFileSync(folder.join("file"), "precious");
  mkdirSync(folder.join("folder"));
  await leaveBehind(folder.join("socket"));
  symlinkSync(folder.join("socket"), folder.join("link"));
  symlinkSync(folder.join("nothing"), folder.join("dangling"));
  for (const name of ["file", "folder", "link", "dangling"]) {
    assert.equal((await rejection(listen({ path: folder.join(name) }))).code, "EADDRINUSE", name);
    assert.ok(lstatSync(folder.join(name)));
  }
  assert.ok(existsSync(folder.join("socket")));
});

test("close() does not remove a file that is not that of the listener any more", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const first = await listen({ path });
  renameSync(path, folder.join("moved.sock"));
  await using second = await listen({ path });
  await first.close();
  assert.ok(existsSync(path), "the second one's");
  assert.ok(existsSync(folder.join("moved.sock")));
  await using client = await connect({ path });
  await using server = await second.accept();
  assert.ok(client && server);
});

test("close() does not remove the file of another listener", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const first = await listen({ path });
  await using second = await listen({ fd: first.socket.detach() });
  await first.close();
  await using client = await connect({ path });
  await using server = await second.accept();
  assert.ok(client && server);
});

test("listen() removes its file when it fails after all", async (t) => {
  await using folder = new Folder();
  const { listen: nativeListen } = calls;
  t.after(() => (calls.listen = nativeListen));
  const ENOBUFS = 105;
  calls.listen = () => -ENOBUFS;
  assert.equal((await rejection(listen({ path: folder.join("a.sock") }))).code, "ENOBUFS");
  assert.equal(existsSync(folder.join("a.sock")), false);
});

test("the error of listen() explains a wrong path", async () => {
  await using folder = new Folder();
  assert.equal((await rejection(listen({ path: folder.join("none/a.sock") }))).code, "ENOENT");
  const long = folder.join("x".repeat(108));
  assert.equal((await rejection(listen({ path: long }))).name, "RangeError");
  assert.equal((await rejection(listen({ path: "a\0b" }))).name, "TypeError");
});

test("several listeners that start at once at the same left-over file end with one that works", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  for (let round = 0; round < 20; round++) {
    await leaveBehind(path);
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => listen({ path })));
    const winners = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    assert.equal(winners.length, 1);
    for (const result of results) if (result.status === "rejected") assert.equal(result.reason.code, "EADDRINUSE");
    await using client = await connect({ path });
    await using server = await winners[0]!.accept();
    assert.ok(client && server);
    await winners[0]!.close();
  }
});
