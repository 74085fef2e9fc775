// The commands `connect` and `listen`: ends, limits, forms of output, options, commands of --exec, and errors.
import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  bindUdp,
  connect,
  connectUdp,
  listen,
  SOCK_STREAM,
  Socket,
  type SocketListener,
  TCP_MAXSEG,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { ours, randomFile, temporaryFolder } from "./peers.js";
import { listening, MAIN, objects, run, start } from "./support.js";

checkLeaks();

const folder = temporaryFolder("talk");

/** A listener, and its endpoint in words. */
async function server(): Promise<SocketListener & { endpoint: string }> {
  const listener = await listen("tcp://127.0.0.1:0");
  return Object.assign(listener, { endpoint: `tcp://${String(listener.address)}` });
}

/** Our command with a standard input that stays open. */
function open(args: readonly string[]): Program {
  return start(args, { openInput: true });
}

test("connect half-closes at the end of standard input, and prints the whole answer", async () => {
  await using listener = await server();
  await using program = start(["connect", listener.endpoint], { input: "question" });
  await using stream = await listener.accept();
  assert.equal(String(await stream.readExactly(8)), "question");
  assert.equal(await stream.read(), null);
  await stream.write("answer");
  await stream.close();
  assert.deepEqual(await program.ended, { status: 0, stdout: "answer", stderr: "" });
});

test("connect --no-shutdown leaves the sending direction open", async () => {
  await using listener = await server();
  await using program = start(["connect", listener.endpoint, "--no-shutdown"], { input: "question" });
  await using stream = await listener.accept();
  assert.equal(String(await stream.readExactly(8)), "question");
  await assert.rejects(stream.read({ timeout: 200 }), { code: "ETIMEDOUT" });
  await stream.close();
  assert.equal((await program.ended).status, 0);
});

test("connect ends when the peer has finished and standard input brings nothing for the time of --linger", async () => {
  await using listener = await server();
  await using program = open(["connect", listener.endpoint, "--linger", "100ms"]);
  await using stream = await listener.accept();
  await stream.write("bye");
  await stream.closeWrite();
  await program.line(/./).catch(() => undefined);
  assert.equal(await stream.read(), null);
  assert.equal(program.stdout, "bye");
});

test("connect sends a file to its end after the peer has finished", async () => {
  const path = join(folder, "file");
  randomFile(path, 20_000_000);
  await using listener = await server();
  await using program = ours(["connect", listener.endpoint, "--linger", "1ms"], { stdin: path });
  await using stream = await listener.accept();
  await stream.closeWrite();
  let received = 0;
  for await (const chunk of stream) received += chunk.length;
  assert.equal(received, 20_000_000);
  assert.equal((await program.ended).status, 0);
});

test("connect sends a file from the present position of its descriptor", async () => {
  const path = join(folder, "rest");
  writeFileSync(path, "first line\nsecond line\n");
  await using listener = await server();
  // head(1) of coreutils leaves the offset after the line.
  const script = '{ dd bs=11 count=1 of=/dev/null 2>/dev/null; exec "$@"; } < "$0"';
  await using program = new Program("/bin/sh", [
    "-c",
    script,
    path,
    process.execPath,
    MAIN,
    "connect",
    listener.endpoint,
  ]);
  await using stream = await listener.accept();
  assert.equal(String(await stream.readExactly(12)), "second line\n");
  assert.equal(await stream.read(), null);
  await stream.close();
  assert.equal((await program.ended).status, 0);
});

test("connect reports a reset as a failure, after the received bytes", async () => {
  await using listener = await server();
  await using program = open(["connect", listener.endpoint]);
  await using stream = await listener.accept();
  await stream.write("half of an ans");
  program.child.stdout!.once("data", () => stream.abort());
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual([status, stdout], [1, "half of an ans"]);
  assert.match(stderr, /^berkeley: recv ECONNRESET .*: connection reset by peer\n$/);
});

test("--crlf, --line and --hex change the sent and the printed bytes", async () => {
  await using listener = await server();
  await using program = start(["connect", listener.endpoint, "--crlf", "--hex"], { input: "a\nb\r\nc" });
  await using stream = await listener.accept();
  assert.equal(String(await stream.readExactly(7)), "a\r\nb\r\nc");
  await stream.write(Buffer.from([0, 1, 0x41, 0xff]));
  await stream.close();
  const { stdout } = await program.ended;
  assert.match(stdout, /^> 00000000 {2}61 0d 0a 62 0d 0a 63 +\|a\.\.b\.\.c\|$/m);
  assert.match(stdout, /^< 00000000 {2}00 01 41 ff +\|\.\.A\.\|$/m);
});

test("--line sends each line as a datagram of its own", async () => {
  await using socket = await bindUdp("udp://127.0.0.1:0");
  await using program = start(["connect", `udp://${String(socket.address)}`, "--line", "--send-only"], {
    input: "one\ntwo\nthree",
  });
  const lines: string[] = [];
  for (let index = 0; index < 3; index++) lines.push(String((await socket.receive()).data));
  assert.deepEqual(lines, ["one\n", "two\n", "three"]);
  assert.equal((await program.ended).status, 0);
});

test("--json prints received bytes as text or base64, and the counts at the end", async () => {
  await using listener = await server();
  await using program = start(["connect", listener.endpoint, "--json"], { input: "ask" });
  await using stream = await listener.accept();
  await stream.readExactly(3);
  await stream.write("höher\n");
  await program.line(/höher/);
  await stream.write(Buffer.from([0xff, 0xfe]));
  await stream.close();
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  const peer = String(listener.address);
  assert.deepEqual(
    objects(stdout).map((event) => ({ ...event, milliseconds: undefined })),
    [
      { event: "connected", peer, milliseconds: undefined },
      { event: "data", peer, text: "höher\n", milliseconds: undefined },
      { event: "data", peer, base64: "//4=", milliseconds: undefined },
      { event: "closed", peer, sent: 3, received: 9, milliseconds: undefined },
    ],
  );
});

test("--idle ends a connection without bytes with status 1, --timeout an attempt without an answer", async () => {
  await using listener = await server();
  await using program = open(["connect", listener.endpoint, "--idle", "100ms"]);
  await using stream = await listener.accept();
  const accepted = stream.read().catch(() => null);
  const { status, stderr } = await program.ended;
  assert.deepEqual([status, stderr], [1, "berkeley: no data was sent or received for 100 ms\n"]);
  await accepted;
  // A listener whose queue is full answers nothing.
  await using full = new Socket(AF_INET);
  await full.bind("127.0.0.1:0");
  full.listen(0);
  await using first = new Socket(AF_INET);
  await first.connect(full.getsockname());
  const late = await run(["connect", String(full.getsockname()), "--timeout", "200ms"], { input: "" });
  assert.equal(late.status, 1);
  assert.match(late.stderr, /^berkeley: \S+ ETIMEDOUT 127\.0\.0\.1:\d+[^\n]*\n$/);
});

test("listen --timeout ends without a connection", async () => {
  const { status, stderr } = await run(["listen", "0", "-q", "--timeout", "50ms"], { input: "" });
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: accept ETIMEDOUT .*: the timeout has passed\n$/);
});

test("a refused connection and an unknown host are one error line and status 1", async () => {
  const probe = new Socket(AF_INET);
  await probe.bind("127.0.0.1:0");
  const address = String(probe.getsockname());
  probe.close();
  const refused = await run(["connect", address], { input: "" });
  assert.deepEqual(refused, {
    status: 1,
    stdout: "",
    stderr: `berkeley: connect ECONNREFUSED ${address}: connection refused\n`,
  });
  const unknown = await run(["connect", "nobody.invalid:80"], { input: "" });
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /^berkeley: getaddrinfo EAI_\w+ nobody\.invalid: [^\n]+\n$/);
});

test("--source and --option are set before the socket connects", async () => {
  await using listener = await server();
  await using program = open([
    "connect",
    listener.endpoint,
    "--source",
    "127.0.0.9:0",
    "--option",
    "TCP_NODELAY=1",
    "--option",
    "TCP_MAXSEG=600",
    "--option",
    "SO_LINGER=5",
  ]);
  await using stream = await listener.accept();
  assert.match(String(stream.remoteAddress), /^127\.0\.0\.9:/);
  assert.ok((stream.conn as unknown as { socket: Socket }).socket.getsockopt(TCP_MAXSEG) <= 600);
  program.kill("SIGTERM");
});

test("an option that the kernel refuses is an error with its errno, an unknown option is a usage error", async () => {
  await using listener = await server();
  const refused = await run(["connect", listener.endpoint, "--option", "TCP_CONGESTION=nobody"], { input: "" });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^berkeley: setsockopt ENOENT/);
  const unknown = await run(["connect", listener.endpoint, "--option", "TCP_NODELY"], { input: "" });
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /did you mean "TCP_NODELAY"\?/);
});

test("listen with --option removes the file of its UNIX socket, and replaces a stale one", async () => {
  const path = join(folder, "option.sock");
  for (const stale of [false, true]) {
    if (stale) {
      const left = new Socket(AF_UNIX, SOCK_STREAM);
      await left.bind({ path });
      left.close();
      assert.ok(existsSync(path));
    }
    await using program = start(["listen", path, "--option", "SO_RCVBUF=10000", "--exec", "true"]);
    await using stream = await connect(await listening(program));
    assert.equal(await stream.read(), null);
    assert.equal((await program.ended).status, 0);
    assert.ok(!existsSync(path));
  }
});

test("listen sets --option on accepted connections", async () => {
  await using program = start(["listen", "0", "--option", "TCP_NODELAY=1", "--exec", "true", "-v"]);
  await using stream = await connect(await listening(program));
  assert.equal(await stream.read(), null);
  assert.equal((await program.ended).status, 0);
});

test("listen --keep-open sends standard input to all clients, and prints the bytes of all", async () => {
  await using program = start(["listen", "0", "--keep-open", "--json"], { input: "to all\n" });
  const endpoint = await listening(program);
  await using one = await connect(endpoint);
  assert.equal(await one.readLine(), "to all");
  await one.write("from one\n");
  await program.line(/from one/);
  await one.close();
  await using two = await connect(endpoint);
  await two.write("from two\n");
  await program.line(/from two/);
  // Its input has ended: a later connection is half-closed at once.
  assert.equal(await two.read(), null);
  program.kill("SIGINT");
  assert.equal((await program.ended).status, 0);
});

test("listen --keep-open serves --max connections at a time", async () => {
  await using program = open(["listen", "0", "--keep-open", "--max", "1", "--exec", "cat", "-v"]);
  const endpoint = await listening(program);
  await using one = await connect(endpoint);
  await one.write("1");
  await one.readExactly(1);
  await using two = await connect(endpoint);
  await two.write("2");
  await assert.rejects(two.readExactly(1, { timeout: 200 }), { code: "ETIMEDOUT" });
  await one.closeWrite();
  assert.equal(await one.read(), null);
  assert.equal(String(await two.readExactly(1)), "2");
  program.kill("SIGTERM");
});

test("listen --exec runs a command for each connection, by default only for this machine", async () => {
  await using program = start(["listen", "0", "--keep-open", "--exec", "tr a-z A-Z; echo $BERKELEY_PEER"]);
  const endpoint = await listening(program);
  for (const word of ["one", "two"]) {
    await using stream = await connect(endpoint);
    await stream.write(word);
    await stream.closeWrite();
    const all: Buffer[] = [];
    for await (const chunk of stream) all.push(chunk);
    assert.equal(Buffer.concat(all).toString(), `${word.toUpperCase()}${String(stream.localAddress)}\n`);
  }
  program.kill("SIGTERM");
  assert.equal((await program.ended).status, 0);
  for (const remote of ["*:0", "tcp://0.0.0.0:0", "tcp://[::]:0", "fd:3", "systemd:web"]) {
    const refused = await run(["listen", remote, "--exec", "sh"]);
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /^berkeley: --exec is given with an endpoint that other machines may reach, required --allow-/,
    );
  }
});

test("a command of --exec may close its input early, and goes on", async () => {
  await using program = start(["listen", "0", "--exec", "head -c 1 > /dev/null; exec < /dev/null; sleep 0.2; echo ok"]);
  await using stream = await connect(await listening(program));
  await stream.write(Buffer.alloc(5_000_000));
  assert.equal(await stream.readLine(), "ok");
  await stream.closeWrite();
  const { status, stderr } = await program.ended;
  assert.deepEqual({ status, stderr: stderr.replace(/^berkeley: listening .*\n/, "") }, { status: 0, stderr: "" });
});

test("a command of --exec gets more input than its pipe can hold, without a warning", async () => {
  await using program = start(["listen", "0", "--exec", "wc -c"]);
  await using stream = await connect(await listening(program));
  await stream.write(Buffer.alloc(20_000_000));
  await stream.closeWrite();
  assert.equal((await stream.readLine())?.trim(), "20000000");
  const { status, stderr } = await program.ended;
  assert.deepEqual({ status, stderr: stderr.replace(/^berkeley: listening .*\n/, "") }, { status: 0, stderr: "" });
});

test("a command of --exec ends with its connection", async () => {
  await using program = start(["listen", "0", "--exec", "echo $$; exec sleep 60"]);
  await using stream = await connect(await listening(program));
  const pid = Number(await stream.readLine());
  stream.abort();
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: recv ECONNRESET .*: connection reset by peer$/m);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

test("listen exchanges datagrams with the first sender, and drops those of others", async () => {
  await using program = start(["listen", "--udp", "0", "--json"], { input: "welcome" });
  const endpoint = await listening(program);
  await using first = await connectUdp(endpoint);
  await using other = await connectUdp(endpoint);
  await first.send("first");
  assert.equal(String((await first.receive()).data), "welcome");
  await other.send("other");
  await first.send("again");
  await program.line(/again/);
  assert.ok(!program.stdout.includes("other"));
  program.kill("SIGINT");
  assert.equal((await program.ended).status, 0);
});

test("Ctrl-C ends connect with 130, and loses nothing that the kernel has acknowledged", async () => {
  const path = join(folder, "acknowledged");
  await using listener = await server();
  await using program = new Program(
    "/bin/sh",
    ["-c", 'exec "$@" > "$0"', path, process.execPath, MAIN, "connect", listener.endpoint, "-v"],
    { openInput: true },
  );
  await using stream = await listener.accept();
  await stream.write(Buffer.alloc(3_000_000, "x"));
  await program.line(/connected to/, "stderr");
  program.kill("SIGINT");
  assert.equal((await program.ended).status, 130);
  assert.equal(statSync(path).size, 3_000_000);
});

test("listen ends with status 0 when standard output is closed", async () => {
  await using listener = await server();
  await using program = new Program("/bin/sh", [
    "-c",
    '"$@" </dev/null | head -c 5; echo',
    "sh",
    process.execPath,
    MAIN,
    "connect",
    listener.endpoint,
    "--receive-only",
  ]);
  await using stream = await listener.accept();
  const endless = (async () => {
    for (;;) await stream.write(Buffer.alloc(65_536, "y"));
  })();
  await assert.rejects(endless, (error: { code: string }) => ["EPIPE", "ECONNRESET"].includes(error.code));
  const { status, stdout, stderr } = await program.ended;
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: "yyyyy\n", stderr: "" });
});

test("a full disk at standard output is a failure", async () => {
  await using listener = await server();
  await using program = ours(["connect", listener.endpoint, "--receive-only"], { stdout: "/dev/full" });
  await using stream = await listener.accept();
  await stream.write("x");
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: cannot write the output: ENOSPC: no space left on device[^\n]*\n$/);
});

test("connect --exec runs a command with the connection, for every kind of endpoint", async () => {
  await using listener = await server();
  await using program = start(["connect", listener.endpoint, "--exec", "read line; echo got $line"]);
  await using stream = await listener.accept();
  await stream.write("hello\n");
  assert.equal(await stream.readLine(), "got hello");
  assert.equal(await stream.read(), null);
  await stream.close();
  assert.deepEqual(await program.ended, { status: 0, stdout: "", stderr: "" });
});

test("the name of a peer and JSON have no control characters", async () => {
  const path = join(folder, "named");
  await using program = start(["listen", path, "--json"], { input: "" });
  await listening(program);
  await using socket = new Socket(AF_UNIX);
  await socket.bind(`unix:@berkeley\u001b[2J\u009b${process.pid}`);
  await socket.connect(`unix:${path}`);
  await socket.sendAll("c1 \u009b bidi \u202e tag \u{e0001} end\u0007");
  await socket.end();
  const { stdout } = await program.ended;
  assert.doesNotMatch(stdout.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u);
  const data = objects(stdout).find(({ event }) => event === "data")!;
  assert.equal(data["text"], "c1 \u009b bidi \u202e tag \u{e0001} end\u0007");
  assert.equal(data["peer"], `unix:@berkeley\\x1b[2J\\x9b${process.pid}`);
});

test("an error that quotes a peer is one line without control characters", async () => {
  await using proxy = await server();
  await using program = start(["connect", "localhost:1", "--via", `http://${String(proxy.address)}`], { input: "" });
  await using stream = await proxy.accept();
  await stream.readUntil("\r\n\r\n");
  await stream.write("HTTP/1.1 403 no \u009b31m way\u202e\r\n\r\n");
  await stream.close();
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: [^\n]+\n$/);
  assert.doesNotMatch(stderr.trimEnd(), /[\p{Cc}\p{Cf}]/u);
});
