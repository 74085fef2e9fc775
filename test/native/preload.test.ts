// Functions in a library of LD_PRELOAD get our calls, as proxies and network stacks in user space require.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const shim = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *text) { if (write(2, text, strlen(text)) < 0) return; }

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  say("connect seen\\n");
  return ((int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect"))(fd, address, length);
}

ssize_t send(int fd, const void *data, size_t size, int flags) {
  say("send seen\\n");
  return ((ssize_t (*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send"))(fd, data, size, flags);
}
`;

const program = `
import { Socket } from "berkeley";
const server = new Socket();
await server.bind("127.0.0.1:0");
server.listen();
const client = new Socket();
await client.connect(server.getsockname());
await client.sendAll("hello");
const [conn] = await server.accept();
console.log(String(await conn.recv(10)));
for (const socket of [server, client, conn]) socket.close();
`;

test("functions that are preloaded see each call", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-preload-"));
  try {
    const [source, library] = [join(folder, "shim.c"), join(folder, "shim.so")];
    writeFileSync(source, shim);
    execFileSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
    const run = (env: NodeJS.ProcessEnv): { stdout: string; stderr: string; status: number | null } =>
      spawnSync(process.execPath, ["--input-type=module", "-e", program], {
        encoding: "utf8",
        env: { ...process.env, ...env },
      });
    const plain = run({});
    assert.deepEqual([plain.status, plain.stdout, plain.stderr], [0, "hello\n", ""]);
    // After what is there already: a sanitizer's runtime must be the first.
    const seen = run({ LD_PRELOAD: [process.env["LD_PRELOAD"], library].filter(Boolean).join(" ") });
    assert.deepEqual([seen.status, seen.stdout], [0, "hello\n"]);
    assert.match(seen.stderr, /connect seen/);
    assert.match(seen.stderr, /send seen/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
