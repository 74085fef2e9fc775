// The seven steps with Python's socket module as server and as client, over IPv4 and IPv6, and our options read by
// Python.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type InetAddress, SHUT_WR, SOCK_STREAM, Socket } from "berkeley";
import { type Family, networkFamilies } from "../support/families.js";
import { checkLeaks } from "../support/leaks.js";
import { Program, root } from "../support/program.js";

checkLeaks();

const script = join(root, "test", "interop", "seven_steps.py");
const python = (...args: string[]): Program => new Program("python3", [script, ...args]);
const hostOf = ({ name }: Family): string => (name === "IPv4" ? "127.0.0.1" : "::1");

/** Receives until the text ends with `end`. */
async function until(socket: Socket, end: string): Promise<string> {
  let text = "";
  while (!text.endsWith(end)) {
    const part = await socket.recv(1024, { timeout: 10_000 });
    assert.ok(part.length > 0, `the connection ended after ${JSON.stringify(text)}`);
    text += part.toString();
  }
  return text;
}

for (const family of networkFamilies) {
  const host = hostOf(family);

  test(`Python is the client and we are the server over ${family.name}`, async () => {
    await using server = new Socket(family.family, SOCK_STREAM);
    await server.bind([host, 0]);
    server.listen(5);
    const { port } = server.getsockname() as InetAddress;
    await using program = python("client", host, String(port));
    const [accepted, peer] = await server.accept({ timeout: 10_000 });
    await using conn = accepted;
    assert.equal((peer as InetAddress).host, host);
    assert.equal(await until(conn, "Server"), "Hello, Server");
    await conn.sendAll("Welcome to my server");
    assert.equal((await conn.recv(1024, { timeout: 10_000 })).length, 0, "Python has finished");
    conn.close();
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "received Welcome to my server\nthen 0 bytes\n");
  });

  test(`Python is the server and we are the client over ${family.name}`, async () => {
    await using program = python("server", host);
    const [, port] = await program.line(/^port (\d+)$/);
    await using client = new Socket(family.family, SOCK_STREAM);
    await client.connect([host, Number(port)], { timeout: 10_000 });
    const own = client.getsockname() as InetAddress;
    await client.sendAll("Hello, Server");
    assert.equal(await until(client, "server"), "Welcome to my server");
    client.shutdown(SHUT_WR);
    assert.equal((await client.recv(1024, { timeout: 10_000 })).length, 0);
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    assert.equal(stdout, `port ${port}\nfrom ${host} ${own.port}\nreceived Hello, Server\nthen 0 bytes\n`);
  });
}
