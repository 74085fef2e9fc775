// The small servers, with clients of ours and of others.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, connectUdp } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { listening, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-servers-"));
after(() => rmSync(folder, { recursive: true }));

test("echo sends back what comes, prints a line for each connection and the totals", async () => {
  await using program = start(["echo", "0", "--count", "2"]);
  const endpoint = await listening(program);
  for (const text of ["hello", "x".repeat(1_000_000)]) {
    await using stream = await connect(endpoint);
    const written = stream.write(text).then(() => stream.closeWrite());
    const back = await stream.readExactly(text.length);
    assert.ok(back.equals(Buffer.from(text)));
    assert.equal(await stream.read(), null);
    await written;
  }
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^127\.0\.0\.1:\d+ {2}received 5 B, sent 5 B in /m);
  assert.match(stdout, /^127\.0\.0\.1:\d+ {2}received 1\.00 MB, sent 1\.00 MB in /m);
  assert.match(stdout, /^total: 2 connections, received 1\.00 MB, sent 1\.00 MB in /m);
});

test("echo with --json prints an object for the listener, each connection, and the totals", async () => {
  await using program = start(["echo", "unix:@berkeley-echo-json", "--json", "--count", "1"]);
  await program.line(/"listening"/);
  await using stream = await connect("unix:@berkeley-echo-json");
  await stream.write("abc");
  await stream.readExactly(3);
  await stream.close();
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  const events = objects(stdout);
  assert.deepEqual(events[0], { event: "listening", endpoint: "unix:@berkeley-echo-json" });
  assert.deepEqual(
    events.slice(1).map((event) => ({ ...event, milliseconds: undefined })),
    [
      { event: "connected", number: 1, peer: "client 1", milliseconds: undefined },
      { event: "connection", number: 1, peer: "client 1", received: 3, sent: 3, milliseconds: undefined },
      { event: "total", connections: 1, failed: 0, received: 3, sent: 3, milliseconds: undefined },
    ],
  );
});

test("echo sends datagrams back", async () => {
  await using program = start(["echo", "--udp", "0", "--count", "2"]);
  await using socket = await connectUdp(await listening(program));
  for (const text of ["one", ""]) {
    await socket.send(text);
    assert.equal((await socket.receive()).data.toString(), text);
  }
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^total: 2 datagrams, received 3 B, sent 3 B in /m);
});

test("echo ends a silent connection after --idle, counts it as failed and serves the next", async () => {
  await using program = start(["echo", "0", "--idle", "50ms", "--count", "1", "--json"]);
  await using silent = await connect(await listening(program));
  await assert.rejects(async () => assert.equal(await silent.read(), null), { code: "ECONNRESET" });
  const total = objects((await program.ended).stdout).at(-1);
  assert.deepEqual({ connections: total?.["connections"], failed: total?.["failed"] }, { connections: 1, failed: 1 });
});

test("echo serves --max connections at a time", async () => {
  await using program = start(["echo", "0", "--max", "1", "--count", "2"]);
  const endpoint = await listening(program);
  const first = await connect(endpoint);
  await first.write("1");
  await first.readExactly(1);
  await using second = await connect(endpoint);
  await second.write("2");
  const answer = second.readExactly(1);
  const early = await Promise.race([answer.then(() => "second"), first.write("3").then(() => first.readExactly(1))]);
  assert.equal(String(early), "3");
  await first.close();
  assert.equal(String(await answer), "2");
});

test("echo is ended by Ctrl-C with status 0, its connections closed and the totals printed", async () => {
  await using program = start(["echo", "0"]);
  await using stream = await connect(await listening(program));
  await stream.write("x");
  await stream.readExactly(1);
  program.kill("SIGINT");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^total: 1 connection, received 1 B, sent 1 B in /m);
});

test("echo speaks TLS with openssl s_client", { skip: missing("openssl") }, async () => {
  const pem = join(folder, "pem");
  execFileSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout ${pem} -out ${pem}.crt`.split(
      " ",
    ),
    { stdio: "ignore" },
  );
  await using program = start([
    "echo",
    "--tls",
    "0",
    "--cert",
    `${pem}.crt`,
    "--key",
    pem,
    "--count",
    "1",
    "--alpn",
    "echo",
  ]);
  const { host, port } = new URL((await listening(program)).replace("tls:", "http:"));
  assert.ok(port);
  const client = spawnSync("openssl", ["s_client", "-connect", host, "-alpn", "echo", "-quiet", "-no_ign_eof"], {
    input: "over TLS\n",
    encoding: "utf8",
    timeout: 20_000,
  });
  assert.ok(client.stdout.startsWith("over TLS\n") || client.status === 0, client.stderr);
  assert.match((await program.ended).stdout, /received 9 B, sent 9 B/);
});

test("a server whose output nobody reads ends quietly", async () => {
  await using program = start(["echo", "0"]);
  const endpoint = await listening(program);
  program.child.stdout!.destroy();
  await using stream = await connect(endpoint);
  await stream.write("x");
  await stream.readExactly(1);
  await stream.close();
  const { status } = await program.ended;
  assert.equal(status, 0);
});

test("a port that is taken is a line of its own and status 1", async () => {
  await using program = start(["echo", "0"]);
  const endpoint = await listening(program);
  const { status, stdout, stderr } = await run(["echo", endpoint]);
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
  assert.match(stderr, /^berkeley: bind EADDRINUSE 127\.0\.0\.1:\d+: address already in use\n$/);
});
