// The command `proxy`: forwarding, recording, delays and drops.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bindUdp, connect, connectUdp, listen, type Stream } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { complaints, fields, follow } from "../support/tshark.js";
import { temporaryFolder } from "./peers.js";
import { listening, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = temporaryFolder("proxy");

/** A server that answers each byte with its complement, after all have come. */
async function server(endpoint: string = "tcp://127.0.0.1:0", tls?: object) {
  const listener = await listen(endpoint, tls === undefined ? {} : { tls });
  const serving = (async () => {
    for await (const stream of listener) await answer(stream).catch(() => undefined);
  })();
  const { scheme } = /^(?<scheme>\w+):/.exec(endpoint)!.groups as { scheme: string };
  return {
    endpoint: scheme === "unix" ? endpoint : `${scheme}://${String(listener.address)}`,
    async [Symbol.asyncDispose]() {
      await listener.close();
      await serving;
    },
  };
}

async function answer(accepted: Stream): Promise<void> {
  await using stream = accepted;
  const all: Buffer[] = [];
  for await (const chunk of stream) all.push(chunk);
  await stream.write(complement(Buffer.concat(all)));
  await stream.close();
}

const complement = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0xff));

async function ask(endpoint: string, question: Buffer, options: Parameters<typeof connect>[1] = {}): Promise<Buffer> {
  await using stream = await connect(endpoint, options);
  const writing = stream.write(question).then(() => stream.closeWrite());
  const all: Buffer[] = [];
  for await (const chunk of stream) all.push(chunk);
  await writing;
  return Buffer.concat(all);
}

const proxyOf = (args: readonly string[]) => start(["proxy", ...args]);

test("proxy passes bytes and both ends on, a line for each connection and totals at Ctrl-C", async () => {
  await using target = await server();
  await using program = proxyOf(["0", target.endpoint]);
  const endpoint = await listening(program);
  const question = randomBytes(3_000_000);
  assert.ok((await ask(endpoint, question)).equals(complement(question)));
  await ask(endpoint, Buffer.from("x"));
  await program.line(/to target 1 B, to client 1 B/);
  program.kill("SIGINT");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /^127\.0\.0\.1:\d+ -> tcp:\/\/\S+ {2}to target 3\.00 MB, to client 3\.00 MB in /m);
  assert.match(stdout, /^total: 2 connections, to target 3\.00 MB, to client 3\.00 MB in /m);
});

test("the time of a connection that the kernel forwards is that since it was accepted", async () => {
  await using target = await server();
  await using program = proxyOf(["0", target.endpoint, "--json"]);
  const endpoint = await listening(program);
  const began = performance.now();
  await using stream = await connect(endpoint);
  await stream.write("x");
  await new Promise((resolve) => setTimeout(resolve, 20));
  await stream.closeWrite();
  await stream.readExactly(1);
  await program.line(/"event":"connection"/);
  const most = performance.now() - began;
  program.kill("SIGINT");
  const event = objects((await program.ended).stdout).find(({ event: name }) => name === "connection");
  const milliseconds = event!["milliseconds"] as number;
  assert.ok(milliseconds >= 19 && milliseconds <= most + 1, `${milliseconds} of at most ${most} ms`);
});

test("proxy --json has an object for each event", async () => {
  await using target = await server();
  await using program = proxyOf(["0", target.endpoint, "--json", "--count", "1"]);
  await ask(await listening(program), Buffer.from("abc"));
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  const events = objects(stdout);
  assert.deepEqual(
    events.map(({ event }) => event),
    ["listening", "connected", "connection", "total"],
  );
  const { toTarget, toClient, target: named } = events[2]!;
  assert.deepEqual({ toTarget, toClient, named }, { toTarget: 3, toClient: 3, named: target.endpoint });
});

test(
  "tshark reads the recorded connections back: the same bytes in both directions",
  { skip: missing("tshark") },
  async () => {
    const path = join(folder, "two.pcapng");
    await using target = await server();
    await using program = proxyOf(["0", target.endpoint, "--record", path, "--count", "2"]);
    const endpoint = await listening(program);
    const questions = [randomBytes(200_001), Buffer.from("second")];
    for (const question of questions) assert.ok((await ask(endpoint, question)).equals(complement(question)));
    assert.equal((await program.ended).status, 0);
    assert.equal(complaints(path), "");
    for (const [stream, question] of questions.entries()) {
      const { client, server: answered } = follow(path, stream);
      assert.ok(client.equals(question));
      assert.ok(answered.equals(complement(question)));
    }
    const [first] = fields(path, ["ip.src", "ip.dst", "tcp.dstport", "frame.comment"]);
    assert.deepEqual(first?.slice(0, 3), ["127.0.0.1", "127.0.0.1", endpoint.replace(/.*:/, "")]);
    assert.match(first[3] ?? "", /^127\.0\.0\.1:\d+ -> tcp:\/\//);
    assert.equal(fields(path, ["frame.number"], "tcp.flags.fin == 1").length, 4);
  },
);

test(
  "a recorded connection over IPv6 and one over a UNIX socket are read back",
  { skip: missing("tshark") },
  async () => {
    await using target = await server("unix:@berkeley-proxy-record");
    for (const [name, at] of [
      ["v6", "tcp://[::1]:0"],
      ["unix", "unix:@berkeley-proxy-front"],
    ] as const) {
      const path = join(folder, `${name}.pcapng`);
      await using program = proxyOf([at, target.endpoint, "--record", path, "--count", "1"]);
      const question = randomBytes(5001);
      assert.ok((await ask(await listening(program), question)).equals(complement(question)));
      assert.equal((await program.ended).status, 0);
      assert.equal(complaints(path), "");
      const { client, server: answered } = follow(path);
      assert.ok(client.equals(question) && answered.equals(complement(question)), name);
    }
  },
);

test(
  "a client that resets in the middle is recorded so, and the proxy goes on",
  { skip: missing("tshark") },
  async () => {
    const path = join(folder, "reset.pcapng");
    await using target = await server();
    await using program = proxyOf(["0", target.endpoint, "--record", path, "--count", "2"]);
    const endpoint = await listening(program);
    const cut = await connect(endpoint);
    await cut.write("half a ques");
    cut.abort();
    assert.equal(String(complement(await ask(endpoint, Buffer.from("whole")))), "whole");
    const { status, stdout } = await program.ended;
    assert.equal(status, 0);
    assert.match(stdout, /^127\.0\.0\.1:\d+ -> .* {2}recv ECONNRESET .*: connection reset by peer$/m);
    assert.match(stdout, /^total: 2 connections, 1 failed, /m);
    assert.equal(fields(path, ["tcp.srcport"], "tcp.flags.reset == 1").length, 1);
    assert.equal(complaints(path), "");
  },
);

test("a full disk with --record ends the proxy with status 1, after the open connection", async () => {
  await using target = await server();
  await using program = proxyOf(["0", target.endpoint, "--record", "/dev/full"]);
  const endpoint = await listening(program);
  const question = randomBytes(3_000_000);
  assert.ok((await ask(endpoint, question)).equals(complement(question)));
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: cannot write "\/dev\/full": ENOSPC: no space left on device, write$/m);
  assert.match(stdout, /to target 3\.00 MB, to client 3\.00 MB/);
});

test(
  "a file of --record ends with its last whole packet when the disk is full",
  { skip: missing("tshark") },
  async () => {
    if (process.getuid?.() !== 0) return;
    const mount = join(folder, "disk");
    execFileSync("mkdir", [mount]);
    // In a namespace of its own, so nothing is left mounted.
    const script = `mount -t tmpfs -o size=1m tmpfs ${mount} && "$@"; status=$?; cp ${mount}/full.pcapng ${folder}/full.pcapng; exit $status`;
    await using target = await server();
    const { Program } = await import("../support/program.js");
    const { MAIN } = await import("./support.js");
    await using program = new Program("unshare", [
      ..."-m /bin/sh -c".split(" "),
      script,
      "sh",
      process.execPath,
      MAIN,
      "proxy",
      "0",
      target.endpoint,
      "--record",
      join(mount, "full.pcapng"),
    ]);
    const question = randomBytes(3_000_000);
    assert.ok((await ask(await listening(program), question)).equals(complement(question)));
    assert.equal((await program.ended).status, 1);
    const path = join(folder, "full.pcapng");
    assert.ok(statSync(path).size > 900_000);
    const bytes = readFileSync(path);
    let at = 0;
    while (at < bytes.length) at += bytes.readUInt32LE(at + 4);
    assert.equal(at, bytes.length);
    assert.equal(complaints(path), "");
  },
);

test("a file that can't be opened is a usage error", async () => {
  const { status, stderr } = await run(["proxy", "0", "localhost:1", "--record", "/nowhere/x"]);
  assert.equal(status, 2);
  assert.match(stderr, /^berkeley: --record is "\/nowhere\/x", which can't be written: ENOENT/);
});

test("--latency keeps bytes back in each direction, --rate limits them", async () => {
  await using target = await server();
  await using slow = proxyOf(["0", target.endpoint, "--latency", "150ms"]);
  const began = performance.now();
  assert.equal(String(complement(await ask(await listening(slow), Buffer.from("x")))), "x");
  assert.ok(performance.now() - began >= 300);
  await using narrow = proxyOf(["0", target.endpoint, "--rate", "1MB", "--latency", "1ms"]);
  const since = performance.now();
  const question = randomBytes(300_000);
  assert.ok((await ask(await listening(narrow), question)).equals(complement(question)));
  // The first piece of each direction goes at once.
  assert.ok(performance.now() - since >= 540, String(performance.now() - since));
  for (const program of [slow, narrow]) {
    program.kill("SIGTERM");
    assert.equal((await program.ended).status, 0);
  }
});

test("--idle counts the data of both directions, also when the bytes pass through the program", async () => {
  const idle = 600;
  await using listener = await listen("tcp://127.0.0.1:0");
  await using program = proxyOf([
    "0",
    String(listener.address),
    "--rate",
    "10MB",
    "--idle",
    `${idle}ms`,
    "--count",
    "1",
  ]);
  await using client = await connect(await listening(program));
  await using target = await listener.accept();
  // The client sends nothing, and the target sends for longer than the time of --idle.
  const since = performance.now();
  while (performance.now() - since < 2 * idle) {
    await target.write("x");
    assert.equal((await client.readExactly(1)).toString(), "x");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await assert.rejects(client.readExactly(1), { code: "ECONNRESET" });
  const { stdout } = await program.ended;
  assert.match(stdout, /no data was moved for 600 ms/);
});

test("--proxy-protocol sends the address of the client to the target", async () => {
  await using target = await server();
  await using program = proxyOf(["0", target.endpoint, "--proxy-protocol", "--count", "1"]);
  const endpoint = await listening(program);
  await using stream = await connect(endpoint);
  const own = String(stream.localAddress);
  await stream.write("data");
  await stream.closeWrite();
  const all: Buffer[] = [];
  for await (const chunk of stream) all.push(chunk);
  const [host, port] = own.split(":");
  const to = endpoint.replace(/.*:/, "");
  assert.equal(String(complement(Buffer.concat(all))), `PROXY TCP4 ${host} 127.0.0.1 ${port} ${to}\r\ndata`);
});

test(
  "TLS ends at the proxy with --tls, and begins there with a target of tls://",
  { skip: missing("openssl", "tshark") },
  async () => {
    const pem = execFileSync(
      "openssl",
      [
        ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost".split(" "),
        ..."-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout - -out -".split(" "),
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    const path = join(folder, "both.pem");
    execFileSync("tee", [path], { input: pem, stdio: ["pipe", "ignore", "inherit"] });
    const capture = join(folder, "tls.pcapng");
    await using target = await server("tls://127.0.0.1:0", { cert: pem, key: pem });
    await using program = proxyOf([
      "0",
      target.endpoint,
      "--tls",
      "--cert",
      path,
      "--target-ca",
      path,
      "--record",
      capture,
      "--count",
      "1",
    ]);
    const question = Buffer.from("secret");
    assert.ok((await ask(await listening(program), question, { tls: { ca: pem } })).equals(complement(question)));
    assert.equal((await program.ended).status, 0);
    assert.equal(String(follow(capture).client), "secret");
  },
);

test("a target that refuses is a line of the connection, and the client is cut", async () => {
  const probe = await listen("tcp://127.0.0.1:0");
  const nobody = `tcp://${String(probe.address)}`;
  await probe.close();
  await using program = proxyOf(["0", nobody, "--count", "1"]);
  await assert.rejects(ask(await listening(program), Buffer.from("x")), { code: "ECONNRESET" });
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, / {2}connect ECONNREFUSED 127\.0\.0\.1:\d+: connection refused$/m);
  assert.match(stdout, /^total: 1 connection, 1 failed, /m);
});

test("datagrams find their way back to each client, and are recorded", { skip: missing("tshark") }, async () => {
  const path = join(folder, "udp.pcapng");
  await using target = await bindUdp("udp://127.0.0.1:0");
  const serving = (async () => {
    for await (const { data, address } of target) await target.send(`re: ${data}`, address);
  })();
  await using program = proxyOf(["--udp", "0", String(target.address), "--record", path, "--json"]);
  const endpoint = await listening(program);
  const clients = [await connectUdp(endpoint), await connectUdp(endpoint)];
  for (const [index, client] of clients.entries()) {
    await client.send(`question ${index}`);
    assert.equal(String((await client.receive()).data), `re: question ${index}`);
    await client.close();
  }
  program.kill("SIGINT");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  const total = objects(stdout).at(-1)!;
  assert.deepEqual([total["connections"], total["toTarget"], total["toClient"]], [2, 20, 28]);
  assert.equal(complaints(path), "");
  const data = fields(path, ["data"]).map(([hex = ""]) => Buffer.from(hex, "hex").toString());
  assert.deepEqual(data, ["question 0", "re: question 0", "question 1", "re: question 1"]);
  await target.close();
  await serving;
});

test("--drop drops its part of the datagrams, the same ones for the same --seed", async () => {
  const arrived: string[] = [];
  for (let round = 0; round < 2; round++) {
    await using target = await bindUdp("udp://127.0.0.1:0");
    await using program = proxyOf(["--udp", "0", String(target.address), "--drop", "30%", "--seed", "7", "--json"]);
    await using client = await connectUdp(await listening(program));
    const got: number[] = [];
    // The last one is sent until it arrives, so that nothing is waited for in vain.
    for (let number = 0; number < 200; number++) await client.send(String(number));
    const receiving = (async () => {
      for (;;) {
        const number = Number(String((await target.receive()).data));
        if (number >= 200) return;
        got.push(number);
      }
    })();
    for (let number = 200; ; number++) {
      await client.send(String(number));
      const done = await Promise.race([
        receiving.then(() => true),
        new Promise((resolve) => setTimeout(resolve, 10, false)),
      ]);
      if (done === true) break;
    }
    assert.ok(got.length > 100 && got.length < 180, String(got.length));
    arrived.push(createHash("sha256").update(got.join(",")).digest("hex"));
    program.kill("SIGINT");
    await program.ended;
  }
  assert.equal(arrived[0], arrived[1]);
});

test("options that exclude each other are refused", async () => {
  for (const [args, says] of [
    [["udp://127.0.0.1:0", "tcp://localhost:1"], /required udp for both or for neither/],
    [["0", "localhost:1", "--drop", "5%"], /--drop is given with streams, required datagrams/],
    [["--udp", "0", "localhost:1", "--proxy-protocol"], /--proxy-protocol is given with datagrams, required streams/],
    [["0", "localhost:1", "--target-ca", "/x"], /--target-ca is given with a target of tcp, required one of tls/],
    [["0", "fd:3"], /TARGET is "fd:3", an endpoint of fd, required one of tcp, tls, udp, unix, vsock/],
    [
      ["0", "localhost:1", "--rate", "fast"],
      /--rate is "fast", required a number of bytes such as 1500, 64KiB or 10MB/,
    ],
    [["0", "localhost:1", "--drop", "120%"], /--drop is "120%", required a part from 0 to 1 such as 0\.05 or 5%/],
    [["0"], /TARGET is missing: where to connect/],
  ] as const) {
    const { status, stdout, stderr } = await run(["proxy", ...args]);
    assert.deepEqual({ status, stdout }, { status: 2, stdout: "" }, args.join(" "));
    assert.match(stderr, says);
  }
});
