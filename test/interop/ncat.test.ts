// ncat as the client of our server, and as the server of our client, over IPv4 and IPv6.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type InetAddress, SHUT_WR, SOCK_STREAM, Socket } from "berkeley";
import { networkFamilies, receiveAll } from "../support/families.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const installed = spawnSync("ncat", ["--version"], { stdio: "ignore" }).status === 0;
const skip = installed ? false : "ncat is not installed (Debian and Ubuntu: apt-get install ncat)";

for (const family of networkFamilies) {
  const host = family.name === "IPv4" ? "127.0.0.1" : "::1";

  test(`ncat is the client over ${family.name}`, { skip }, async () => {
    await using server = new Socket(family.family, SOCK_STREAM);
    await server.bind([host, 0]);
    server.listen(5);
    const { port } = server.getsockname() as InetAddress;
    await using program = new Program("ncat", ["-w", "10", host, String(port)], { input: "Hello, Server" });
    const [conn] = await server.accept({ timeout: 10_000 });
    assert.equal((await receiveAll(conn)).toString(), "Hello, Server");
    await conn.sendAll("Welcome to my server");
    conn.close();
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "Welcome to my server");
  });

  test(`ncat is the server over ${family.name}`, { skip }, async () => {
    // ncat does not print the port that the kernel chooses, so it gets a free port.
    const probe = new Socket(family.family, SOCK_STREAM);
    await probe.bind([host, 0]);
    const { port } = probe.getsockname() as InetAddress;
    probe.close();
    await using program = new Program("ncat", ["-l", "-w", "10", host, String(port)], {
      input: "Welcome to my server",
    });
    await using client = await dial(family.family, host, port, program);
    await client.sendAll("Hello, Server");
    client.shutdown(SHUT_WR);
    assert.equal((await receiveAll(client)).toString(), "Welcome to my server");
    client.close();
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "Hello, Server");
  });
}

/** Connects as soon as the program listens, which it does not announce. */
async function dial(family: number, host: string, port: number, program: Program): Promise<Socket> {
  let over = false;
  void program.ended.then(() => (over = true));
  for (;;) {
    const client = new Socket(family, SOCK_STREAM);
    try {
      await client.connect([host, port], { timeout: 10_000 });
      return client;
    } catch (error) {
      client.close();
      if (over || (error as { code: string }).code !== "ECONNREFUSED") throw error;
    }
  }
}
