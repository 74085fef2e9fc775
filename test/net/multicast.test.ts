// join() and leave() of UdpSocket: groups of IPv4 and IPv6, interfaces, sources, and refusals.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { bindUdp } from "berkeley";
import { canUnshare, runUnshared } from "../support/namespaces.js";
import { checkLeaks } from "../support/leaks.js";
import { SLOWDOWN } from "../support/slowdown.js";
import { scenes } from "./multicastScenes.js";

checkLeaks();

for (const { ipv6, name, play } of scenes) if (!ipv6) test(name, play);

const pathOf = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const unshared = canUnshare(["-n"]) ? false : "needs root and network namespaces";

test("the scenes of IPv6, where lo has a route for multicast", { skip: unshared }, () => {
  const script = 'ip link set lo up; ip -6 route add local ff00::/8 dev lo table local; "$NODE" "$1"';
  const { status, stderr, stdout } = runUnshared(["-n"], script, [pathOf("multicastScenes.js")]);
  assert.equal(status, 0, `${stderr}${stdout}`);
  assert.deepEqual(
    stdout.trimEnd().split("\n"),
    scenes.filter(({ ipv6 }) => ipv6).map(({ name }) => name),
  );
});

test("wrong arguments are refused before any call", async () => {
  await using four = await bindUdp("udp://0.0.0.0:0");
  await using six = await bindUdp("udp://[::]:0", { ipv6Only: true });
  const cases: readonly (readonly [() => unknown, RegExp])[] = [
    [() => four.join("10.0.0.1"), /^TypeError: Cannot join: group is "10.0.0.1", required a multicast address/],
    [() => four.join("224.0.0"), /group is "224.0.0"/],
    [() => four.join("group.example"), /group is "group.example"/],
    [() => four.join(5 as never), /group is 5/],
    [() => six.leave("fe80::1"), /^TypeError: Cannot leave: group is "fe80::1", required a multicast address/],
    [() => four.join("ff15::1"), /group is "ff15::1", required one of IPv4, because the socket is of IPv4/],
    [() => six.join("239.1.1.1"), /group is "239.1.1.1", required one of IPv6, because the socket receives no IPv4/],
    [
      () => four.join("239.1.1.1", { source: "::1" }),
      /source is "::1", required a numeric address of one host, of IPv4/,
    ],
    [() => four.join("239.1.1.1", { source: "239.1.1.2" }), /source is "239.1.1.2"/],
    [() => four.join("239.1.1.1", { source: "name" }), /source is "name"/],
    [() => four.join("239.1.1.1", { interface: "" }), /interface is "", required the index, the name or a numeric/],
    [() => four.join("239.1.1.1", { interface: "10.1" }), /interface is "10.1", required the index, the name/],
    [() => four.join("239.1.1.1", { interface: "a b" }), /interface is "a b"/],
    [() => four.join("239.1.1.1", { interface: {} as never }), /interface is \{\}, required/],
    [() => four.join("239.1.1.1", { interface: -1 }), /^RangeError: Cannot join: interface is -1/],
    [() => four.join("239.1.1.1", { iface: "lo" } as object), /option "iface" is unknown/],
    [() => four.join("239.1.1.1", "lo" as never), /options are "lo", required an object/],
  ];
  for (const [call, message] of cases) {
    assert.throws(call, (error) => (assert.match(String(error), message), true));
  }
});

test(
  "between hosts, python3 sends to groups that were joined by name, index, address and route",
  { skip: unshared },
  () => {
    // Two hosts: this namespace with the interfaces left and right, and a peer at the other end of each.
    const script = `
    ip link set lo up
    for side in left right; do
      unshare -n sleep "$2" & peer=$!
      until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do :; done
      ip link add $side type veth peer name far netns $peer
      nsenter -t $peer -n ip link set far up
      ip link set $side up
      case $side in left) net=1;; right) net=2;; esac
      ip addr add 10.9.$net.1/24 dev $side
      ip -6 addr add fd00:9:$net::1/64 dev $side nodad
      nsenter -t $peer -n ip addr add 10.9.$net.2/24 dev far
      nsenter -t $peer -n ip addr add 10.9.$net.3/24 dev far
      nsenter -t $peer -n ip -6 addr add fd00:9:$net::2/64 dev far nodad
      export PEER_$side=$peer
    done
    trap 'kill $PEER_left $PEER_right' EXIT
    "$NODE" "$1"
  `;
    const { status, stderr, stdout } = runUnshared(["-n"], script, [
      pathOf("multicastPeers.js"),
      // The peers must outlive the limit of runUnshared().
      String(120 * SLOWDOWN),
    ]);
    assert.equal(status, 0, `${stderr}${stdout}`);
    assert.equal(stdout, "ok\n");
  },
);
