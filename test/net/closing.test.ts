// What a signal closes, and what is left of a listener or a UDP socket that can't be made.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  bindUdp,
  connect,
  connectUdp,
  forward,
  listen,
  SOCK_DGRAM,
  SOCK_STREAM,
  Socket,
  type SocketError,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { checkLeaks } from "../support/leaks.js";
import { Folder, rejection } from "./support.js";

checkLeaks();

const EBADF = "EBADF";

test("the signal of listen() closes the listener, at every kind of endpoint", async () => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  for (const endpoint of ["tcp://127.0.0.1:0", `unix:${path}`, "unix:@berkeley-closing"]) {
    const control = new AbortController();
    const listener = await listen(endpoint, { signal: control.signal });
    const waiting = rejection(listener.accept());
    control.abort(new Error("enough"));
    assert.equal((await waiting).code, "ECANCELED");
    assert.equal((await rejection(listener.accept())).code, EBADF);
    await listener.close();
  }
  assert.equal(existsSync(path), false);
  const made = new Socket(AF_INET, SOCK_STREAM);
  await made.bind("127.0.0.1:0");
  made.listen();
  const control = new AbortController();
  const adopted = await listen({ fd: made.detach() }, { signal: control.signal });
  control.abort();
  assert.equal(adopted.socket.closed, true);
});

test("the signal of bindUdp() closes the socket, also one that was adopted", async () => {
  const made = new Socket(AF_INET, SOCK_DGRAM);
  await made.bind("127.0.0.1:0");
  for (const endpoint of ["udp://127.0.0.1:0", { fd: made.detach() }]) {
    const control = new AbortController();
    const socket = await bindUdp(endpoint, { signal: control.signal });
    const waiting = rejection(socket.receive());
    control.abort(new Error("enough"));
    assert.equal((await waiting).code, "ECANCELED");
    assert.equal((await rejection(socket.receive())).code, EBADF);
  }
});

test("the signal of forward() closes it, and so does the one of its listener", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  const one = new AbortController();
  const first = await forward("tcp://127.0.0.1:0", target.address, { signal: one.signal });
  one.abort();
  await first.closed;
  const two = new AbortController();
  const second = await forward("tcp://127.0.0.1:0", target.address, { listen: { signal: two.signal } });
  two.abort();
  await second.closed;
});

test("the signal of connect() and connectUdp() ends the attempt, and leaves alone what was made", async () => {
  const control = new AbortController();
  const { signal } = control;
  await using listener = await listen("tcp://127.0.0.1:0");
  await using stream = await connect(listener.address, { signal });
  await using peer = await listener.accept();
  await using server = await bindUdp("udp://127.0.0.1:0");
  await using client = await connectUdp(server.address, { signal });
  control.abort();
  await stream.write("on\n");
  assert.equal(await peer.readLine(), "on");
  await client.send("on");
  assert.equal(String((await server.receive()).data), "on");
});

test("a signal that is aborted before, or meanwhile, leaves nothing behind", async (t) => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const { bind } = calls;
  t.after(() => Object.assign(calls, { bind }));
  const makers: readonly ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => listen("tcp://127.0.0.1:0", { signal }),
    (signal) => listen({ path }, { signal }),
    (signal) => bindUdp("udp://127.0.0.1:0", { signal }),
    (signal) => forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:9", { signal }),
  ];
  const before = readdirSync("/proc/self/fd").length;
  for (const make of makers) {
    assert.equal((await rejection(make(AbortSignal.abort(new Error("before"))))).message, "before");
    const control = new AbortController();
    calls.bind = (fd, address) => {
      control.abort(new Error("meanwhile"));
      return bind(fd, address);
    };
    assert.equal((await rejection(make(control.signal))).message, "meanwhile");
    calls.bind = bind;
  }
  assert.equal(readdirSync("/proc/self/fd").length, before);
  assert.equal(existsSync(path), false);
});

test("a signal that outlives what it was made with holds it no longer", async () => {
  const control = new AbortController();
  const held: WeakRef<object>[] = [];
  for (let i = 0; i < 50; i++) {
    const listener = await listen("tcp://127.0.0.1:0", { signal: control.signal });
    const socket = await bindUdp("udp://127.0.0.1:0", { signal: control.signal });
    held.push(new WeakRef(listener), new WeakRef(socket));
    await listener.close();
    await socket.close();
  }
  for (let turn = 0; turn < 20 && held.some((ref) => ref.deref() !== undefined); turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    global.gc!();
  }
  assert.ok(held.filter((ref) => ref.deref() !== undefined).length <= 2, "they are held");
  control.abort();
});

test("a listener or a UDP socket whose address can't be asked for is closed, and its file is removed", async (t) => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const { getsockname } = calls;
  t.after(() => Object.assign(calls, { getsockname }));
  const before = readdirSync("/proc/self/fd").length;
  calls.getsockname = () => -105;
  for (const make of [
    () => listen({ path }),
    () => listen("tcp://127.0.0.1:0"),
    () => bindUdp("udp://127.0.0.1:0"),
    () => connectUdp("udp://127.0.0.1:9"),
  ]) {
    assert.equal((await rejection(make())).code, "ENOBUFS");
  }
  assert.equal(existsSync(path), false);
  assert.equal(readdirSync("/proc/self/fd").length, before);
  // A descriptor that was to be adopted is the caller's again.
  for (const type of [SOCK_STREAM, SOCK_DGRAM]) {
    calls.getsockname = getsockname;
    const made = new Socket(AF_INET, type);
    await made.bind("127.0.0.1:0");
    if (type === SOCK_STREAM) made.listen();
    const fd = made.detach();
    calls.getsockname = () => -105;
    assert.equal((await rejection(type === SOCK_STREAM ? listen({ fd }) : bindUdp({ fd }))).code, "ENOBUFS");
    calls.getsockname = getsockname;
    Socket.fromfd(fd).close();
  }
});

test("errors of the file of a UNIX socket are told as those of calls are", async (t) => {
  await using folder = new Folder();
  const path = folder.join("gone");
  const { bind } = calls;
  t.after(() => Object.assign(calls, { bind }));
  // As if somebody removed the file as soon as it is there.
  calls.bind = () => 0;
  for (const opts of [{}, { mode: 0o600 }]) {
    const error = (await rejection(listen({ path }, opts))) as SocketError;
    assert.equal(error.name, "SocketError");
    assert.deepEqual([error.code, error.syscall, error.path], ["ENOENT", "lstat", path]);
  }
  calls.bind = (fd, address) => {
    // Closed below the listener: fchmod(2) and what follows say EBADF or ENOENT, never with an error of node:fs.
    calls.close(fd);
    return bind(fd, address);
  };
  assert.equal((await rejection(listen({ path }, { mode: 0o600 }))).name, "SocketError");
});
