// `berkeley steps --once`: the seven steps on real sockets, and its output.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { test } from "node:test";
import { AF_INET, SO_REUSEADDR, Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { MAIN, run, start } from "./support.js";

checkLeaks();

const hasIPv6 = readFileSync("/proc/net/if_inet6", "latin1").includes("00000000000000000000000000000001");

test("steps --once makes the seven steps, prints both messages and ends with 0", async () => {
  const { status, stdout, stderr } = await run(["steps", "--once", "--port", "0"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  const titles = [...stdout.matchAll(/^(\d) {2}(\w+) /gm)].map((match) => `${match[1]} ${match[2]}`);
  assert.deepEqual(titles, ["1 socket", "2 bind", "3 listen", "4 accept", "5 recv", "6 send", "7 close"]);
  const calls = [...stdout.matchAll(/^ {3}(server|client) +(\S.*?) {2}/gm)].map((match) => `${match[1]}: ${match[2]}`);
  assert.deepEqual(
    calls.map((call) => call.replace(/\d{2,5}\]/, "PORT]")),
    [
      "server: const server = new Socket(AF_INET, SOCK_STREAM)",
      "server: server.setsockopt(SO_REUSEADDR, true)",
      'server: await server.bind(["127.0.0.1", 0])',
      "server: server.listen(5)",
      "server: const accepting = server.accept()",
      "client: const client = new Socket(AF_INET, SOCK_STREAM)",
      'client: await client.connect(["127.0.0.1", PORT])',
      "server: const [conn, address] = await accepting",
      'client: await client.sendAll("Hello, Server")',
      "server: await conn.recv(1024)",
      'server: await conn.sendAll("Welcome to my server")',
      "client: await client.recv(1024)",
      "client: client.close()",
      "server: await conn.recv(1024)",
      "server: conn.close()",
      "server: server.close()",
    ],
  );
});

test("steps --once prints the result of each call and the state in the kernel", async () => {
  const { stdout } = await run(["steps", "--once", "--port", "0"]);
  for (const line of [
    /new Socket\(AF_INET, SOCK_STREAM\) +descriptor \d+ +server +CLOSE +no address yet$/m,
    /server\.bind\(.*\) +nothing +server +CLOSE +address 127\.0\.0\.1:\d+$/m,
    /server\.listen\(5\) +nothing +server +LISTEN +accept queue 0 of 5$/m,
    /server\.accept\(\) +a promise, which waits$/m,
    /client\.connect\(.*\) +nothing: it is connected +client +ESTABLISHED +recv-q 0 B +send-q 0 B +rtt \d+\.\d\d ms$/m,
    /await accepting +\[descriptor \d+, 127\.0\.0\.1:\d+\] +conn +ESTABLISHED +recv-q \d+ B/m,
    /sendAll\("Hello, Server"\) +nothing: all 13 bytes taken +client +ESTABLISHED +recv-q 0 B +send-q \d+ B/m,
    /^ {20,}conn +ESTABLISHED +recv-q 13 B +send-q 0 B/m,
    /conn\.recv\(1024\) +"Hello, Server" +conn +ESTABLISHED +recv-q 0 B/m,
    /sendAll\("Welcome to my server"\) +nothing: all 20 bytes taken +conn +ESTABLISHED/m,
    /^ {20,}client +ESTABLISHED +recv-q 20 B/m,
    /client\.recv\(1024\) +"Welcome to my server" +client +ESTABLISHED +recv-q 0 B/m,
    /conn\.recv\(1024\) +0 bytes: the client has finished +conn +CLOSE_WAIT/m,
  ]) {
    assert.match(stdout, line);
  }
});

test("steps --once keeps its columns aligned", async () => {
  const { stdout } = await run(["steps", "--once", "--port", "0"]);
  const lines = stdout.split("\n");
  const heading = lines.find((line) => line.includes("the kernel says")) ?? assert.fail(stdout);
  const [code, returned, kernel] = ["call", "returned", "the kernel says"].map((title) => heading.indexOf(title));
  const rows = lines.filter((text) => /^ {3}(?:server|client) /.test(text));
  assert.ok(rows.length >= 7, stdout);
  assert.ok(
    rows.some((line) => line.length > kernel!),
    stdout,
  );
  for (const line of rows) {
    for (const column of [code!, returned!, kernel!]) {
      if (line.length > column) assert.match(line.slice(column - 2, column + 1), /^ {2}\S/, line);
    }
  }
});

test("steps --once runs over IPv6", { skip: hasIPv6 ? false : "no IPv6 here" }, async () => {
  const { status, stdout } = await run(["steps", "--once", "--port", "0", "--host", "::1"]);
  assert.equal(status, 0);
  assert.match(stdout, /new Socket\(AF_INET6, SOCK_STREAM\)/);
  assert.match(stdout, /client\.connect\(\["::1", \d+\]\)/);
  assert.match(stdout, /^ {20,}conn +ESTABLISHED +recv-q 13 B/m);
  assert.match(stdout, /client\.recv\(1024\) +"Welcome to my server"/);
});

test("steps --once listens at the given address, including the wildcard and a name", async () => {
  for (const [host, reached] of [
    ["0.0.0.0", "127.0.0.1"],
    ["localhost", "localhost"],
  ]) {
    const { status, stdout } = await run(["steps", "--once", "--port", "0", "--host", host!]);
    assert.equal(status, 0);
    assert.ok(stdout.includes(`server.bind(["${host}", 0])`), stdout);
    assert.ok(stdout.includes(`client.connect(["${reached}", `), stdout);
  }
});

test("steps says plainly that a port is taken, and uses another", async () => {
  await using other = new Socket(AF_INET);
  other.setsockopt(SO_REUSEADDR, true);
  await other.bind("127.0.0.1:0");
  other.listen();
  const { port } = other.getsockname() as { port: number };
  const { status, stdout, stderr } = await run(["steps", "--once", "--port", String(port)]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  assert.match(stdout, new RegExp(`server\\.bind\\(\\["127\\.0\\.0\\.1", ${port}\\]\\) +EADDRINUSE$`, "m"));
  assert.match(stdout, new RegExp(`^ +Port ${port} is taken: `, "m"));
  const [, used] = /address 127\.0\.0\.1:(\d+)$/m.exec(stdout) ?? assert.fail(stdout);
  assert.notEqual(Number(used), port);
  assert.match(stdout, new RegExp(`client\\.connect\\(\\["127\\.0\\.0\\.1", ${used}\\]\\)`));
  assert.match(stdout, /"Welcome to my server"/);
});

test("steps that are started at once with the same port all come to their end", async () => {
  await using probe = new Socket(AF_INET);
  await probe.bind("127.0.0.1:0");
  const { port } = probe.getsockname() as { port: number };
  probe.close();
  const all = await Promise.all(Array.from({ length: 4 }, () => run(["steps", "--once", "--port", String(port)])));
  for (const { status, stdout, stderr } of all) {
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, stdout);
    assert.match(stdout, /client\.recv\(1024\) +"Welcome to my server"/);
  }
});

test("steps ends with 1 and one line when the kernel refuses the address", async () => {
  // 192.0.2.0/24 is for documentation (RFC 5737).
  const { status, stdout, stderr } = await run(["steps", "--once", "--host", "192.0.2.1", "--port", "0"]);
  assert.equal(status, 1);
  assert.equal(stderr, "berkeley: bind EADDRNOTAVAIL 192.0.2.1:0: address not available\n");
  assert.match(stdout, /server\.bind\(.*\) +EADDRNOTAVAIL$/m);
});

test("steps whose output is closed ends without an error message, while serving too", async () => {
  for (const args of [["--once"], []]) {
    await using program = start(["steps", "--port", "0", ...args]);
    program.child.stdout!.destroy();
    const { status, stderr } = await program.ended;
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, args.join(" "));
  }
});

test("steps says that its output can't be written, and ends with 1", async () => {
  await using program = new Program("/bin/sh", [
    "-c",
    'exec "$0" "$1" steps --once --port 0 >/dev/full',
    process.execPath,
    MAIN,
  ]);
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: cannot write the output: ENOSPC[^\n]*\n$/);
});

test("steps has colours on a terminal only, and none with NO_COLOR", async () => {
  const escape = "\u001b[";
  const onTerminal = async (env: NodeJS.ProcessEnv): Promise<string> => {
    const wrapper = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    const command = [process.execPath, MAIN, "steps", "--once", "--port", "0"];
    await using program = new Program("python3", ["-c", wrapper, ...command], {
      env: { TERM: "xterm", ...env },
      input: "",
    });
    const { status, stdout } = await program.ended;
    assert.equal(status, 0, stdout);
    return stdout;
  };
  const coloured = await onTerminal({ NO_COLOR: "" });
  assert.ok(coloured.includes(escape));
  const plain = await onTerminal({ NO_COLOR: "1" });
  assert.ok(!plain.includes(escape));
  assert.ok(!(await run(["steps", "--once", "--port", "0"])).stdout.includes(escape));
  // With 80 columns, parts that are side by side elsewhere are below each other.
  for (const text of [coloured.replaceAll(new RegExp(`${escape.replace("[", "\\[")}\\d+m`, "g"), ""), plain]) {
    assert.match(text, /await conn\.recv\(1024\)\r?\n +returned +"Hello, Server"\r?\n +kernel +conn +ESTABLISHED/);
    for (const line of text.split(/\r?\n/)) assert.ok(line.length <= 100, line);
  }
});

test("steps is ended by a signal while it makes its steps", async () => {
  await using program = start(["steps", "--port", "0"]);
  await once(program.child.stdout!, "data");
  program.kill("SIGTERM");
  const { status } = await program.ended;
  // 0 if it was serving already.
  assert.ok(status === "SIGTERM" || status === 0, String(status));
});
