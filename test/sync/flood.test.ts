// splice() and pump() of the blocking twin while bytes flow without a pause.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { type InetAddress } from "berkeley";
import { create_server, pump, type Socket, splice } from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const SENDS = "while True: s.sendall(bytes(1 << 16))";
const RECEIVES = "b = bytearray(1 << 20)\nwhile s.recv_into(b): pass";

/** A connection to a process that runs `program`, in Python, on its socket `s`. */
function peer(program: string): [Socket, ChildProcess] {
  using server = create_server(["127.0.0.1", 0]);
  const { port } = server.getsockname() as InetAddress;
  const script = `
import socket
s = socket.create_connection(("127.0.0.1", ${port}))
try:
${program.replaceAll(/^/gm, "  ")}
except (BrokenPipeError, ConnectionResetError):
  pass
`;
  const child = spawn("python3", ["-c", script], { stdio: ["ignore", "ignore", "inherit"] });
  const [conn] = server.accept({ timeout: 10_000 });
  return [conn, child];
}

async function end(sockets: readonly Socket[], children: readonly ChildProcess[]): Promise<void> {
  for (const socket of sockets) socket.close();
  for (const child of children) if (child.exitCode === null) await once(child, "exit");
}

for (const [name, move] of [
  ["splice()", splice],
  ["pump()", pump],
] as const) {
  test(`${name} keeps its timeout while bytes flow`, async () => {
    const [from, sender] = peer(SENDS);
    const [to, receiver] = peer(RECEIVES);
    const began = performance.now();
    assert.throws(() => move(from, to, { timeout: 200 }), { code: "ETIMEDOUT" });
    const took = performance.now() - began;
    assert.ok(took >= 199 && took < 5_000, `${took} ms`);
    await end([from, to], [sender, receiver]);
  });

  test(`${name} is interrupted by a signal while bytes flow`, async () => {
    const [from, sender] = peer(SENDS);
    const [to, receiver] = peer(RECEIVES);
    let heard = 0;
    const listener = (): void => void heard++;
    process.on("SIGUSR2", listener);
    const killer = spawn("sh", ["-c", `sleep 0.3; kill -USR2 ${process.pid}`], { stdio: "ignore" });
    assert.throws(() => move(from, to, { timeout: 20_000 }), { code: "EINTR" });
    while (heard === 0) await new Promise(setImmediate);
    process.off("SIGUSR2", listener);
    await end([from, to], [sender, receiver, killer]);
  });
}

test("pump() goes on in both directions: an answer against the flood ends it", async () => {
  const [from, sender] = peer(
    `s.setblocking(False)
while True:
  try:
    if s.recv(10): break
  except BlockingIOError: pass
  try: s.send(bytes(1 << 16))
  except BlockingIOError: pass
s.setblocking(True)
s.shutdown(socket.SHUT_WR)
while s.recv(10): pass`,
  );
  const [to, receiver] = peer(`b = bytearray(1 << 20)
total = 0
while total < 20000000: total += s.recv_into(b)
s.sendall(b"enough")
while s.recv_into(b): pass`);
  const { aToB, bToA } = pump(from, to, { timeout: 30_000 });
  assert.equal(bToA, 6);
  assert.ok(aToB >= 20_000_000);
  await end([from, to], [sender, receiver]);
});

test("a flood that ends by a count or by itself is whole", async () => {
  const [from, sender] = peer("s.sendall(bytes(10_000_000)); s.shutdown(socket.SHUT_WR); s.recv(1)");
  const [to, receiver] = peer(RECEIVES);
  assert.equal(splice(from, to, { count: 4_000_001, end: false, timeout: 30_000 }), 4_000_001);
  assert.equal(splice(from, to, { timeout: 30_000 }), 5_999_999);
  await end([from, to], [sender, receiver]);
});
