// Packets with their link-level headers: a capture on lo, and a sent frame.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_PACKET,
  BPF_ABS,
  BPF_B,
  BPF_H,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  type BpfInstruction,
  ETH_P_ALL,
  ETH_P_IP,
  IPPROTO_UDP,
  PACKET_HOST,
  PACKET_OUTGOING,
  PacketAddress,
  SO_ATTACH_FILTER,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { errnoOfSocket } from "./kernel.js";

checkLeaks();

const lo = 1;
/** <linux/if_arp.h> */
const ARPHRD_LOOPBACK = 772;
const ETHERNET = 14;

/** htons: the protocol of a packet socket is in network order. */
const networkOrder = (value: number): number => new DataView(new Uint16Array([value]).buffer).getUint16(0);

/** A filter for UDP over IPv4 to a port, after a link-level header of this length. */
function udpTo(port: number, header: number): BpfInstruction[] {
  return [
    { code: BPF_LD | BPF_B | BPF_ABS, jt: 0, jf: 0, k: header + 9 },
    { code: BPF_JMP | BPF_JEQ | BPF_K, jt: 0, jf: 3, k: IPPROTO_UDP },
    { code: BPF_LD | BPF_H | BPF_ABS, jt: 0, jf: 0, k: header + 22 },
    { code: BPF_JMP | BPF_JEQ | BPF_K, jt: 0, jf: 1, k: port },
    { code: BPF_RET | BPF_K, jt: 0, jf: 0, k: 0xffff },
    { code: BPF_RET | BPF_K, jt: 0, jf: 0, k: 0 },
  ];
}

/** Undefined, and checked to be refused the same way, where the kernel makes no such socket. */
function packetSocket(type: number, protocol: number): Socket | undefined {
  const number = networkOrder(protocol);
  const errno = errnoOfSocket(AF_PACKET, type, number);
  if (errno === undefined) return new Socket(AF_PACKET, type, number);
  assert.throws(() => new Socket(AF_PACKET, type, number), { name: "SocketError", code: errno });
  return undefined;
}

for (const [name, type, header] of [
  ["SOCK_RAW captures frames on lo with their header", SOCK_RAW, ETHERNET],
  ["SOCK_DGRAM captures packets on lo without their header", SOCK_DGRAM, 0],
] as const) {
  test(name, async () => {
    await using receiver = new Socket(AF_INET, SOCK_DGRAM);
    await receiver.bind("127.0.0.1:0");
    const { port } = receiver.getsockname();
    // Without a protocol it captures nothing before the filter is there; others use lo as well.
    const made = packetSocket(type, 0);
    if (made === undefined) return;
    await using capture = made;
    capture.setsockopt(SO_ATTACH_FILTER, udpTo(port, header));
    await capture.bind(new PacketAddress(ETH_P_ALL, lo, 0, 0, new Uint8Array(0)));
    assert.deepEqual(capture.getsockname(), new PacketAddress(ETH_P_ALL, lo, ARPHRD_LOOPBACK, 0, new Uint8Array(6)));
    const payload = Buffer.from(`captured ${process.pid} ${type}`);
    await receiver.sendto(payload, receiver.getsockname());
    const seen: number[] = [];
    while (seen.length < 2) {
      const { data, address } = await capture.recvmsg(2000, { timeout: 5000 });
      assert.ok(data.includes(payload));
      assert.ok(address instanceof PacketAddress);
      assert.equal(address.protocol, ETH_P_IP);
      assert.equal(address.ifindex, lo);
      assert.equal(address.hatype, ARPHRD_LOOPBACK);
      assert.equal(data.length, header + 20 + 8 + payload.length);
      assert.equal(data[header]! >> 4, 4);
      if (header > 0) assert.equal(data.readUInt16BE(12), ETH_P_IP);
      seen.push(address.pkttype);
    }
    // On lo each packet goes out and comes in.
    assert.deepEqual(seen, [PACKET_OUTGOING, PACKET_HOST]);
  });
}

test("a frame that is sent on lo comes back", async () => {
  const protocol = 0x88b5; // for experiments, IEEE 802
  const made = packetSocket(SOCK_RAW, protocol);
  if (made === undefined) return;
  await using socket = made;
  await socket.bind({ protocol, ifindex: lo });
  const frame = Buffer.concat([Buffer.alloc(12), Buffer.from([0x88, 0xb5]), Buffer.from("a frame")]);
  assert.equal(await socket.send(frame), frame.length);
  const [back, from] = await socket.recvfrom(100);
  assert.deepEqual(back, frame);
  assert.equal((from as PacketAddress).protocol, protocol);
  // And by address, the hardware's own included.
  await socket.sendmsg(frame, { address: new PacketAddress(protocol, lo, 0, 0, new Uint8Array(6)) });
  assert.deepEqual(await socket.recv(100), frame);
});
