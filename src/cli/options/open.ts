// Opens the socket for the command `options`: a new socket of the endpoint's kind, or an inherited descriptor.

import {
  type Address,
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
  readonly connect: boolean;
  /** Milliseconds for looking up the host and for connecting. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal;
}

export async function openSocket(endpoint: Endpoint, options: OpenOptions): Promise<Socket> {
  const { messageType, connect, timeout, signal } = options;
  if (endpoint.scheme === "systemd") throw new UsageError("ENDPOINT is systemd:, required a socket that can be named");
  if (endpoint.scheme === "fd") {
    if (connect) throw new UsageError("--connect is given with a descriptor, which is a socket already");
    return Socket.fromfd(endpoint.fd);
  }
  const type =
    messageType === "seqpacket"
      ? SOCK_SEQPACKET
      : messageType === "datagram" || endpoint.scheme === "udp"
        ? SOCK_DGRAM
        : SOCK_STREAM;
  const waitOptions = { signal, ...(timeout === undefined ? {} : { timeout }) };
  const address = await addressOf(endpoint, type, waitOptions);
  const family = endpoint.scheme === "unix" ? AF_UNIX : endpoint.scheme === "vsock" ? AF_VSOCK : address.family;
  const socket = new Socket(family, type);
  try {
    if (connect) await socket.connect(address, waitOptions);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
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
export const kindOf = (socket: Socket): string => {
  const { family, type } = socket;
  const typeName = type === SOCK_STREAM ? "stream" : type === SOCK_DGRAM ? "datagram" : `type ${type}`;
  if (family === AF_UNIX) return `UNIX ${type === SOCK_SEQPACKET ? "seqpacket" : typeName}`;
  return `${family === AF_VSOCK ? "vsock" : family === AF_INET6 ? "IPv6" : "IPv4"} ${typeName}`;
};
