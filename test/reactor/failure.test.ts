// A permanent failure of epoll_wait(2), and continuations that throw: no call waits for ever.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Pollset } from "#berkeley/reactor/index.js";
import { SocketConn } from "#berkeley/socket/socketConn.js";
import { Reactor } from "#berkeley/reactor/index.js";
import { READABLE } from "#berkeley/ops/readiness.js";
import { FakeSys } from "#berkeley/testing/fakeSys.js";
import { fakeKernel, keepAlive, turn, watch } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("a permanent error of epoll_wait() rejects all waiting calls, and all calls that would wait", async () => {
  const { sys, socket, reactor } = fakeKernel();
  const [one, two] = [socket(), socket()];
  sys.always("send", "EAGAIN");
  sys.always("pollset", () => sys.newFd());
  const set = new Pollset(() => new Uint8Array(8), reactor);
  const calls = [
    one.recv(1),
    one.recv(1, { timeout: 60_000 }),
    one.send("x"),
    one.recv(1, { flags: 1 }),
    two.accept(),
    two.readable(),
    new SocketConn(one).whenBroken(),
    set.run(READABLE, undefined, undefined, null, undefined),
  ].map((call: Promise<unknown>) => watch(call));
  await turn();
  sys.fail("EBADF");
  await turn();
  for (const call of calls) {
    assert.equal(call.state, "rejected");
    assert.deepEqual(
      [(call.error as { code: string }).code, (call.error as { syscall: string }).syscall],
      ["EBADF", "epoll_wait"],
    );
  }
  assert.equal(sys.waiting, 0);
  await assert.rejects(one.recv(1), { code: "EBADF", syscall: "epoll_wait" });
  await assert.rejects(socket().recv(1), { code: "EBADF", syscall: "epoll_wait" });
  sys.script("recv", Buffer.from("x"));
  assert.equal(String(await one.recv(1)), "x", "what is there can still be had");
  set.end();
  one.close();
});

test("a continuation that throws does not delay others; its error is thrown after them", async () => {
  const reactor = new Reactor(new FakeSys().calls);
  const turns: string[] = [];
  const error = new Error("a fault of ours");
  reactor.defer({ resume: () => void turns.push("first") });
  reactor.defer({
    resume: () => {
      throw error;
    },
  });
  reactor.defer({ resume: () => void turns.push("last") });
  const thrown = await new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(thrown, error);
  assert.deepEqual(turns, ["first", "last"]);
  reactor.defer({ resume: () => void turns.push("after it") });
  await turn();
  assert.deepEqual(turns, ["first", "last", "after it"]);
});

test("after a continuation that throws when the budget is spent, the rest runs in the next turn", async () => {
  const reactor = new Reactor(new FakeSys().calls);
  const turns: string[] = [];
  const error = new Error("a fault of ours");
  reactor.defer({
    resume: () => {
      while (reactor.spend());
      throw error;
    },
  });
  reactor.defer({ resume: () => void turns.push("late") });
  const thrown = await new Promise((resolve) => {
    process.setUncaughtExceptionCaptureCallback(resolve);
  });
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(thrown, error);
  await turn();
  assert.deepEqual(turns, ["late"]);
});

/** An epoll_wait(2) that fails after the first event. libuv uses another function, epoll_pwait(2). */
const broken = `
#include <errno.h>
#include <sys/epoll.h>
int epoll_wait(int fd, struct epoll_event *events, int most, int timeout) { errno = EINVAL; return -1; }
`;
const program = `
import { socketpair } from "berkeley";
const [a, b] = socketpair();
const waiting = b.recv(10);
await a.sendAll("hello");
await waiting.catch((error) => console.log(error.code, error.syscall));
await a.recv(10).catch((error) => console.log(error.code, error.syscall));
console.log(String(await b.recv(10)));
const before = process.cpuUsage();
await new Promise((resolve) => setTimeout(resolve, 500));
const { user, system } = process.cpuUsage(before);
console.log(user + system < 250_000 ? "idle" : "busy");
a.close();
b.close();
`;

test("the loop does not spin when epoll_wait() fails, and the process ends", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-failure-"));
  try {
    const [source, library] = [join(folder, "broken.c"), join(folder, "broken.so")];
    writeFileSync(source, broken);
    execFileSync("cc", ["-shared", "-fPIC", "-o", library, source]);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      encoding: "utf8",
      env: { ...process.env, LD_PRELOAD: [process.env["LD_PRELOAD"], library].filter(Boolean).join(" ") },
      timeout: 30_000,
    });
    assert.deepEqual([status, stderr], [0, ""]);
    assert.equal(stdout, "EINVAL epoll_wait\nEINVAL epoll_wait\nhello\nidle\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
