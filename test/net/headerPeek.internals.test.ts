// Headers that the server reads: no epoll entry stays behind for the connection, and a second read needs no descriptor.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { InetAddress, Socket, socketpair } from "berkeley";
import { encodeProxyHeader } from "berkeley/server";
import { HeaderPeeker } from "#berkeley/net/headerPeek.js";
import { calls } from "#berkeley/sys/calls.js";
import { EMFILE } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** The number of entries for a file in the epoll descriptors of this process: proc_pid_fdinfo(5). */
function entriesOf(fd: number): number {
  const { ino } = statSync(`/proc/self/fd/${fd}`);
  const inode = `ino:${ino.toString(16)} `;
  let count = 0;
  for (const name of readdirSync("/proc/self/fdinfo")) {
    let text = "";
    try {
      text = readFileSync(`/proc/self/fdinfo/${name}`, "latin1");
    } catch {
      // The descriptor of the directory is closed by now.
    }
    count += text.split("\n").filter((line) => line.startsWith("tfd:") && line.includes(inode)).length;
  }
  return count;
}

test("a header that comes late leaves no epoll entry of the connection", async () => {
  const [own, proxy] = socketpair();
  const fd = own.detach();
  const peeks = new HeaderPeeker({ family: 1, type: 1, protocol: 0 }, 536);
  const accepted = { fd, address: new Uint8Array() };
  const source = peeks.sourceOf(accepted);
  const header = source.peek(6);
  assert.equal(entriesOf(fd), 1);
  await proxy.sendAll("PROXY ");
  assert.equal(String(await header), "PROXY ");
  peeks.release(accepted);
  assert.equal(entriesOf(fd), 0);
  const connection = Socket.fromfd(fd);
  assert.equal(String(await connection.recv(6)), "PROXY ");
  connection.close();
  proxy.close();
});

const shortages: readonly (readonly [name: string, skip: false | string, exhaust: () => () => void])[] = [
  [
    "dup() fails",
    false,
    () => {
      const { dup } = calls;
      calls.dup = () => EMFILE;
      return () => void (calls.dup = dup);
    },
  ],
  [
    "no descriptor is free",
    !existsSync("/usr/bin/prlimit") && "prlimit(1) is missing",
    () => {
      execFileSync("prlimit", ["--pid", String(process.pid), "--nofile=64:"]);
      const open: number[] = [];
      try {
        for (;;) open.push(openSync("/dev/null", "r"));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "EMFILE");
      }
      return () => open.forEach((fd) => closeSync(fd));
    },
  ],
];

for (const [name, skip, exhaust] of shortages) {
  test(`the header of a connection is read again while ${name}`, { skip }, async () => {
    const [own, proxy] = socketpair();
    const fd = own.detach();
    const source = new InetAddress("192.0.2.1", 51_000);
    await proxy.sendAll(encodeProxyHeader({ source, destination: new InetAddress("198.51.100.2", 443) }));
    const peeks = new HeaderPeeker({ family: 1, type: 1, protocol: 0 }, 536);
    const restore = exhaust();
    const found = peeks.headerOf({ fd, address: new Uint8Array() });
    restore();
    assert.equal(String(found?.source), "192.0.2.1:51000");
    own.close();
    Socket.fromfd(fd).close();
    proxy.close();
  });
}
