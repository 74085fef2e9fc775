// The type of an address by the family of its socket.

import type {
  Address,
  HostPort,
  Inet6Address,
  InetAddress,
  NetlinkAddress,
  PacketAddress,
  UnixAddress,
  VsockAddress,
} from "./address.js";
import type { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK } from "./families.js";
import type { HostPortLike } from "./parse.js";

/**
 * The addresses of a socket of family `F`: `AddressOf<typeof AF_INET>` is {@link InetAddress}. The result is
 * {@link Address} for a family without a class of its own, and for `number`: a family that is known only at run time.
 */
export type AddressOf<F extends number> = F extends typeof AF_INET
  ? InetAddress
  : F extends typeof AF_INET6
    ? Inet6Address
    : F extends typeof AF_UNIX
      ? UnixAddress
      : F extends typeof AF_VSOCK
        ? VsockAddress
        : F extends typeof AF_NETLINK
          ? NetlinkAddress
          : F extends typeof AF_PACKET
            ? PacketAddress
            : Address;

/** The forms of {@link AddressLike} whose sockets have the family AF_INET or AF_INET6. */
export type InetLike =
  | InetAddress
  | Inet6Address
  | HostPort
  | HostPortLike
  | readonly [host: string, port: number]
  | readonly [host: string, port: number, flowinfo?: number, scopeid?: number]
  | `${string}:${number}`
  | `[${string}]:${number}`;
