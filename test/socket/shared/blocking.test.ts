// O_NONBLOCK belongs to the open file description, and other processes may clear it. No call of ours then blocks the
// thread.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { AF_UNIX, Socket, socketpair } from "berkeley";
import * as sync from "berkeley/sync";
import { checkLeaks } from "../../support/leaks.js";
import { Program } from "../../support/program.js";

checkLeaks();

const scenes = fileURLToPath(new URL("./blockingScenes.js", import.meta.url));

for (const kind of ["awaitable", "sync"]) {
  test(`every waiting call of the ${kind} socket keeps its deadline when another process has made it blocking`, async () => {
    await using program = new Program(process.execPath, [scenes, kind]);
    const { status, stdout, stderr } = await program.ended;
    assert.deepEqual([status, stderr], [0, ""]);
    const [made, ...lines] = stdout.trim().split("\n");
    assert.equal(made, "True", "the flag was cleared");
    assert.equal(lines.pop(), "the same", "what is sent through blocking sockets arrives");
    assert.equal(lines.pop(), "True", "nothing of ours has set the flag again");
    if (kind === "awaitable") assert.equal(lines.pop(), "the timer ticked");
    assert.ok(lines.length > 25);
    for (const line of lines) assert.match(line, /: ETIMEDOUT in time$/);
  });
}

/** A listening socket without O_NONBLOCK, and a poll(2) that once reports a connection although there is none. */
const liar = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
static int asked;
int poll(struct pollfd *fds, nfds_t count, int timeout) {
  if (count == 1 && timeout == 0 && asked++ == 0) { fds[0].revents = POLLIN; return 1; }
  return ((int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll"))(fds, count, timeout);
}
`;
const stolen = `
import { spawnSync } from "node:child_process";
import { Socket } from "berkeley";
const server = new Socket();
await server.bind("127.0.0.1:0");
server.listen();
spawnSync("python3", ["-c", "import os; os.set_blocking(0, True)"], { stdio: [server.fileno(), "ignore", "inherit"], env: {} });
const accepting = server.accept({ timeout: 5000 });
const client = new Socket();
await client.connect(server.getsockname());
const [conn] = await accepting;
console.log("accepted");
for (const socket of [server, client, conn]) socket.close();
`;

test("accept() comes back when another process has taken the connection that poll(2) saw", () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-blocking-"));
  try {
    const [source, library] = [join(folder, "liar.c"), join(folder, "liar.so")];
    writeFileSync(source, liar);
    execFileSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", stolen], {
      encoding: "utf8",
      env: { ...process.env, LD_PRELOAD: [process.env["LD_PRELOAD"], library].filter(Boolean).join(" ") },
      timeout: 30_000,
    });
    assert.deepEqual([status, stdout, stderr], [0, "accepted\n", ""]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a child that has the connection as its standard input does not freeze us", async () => {
  const [ours, peer] = socketpair();
  const child = spawn("sleep", ["30"], { stdio: [ours.fileno(), "ignore", "ignore"] });
  try {
    await once(child, "spawn");
    await assert.rejects(ours.recv(10, { timeout: 50 }), { code: "ETIMEDOUT" });
    await peer.sendAll("after it");
    assert.equal(String(await ours.recv(10, { timeout: 5_000 })), "after it");
  } finally {
    child.kill();
    await once(child, "exit");
    ours.close();
    peer.close();
  }
});

function isBlocking(fd: number): boolean {
  const program = "import os; print(os.get_blocking(0))";
  return spawnSync("python3", ["-c", program], { stdio: [fd, "pipe", "inherit"] }).stdout.toString() === "True\n";
}

/** What a child sees that gets the descriptor at a number above 2, whose flag libuv leaves alone. */
function isBlockingAt(fd: number): boolean {
  const program = "import os; print(os.get_blocking(3))";
  const { stdout } = spawnSync("python3", ["-c", program], { stdio: ["ignore", "pipe", "inherit", fd] });
  return stdout.toString() === "True\n";
}

for (const [kind, make] of [
  ["awaitable", () => new Socket(AF_UNIX)],
  ["sync", () => new sync.Socket(AF_UNIX)],
] as const) {
  test(`detach({ blocking: true }) of the ${kind} socket hands a blocking descriptor over, detach() a non-blocking one`, () => {
    for (const [opts, blocking] of [
      [{ blocking: true }, true],
      [{ blocking: false }, false],
      [{}, false],
      [undefined, false],
    ] as const) {
      const socket = make();
      const fd = socket.detach(opts);
      assert.equal(socket.closed, true);
      assert.equal(isBlockingAt(fd), blocking);
      closeSync(fd);
    }
  });

  test(`detach() of the ${kind} socket refuses a value that is not a boolean, and the socket stays open`, () => {
    const socket = make();
    assert.throws(
      () => socket.detach({ blocking: 1 as never }),
      /Cannot detach: blocking is 1, required true or false/,
    );
    assert.throws(() => socket.detach(true as never), /Cannot detach: options are true, required an object/);
    assert.equal(socket.closed, false);
    assert.equal(isBlocking(socket.fileno()), true, "libuv makes standard input blocking");
    socket.close();
    assert.throws(() => socket.detach({ blocking: true }), { code: "EBADF" });
  });
}
