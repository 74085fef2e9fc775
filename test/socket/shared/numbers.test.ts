// Other code closes a descriptor of ours, and the kernel uses its number for another file: that file is not closed.

import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { AF_UNIX, Socket, socketpair } from "berkeley";
import * as sync from "berkeley/sync";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

/** Closes the number, and opens something else under it. */
function replace(fd: number): void {
  closeSync(fd);
  const others: number[] = [];
  for (;;) {
    const file = openSync("/dev/null", "r");
    if (file === fd) break;
    others.push(file);
  }
  for (const other of others) closeSync(other);
}

for (const [kind, make] of [
  ["awaitable", () => new Socket(AF_UNIX)],
  ["sync", () => new sync.Socket(AF_UNIX)],
] as const) {
  test(`close() of the ${kind} socket says EBADF when its number is another file's, and leaves that open`, () => {
    const socket = make();
    const fd = socket.fileno();
    replace(fd);
    assert.throws(() => socket.close(), { code: "EBADF", syscall: "close" });
    assert.equal(fstatSync(fd).isCharacterDevice(), true);
    assert.equal(socket.closed, true);
    socket.close();
    closeSync(fd);
  });

  test(`close() of the ${kind} socket says EBADF when its number is another socket's`, () => {
    const socket = make();
    const fd = socket.fileno();
    closeSync(fd);
    const other = make();
    try {
      assert.equal(other.fileno(), fd, "the lowest number is free");
      assert.throws(() => socket.close(), { code: "EBADF" });
      assert.equal(fstatSync(fd).isSocket(), true);
    } finally {
      other.close();
    }
    assert.throws(() => fstatSync(fd), { code: "EBADF" });
  });

  for (const blocking of [false, true]) {
    test(`detach() of the ${kind} socket says EBADF when its number is another socket's (blocking: ${blocking})`, () => {
      const socket = make();
      const fd = socket.fileno();
      closeSync(fd);
      const other = make();
      assert.equal(other.fileno(), fd, "the lowest number is free");
      assert.throws(() => socket.detach({ blocking }), { code: "EBADF" });
      assert.equal(other.detach(), fd, "it belongs to the other socket still");
      closeSync(fd);
      try {
        socket.close();
      } catch {
        // EBADF, where it was not let go of.
      }
    });
  }

  test(`close() of the ${kind} socket closes the same socket under the same number`, () => {
    const socket = make();
    const fd = socket.fileno();
    const copy = socket.dup();
    assert.notEqual(copy.fileno(), fd);
    copy.close();
    socket.close();
    assert.throws(() => fstatSync(fd), { code: "EBADF" });
  });
}

test("a call that waits is settled although the number is another file's", async () => {
  const [a, b] = socketpair();
  const fd = a.fileno();
  const waiting = a.recv(10);
  replace(fd);
  assert.throws(() => a.close(), { code: "EBADF" });
  await assert.rejects(waiting, { code: "ECANCELED" });
  closeSync(fd);
  b.close();
});

for (const end of ["close", "detach"] as const) {
  test(`${end}() of a socket whose number is another socket's leaves the events of that one alone`, async () => {
    const [a, b] = socketpair();
    const fd = a.fileno();
    const waiting = assert.rejects(a.recv(10), { code: "ECANCELED" });
    closeSync(fd);
    const [c, d] = socketpair();
    const [other, peer] = c.fileno() === fd ? [c, d] : [d, c];
    assert.equal(other.fileno(), fd, "the lowest number is free");
    const received = other.recv(10, { timeout: 10_000 });
    assert.throws(() => a[end](), { code: "EBADF" });
    await waiting;
    await peer.send("x");
    assert.equal(String(await received), "x");
    for (const socket of [b, c, d]) socket.close();
  });
}

test("the end of a worker does not close what others have opened under its numbers", async () => {
  const program = `
    const { parentPort } = require("node:worker_threads");
    import("berkeley").then(({ Socket }) => {
      globalThis.socket = new Socket();
      parentPort.postMessage(socket.fileno());
      setInterval(() => {}, 1000);
    });
  `;
  const worker = new Worker(program, { eval: true });
  const fd = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  replace(fd);
  await worker.terminate();
  assert.equal(fstatSync(fd).isCharacterDevice(), true);
  closeSync(fd);
});
