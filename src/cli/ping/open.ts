// Opens the socket of a ping: an ICMP datagram socket if the system allows it for this user, otherwise a raw socket.

import {
  type Address,
  AF_INET6,
  ICMP6_ECHO_REPLY,
  ICMP6_FILTER,
  ICMP_ECHOREPLY,
  ICMP_FILTER,
  IP_RECVERR,
  IP_RECVTTL,
  IP_TTL,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPV6_RECVERR,
  IPV6_RECVHOPLIMIT,
  IPV6_UNICAST_HOPS,
  SOCK_DGRAM,
  SOCK_RAW,
  Socket,
  SocketError,
} from "berkeley";

import { Failure } from "../frame/failure.js";

export type PingSocketKind = "datagram" | "raw";

/**
 * Opens the socket, and connects it to the host.
 *
 * @throws Failure if the system allows neither kind of socket
 */
export async function openPingSocket(
  target: Address,
  ttl: number | undefined,
  signal: AbortSignal,
): Promise<{ socket: Socket; kind: PingSocketKind }> {
  const isIPv6 = target.family === AF_INET6;
  const { socket, kind } = openIcmp(target.family);
  try {
    socket.setsockopt(isIPv6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, true);
    socket.setsockopt(isIPv6 ? IPV6_RECVERR : IP_RECVERR, true);
    if (ttl !== undefined) socket.setsockopt(isIPv6 ? IPV6_UNICAST_HOPS : IP_TTL, ttl);
    await socket.connect(target, { signal });
    return { socket, kind };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Opens an ICMP datagram socket, or a raw socket if the system refuses the first. */
function openIcmp(family: number): { socket: Socket; kind: PingSocketKind } {
  const isIPv6 = family === AF_INET6;
  const protocol = isIPv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  const isRefused = (error: unknown): boolean =>
    error instanceof SocketError && ["EACCES", "EPERM", "EPROTONOSUPPORT"].includes(error.code);
  try {
    return { socket: new Socket(family, SOCK_DGRAM, protocol), kind: "datagram" };
  } catch (error) {
    if (!isRefused(error)) throw error;
  }
  try {
    const socket = new Socket(family, SOCK_RAW, protocol);
    // Without a filter, a raw socket receives all ICMP messages, even the requests that it sends to this machine.
    if (isIPv6) socket.setsockopt(ICMP6_FILTER, { pass: [ICMP6_ECHO_REPLY] });
    else socket.setsockopt(ICMP_FILTER, { pass: [ICMP_ECHOREPLY] });
    return { socket, kind: "raw" };
  } catch (error) {
    if (!isRefused(error)) throw error;
    throw new Failure(
      "Cannot open an ICMP socket: this user lacks the permission, required a group in the range of the sysctl " +
        "net.ipv4.ping_group_range or the capability CAP_NET_RAW",
    );
  }
}
