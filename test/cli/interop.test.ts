// `connect` and `listen` with well-known programs, in both roles: 100 MB with equal checksums over TCP, UNIX and TLS,
// and datagrams.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { boundPort, checksum, ours, randomFile, redirected, temporaryFolder } from "./peers.js";
import { listening, missing, start } from "./support.js";

checkLeaks();

const folder = temporaryFolder("interop");
const BIG = join(folder, "big");
const BYTES = 100_000_000;
const sum = randomFile(BIG, BYTES);
const SMALL = join(folder, "small");
const smallSum = randomFile(SMALL, 2000);
const KEY = join(folder, "key.pem");
const CERT = join(folder, "cert.pem");
execFileSync(
  "openssl",
  [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -days 2".split(" "),
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-keyout",
    KEY,
    "-out",
    CERT,
  ],
  { stdio: "ignore" },
);

let count = 0;
const file = (name: string): string => join(folder, `${name}-${++count}`);

/** A peer as a server that receives, and as a client that sends. `at` is a port or a path. */
interface Peer {
  readonly program: string;
  readonly over: "tcp" | "unix" | "tls";
  /** What it prints when it listens. */
  readonly ready: RegExp;
  readonly server: (at: string) => readonly string[];
  readonly client: (at: string) => readonly string[];
}

const peers: readonly Peer[] = [
  {
    program: "ncat",
    over: "tcp",
    ready: /Listening on/,
    server: (port) => ["ncat", "-v", "-l", "--recv-only", "127.0.0.1", port],
    client: (port) => ["ncat", "--send-only", "127.0.0.1", port],
  },
  {
    program: "socat",
    over: "tcp",
    ready: /listening on/,
    server: (port) => ["socat", "-d", "-d", "-u", `TCP-LISTEN:${port},bind=127.0.0.1`, "-"],
    client: (port) => ["socat", "-u", "-", `TCP:127.0.0.1:${port}`],
  },
  {
    program: "nc.openbsd",
    over: "tcp",
    ready: /Listening on/,
    server: (port) => ["nc.openbsd", "-v", "-l", "-d", "127.0.0.1", port],
    client: (port) => ["nc.openbsd", "-N", "127.0.0.1", port],
  },
  {
    program: "ncat",
    over: "unix",
    ready: /Listening on/,
    server: (path) => ["ncat", "-v", "-l", "-U", "--recv-only", path],
    client: (path) => ["ncat", "-U", "--send-only", path],
  },
  {
    program: "socat",
    over: "unix",
    ready: /listening on/,
    server: (path) => ["socat", "-d", "-d", "-u", `UNIX-LISTEN:${path}`, "-"],
    client: (path) => ["socat", "-u", "-", `UNIX-CONNECT:${path}`],
  },
  {
    program: "nc.openbsd",
    over: "unix",
    ready: /Listening on/,
    server: (path) => ["nc.openbsd", "-v", "-l", "-U", "-d", path],
    client: (path) => ["nc.openbsd", "-N", "-U", path],
  },
  {
    program: "ncat",
    over: "tls",
    ready: /Listening on/,
    server: (port) => [
      "ncat",
      "-v",
      "-l",
      "--recv-only",
      "--ssl",
      "--ssl-cert",
      CERT,
      "--ssl-key",
      KEY,
      "127.0.0.1",
      port,
    ],
    // With --send-only it leaves the session tickets of TLS 1.3 unread, so the kernel resets the connection and drops
    // data.
    client: (port) => ["ncat", "--ssl", "127.0.0.1", port],
  },
  {
    program: "socat",
    over: "tls",
    ready: /listening on/,
    server: (port) => [
      "socat",
      "-d",
      "-d",
      "-u",
      `OPENSSL-LISTEN:${port},bind=127.0.0.1,cert=${CERT},key=${KEY},verify=0`,
      "-",
    ],
    client: (port) => ["socat", "-u", "-", `OPENSSL:127.0.0.1:${port},verify=0`],
  },
];

const isUnix = ({ over }: Peer): boolean => over === "unix";

/** Waits until a peer listens; where. */
async function whereListens(peer: Peer, program: Program, at: string): Promise<string> {
  await program.line(peer.ready, "stderr");
  return isUnix(peer) ? at : String(boundPort(program, "tcp"));
}

for (const peer of peers) {
  const { program: name, over } = peer;
  // ncat closes the connection without the end of TLS.
  const lenient = name === "ncat" ? ["--allow-truncation"] : [];
  const skip = missing(name, "openssl");

  test(`connect sends 100 MB to ${name} over ${over}`, { skip }, async () => {
    const received = file("received");
    const at = isUnix(peer) ? file("socket") : "0";
    await using server = redirected(peer.server(at), { stdout: received });
    const where = await whereListens(peer, server, at);
    const endpoint = isUnix(peer) ? `unix:${where}` : `${over}://127.0.0.1:${where}`;
    await using client = ours(["connect", endpoint, ...(over === "tls" ? ["--ca", CERT, ...lenient] : [])], {
      stdin: BIG,
    });
    const { status, stderr } = await client.ended;
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    await server.ended;
    assert.equal(await checksum(received), sum);
  });

  test(`listen receives 100 MB from ${name} over ${over}`, { skip }, async () => {
    const received = file("received");
    const endpoint = isUnix(peer) ? `unix:${file("socket")}` : `${over}://127.0.0.1:0`;
    const tls = over === "tls" ? ["--cert", CERT, "--key", KEY, ...lenient] : [];
    await using server = ours(["listen", endpoint, "--receive-only", ...tls], { stdout: received });
    const where = await listening(server);
    const at = isUnix(peer) ? where.replace("unix:", "") : where.replace(/.*:/, "");
    await using client = redirected(peer.client(at), { stdin: BIG });
    const { status, stderr } = await client.ended;
    assert.equal(status, 0, stderr);
    assert.equal((await server.ended).status, 0);
    assert.equal(await checksum(received), sum);
  });
}

test("connect and listen exchange 100 MB in both directions at once", async () => {
  const [one, two] = [file("received"), file("received")];
  await using server = ours(["listen", "0"], { stdin: BIG, stdout: one });
  await using client = ours(["connect", await listening(server)], { stdin: BIG, stdout: two });
  assert.equal((await client.ended).status, 0);
  assert.equal((await server.ended).status, 0);
  assert.deepEqual([await checksum(one), await checksum(two)], [sum, sum]);
});

test(
  "connect and listen exchange 100 MB in both directions at once over TLS",
  { skip: missing("openssl") },
  async () => {
    const [one, two] = [file("received"), file("received")];
    await using server = ours(["listen", "tls://127.0.0.1:0", "--cert", CERT, "--key", KEY], {
      stdin: BIG,
      stdout: one,
    });
    await using client = ours(["connect", await listening(server), "--ca", CERT], { stdin: BIG, stdout: two });
    assert.equal((await client.ended).status, 0);
    assert.equal((await server.ended).status, 0);
    assert.deepEqual([await checksum(one), await checksum(two)], [sum, sum]);
  },
);

test("connect reads what openssl s_server sends, and agrees on a protocol", { skip: missing("openssl") }, async () => {
  const args = [
    "s_server",
    "-accept",
    "127.0.0.1:0",
    "-naccept",
    "1",
    "-cert",
    CERT,
    "-key",
    KEY,
    "-rev",
    "-alpn",
    "rev",
  ];
  await using server = redirected(["openssl", ...args]);
  const [, port] = await server.line(/^ACCEPT .*:(\d+)$/);
  const words = join(folder, "words");
  execFileSync("/bin/sh", ["-c", `printf 'olleh\\n' > ${words}`]);
  await using client = ours(
    ["connect", `tls://localhost:${port}`, "--ca", CERT, "--alpn", "rev", "--idle", "1s", "--json"],
    {
      stdin: words,
    },
  );
  assert.match((await client.ended).stdout, /"text":"hello\\n"/);
});

test("listen works with openssl s_client", { skip: missing("openssl") }, async () => {
  const received = file("received");
  await using server = ours(["listen", "--tls", "0", "--cert", CERT, "--key", KEY, "--receive-only"], {
    stdout: received,
  });
  const at = (await listening(server)).replace("tls://", "");
  await using client = redirected(["openssl", "s_client", "-connect", at, "-quiet", "-no_ign_eof", "-nocommands"], {
    stdin: BIG,
  });
  await client.ended;
  assert.equal((await server.ended).status, 0);
  assert.equal(await checksum(received), sum);
});

const datagrams = [
  {
    program: "ncat",
    ready: /Listening on/,
    server: ["ncat", "-v", "-u", "-l", "127.0.0.1", "0"],
    client: ["ncat", "-u"],
  },
  {
    program: "nc.openbsd",
    ready: /Bound on/,
    server: ["nc.openbsd", "-v", "-u", "-l", "127.0.0.1", "0"],
    client: ["nc.openbsd", "-u"],
  },
  {
    program: "socat",
    ready: /./,
    server: ["socat", "-d", "-d", "UDP-LISTEN:0,bind=127.0.0.1", "-"],
    client: undefined,
  },
] as const;

for (const { program: name, server: command, client, ready } of datagrams) {
  test(`connect sends a datagram to ${name}`, { skip: missing(name) }, async () => {
    await using server = new Program(command[0], command.slice(1), { openInput: true });
    await server.line(ready, "stderr");
    const endpoint = `udp://127.0.0.1:${boundPort(server, "udp")}`;
    await using sender = start(["connect", endpoint, "--linger", "300ms"], { input: "a datagram\n" });
    await server.line(/^a datagram$/);
    assert.equal((await sender.ended).status, 0);
  });
  if (client === undefined) continue;
  test(`listen receives a datagram from ${name} and answers`, { skip: missing(name) }, async () => {
    await using server = start(["listen", "--udp", "0", "--json"], { input: "an answer\n" });
    const port = (await listening(server)).replace(/.*:/, "");
    await using peer = new Program(client[0], [...client.slice(1), "127.0.0.1", port], { openInput: true });
    peer.child.stdin!.write("a question\n");
    await peer.line(/^an answer$/);
    await server.line(/"event":"data",.*"text":"a question\\n"/);
    server.kill("SIGINT");
    assert.equal((await server.ended).status, 0);
  });
}

test("connect and listen exchange UNIX datagrams, and messages of SOCK_SEQPACKET", async () => {
  for (const kind of ["--datagram", "--seqpacket"]) {
    const path = file("socket");
    const received = file("received");
    await using server = ours(["listen", `unix:${path}`, kind, "--json"], { stdin: SMALL });
    await listening(server);
    await using client = ours(["connect", `unix:${path}`, kind], { stdin: SMALL, stdout: received });
    assert.deepEqual((await client.ended).stderr, "", kind);
    await server.line(/"event":"data"/);
    assert.equal(await checksum(received), smallSum, kind);
    server.kill("SIGINT");
    await server.ended;
  }
});

test("connect sends a UNIX datagram to socat, and socat one to listen", { skip: missing("socat") }, async () => {
  const path = file("socket");
  await using server = new Program("socat", ["-d", "-d", "-u", `UNIX-RECV:${path}`, "-"]);
  await server.line(/./, "stderr");
  await using client = start(["connect", path, "--datagram", "--send-only"], { input: "to socat\n" });
  assert.equal((await client.ended).status, 0);
  await server.line(/^to socat$/);
  const second = file("socket");
  await using listener = ours(["listen", second, "--datagram", "--json"]);
  await listening(listener);
  await using sender = redirected(["socat", "-u", "-", `UNIX-SENDTO:${second}`], { stdin: SMALL });
  await listener.line(/"event":"data"/);
  await sender.ended;
});
