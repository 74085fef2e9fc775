// The examples server.ts, client.ts and echo.ts, with each other and with Python.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program, compiled } from "../support/program.js";

checkLeaks();

const example = (name: string, ...args: string[]): Program =>
  Program.node([join(compiled, "examples", `${name}.js`), ...args]);

async function portOf(server: Program): Promise<string> {
  const [, port = ""] = await server.line(/^listening on 127\.0\.0\.1:(\d+)$/);
  return port;
}

test("server.ts and client.ts exchange the two messages", async () => {
  await using server = example("server", "0");
  await using client = example("client", await portOf(server));
  assert.deepEqual(await client.ended, { status: 0, stdout: 'received "Welcome to my server"\n', stderr: "" });
  const { status, stdout, stderr } = await server.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, /^listening on .*\nconnected by 127\.0\.0\.1:\d+\nreceived "Hello, Server"\n$/);
});

test("client.ts works with a server in Python", async () => {
  const code = `
import socket
with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
    server.bind(("127.0.0.1", 0))
    server.listen(5)
    print("listening on %s:%d" % server.getsockname(), flush=True)
    conn, address = server.accept()
    with conn:
        print(conn.recv(1024).decode())
        conn.sendall(b"Welcome to my server")
`;
  await using server = new Program("python3", ["-c", code]);
  await using client = example("client", await portOf(server));
  assert.equal((await client.ended).stdout, 'received "Welcome to my server"\n');
  assert.match((await server.ended).stdout, /\nHello, Server\n$/);
});

test("echo.ts sends all bytes back, to several clients at once, until Ctrl-C", async () => {
  await using server = example("echo", "0");
  const port = Number(await portOf(server));
  const sockets = Array.from({ length: 5 }, () => new Socket());
  try {
    for (const socket of sockets) {
      socket.timeout = 10_000;
      await socket.connect(["127.0.0.1", port]);
    }
    for (const [index, socket] of sockets.entries()) await socket.sendAll(`hello ${index}`);
    for (const [index, socket] of sockets.toReversed().entries()) {
      assert.equal((await socket.recv(100)).toString(), `hello ${4 - index}`);
    }
    server.kill("SIGINT");
    const { status, stderr } = await server.ended;
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    for (const socket of sockets) assert.equal((await socket.recv(100)).length, 0);
  } finally {
    for (const socket of sockets) socket.close();
  }
});
