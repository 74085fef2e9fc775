// Protocols other than TCP and UDP: MPTCP, UDP-Lite, raw IP, ICMP with and without privileges.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  AF_INET,
  AF_INET6,
  InetAddress,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_MPTCP,
  IPPROTO_RAW,
  IPPROTO_UDPLITE,
  SO_PROTOCOL,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  Socket,
  SOL_UDPLITE,
  UDPLITE_RECV_CSCOV,
  UDPLITE_SEND_CSCOV,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { canUnshare, runUnshared } from "../../support/namespaces.js";
import { errnoOfSocket } from "./kernel.js";
import { echoRequest, icmpChecksum } from "./icmp.js";

checkLeaks();

/** True when the kernel makes such a socket; otherwise ours gets the kernel's errno. */
function made(family: number, type: number, protocol: number): boolean {
  const errno = errnoOfSocket(family, type, protocol);
  if (errno === undefined) return true;
  assert.throws(() => new Socket(family, type, protocol), { name: "SocketError", code: errno, syscall: "socket" });
  return false;
}

test("MPTCP connects, and both ends say so", async () => {
  if (!made(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)) return;
  await using server = new Socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  await server.bind("127.0.0.1:0");
  server.listen(1);
  await using client = new Socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  await client.connect(server.getsockname());
  const [accepted] = await server.accept();
  await using conn = accepted;
  assert.equal(client.getsockopt(SO_PROTOCOL), IPPROTO_MPTCP);
  assert.equal(conn.protocol, IPPROTO_MPTCP);
  const data = Buffer.alloc(1 << 20, "multipath");
  const sending = client.sendAll(data);
  const got: Buffer[] = [];
  for (let length = 0; length < data.length; length += got.at(-1)!.length) got.push(await conn.recv(1 << 16));
  await sending;
  assert.ok(Buffer.concat(got).equals(data));
  client.close();
  assert.equal((await conn.recv(10)).length, 0);
});

test("UDP-Lite carries datagrams, with its checksum over a part", async () => {
  if (!made(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE)) return;
  await using receiver = new Socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
  await receiver.bind("127.0.0.1:0");
  await using sender = new Socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
  sender.setsockopt(SOL_UDPLITE, UDPLITE_SEND_CSCOV, 8);
  await sender.sendto("partly covered", receiver.getsockname());
  const message = await receiver.recvmsg(100);
  assert.equal(message.data.toString(), "partly covered");
  assert.equal(sender.getsockopt(SOL_UDPLITE, UDPLITE_SEND_CSCOV), 8);
  // A receiver that requires a larger coverage does not get the datagram.
  receiver.setsockopt(SOL_UDPLITE, UDPLITE_RECV_CSCOV, 20);
  await sender.sendto("refused", receiver.getsockname());
  await assert.rejects(receiver.recv(100, { timeout: 20 }), { code: "ETIMEDOUT" });
});

test("a raw ICMP socket gets the answer to an echo request with its IP header", async () => {
  if (!made(AF_INET, SOCK_RAW, IPPROTO_ICMP)) return;
  await using socket = new Socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  const identifier = process.pid & 0xffff;
  const request = echoRequest(8, identifier, 7, "raw ping");
  icmpChecksum(request);
  assert.equal(await socket.sendto(request, ["127.0.0.1", 0]), request.length);
  for (;;) {
    const [packet, from] = await socket.recvfrom(1500, { timeout: 5000 });
    const icmp = packet.subarray((packet[0]! & 15) * 4);
    if (icmp[0] !== 0 || icmp.readUInt16BE(4) !== identifier) continue;
    assert.equal(packet[9], IPPROTO_ICMP);
    assert.deepEqual(from, new InetAddress("127.0.0.1", 0));
    assert.equal(icmp.subarray(8).toString(), "raw ping");
    break;
  }
});

test("a raw socket sends a header of its own", async () => {
  if (!made(AF_INET, SOCK_RAW, IPPROTO_RAW)) return;
  const PROTOCOL = 253; // for experiments, RFC 3692
  await using receiver = new Socket(AF_INET, SOCK_RAW, PROTOCOL);
  await receiver.bind("127.0.0.1:0");
  await using sender = new Socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  const header = Buffer.from([0x45, 0, 0, 24, 0, 0, 0, 0, 33, PROTOCOL, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
  await sender.sendto([header, Buffer.from("body")], ["127.0.0.1", 0]);
  const packet = await receiver.recv(100);
  assert.equal(packet[8], 33);
  assert.equal(packet.subarray(20).toString(), "body");
});

for (const [name, family, protocol] of [
  ["ICMP", AF_INET, IPPROTO_ICMP],
  ["ICMPv6", AF_INET6, IPPROTO_ICMPV6],
] as const) {
  test(`an unprivileged ${name} socket is made or refused as the kernel says`, async () => {
    if (!made(family, SOCK_DGRAM, protocol)) return;
    await using socket = new Socket(family, SOCK_DGRAM, protocol);
    assert.equal(socket.type, SOCK_DGRAM);
  });
}

test("unprivileged ICMP sockets ping where net.ipv4.ping_group_range allows them", (t) => {
  if (!canUnshare(["--net"])) {
    t.skip("a network namespace of its own takes privileges");
    return;
  }
  const program = fileURLToPath(new URL("icmp.js", import.meta.url));
  const script = 'echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range; ip link set lo up; exec "$NODE" "$1"';
  const { status, stdout, stderr } = runUnshared(["--net"], script, [program]);
  assert.deepEqual(
    { status, stderr, lines: stdout.trim().split("\n") },
    {
      status: 0,
      stderr: "",
      lines: ["127.0.0.1: type 0, sequence 7, unprivileged ping", "::1: type 129, sequence 7, unprivileged ping"],
    },
  );
});
