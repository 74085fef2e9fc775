// sendto() to a host name: its deadline and its signal include the lookup.

import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, InetAddress, SOCK_DGRAM } from "berkeley";
import { encodeAddress } from "#berkeley/sys/sockaddr.js";
import { fakeKernel, keepAlive } from "../support/fakeSocket.js";
import { checkLeaks } from "../support/leaks.js";

keepAlive();
checkLeaks();

test("with an aborted signal no lookup starts", async () => {
  const { sys, socket } = fakeKernel();
  const conn = socket(AF_INET, SOCK_DGRAM);
  const signal = AbortSignal.abort("before");
  await assert.rejects(conn.sendto("x", ["host.invalid", 1], { signal }), (reason) => reason === "before");
  assert.equal(sys.count("getaddrinfo"), 0);
});

test("the time of the lookup is subtracted from the deadline", async (t) => {
  const { sys, socket } = fakeKernel();
  const conn = socket(AF_INET, SOCK_DGRAM);
  let passed = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + passed);
  sys.script("sendto", "EAGAIN");
  sys.script("getaddrinfo", (...args) => {
    const done = args.at(-1) as (status: number, errno: number, answer: unknown) => void;
    setImmediate(() => {
      passed += 59_990;
      done(0, 0, [[AF_INET, SOCK_DGRAM, 0, encodeAddress(new InetAddress("127.0.0.1", 1)), ""]]);
    });
    return 0;
  });
  const start = now();
  await assert.rejects(conn.sendto("x", ["host.invalid", 1], { timeout: 60_000 }), {
    code: "ETIMEDOUT",
    syscall: "sendto",
  });
  assert.ok(now() - start < 30_000, "it waited for all of the deadline once more");
});
