// Packets as the device has them: a capture on lo, and a frame that is sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AF_INET,
  AF_PACKET,
  ETH_P_ALL,
  ETH_P_IP,
  PACKET_HOST,
  PACKET_OUTGOING,
  PacketAddress,
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
    const made = packetSocket(type, ETH_P_ALL);
    if (made === undefined) return;
    await using capture = made;
    await capture.bind(new PacketAddress(ETH_P_ALL, lo, 0, 0, new Uint8Array(0)));
    assert.deepEqual(capture.getsockname(), new PacketAddress(ETH_P_ALL, lo, ARPHRD_LOOPBACK, 0, new Uint8Array(6)));
    await using receiver = new Socket(AF_INET, SOCK_DGRAM);
    await receiver.bind("127.0.0.1:0");
    const payload = Buffer.from(`captured ${process.pid} ${type}`);
    await receiver.sendto(payload, receiver.getsockname());
    const seen: number[] = [];
    while (seen.length < 2) {
      const { data, address } = await capture.recvmsg(2000, { timeout: 5000 });
      if (!data.includes(payload)) continue;
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
  await socket.bind(new PacketAddress(protocol, lo, 0, 0, new Uint8Array(0)));
  const frame = Buffer.concat([Buffer.alloc(12), Buffer.from([0x88, 0xb5]), Buffer.from("a frame")]);
  assert.equal(await socket.send(frame), frame.length);
  const [back, from] = await socket.recvfrom(100);
  assert.deepEqual(back, frame);
  assert.equal((from as PacketAddress).protocol, protocol);
  // And by address, the hardware's own included.
  await socket.sendmsg(frame, { address: new PacketAddress(protocol, lo, 0, 0, new Uint8Array(6)) });
  assert.deepEqual(await socket.recv(100), frame);
});
