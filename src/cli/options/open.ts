// Opens the socket for the command `options`: a new socket of the endpoint's kind, or an inherited descriptor.

import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_VSOCK,
  type Endpoint,
  getaddrinfo,
  Inet6Address,
  InetAddress,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
} from "berkeley";

import { UsageError } from "../frame/failure.js";

export interface OpenOptions {
  /** The type of a UNIX message socket; undefined for a stream and for UDP. */
  readonly messageType: "datagram" | "seqpacket" | undefined;
  /** Whether the socket is connected to the endpoint before it is returned. */
  readonly connect: boolean;
  /** Milliseconds for looking up the host and for connecting. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal;
}

export async function openSocket(endpoint: Endpoint, options: OpenOptions): Promise<Socket> {
  const { messageType, connect, timeout, signal } = options;
  if (endpoint.scheme === "systemd")
    throw new UsageError("ENDPOINT is systemd:, required tcp, tls, udp, unix, vsock or fd");
  if (endpoint.scheme === "fd") {
    if (connect)
      throw new UsageError("--connect is given with an endpoint of fd, required one that can be connected to");
    return Socket.fromfd(endpoint.fd);
  }
  const type = typeOf(endpoint, messageType);
  const waitOptions = { signal, ...(timeout === undefined ? {} : { timeout }) };
  const address = await addressOf(endpoint, type, waitOptions);
  const socket = new Socket(address.family, type);
  try {
    if (connect) await socket.connect(address, waitOptions);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

function typeOf({ scheme }: Endpoint, messageType: OpenOptions["messageType"]): number {
  if (messageType === "seqpacket") return SOCK_SEQPACKET;
  return messageType === "datagram" || scheme === "udp" ? SOCK_DGRAM : SOCK_STREAM;
}

/** The address of an endpoint. Looks up a host name. */
async function addressOf(
  endpoint: Exclude<Endpoint, { scheme: "fd" | "systemd" }>,
  type: number,
  waitOptions: { readonly signal: AbortSignal; readonly timeout?: number },
): Promise<Address> {
  const { address } = endpoint;
  if (!("host" in address) || address instanceof InetAddress || address instanceof Inet6Address) return address;
  const { host, port } = address;
  // Without a host the endpoint is on all interfaces, so its address is the IPv6 wildcard.
  if (host === "") return new Inet6Address("::", port, 0, 0);
  const [first] = await getaddrinfo(host, port, { type, ...waitOptions });
  return first!.address;
}

/** The kind of a socket in words, such as `IPv4 stream`. */
export function kindOf({ family, type }: Socket): string {
  return `${FAMILY_NAMES.get(family) ?? `family ${family}`} ${TYPE_NAMES.get(type) ?? `type ${type}`}`;
}

const FAMILY_NAMES: ReadonlyMap<number, string> = new Map([
  [AF_UNIX, "UNIX"],
  [AF_VSOCK, "vsock"],
  [AF_INET6, "IPv6"],
  [AF_INET, "IPv4"],
]);

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [SOCK_STREAM, "stream"],
  [SOCK_DGRAM, "datagram"],
  [SOCK_SEQPACKET, "seqpacket"],
]);
