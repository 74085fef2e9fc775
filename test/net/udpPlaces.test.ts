// UDP on several addresses: a socket at the wildcard answers from the destination address of the request.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  bindUdp,
  connectUdp,
  if_nametoindex,
  InetAddress,
  Inet6Address,
  type Packet,
  parseAddress,
  Socket,
  SOCK_DGRAM,
  type UdpSocket,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { inResolverNamespace, noResolverNamespace } from "../support/resolverNamespace.js";
import { rejection } from "./support.js";

checkLeaks();

const LO = if_nametoindex("lo");
const WILDCARDS = ["udp://0.0.0.0:0", "udp://[::]:0", ["", 0]] as const;

/** Sends from a client that is connected to `host`, and receives the answer. It can come only from that address. */
async function ask(server: UdpSocket, host: string, answer: (packet: Packet) => Promise<void>): Promise<Packet> {
  await using client = await connectUdp([host, server.address.port]);
  await client.send("question");
  const packet = await server.receive({ timeout: 10_000 });
  await answer(packet);
  assert.equal(String((await client.receive({ timeout: 10_000 })).data), "answer");
  return packet;
}

const mapped = (server: UdpSocket, host: string): string =>
  server.address instanceof InetAddress || host.includes(":") ? host : `::ffff:${host}`;

for (const wildcard of WILDCARDS) {
  test(`a socket at ${String(wildcard)} answers from the address to which the request was sent, and reports it`, async () => {
    await using server = await bindUdp(wildcard);
    const hosts = ["127.0.0.1", "127.0.0.2", "127.1.2.3"];
    if (server.address instanceof Inet6Address) hosts.push("::1");
    for (const host of hosts) {
      const packet = await ask(server, host, ({ address }) => server.send("answer", address));
      assert.equal(packet.localAddress?.host, mapped(server, host));
      assert.equal(packet.localAddress?.port, server.address.port);
      assert.equal(packet.ifindex, LO);
    }
  });

  test(`a socket at ${String(wildcard)} sends from the given address`, async () => {
    await using server = await bindUdp(wildcard);
    for (const host of ["127.0.0.2", "127.0.0.3"]) {
      // A copy of the address does not belong to a packet.
      const copy = ({ address }: Packet): string => String(address);
      await ask(server, host, (packet) => server.send("answer", copy(packet), packet));
      await ask(server, host, ({ localAddress, ...packet }) =>
        server.send("answer", copy({ localAddress, ...packet }), { localAddress }),
      );
      await ask(server, host, (packet) =>
        server.send("answer", copy(packet), { localAddress: `${host}:0`, ifindex: LO, timeout: 1000 }),
      );
    }
    await using peer = await bindUdp("udp://127.0.0.1:0");
    const to = [mapped(server, "127.0.0.1"), peer.address.port] as const;
    await server.send("plain", to);
    assert.equal((await peer.receive()).address.host, "127.0.0.1");
    await server.send("told", to, { localAddress: ["127.9.9.9", server.address.port] });
    assert.equal((await peer.receive()).address.host, "127.9.9.9");
    const foreign = await rejection(server.send("x", to, { localAddress: "192.0.2.77:0" }));
    assert.match(foreign.code!, /^(?:EINVAL|ENETUNREACH)$/);
  });
}

test("packets are answered in any order, each from its own address", async () => {
  await using server = await bindUdp("udp://0.0.0.0:0");
  const hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
  const clients = await Promise.all(hosts.map((host) => connectUdp([host, server.address.port])));
  const packets: Packet[] = [];
  for (const client of clients) {
    await client.send("question");
    packets.push(await server.receive());
  }
  for (const { address } of packets.toReversed()) {
    await server.send("answer", address);
    await server.send("again", address);
  }
  for (const client of clients) {
    assert.equal(String((await client.receive()).data), "answer");
    assert.equal(String((await client.receive()).data), "again");
    await client.close();
  }
});

test("iteration has the address too, and Python's client gets the answer from the address to which it has sent", async () => {
  await using server = await bindUdp(["", 0]);
  const script = `
import socket, sys
port = int(sys.argv[1])
for family, host in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.9"), (socket.AF_INET6, "::1")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.sendto(b"question", (host, port))
    data, peer = s.recvfrom(100)
    print(data.decode(), peer[0], flush=True)`;
  await using program = new Program("python3", ["-c", script, String(server.address.port)]);
  const seen: (string | undefined)[] = [];
  for await (const { address, localAddress } of server) {
    await server.send("answer", address);
    seen.push(localAddress?.host);
    if (seen.length === 3) break;
  }
  const { stdout, stderr } = await program.ended;
  assert.equal(stdout, "answer 127.0.0.2\nanswer 127.0.0.9\nanswer ::1\n", stderr);
  assert.deepEqual(seen, ["::ffff:127.0.0.2", "::ffff:127.0.0.9", "::1"]);
});

test("an adopted socket at the wildcard answers from the address to which the request was sent", async () => {
  const made = new Socket(AF_INET, SOCK_DGRAM);
  await made.bind("0.0.0.0:0");
  await using server = await bindUdp({ fd: made.detach() });
  await ask(server, "127.0.0.8", ({ address }) => server.send("answer", address));
});

test("send() refuses a place that is wrong", async () => {
  await using four = await bindUdp("udp://0.0.0.0:0");
  await using six = await bindUdp("udp://[::]:0");
  const to = "127.0.0.1:9";
  const wrong: readonly [UdpSocket, object, string][] = [
    [four, { localAddress: "[::1]:0" }, "TypeError"],
    [four, { localAddress: "localhost:0" }, "TypeError"],
    [four, { localAddress: `127.0.0.1:${four.address.port === 1 ? 2 : 1}` }, "TypeError"],
    [four, { localAddress: "127.0.0.1" }, "TypeError"],
    [four, { localAddress: 5 }, "TypeError"],
    [four, { ifindex: -1 }, "RangeError"],
    [four, { ifindex: "" }, "TypeError"],
    [six, { localAddress: "unix:/x" }, "TypeError"],
  ];
  for (const [socket, opts, name] of wrong) assert.equal((await rejection(socket.send("x", to, opts))).name, name);
  assert.equal((await rejection(four.send("x", to, { ifindex: 0x7fff_ffff }))).name, "SocketError");
});

test(
  "a socket at the wildcard of IPv6 answers from each of several addresses, those of a link included",
  { skip: noResolverNamespace },
  async () => {
    const commands = `
      ip link add here type veth peer name there
      ip link set here up
      ip link set there up
      for host in fd09::1 fd09::2 fd09::3; do ip -6 address add $host/64 dev here nodad; done
      ip -6 address add fe80::99/64 dev here nodad
      ip address add 10.9.0.1/24 dev here
      ip address add 10.9.0.2/24 dev here`;
    await using program = inResolverNamespace(new URL("udpPlaces.js", import.meta.url), { commands });
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { asked: string; from: string; local: string; ifindex: number });
    assert.equal(lines.length, 7, stdout);
    for (const { asked, from, local } of lines.slice(0, 6)) {
      const { host, scopeid } = parseAddress(asked) as Inet6Address;
      const wanted = host.includes(":") ? host : `::ffff:${host}`;
      assert.equal(from, host);
      assert.equal(local, scopeid > 0 ? `${wanted}%${scopeid}` : wanted);
    }
    // Nobody can answer from an address of many.
    assert.equal(lines[6]!.local, "none");
    assert.equal(lines[6]!.from, "answered");
  },
);
