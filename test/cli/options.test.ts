// The command `options`, compared with the results of getsockopt() and with docs/options.md.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AF_INET, AF_INET6, AF_UNIX, SO_RCVBUF, SOCK_DGRAM, SOCK_STREAM, Socket, TCP_KEEPCNT } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { root } from "../support/program.js";
import { MAIN, objects, run } from "./support.js";

checkLeaks();

interface Row {
  readonly name: string;
  readonly value?: unknown;
  readonly error?: string;
  readonly source: string;
}

const rowsOf = async (...args: readonly string[]): Promise<Row[]> => {
  const { status, stdout, stderr } = await run(["options", ...args, "--json"]);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  return objects(stdout) as unknown as Row[];
};

test("options lists each option of docs/options.md, with its page", async () => {
  const text = readFileSync(join(root, "docs", "options.md"), "utf8");
  const documented = new Map<string, string>();
  for (const line of text.split("\n")) {
    // Options that the library leaves out have a reason in place of the columns.
    const cells = line.split(/ (?<!\\)\| /);
    const name = /^\| `([A-Z][A-Z0-9_]+)`$/.exec(cells[0] ?? "")?.[1];
    if (name !== undefined && cells.length === 6) documented.set(name, cells[5]!.replace(/ \|$/, ""));
  }
  assert.ok(documented.size > 200, String(documented.size));
  const shown = new Map((await rowsOf("0", "--all")).map(({ name, source }) => [name, source]));
  assert.deepEqual(
    [...shown].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    [...documented].filter(([name]) => shown.has(name)).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  // A header of an older kernel lacks some.
  assert.ok(shown.size > documented.size - 20, `${shown.size} of ${documented.size}`);
});

const kinds: readonly (readonly [args: readonly string[], family: number, type: number, has: string, lacks: string])[] =
  [
    [["0"], AF_INET, SOCK_STREAM, "TCP_NODELAY", "IPV6_V6ONLY"],
    [["tcp://[::1]:0"], AF_INET6, SOCK_STREAM, "IPV6_V6ONLY", "UDP_CORK"],
    [["udp://127.0.0.1:0"], AF_INET, SOCK_DGRAM, "UDP_CORK", "TCP_NODELAY"],
    [["unix:/tmp/any"], AF_UNIX, SOCK_STREAM, "SO_PEERCRED", "IP_TTL"],
    [["unix:/tmp/any", "--datagram"], AF_UNIX, SOCK_DGRAM, "SO_PASSCRED", "TCP_NODELAY"],
  ];

for (const [args, family, type, has, lacks] of kinds) {
  test(`options ${args.join(" ")} shows the options of that kind with the kernel's values`, async () => {
    const rows = await rowsOf(...args);
    const value = (name: string): unknown => rows.find((row) => row.name === name)?.value;
    using socket = new Socket(family, type);
    assert.equal(value("SO_DOMAIN"), family);
    assert.equal(value("SO_TYPE"), type);
    assert.equal(value("SO_RCVBUF"), socket.getsockopt(SO_RCVBUF));
    if (type === SOCK_STREAM && family !== AF_UNIX) assert.equal(value("TCP_KEEPCNT"), socket.getsockopt(TCP_KEEPCNT));
    const names = rows.map(({ name }) => name);
    assert.ok(names.includes(has), has);
    assert.ok(!names.includes(lacks), lacks);
  });
}

test("options --connect shows what only a connection has", async () => {
  using server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind(["127.0.0.1", 0]);
  server.listen();
  const { port } = server.getsockname() as { port: number };
  const before = await rowsOf(String(port), "IP_MTU");
  assert.deepEqual(before, [{ name: "IP_MTU", error: "ENOTCONN", source: "ip(7)" }]);
  const [mtu, info] = await rowsOf(String(port), "--connect", "IP_MTU", "TCP_INFO");
  assert.ok((mtu!.value as number) > 1000);
  assert.equal((info!.value as { tcpi_state: string }).tcpi_state, "ESTABLISHED");
});

test("options fd:3 shows a socket that the program has inherited", async () => {
  using socket = new Socket(AF_INET, SOCK_STREAM);
  socket.setsockopt(TCP_KEEPCNT, 3);
  const stdio = ["ignore", "pipe", "pipe", socket.fileno()] as const;
  const args = [MAIN, "options", "fd:3", "TCP_KEEPCNT"];
  const { status, stdout } = spawnSync(process.execPath, args, { stdio: [...stdio], encoding: "utf8" });
  assert.deepEqual([status, stdout], [0, "TCP_KEEPCNT  3  tcp(7)\n"]);
});

test("options names the nearest option, and reports a refused connection", async () => {
  const wrong = await run(["options", "0", "TCP_NODELEY"]);
  assert.deepEqual(
    [wrong.status, wrong.stderr],
    [
      2,
      'berkeley: NAME is "TCP_NODELEY", required the name of a socket option; did you mean "TCP_NODELAY"? ' +
        "(see berkeley options --help)\n",
    ],
  );
  const refused = await run(["options", "127.0.0.1:1", "--connect"]);
  assert.deepEqual(
    [refused.status, refused.stdout, refused.stderr],
    [1, "", "berkeley: connect ECONNREFUSED 127.0.0.1:1: connection refused\n"],
  );
  const mixed = await run(["options", "0", "--seqpacket"]);
  assert.equal(mixed.status, 2);
});
