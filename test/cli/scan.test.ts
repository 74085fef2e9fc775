// The command `scan`, with servers of the test.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AF_INET, SOCK_STREAM, Socket } from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";
import { MAIN, objects, run, start } from "./support.js";

checkLeaks();

/** A bound socket on 127.0.0.1, which refuses connections until it listens. */
async function bound(): Promise<[Socket, number]> {
  const socket = new Socket(AF_INET, SOCK_STREAM);
  await socket.bind(["127.0.0.1", 0]);
  return [socket, (socket.getsockname() as { port: number }).port];
}

test("scan finds the ports that are open, and with --all the closed ones", async () => {
  const [first, a] = await bound();
  const [second, b] = await bound();
  const [third, closed] = await bound();
  using one = first;
  using two = second;
  using refusing = third;
  one.listen();
  two.listen();
  const list = [a, b, closed].join(",");
  const { status, stdout, stderr } = await run(["scan", "127.0.0.1", list]);
  assert.equal(status, 0);
  assert.deepEqual(
    [...stdout.matchAll(/^ *(\d+) {2}open /gm)].map(([, port]) => Number(port)),
    [a, b],
  );
  assert.match(stderr, /^berkeley: 127\.0\.0\.1: 3 ports in [^,]+, 2 open, 1 closed, 0 filtered\n$/);
  const all = objects((await run(["scan", "127.0.0.1", list, "--all", "--json"])).stdout);
  assert.deepEqual(
    all.map(({ host, port, state, error }) => ({ host, port, state, error })),
    [
      { host: "127.0.0.1", port: a, state: "open", error: undefined },
      { host: "127.0.0.1", port: b, state: "open", error: undefined },
      { host: "127.0.0.1", port: closed, state: "closed", error: "ECONNREFUSED" },
    ],
  );
  assert.equal(refusing.closed, false);
});

test("scan ends with 1 when no port is open", async () => {
  const [socket, port] = await bound();
  using refusing = socket;
  assert.equal((await run(["scan", "127.0.0.1", String(port), "-q"])).status, 1);
  assert.equal(refusing.closed, false);
});

const skip = canUnshare(["-n"]) ? false : "unshare -n takes privileges";

test("scan of all ports of a network of its own finds the servers and nothing else", { skip }, () => {
  const servers = `import { Socket } from "berkeley";
    for (const port of [22, 8080, 65535]) { const s = new Socket(); await s.bind(["127.0.0.1", port]); s.listen(); globalThis["s" + port] = s; }
    const { spawnSync } = await import("node:child_process");
    const args = [process.env.MAIN, "scan", "127.0.0.1", "1-65535", "--rate", "10000", "--parallel", "500"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    console.log(JSON.stringify({ status, stdout, stderr })); process.exit(0);`;
  const script = 'ip link set lo up; MAIN="$2" exec "$NODE" --input-type=module --eval "$1"';
  const result = runUnshared(["-n"], script, [servers, MAIN]);
  assert.equal(result.status, 0, result.stderr);
  const { status, stdout, stderr } = JSON.parse(result.stdout) as { status: number; stdout: string; stderr: string };
  assert.equal(status, 0, stderr);
  assert.deepEqual(
    [...stdout.matchAll(/^ *(\d+) {2}open /gm)].map(([, port]) => Number(port)),
    [22, 8080, 65_535],
  );
  assert.match(stdout, /^ {3}22 {2}open {6}ssh {2}/m);
  assert.match(stderr, /: 65535 ports in [^,]+, 3 open, 65532 closed, 0 filtered\n$/);
});

test("a port without an answer is filtered, and --rate bounds the connections", { skip }, () => {
  // The other end of the interface has no host, so the address resolution of the neighbor fails.
  const script = `ip link set lo up; ip link add away type veth peer name far; ip link set away up; ip link set far up; ip address add 10.9.0.1/24 dev away
    ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:99 dev away
    exec "$NODE" "$1" scan 10.9.0.2 1-40 --all --json --timeout 50ms --rate 80 --parallel 100`;
  const began = performance.now();
  const { status, stdout, stderr } = runUnshared(["-n"], script, [MAIN]);
  assert.deepEqual({ status, stderr }, { status: 1, stderr: "" });
  const results = objects(stdout);
  assert.deepEqual(
    results.map(({ port, state, error }) => [port, state, error]),
    Array.from({ length: 40 }, (_, index) => [index + 1, "filtered", "ETIMEDOUT"]),
  );
  // The last one begins after 39 of 80 parts of a second.
  assert.ok(performance.now() - began >= 450);
});

test("scan refuses public addresses, and ports that are none", async () => {
  const wrong = await run(["scan", "192.0.2.1", "80"]);
  assert.equal(wrong.status, 2);
  assert.match(
    wrong.stderr,
    /^berkeley: HOST is "192\.0\.2\.1", the public address 192\.0\.2\.1, required a private one /,
  );
  for (const list of ["0", "80-70", "65536", "80,", "http"]) {
    const { status, stderr } = await run(["scan", "127.0.0.1", list]);
    assert.equal(status, 2, list);
    assert.match(stderr, /^berkeley: PORTS is "[^"]*", required ports from 1 to 65535 and ranges /);
  }
});

test("Ctrl-C ends a scan with its totals and status 130", async () => {
  const [socket, port] = await bound();
  using server = socket;
  server.listen();
  // The second port is due after a second.
  await using program = start(["scan", "127.0.0.1", `${port},1`, "--rate", "1"]);
  await program.line(/ open /);
  program.kill("SIGINT");
  const { status, stderr } = await program.ended;
  assert.equal(status, 130);
  assert.match(stderr, /^berkeley: 127\.0\.0\.1: 1 of 2 ports in [^,]+, 1 open, 0 closed, 0 filtered\n$/);
});
