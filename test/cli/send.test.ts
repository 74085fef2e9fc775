// `send` and `file`: one message and its answer; a file with its checksum.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bindUdp, connect, listen } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { checksum, ours, randomFile, redirected, temporaryFolder } from "./peers.js";
import { listening, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = temporaryFolder("send");

test("send sends a message with escapes, and prints the answer to its end", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using program = start(["send", String(listener.address), "a\\r\\n\\x41\\\\ü"]);
  await using stream = await listener.accept();
  const all: Buffer[] = [];
  for await (const chunk of stream) all.push(chunk);
  assert.equal(Buffer.concat(all).toString(), "a\r\nA\\ü");
  await stream.write("part one, ");
  await stream.write("part two");
  await stream.close();
  assert.deepEqual(await program.ended, { status: 0, stdout: "part one, part two", stderr: "" });
});

test("send --line does not finish, and takes one line for the answer", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using program = start(["send", String(listener.address), "PING", "--newline", "--line", "--json"]);
  await using stream = await listener.accept();
  assert.equal(await stream.readLine(), "PING");
  await stream.write("PONG\nmore");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.deepEqual(objects(stdout), [
    { event: "answer", peer: String(listener.address), sent: 5, received: 5, text: "PONG\n" },
  ]);
});

test("send takes the first datagram for the answer, and gives up without one", async () => {
  await using socket = await bindUdp("udp://127.0.0.1:0");
  await using program = start(["send", `udp://${String(socket.address)}`], { input: "from standard input" });
  const { data, address } = await socket.receive();
  assert.equal(String(data), "from standard input");
  await socket.send("answer", address);
  assert.deepEqual(await program.ended, { status: 0, stdout: "answer", stderr: "" });
  const late = await run(["send", `udp://${String(socket.address)}`, "x", "--timeout", "50ms"]);
  assert.deepEqual(late, {
    status: 1,
    stdout: "",
    stderr: `berkeley: ${String(socket.address)} did not answer within 50.0 ms\n`,
  });
  const only = await run(["send", `udp://${String(socket.address)}`, "x", "--no-answer"]);
  assert.deepEqual(only, { status: 0, stdout: "", stderr: "" });
});

test("send refuses an unknown escape, and two messages", async () => {
  const unknown = await run(["send", "localhost:1", "a\\q"]);
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /^berkeley: MESSAGE has \\q, required n, r, t, \\, 0 or xNN after each backslash/);
  const cut = await run(["send", "localhost:1", "a\\"]);
  assert.match(cut.stderr, /^berkeley: MESSAGE ends with a backslash, required n, /);
  const both = await run(["send", "localhost:1", "a", "--file", "/dev/null"]);
  assert.match(both.stderr, /MESSAGE and --file are given together/);
});

test("a file arrives whole, under its name, with equal checksums", async () => {
  const source = join(folder, "source.bin");
  const sum = randomFile(source, 100_000_000);
  const target = join(folder, "inbox");
  mkdirSync(target);
  await using receiver = start(["file", "receive", "0", target]);
  await using sender = start(["file", "send", source, await listening(receiver)]);
  const sent = await sender.ended;
  assert.equal(sent.status, 0, sent.stderr);
  assert.match(sent.stdout, /^sent \S+source\.bin: 100 MB in \S+ \S+ \(\S+ [GMk]B\/s\)\n$/);
  const received = await receiver.ended;
  assert.equal(received.status, 0, received.stderr);
  assert.match(received.stdout, /^received \S+inbox\/source\.bin: 100 MB in /);
  assert.equal(await checksum(join(target, "source.bin")), sum);
  assert.deepEqual(readdirSync(target), ["source.bin"]);
});

test("a file that exists is not replaced without --force; an empty one is a file", async () => {
  const source = join(folder, "empty");
  writeFileSync(source, "");
  const target = join(folder, "target");
  writeFileSync(target, "precious");
  const refused = await run(["file", "receive", "0", target]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /TO is "\S+target", which exists, required --force to replace it/);
  await using sender = start(["file", "send", source, "0", "--listen", "--json"]);
  const received = await run(["file", "receive", await listening(sender), target, "--connect", "--force"]);
  assert.equal(received.status, 0, received.stderr);
  assert.equal((await sender.ended).status, 0);
  assert.equal(readFileSync(target, "utf8"), "");
});

test("a sender that ends in the middle leaves no file, nor does a wrong checksum", async () => {
  const target = join(folder, "cut");
  for (const [bytes, says] of [
    [`{"berkeley":"file","version":1,"name":"x","size":100}\nonly this`, /finished after 9 of 100 bytes/],
    [
      `{"berkeley":"file","version":1,"name":"x","size":3}\nabc{"sha256":"00"}\n`,
      /the checksum does not match the received bytes/,
    ],
    [`{"berkeley":"file","version":1,"name":"../..","size":0}\n{"sha256":"00"}\n`, /names the file|checksum/],
    ["GET / HTTP/1.0\r\n\r\n", /the peer sends "GET \/ HTTP\/1\.0\S*", required a header line/],
    ["", /the peer finished before a header line/],
  ] as const) {
    await using receiver = start(["file", "receive", "0", target]);
    await using stream = await connect(await listening(receiver));
    await stream.write(bytes);
    await stream.closeWrite();
    const { status, stderr } = await receiver.ended;
    assert.equal(status, 1);
    assert.match(stderr, says);
    assert.ok(!existsSync(target));
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith(".part")),
    [],
  );
});

test("file --idle ends a transfer whose peer sends no header, or no further bytes", async () => {
  const target = join(folder, "silent");
  for (const bytes of ["", `{"berkeley":"file","version":1,"name":"x","size":2}\nx`]) {
    await using receiver = start(["file", "receive", "0", target, "--idle", "50ms"]);
    await using stream = await connect(await listening(receiver));
    if (bytes !== "") await stream.write(bytes);
    const { status, stderr } = await receiver.ended;
    assert.equal(status, 1);
    assert.match(stderr, /ETIMEDOUT/);
    assert.ok(!existsSync(target));
  }
});

test("a file name from the sender can't select another folder", async () => {
  const inbox = join(folder, "safe");
  mkdirSync(inbox);
  await using receiver = start(["file", "receive", "0", inbox]);
  await using stream = await connect(await listening(receiver));
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  await stream.write(`{"berkeley":"file","version":1,"name":"../../etc/escaped","size":0}\n{"sha256":"${empty}"}\n`);
  assert.equal(await stream.readLine(), '{"ok":true}');
  await stream.close();
  assert.equal((await receiver.ended).status, 0);
  assert.deepEqual(readdirSync(inbox), ["escaped"]);
});

test("--raw exchanges files with ncat, both ways", { skip: missing("ncat") }, async () => {
  const source = join(folder, "raw");
  const sum = randomFile(source, 10_000_001);
  const target = join(folder, "from-ncat");
  await using receiver = start(["file", "receive", "0", target, "--raw"]);
  const port = (await listening(receiver)).replace(/.*:/, "");
  await using ncat = redirected(["ncat", "--send-only", "127.0.0.1", port], { stdin: source });
  assert.equal((await ncat.ended).status, 0);
  assert.equal((await receiver.ended).status, 0);
  assert.equal(await checksum(target), sum);
  const second = join(folder, "to-ncat");
  await using sender = ours(["file", "send", source, "0", "--listen", "--raw"]);
  const from = (await listening(sender)).replace(/.*:/, "");
  await using taker = redirected(["ncat", "--recv-only", "127.0.0.1", from], { stdout: second });
  assert.equal((await taker.ended).status, 0);
  assert.equal((await sender.ended).status, 0);
  assert.equal(await checksum(second), sum);
});

test("Ctrl-C in the middle of a file removes the file, and ends with 130", async () => {
  const target = join(folder, "interrupted");
  await using receiver = start(["file", "receive", "0", target, "-v"]);
  await using stream = await connect(await listening(receiver));
  await stream.write(`{"berkeley":"file","version":1,"name":"x","size":1000000}\npart`);
  while (!readdirSync(folder).some((name) => name.endsWith(".part")))
    await new Promise((resolve) => setImmediate(resolve));
  receiver.kill("SIGINT");
  assert.equal((await receiver.ended).status, 130);
  assert.deepEqual(
    readdirSync(folder).filter((name) => /interrupted|part$/.test(name)),
    [],
  );
});

test("file refuses wrong arguments", async () => {
  for (const [args, says] of [
    [["snd", "x", "localhost:1"], /ACTION is "snd", required send or receive; did you mean "send"\?/],
    [["send", "/nowhere", "localhost:1"], /FROM is "\/nowhere", which can't be read: ENOENT/],
    [["send", folder, "localhost:1"], /required a regular file/],
    [["send", "x"], /TO is missing/],
    [["receive", "0", "/nowhere/x"], /in a folder that does not exist/],
    [
      ["receive", "udp://127.0.0.1:0", join(folder, "new")],
      /an endpoint of udp, required one of tcp, tls, unix, vsock/,
    ],
  ] as const) {
    const { status, stderr } = await run(["file", ...args]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, says);
  }
});
