// Functions that the tests of options share: constants by name, sockets of each kind, privileges and kernel features.
import { readFileSync } from "node:fs";
import { release } from "node:os";
import * as module from "#berkeley/sys/constants.js";
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_VSOCK,
  ETH_P_ALL,
  htons,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_RAW,
  IPPROTO_UDPLITE,
  NETLINK_ROUTE,
  PacketAddress,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  Socket,
  SocketError,
  socketpair,
} from "berkeley";

/** Every constant of sys/constants.ts by name. */
export const constants: Readonly<Record<string, number>> = { ...(module as unknown as Record<string, number>) };

/** Whether the running kernel is at least this version. */
export function kernelHas(version: string): boolean {
  const found = release().split(/[.-]/).map(Number);
  for (const [index, part] of version.split(".").map(Number).entries()) {
    const mine = found[index] ?? 0;
    if (mine !== part) return mine > part;
  }
  return true;
}

/** CAP_NET_ADMIN of linux/capability.h; a process that has it has CAP_NET_RAW as well, in practice. */
const CAP_NET_ADMIN = 12n;

/** Whether this process has the network's capabilities. */
export function privileged(): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  return line !== null && ((BigInt(`0x${line[1]}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

/** The code of what `run` throws, if it is a SocketError. */
export function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}

/** A socket to try an option on, and those that keep it as it is. */
export interface Prepared {
  readonly socket: Socket;
  readonly others: readonly Socket[];
}

async function tcpPair(family: number, host: string): Promise<Prepared> {
  const listener = new Socket(family, SOCK_STREAM);
  await listener.bind([host, 0]);
  listener.listen(1);
  const socket = new Socket(family, SOCK_STREAM);
  await socket.connect(listener.getsockname());
  const [peer] = await listener.accept();
  return { socket, others: [listener, peer] };
}

async function udpConnected(family: number, host: string): Promise<Prepared> {
  const peer = new Socket(family, SOCK_DGRAM);
  await peer.bind([host, 0]);
  const socket = new Socket(family, SOCK_DGRAM);
  await socket.connect(peer.getsockname());
  return { socket, others: [peer] };
}

/** An IPv6 socket that is connected to an IPv4-mapped address. */
async function mapped(): Promise<Prepared> {
  const listener = new Socket(AF_INET, SOCK_STREAM);
  await listener.bind(["127.0.0.1", 0]);
  listener.listen(1);
  const socket = new Socket(AF_INET6, SOCK_STREAM);
  const address = listener.getsockname() as { readonly port: number };
  await socket.connect(["::ffff:127.0.0.1", address.port]);
  return { socket, others: [listener] };
}

async function packetOnLo(): Promise<Prepared> {
  const socket = new Socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  // The index of lo is 1 in every network namespace.
  await socket.bind(new PacketAddress(ETH_P_ALL, 1, 0, 0, new Uint8Array(0)));
  return { socket, others: [] };
}

const alone =
  (family: number, type: number, protocol = 0) =>
  (): Prepared => ({
    socket: new Socket(family, type, protocol),
    others: [],
  });

/** How to make a socket of each kind. */
export const kinds = {
  tcp: alone(AF_INET, SOCK_STREAM),
  tcp6: alone(AF_INET6, SOCK_STREAM),
  tcpConnected: () => tcpPair(AF_INET, "127.0.0.1"),
  udp: alone(AF_INET, SOCK_DGRAM),
  udp6: alone(AF_INET6, SOCK_DGRAM),
  udpConnected: () => udpConnected(AF_INET, "127.0.0.1"),
  udp6Connected: () => udpConnected(AF_INET6, "::1"),
  mapped,
  udplite: alone(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE),
  unix: (): Prepared => {
    const [socket, peer] = socketpair(AF_UNIX, SOCK_STREAM);
    return { socket, others: [peer] };
  },
  icmp: alone(AF_INET, SOCK_RAW, IPPROTO_ICMP),
  icmp6: alone(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
  raw6: alone(AF_INET6, SOCK_RAW, IPPROTO_RAW),
  packet: packetOnLo,
  netlink: alone(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
  vsock: alone(AF_VSOCK, SOCK_STREAM),
} satisfies Record<string, () => Prepared | Promise<Prepared>>;

export type Kind = keyof typeof kinds;

export function closeAll({ socket, others }: Prepared): void {
  for (const each of [socket, ...others]) each.close();
}

/** Two sockets that are closed together. */
export class Pair {
  readonly a: Socket;
  readonly b: Socket;

  constructor(sockets: readonly [Socket, Socket]) {
    [this.a, this.b] = sockets;
  }

  [Symbol.dispose](): void {
    this.a.close();
    this.b.close();
  }
}
