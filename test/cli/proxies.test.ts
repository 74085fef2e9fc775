// `connect --via`: through real proxies, SOCKS 5 and HTTP.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { freePort } from "../support/freePort.js";
import { Program } from "../support/program.js";
import { checksum, ours, randomFile, temporaryFolder } from "./peers.js";
import { listening, missing, run, start } from "./support.js";

checkLeaks();

const folder = temporaryFolder("proxies");
const BIG = join(folder, "big");
const sum = randomFile(BIG, 100_000_000);

/** Waits until the program listens at the port. */
async function reachable(port: number, program: Program): Promise<void> {
  let over = false;
  void program.ended.then(() => (over = true));
  for (;;) {
    try {
      await (await connect(`tcp://127.0.0.1:${port}`)).close();
      return;
    } catch (error) {
      if (over) throw new Error(`the proxy ended: ${program.stdout}${program.stderr}`, { cause: error });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

async function throughProxy(via: string): Promise<void> {
  const received = join(folder, "received");
  await using server = ours(["listen", "0", "--receive-only"], { stdout: received });
  await using client = ours(["connect", await listening(server), "--via", via], { stdin: BIG });
  assert.deepEqual(await client.ended, { status: 0, stdout: "", stderr: "" });
  assert.equal((await server.ended).status, 0);
  assert.equal(await checksum(received), sum);
}

test("connect sends 100 MB through microsocks", { skip: missing("microsocks") }, async () => {
  const port = await freePort();
  await using proxy = new Program("microsocks", ["-i", "127.0.0.1", "-p", String(port), "-u", "me", "-P", "secret"]);
  await reachable(port, proxy);
  await throughProxy(`socks5://me:secret@127.0.0.1:${port}`);
  const refused = await run(["connect", "127.0.0.1:1", "--via", `socks5://me:wrong@127.0.0.1:${port}`], { input: "" });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^berkeley: [^\n]+\n$/);
});

test("connect sends 100 MB through dante-server", { skip: missing("danted") }, async () => {
  const port = await freePort();
  const config = join(folder, "danted.conf");
  writeFileSync(
    config,
    `internal: 127.0.0.1 port = ${port}\nexternal: lo\nsocksmethod: none\nclientmethod: none\nlogoutput: stderr\n` +
      "user.privileged: root\nuser.unprivileged: nobody\n" +
      "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\nsocks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\n",
  );
  await using proxy = new Program("/usr/sbin/danted", ["-f", config, "-p", join(folder, "danted.pid")]);
  await reachable(port, proxy);
  await throughProxy(`socks5://127.0.0.1:${port}`);
  proxy.kill("SIGTERM");
  await proxy.ended;
});

test("connect sends 100 MB through tinyproxy", { skip: missing("tinyproxy") }, async () => {
  const port = await freePort();
  const config = join(folder, "tinyproxy.conf");
  writeFileSync(config, `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\nAllow 127.0.0.1\n`);
  await using proxy = new Program("tinyproxy", ["-d", "-c", config]);
  await reachable(port, proxy);
  await throughProxy(`http://127.0.0.1:${port}`);
});

test("a proxy of an unknown kind, and one for datagrams, are usage errors", async () => {
  await using program = start(["echo", "0"]);
  const unknown = await run(["connect", await listening(program), "--via", "sock5://localhost:1"], { input: "" });
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /via is "sock5:\/\/localhost:1", required socks5:\/\//);
  const datagrams = await run(["connect", "udp://localhost:1", "--via", "socks5://localhost:1"], { input: "" });
  assert.equal(datagrams.status, 2);
  assert.match(datagrams.stderr, /--via is given with an endpoint of udp, required one of tcp or tls/);
});
