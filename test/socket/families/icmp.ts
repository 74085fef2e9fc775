// Echo requests of ICMP (RFC 792) and ICMPv6 (RFC 4443). Run as a program, it pings the loopback addresses with
// datagram sockets, for which the kernel sets the identifier and the checksum.
import { fileURLToPath } from "node:url";
import { AF_INET, AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, SOCK_DGRAM, Socket } from "berkeley";

export function echoRequest(type: number, identifier: number, sequence: number, data: string): Buffer {
  const packet = Buffer.alloc(8 + data.length);
  packet[0] = type;
  packet.writeUInt16BE(identifier, 4);
  packet.writeUInt16BE(sequence, 6);
  packet.write(data, 8);
  return packet;
}

/** Fills in the Internet checksum, RFC 1071. */
export function icmpChecksum(packet: Buffer): void {
  let sum = 0;
  for (let at = 0; at < packet.length; at += 2)
    sum += at + 1 < packet.length ? packet.readUInt16BE(at) : packet[at]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  packet.writeUInt16BE(~sum & 0xffff, 2);
}

async function ping(family: number, protocol: number, host: string, type: number): Promise<void> {
  await using socket = new Socket(family, SOCK_DGRAM, protocol);
  await socket.sendto(echoRequest(type, 0, 7, "unprivileged ping"), [host, 0]);
  const reply = await socket.recv(1500, { timeout: 5000 });
  console.log(`${host}: type ${reply[0]}, sequence ${reply.readUInt16BE(6)}, ${reply.subarray(8).toString()}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await ping(AF_INET, IPPROTO_ICMP, "127.0.0.1", 8);
  await ping(AF_INET6, IPPROTO_ICMPV6, "::1", 128);
}
