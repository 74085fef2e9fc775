// Runs under a runtime that is linked with musl. Checks that the package loads the addon for musl, and tests functions
// that are different in musl's C library.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort } from "node:worker_threads";
import * as sync from "berkeley/sync";

const say = (text) => process.stdout.write(`${text}\n`);

const protocols = { icmp: 1, tcp: 6, udp: 17, "ipv6-icmp": 58 };

// getprotobyname(3) of musl uses static memory. The results of calls in several threads at once must not be mixed up.
function askForProtocols() {
  for (let i = 0; i < 20_000; i++) {
    for (const [name, number] of Object.entries(protocols)) assert.equal(sync.getprotobyname(name), number);
  }
}

async function main() {
  const maps = readFileSync("/proc/self/maps", "utf8");
  // assert.match() would print the whole text.
  const has = (pattern) => pattern.test(maps);
  assert.ok(has(/prebuilds\/linux-x64-musl\.node/), "another file was loaded");
  assert.ok(has(/ld-musl-x86_64\.so\.1|musl\/libc\.so/) && !has(/\/libc\.so\.6|\/libc-2/), "the C library is not musl");
  say("ok the loader took the file for musl");

  const answers = Array.from({ length: 4 }, () => {
    const worker = new Worker(new URL(import.meta.url));
    return new Promise((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
  });
  askForProtocols();
  assert.deepEqual(await Promise.all(answers), ["done", "done", "done", "done"]);
  assert.throws(() => sync.getprotobyname("no such protocol"));
  say("ok getprotobyname() in five threads at once");

  assert.equal(sync.getservbyname("http"), 80);
  assert.equal(sync.getservbyname("http", "tcp"), 80);
  assert.equal(sync.getservbyport(80), "http");
  assert.throws(() => sync.getservbyname("http", "sctp"), { code: "ENOENT" });
  say("ok services, also of a protocol that musl does not know");

  const [a, b] = sync.socketpair();
  const data = Buffer.alloc(4);
  // 70 messages of 24 bytes each: more than musl's sendmsg(3) accepts, so the addon makes the system call itself.
  const control = Array.from({ length: 70 }, () => ({ level: 0x7fff, type: 1, data }));
  const sent = a.sendmsg([Buffer.from("x")], { control });
  assert.equal(sent, 1);
  assert.equal(String(b.recv(10)), "x");
  say("ok sendmsg() with more control data than musl's own function takes");

  sync.send_fds(a, [Buffer.from("y")], [a.fileno(), b.fileno()]);
  const [text, descriptors] = sync.recv_fds(b, 10, 5);
  assert.equal(String(text), "y");
  const passed = descriptors.take();
  assert.equal(passed.length, 2);
  for (const fd of passed) sync.Socket.fromfd(fd).close();
  say("ok descriptors are passed");
  a.close();
  b.close();
}

if (isMainThread) await main();
else {
  askForProtocols();
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a worker, not a window
  parentPort.postMessage("done");
}
