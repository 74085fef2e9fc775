// Headers that are read from a duplicate: no epoll entry is left for the connection.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { Socket, socketpair } from "berkeley";
import { HeaderPeeks } from "#berkeley/net/headerPeek.js";
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
  const peeks = new HeaderPeeks({ family: 1, type: 1, protocol: 0 }, 536);
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
