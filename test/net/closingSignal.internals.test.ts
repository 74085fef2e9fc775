// A listener or a UDP socket that can't be made, or is aborted meanwhile, leaves nothing open; on replaced calls.

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import {
  AF_INET,
  bindUdp,
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

test("a signal that is aborted before or during the call leaves no listener and no file", async (t) => {
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
  // The first listener opens the poller.
  await (await listen("tcp://127.0.0.1:0")).close();
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

test("a listener or a UDP socket is closed, and its file removed, if getsockname() fails", async (t) => {
  await using folder = new Folder();
  const path = folder.join("a.sock");
  const { getsockname } = calls;
  t.after(() => Object.assign(calls, { getsockname }));
  // The first listener opens the poller.
  await (await listen("tcp://127.0.0.1:0")).close();
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

test("errors of the file of a UNIX socket have the form of errors of calls", async (t) => {
  await using folder = new Folder();
  const path = folder.join("gone");
  const { bind } = calls;
  t.after(() => Object.assign(calls, { bind }));
  // As if another program removed the new file at once.
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
