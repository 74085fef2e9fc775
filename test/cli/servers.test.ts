// The small servers, with our clients and with other programs.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, connectUdp, type Stream, type TlsConn } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { listening, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-servers-"));
after(() => rmSync(folder, { recursive: true }));

test("echo sends all bytes back, prints a line for each connection and the totals", async () => {
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

test("chargen --idle does not end a connection whose client reads and sends nothing", async () => {
  await using program = start(["chargen", "0", "--idle", "300ms", "--count", "1", "--json"]);
  const client = await connect(await listening(program));
  const since = performance.now();
  while (performance.now() - since < 900) assert.notEqual(await client.read(), null);
  await client.close();
  const total = objects((await program.ended).stdout).at(-1);
  assert.deepEqual([total?.["connections"], total?.["failed"]], [1, 0]);
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

test("echo works with openssl s_client", { skip: missing("openssl") }, async () => {
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

test(
  "a server of TLS without --cert makes a certificate, whose fingerprint it prints",
  { skip: missing("openssl") },
  async () => {
    await using program = start(["echo", "tls://127.0.0.1:0", "--count", "2"]);
    const endpoint = await listening(program);
    const [, fingerprint = ""] = await program.line(/fingerprint ([\dA-F:]{95})$/, "stderr");
    await using stream = (await connect(endpoint, { tls: { rejectUnauthorized: false } })) as Stream<TlsConn>;
    const certificate = stream.conn.peerCertificate!;
    assert.equal(certificate.fingerprint256, fingerprint);
    // It is one for localhost that verifies itself.
    await using verified = await connect(endpoint, { tls: { ca: certificate.toString() } });
    await verified.write("x");
    assert.equal(String(await verified.readExactly(1)), "x");
    const text = execFileSync("openssl", ["x509", "-noout", "-subject", "-ext", "subjectAltName"], {
      input: certificate.toString(),
      encoding: "utf8",
    });
    assert.match(
      text,
      /subject=\s*CN = localhost\n[^]*DNS:localhost, IP Address:127\.0\.0\.1, IP Address:0:0:0:0:0:0:0:1/,
    );
  },
);

test("a server whose output is closed ends without an error message", async () => {
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

test("a port in use is one error line and status 1", async () => {
  await using program = start(["echo", "0"]);
  const endpoint = await listening(program);
  const { status, stdout, stderr } = await run(["echo", endpoint]);
  assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
  assert.match(stderr, /^berkeley: bind EADDRINUSE 127\.0\.0\.1:\d+: address already in use\n$/);
});

test("discard takes all that comes, of streams and of datagrams", async () => {
  await using program = start(["discard", "0", "--count", "1"]);
  await using stream = await connect(await listening(program));
  await stream.write(Buffer.alloc(5_000_000));
  await stream.closeWrite();
  assert.equal(await stream.read(), null);
  assert.match((await program.ended).stdout, /^total: 1 connection, received 5\.00 MB, sent 0 B in /m);
  await using udp = start(["discard", "--udp", "0", "--count", "1"]);
  await using socket = await connectUdp(await listening(udp));
  await socket.send("gone");
  assert.match((await udp.ended).stdout, /^total: 1 datagram, received 4 B, sent 0 B in /m);
});

test("chargen sends the lines of RFC 864 until the client closes, and a line for each datagram", async () => {
  await using program = start(["chargen", "0", "--count", "1"]);
  const stream = await connect(await listening(program));
  const text = String(await stream.readExactly(74 * 100));
  const lines = text.split("\r\n");
  assert.equal(
    lines[0],
    "".padEnd(72).replaceAll(/ /g, (_space, at: number) => String.fromCharCode(0x20 + at)),
  );
  assert.equal(lines[1]?.[0], "!");
  assert.ok(lines.slice(0, 100).every((line) => line.length === 72));
  // The pattern comes round after 95 lines.
  assert.equal(lines[95], lines[0]);
  stream.abort();
  const { stdout, status } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^total: 1 connection, received 0 B, /m);
  await using udp = start(["chargen", "--udp", "0", "--count", "2"]);
  await using socket = await connectUdp(await listening(udp));
  for (const begin of [" !", '!"']) {
    await socket.send("");
    const line = String((await socket.receive()).data);
    assert.ok(line.startsWith(begin) && line.length === 74, line);
  }
});

test("daytime says the time and closes", async () => {
  await using program = start(["daytime", "0", "--count", "1"]);
  await using stream = await connect(await listening(program));
  const line = (await stream.readLine()) ?? "";
  assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.ok(Math.abs(Date.parse(line) - Date.now()) < 60_000);
  assert.equal(await stream.read(), null);
  assert.equal((await program.ended).status, 0);
  await using local = start(["daytime", "0", "--local", "--count", "1"], { env: { TZ: "Asia/Kolkata" } });
  await using there = await connect(await listening(local));
  const [, offset] = /([+-]\d\d:\d\d)$/.exec((await there.readLine()) ?? "") ?? [];
  assert.equal(offset, "+05:30");
});

test("chat sends each line to the others, with names, joins and leaves, and escapes", async () => {
  await using program = start(["chat", "0"]);
  const endpoint = await listening(program);
  const one = await connect(endpoint);
  const two = await connect(endpoint);
  const own = String(two.localAddress);
  assert.equal(await one.readLine(), `* ${own} joins`);
  await two.write("hello\n");
  assert.equal(await one.readLine(), `${own}: hello`);
  await two.write("/name Ada\nred \u001b[31m alert\n");
  assert.equal(await one.readLine(), `* ${own} is now Ada`);
  assert.equal(await one.readLine(), "Ada: red \\x1b[31m alert");
  await one.write("both ways\n");
  assert.equal(await two.readLine(), `${String(one.localAddress)}: both ways`);
  await two.close();
  assert.equal(await one.readLine(), "* Ada leaves");
  program.kill("SIGINT");
  assert.equal((await program.ended).status, 0);
  await one.close();
});

test("chat cuts a client that does not read, and goes on with the others", async () => {
  await using program = start(["chat", "0", "--raw", "--max-backlog", "1MB", "--json"]);
  const endpoint = await listening(program);
  await using lazy = await connect(endpoint);
  await program.line(/"number":1/);
  await using eager = await connect(endpoint);
  await program.line(/"number":2/);
  await using speaker = await connect(endpoint);
  await program.line(/"number":3/);
  let received = 0;
  const reading = (async () => {
    for await (const chunk of eager) received += chunk.length;
  })();
  const block = Buffer.alloc(64 << 10, "z");
  let cut = false;
  void program.line(/does not read/).then(() => (cut = true));
  let sent = 0;
  while (!cut) {
    await speaker.write(block);
    sent += block.length;
  }
  await speaker.closeWrite();
  while (received < sent) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(received, sent);
  program.kill("SIGINT");
  await reading.catch(() => undefined);
  assert.equal((await program.ended).status, 0);
  await lazy.close().catch(() => undefined);
});
