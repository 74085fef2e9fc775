// The commands `ping` and `trace`, compared with Debian's ping and traceroute, through network namespaces: a host, two
// routers, a host.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, type Finished, runUnshared } from "../support/namespaces.js";
import { MAIN, missing, objects, run, start } from "./support.js";

checkLeaks();

const FLAGS = ["--net", "--mount", "--propagation", "private"];
const skip = canUnshare(FLAGS) ? missing("traceroute", "ping", "setpriv") : "such namespaces take privileges";

/**
 * here 10.1.1.1 - 10.1.1.2 near 10.1.2.1 - 10.1.2.2 far 10.1.3.1 - 10.1.3.2 there; the same with fd01:1:: and so on.
 */
const NETWORK = `
  mkdir -p /run/netns; mount -t tmpfs none /run/netns
  for name in here near far there; do
    ip netns add $name
    ip -n $name link set lo up
    nsenter --net=/run/netns/$name sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward
      echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
      echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits
      echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
      echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range'
  done
  wire() {
    ip -n $2 link add to-$3 type veth peer name to-$2 netns $3
    ip -n $2 address add 10.1.$1.1/24 dev to-$3; ip -n $3 address add 10.1.$1.2/24 dev to-$2
    ip -n $2 address add fd01:$1::1/64 dev to-$3 nodad; ip -n $3 address add fd01:$1::2/64 dev to-$2 nodad
    ip -n $2 link set to-$3 up; ip -n $3 link set to-$2 up
  }
  wire 1 here near; wire 2 near far; wire 3 far there
  ip -n here route add default via 10.1.1.2; ip -n here route add default via fd01:1::2
  ip -n near route add default via 10.1.2.2; ip -n near route add default via fd01:2::2
  ip -n far route add 10.1.1.0/24 via 10.1.2.1; ip -n far route add fd01:1::/64 via fd01:2::1
  ip -n there route add default via 10.1.3.1; ip -n there route add default via fd01:3::1
  ip -n near route add unreachable 10.8.0.0/16
  ip -n far route add blackhole 10.9.0.0/16
  go() { nsenter --net=/run/netns/here "$@"; }
  ours() { go setpriv --bounding-set -all --inh-caps -all "$NODE" "$MAIN" "$@"; }
  MAIN="$1"; shift
  # IPv6 has no neighbours to ask until its interfaces are ready.
  go ping -q -n -c 1 -w 10 fd01:3::2 > /dev/null
`;

function inNetwork(commands: string): Finished {
  return runUnshared(FLAGS, NETWORK + commands, [MAIN]);
}

interface Hop {
  readonly hop: number;
  readonly replies: readonly { readonly from: string | null; readonly time: number | null; readonly error?: string }[];
}

const hopsOf = (stdout: string): Hop[] => objects(stdout) as unknown as Hop[];

for (const [version, host, way] of [
  ["IPv4", "10.1.3.2", ["10.1.1.2", "10.1.2.2", "10.1.3.2"]],
  ["IPv6", "fd01:3::2", ["fd01:1::2", "fd01:2::2", "fd01:3::2"]],
] as const) {
  test(`trace without privileges finds the hops that traceroute finds, with ${version}`, { skip }, () => {
    const { status, stdout, stderr } = inNetwork(`ours trace --json ${host}; echo =====; go traceroute -n ${host}`);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const [json = "", text = ""] = stdout.split("=====\n");
    const theirs = [...text.matchAll(/^ *\d+ {2}([\da-f.:]+) {2}/gm)].map(([, address]) => address);
    assert.deepEqual(theirs, way);
    const ours = hopsOf(json);
    assert.deepEqual(
      ours.map(({ hop, replies }) => [hop, [...new Set(replies.map(({ from }) => from))]]),
      theirs.map((address, index) => [index + 1, [address]]),
    );
    assert.ok(
      ours.every(({ replies }) => replies.length === 3 && replies.every(({ time }) => time! >= 0 && time! < 1000)),
    );
  });

  test(`ping without privileges gets the answers that ping gets, with ${version}`, { skip }, () => {
    const { status, stdout, stderr } = inNetwork(
      `ours ping -c 3 -i 20ms --json ${host}; echo =====; go ping -n -c 3 -i 0.02 ${host}`,
    );
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
    const [json = "", text = ""] = stdout.split("=====\n");
    const theirs = [...text.matchAll(/^(\d+) bytes from (\S+): icmp_seq=(\d+) ttl=(\d+) /gm)].map(
      ([, bytes, from, sequence, ttl]) => [Number(bytes), from, Number(sequence), Number(ttl)],
    );
    assert.equal(theirs.length, 3);
    const events = objects(json);
    assert.deepEqual(
      events
        .filter(({ event }) => event === "reply")
        .map(({ bytes, from, sequence, ttl }) => [bytes, from, sequence, ttl]),
      theirs,
    );
    const { transmitted, received, loss } = events.find(({ event }) => event === "statistics")!;
    assert.match(
      text,
      new RegExp(`^${String(transmitted)} packets transmitted, ${String(received)} received, 0% `, "m"),
    );
    assert.equal(loss, 0);
  });
}

// A router that refuses a way sends each host at most five errors, and then one a second. So each program has a network
// of its own.
test("ping names the router that refuses the way, and its reason", { skip }, () => {
  const { status, stdout } = inNetwork('ours ping -c 2 -i 20ms 10.8.0.1 || echo "status $?"');
  assert.equal(status, 0);
  assert.match(
    stdout,
    /^from 10\.1\.1\.2: icmp_seq=1 EHOSTUNREACH\nfrom 10\.1\.1\.2: icmp_seq=2 EHOSTUNREACH\n10\.8\.0\.1: 2 requests, 0 answers, 100 % lost, 2 errors\nstatus 1\n$/,
  );
});

test("trace ends at the router that refuses the way, and shows its reason, as traceroute does", { skip }, () => {
  const ours = inNetwork('ours trace -n 2 10.8.0.1 || echo "status $?"');
  assert.equal(ours.status, 0);
  assert.match(ours.stdout, /^ 1 {2}10\.1\.1\.2 {2}\S+ .s EHOSTUNREACH {2}\S+ .s EHOSTUNREACH\nstatus 1\n$/);
  const theirs = inNetwork("go traceroute -n -q 2 -w 1 10.8.0.1");
  assert.match(theirs.stdout, /^ 1 {2}10\.1\.1\.2 {2}\S+ ms !H {2}\S+ ms !H$/m);
});

test("trace continues after a hop without an answer, and ping counts lost packets", { skip }, () => {
  const { status, stdout } = inNetwork(
    `ours trace -n 1 -m 4 -w 100ms 10.9.0.1 || echo "status $?"; ours ping -c 2 -i 20ms -W 100ms 10.9.0.1 || echo "status $?"`,
  );
  assert.equal(status, 0);
  assert.match(stdout, /^ 1 {2}10\.1\.1\.2 {2}[^\n]+\n 2 {2}\*\n 3 {2}\*\n 4 {2}\*\nstatus 1\n/);
  assert.match(
    stdout,
    /\nno answer to icmp_seq=1\nno answer to icmp_seq=2\n10\.9\.0\.1: 2 requests, 0 answers, 100 % lost\nstatus 1\n$/,
  );
});

test("ping --ttl gets the answer of a router on the way", { skip }, () => {
  const { stdout } = inNetwork('ours ping -c 1 -t 1 10.1.3.2 || echo "status $?"');
  assert.match(stdout, /^from 10\.1\.1\.2: icmp_seq=1 EHOSTUNREACH\n[^\n]+\nstatus 1\n$/);
});

test("ping sends to several hosts of both families at the same time", { skip }, () => {
  const { status, stdout, stderr } = inNetwork("ours ping -c 2 -i 20ms 10.1.3.2 fd01:3::2 10.1.1.2");
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  for (const host of ["10.1.3.2", "fd01:3::2", "10.1.1.2"]) {
    const lines = stdout.split("\n").filter((line) => line.startsWith(`${host}: `));
    assert.equal(lines.length, 3);
    assert.match(lines[2]!, /: 2 requests, 2 answers, 0 % lost, min\/avg\/max\/mdev [\d./]+ ms$/);
  }
});

test("Ctrl-C ends ping with its statistics and status 0", { skip }, async () => {
  await using program = start(["ping", "-i", "10ms", "127.0.0.1"]);
  await program.line(/icmp_seq=3 /);
  program.kill("SIGINT");
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  assert.match(stdout, /\n127\.0\.0\.1: \d+ requests, \d+ answers, /);
});

test("ping and trace say in one line that a host is unknown", async () => {
  for (const command of ["ping", "trace"]) {
    const { status, stdout, stderr } = await run([command, "nobody.invalid"]);
    assert.deepEqual({ status, stdout }, { status: 1, stdout: "" }, command);
    assert.match(stderr, /^berkeley: getaddrinfo EAI_\w+ nobody\.invalid: [^\n]+\n$/);
    assert.equal((await run([command, "1.2.3"])).status, 2);
  }
});
