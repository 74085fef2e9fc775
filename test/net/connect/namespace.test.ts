// connect() to names with addresses that do not answer, in a network namespace of the test.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { checkLeaks } from "../../support/leaks.js";
import { Program } from "../../support/program.js";

checkLeaks();

// Root has the right to make one; others where the system lets them map themselves to root.
const unshare = process.getuid?.() === 0 ? ["--net"] : ["--user", "--map-root-user", "--net"];
const setUp = `
  set -e
  ip link set lo up
  ip link add here type veth peer name there
  ip link set here up
  ip link set there up
  ip address add 10.9.0.1/24 dev here
  ip -6 address add fd09::1/64 dev here nodad
  ip -6 neighbour add fd09::2 lladdr 02:00:00:00:00:99 dev here
  ip -6 neighbour add fd09::3 lladdr 02:00:00:00:00:99 dev here
  ip -6 route add blackhole fd0b::/64
  ip -6 route add unreachable fd0c::/64
`;
const probe = spawnSync("unshare", [...unshare, "sh", "-c", setUp], { encoding: "utf8" });
const skip = probe.status === 0 ? false : `no network namespace here: ${probe.error?.message ?? probe.stderr.trim()}`;

interface Outcome {
  readonly name: string;
  readonly took: number;
  readonly remote: string;
  readonly during: number;
  readonly after: number;
}

test(
  "connect() passes over addresses without a host within the attempt delay and 50 ms, and closes them",
  { skip },
  async () => {
    const script = `${setUp}\nexec "$0" "$1"`;
    const child = new URL("namespace.js", import.meta.url).pathname;
    await using program = new Program("unshare", [...unshare, "sh", "-c", script, process.execPath, child]);
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    const outcomes = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Outcome);
    assert.equal(outcomes.length, 24, stdout);
    const fastest = (name: string): Outcome =>
      outcomes.filter((one) => one.name === name).reduce((a, b) => (a.took <= b.took ? a : b));
    for (const { remote, after } of outcomes) {
      assert.match(remote, /^10\.9\.0\.1:/);
      assert.equal(after, 0, "a loser is still connecting");
    }
    const silent = fastest("silent");
    assert.equal(silent.during, 1, "its SYN has no answer");
    assert.ok(silent.took >= 249 && silent.took < 300, `it took ${silent.took} ms, required 250 to 300`);
    // The second one of IPv6 would have its turn after IPv4.
    const two = fastest("two silent");
    assert.ok(two.took >= 249 && two.took < 300, `it took ${two.took} ms, required 250 to 300`);
    // The kernel refuses these addresses at once.
    for (const name of ["blackhole", "unreachable"]) {
      const { took, during } = fastest(name);
      assert.equal(during, 0, name);
      assert.ok(took < 50, `${name} took ${took} ms, required less than 50`);
    }
  },
);
