// The option `signal` of objects that stay open: the abort closes them.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { AF_INET, bindUdp, connect, connectUdp, forward, listen, SOCK_DGRAM, SOCK_STREAM, Socket } from "berkeley";
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
  assert.equal((await rejection(connect(first.address))).code, "ECONNREFUSED");
  const two = new AbortController();
  const second = await forward("tcp://127.0.0.1:0", target.address, { listen: { signal: two.signal } });
  two.abort();
  await second.closed;
  assert.equal((await rejection(connect(second.address))).code, "ECONNREFUSED");
});

test("the signal of connect() and connectUdp() ends the attempt, and has no effect on an open connection", async () => {
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

test("a signal that lives longer than a closed object has no reference to it", async () => {
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
