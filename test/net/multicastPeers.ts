// The program of multicast.test.ts in a network namespace with the interfaces left and right. The other ends of these
// are in the namespaces of the processes PEER_left and PEER_right, where python3 sends.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { bindUdp, if_nametoindex, SocketError, type UdpSocket } from "berkeley";
import { plainEnvironment } from "../support/program.js";

type Side = "left" | "right";

/** Makes python3 send each text of `what` to its host or group, from the address `from`. */
function send(side: Side, from: string, port: number, what: readonly (readonly [host: string, text: string])[]): void {
  const program = `
import json, socket, sys
six = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
index = socket.if_nametoindex("far")
if six:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
for host, text in json.loads(sys.argv[3]):
    s.sendto(text.encode(), (host, int(sys.argv[2])))
`;
  const peer = process.env[`PEER_${side}`]!;
  const args = ["-t", peer, "-n", "python3", "-c", program, from, String(port), JSON.stringify(what)];
  const { status, stderr } = spawnSync("nsenter", args, { encoding: "utf8", env: plainEnvironment(), timeout: 30_000 });
  assert.equal(status, 0, stderr);
}

/** Receives the texts before "end". The peer sends "end" to the receiver itself, over the same link. */
async function textsBeforeEnd(receiver: UdpSocket): Promise<string[]> {
  const got: string[] = [];
  for await (const { data } of receiver) {
    if (String(data) === "end") break;
    got.push(String(data));
  }
  return got;
}

const CASES = [
  { group: "239.9.9.9", own: (net: number) => `10.9.${net}.1`, far: (net: number) => `10.9.${net}.2` },
  { group: "ff15::99", own: (net: number) => `fd00:9:${net}::1`, far: (net: number) => `fd00:9:${net}::2` },
] as const;

for (const { group, own, far } of CASES) {
  const endpoint = group.includes(":") ? "udp://[::]:0" : "udp://0.0.0.0:0";
  const round = async (receiver: UdpSocket): Promise<string[]> => {
    const { port } = receiver.address;
    send("left", far(1), port, [
      [group, "left"],
      [own(1), "end"],
    ]);
    const first = await textsBeforeEnd(receiver);
    send("right", far(2), port, [
      [group, "right"],
      [own(2), "end"],
    ]);
    return [...first, ...(await textsBeforeEnd(receiver))];
  };
  for (const via of ["right", if_nametoindex("right"), own(2)]) {
    await using receiver = await bindUdp(endpoint);
    receiver.join(group, { interface: via });
    assert.deepEqual(await round(receiver), ["right"], `${group} by ${via}`);
    receiver.join(group, { interface: "left" });
    assert.deepEqual(await round(receiver), ["left", "right"]);
    receiver.leave(group, { interface: via });
    assert.deepEqual(await round(receiver), ["left"]);
  }
  // Only datagrams of the given source arrive, which is on one of the two links.
  await using receiver = await bindUdp(endpoint);
  receiver.join(group, { interface: "left", source: far(1) });
  receiver.join(group, { interface: "right", source: far(1) });
  assert.deepEqual(await round(receiver), ["left"]);
}

{
  // Without a route and without an interface the kernel refuses the datagram.
  await using receiver = await bindUdp("udp://0.0.0.0:0");
  assert.throws(
    () => receiver.join("239.9.9.9"),
    (error) => {
      assert.ok(error instanceof SocketError, String(error));
      assert.equal(error.code, "ENODEV");
      assert.match(
        String(error.cause),
        /no interface has a route to 239\.9\.9\.9, required the option interface, or a route/,
      );
      return true;
    },
  );
  const { status } = spawnSync("ip", ["route", "add", "224.0.0.0/4", "dev", "left"]);
  assert.equal(status, 0);
  receiver.join("239.9.9.9");
  send("left", "10.9.1.3", receiver.address.port, [
    ["239.9.9.9", "by route"],
    ["10.9.1.1", "end"],
  ]);
  assert.deepEqual(await textsBeforeEnd(receiver), ["by route"]);
  receiver.leave("239.9.9.9", { interface: "left" });
}
console.log("ok");
