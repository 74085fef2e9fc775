// The command `sockets`, compared with ss(8) in a network namespace with 200 sockets.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";
import { MAIN, missing, objects, run, start } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-sockets-"));
after(() => rmSync(folder, { recursive: true }));
const unable = canUnshare(["-n"]) ? missing("ss") : "unshare -n takes privileges";
const text = (name: string): string => readFileSync(join(folder, name), "utf8");

interface Row {
  readonly state: string;
  readonly receive: number;
  readonly send: number;
  readonly local: string;
  readonly peer: string;
  readonly users: readonly string[];
}

const sorted = (rows: readonly Row[]): Row[] =>
  rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** The rows of ss: state, queues, local, peer and `users:(("node",pid=1,fd=2))`; a UNIX socket has its type before. */
function rowsOfSs(lines: string, unix = false): Row[] {
  return sorted(
    lines
      .trimEnd()
      .split("\n")
      .map((line) => {
        const fields = line.trim().split(/\s+/);
        if (unix) fields.shift();
        const [state = "", receive, send, ...rest] = fields;
        const users = [...line.matchAll(/\("([^"]*)",pid=(\d+),fd=(\d+)\)/g)].map(([, ...user]) => user.join(" "));
        const [local = "", peer = ""] = unix ? [`${rest[0]} ${rest[1]}`, `${rest[2]} ${rest[3]}`] : rest;
        return { state, receive: Number(receive), send: Number(send), local, peer, users: users.toSorted() };
      }),
  );
}

interface Shown {
  readonly kind: string;
  readonly state: string;
  readonly receiveQueue: number;
  readonly sendQueue: number;
  readonly local: { readonly text: string; readonly port?: number };
  readonly peer: { readonly text: string; readonly port?: number };
  readonly users: readonly { readonly name: string; readonly pid: number; readonly fd: number }[];
  readonly timer?: { readonly kind: string };
  readonly tcp?: { readonly tcpi_state: string; readonly tcpi_bytes_received: number; readonly tcpi_snd_mss: number };
  readonly memory?: { readonly receiveLimit: number };
}

const shownIn = (name: string): Shown[] => objects(text(name)) as unknown as Shown[];

const rowsOfOurs = (shown: readonly Shown[]): Row[] =>
  sorted(
    shown.map(({ state, receiveQueue: receive, sendQueue: send, local, peer, users }) => ({
      state,
      receive,
      send,
      local: local.text,
      peer: peer.text,
      users: users.map(({ name, pid, fd }) => `${name} ${pid} ${fd}`).toSorted(),
    })),
  );

test(
  "sockets agrees with ss row by row on 200 sockets in mixed states, and filters them",
  { skip: unable },
  async (t) => {
    const script = 'ip link set lo up; echo 0 > /proc/sys/net/ipv4/tcp_syncookies; exec "$NODE" "$@"';
    const helper = fileURLToPath(new URL("manySockets.js", import.meta.url));
    const { status, stdout, stderr } = runUnshared(["-n"], script, [helper, MAIN, folder]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const made = JSON.parse(stdout) as { status: number; sockets: number; port: number; pid: number };
    assert.equal(made.status, 0);
    const tcp = shownIn("ours-t");
    const udp = shownIn("ours-u");
    const unix = shownIn("ours-x");
    assert.ok(tcp.length + udp.length + unix.length >= 200, `${tcp.length} + ${udp.length} + ${unix.length}`);

    await t.test("TCP: state, queues, addresses and processes", () => {
      assert.deepEqual(rowsOfOurs(tcp), rowsOfSs(text("ss-t")));
      const states = new Set(tcp.map(({ state }) => state));
      for (const state of ["LISTEN", "ESTAB", "CLOSE-WAIT", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "SYN-SENT"]) {
        assert.ok(states.has(state), `${state} is not among ${[...states].join(", ")}`);
      }
      assert.ok(
        tcp.some(({ local }) => local.text.startsWith("*:")),
        "one socket of both families",
      );
      assert.ok(
        tcp.some(({ local }) => local.text.startsWith("[::]:")),
        "one of IPv6 alone",
      );
      assert.ok(
        tcp.some(({ local }) => local.text.startsWith("0.0.0.0%lo:")),
        "one of an interface",
      );
      assert.ok(
        tcp.some(({ users }) => users.length === 2),
        "one with two descriptors",
      );
    });

    await t.test("UDP and UNIX sockets", () => {
      assert.deepEqual(rowsOfOurs(udp), rowsOfSs(text("ss-u")));
      assert.deepEqual(rowsOfOurs(unix), rowsOfSs(text("ss-x"), true));
    });

    await t.test("timers, TCP_INFO and memory are those of ss -tiom", () => {
      const kinds = new Set(tcp.map(({ timer }) => timer?.kind));
      for (const kind of ["keepalive", "time-wait", "probe", "retransmit"]) assert.ok(kinds.has(kind), kind);
      const established = tcp.filter(({ state }) => state === "ESTAB");
      const facts = text("ss-i")
        .split("\n")
        .filter((line) => line.includes("skmem"))
        .map((line) => [
          / mss:(\d+)/.exec(line)![1],
          /bytes_received:(\d+)/.exec(line)?.[1] ?? "0",
          /,rb(\d+)/.exec(line)![1],
        ])
        .map((fields) => fields.map(Number));
      const ours = established.map(({ tcp: info, memory }) => [
        info!.tcpi_snd_mss,
        info!.tcpi_bytes_received,
        memory!.receiveLimit,
      ]);
      const order = (rows: number[][]): string[] => rows.map((row) => row.join(" ")).toSorted();
      assert.deepEqual(order(ours), order(facts));
      assert.ok(established.every(({ tcp: info }) => info!.tcpi_state === "ESTABLISHED"));
    });

    await t.test("filters by state, port and process", () => {
      const listening = shownIn("listen");
      assert.deepEqual(rowsOfOurs(listening), rowsOfOurs(tcp.filter(({ state }) => state === "LISTEN")));
      const ofPort = [...tcp, ...udp].filter(({ local, peer }) => local.port === made.port || peer.port === made.port);
      assert.deepEqual(rowsOfOurs(shownIn("port")), rowsOfOurs(ofPort));
      const ofProcess = [...tcp, ...udp, ...unix].filter(({ users }) => users.some(({ pid }) => pid === made.pid));
      assert.deepEqual(rowsOfOurs(shownIn("process")), rowsOfOurs(ofProcess));
      assert.equal(text("nobody"), "");
    });

    await t.test("the table has the rows of --json", () => {
      const [head = "", ...rows] = text("table").trimEnd().split("\n");
      assert.match(head, /^Kind +State +Recv-Q +Send-Q +Local +Peer +Process$/);
      assert.equal(rows.length, tcp.length);
    });
  },
);

test("--info prints the details of a socket below it", async () => {
  using server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind(["127.0.0.1", 0]);
  server.listen(5);
  const { port } = server.getsockname() as { port: number };
  const { status, stdout } = await run(["sockets", "-t", "-i", "-H", "--port", String(port)]);
  assert.equal(status, 0);
  const [first = "", second = ""] = stdout.split("\n");
  assert.match(
    first,
    new RegExp(
      `^tcp {2}LISTEN +0 +5 +127\\.0\\.0\\.1:${port} +0\\.0\\.0\\.0:\\* .*\\[${process.pid}\\]:${server.fileno()}`,
    ),
  );
  assert.match(second, /^ {4}\w+; accept queue 0 of 5; memory 0 of \d+ in, 0 of \d+ out, 0 queued; uid \d+$/);
});

test("--watch prints the sockets again and ends with 0 at Ctrl-C", async () => {
  using server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind(["127.0.0.1", 0]);
  server.listen(5);
  const { port } = server.getsockname() as { port: number };
  await using program = start(["sockets", "-t", "--port", String(port), "--watch", "10ms", "--no-header"]);
  await program.line(new RegExp(`:${port} `));
  using client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  // The connection is in a later view.
  await program.line(/ESTAB/);
  program.kill("SIGINT");
  const { status, stderr } = await program.ended;
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("a name that is no state is refused with the nearest one", async () => {
  const { status, stderr } = await run(["sockets", "--state", "listn"]);
  assert.equal(status, 2);
  assert.match(stderr, /^berkeley: --state is "listn", required states such as .*; did you mean "listen"\?/);
});
