// The two ends of a socket, for the message of an error. They are looked up when a call has failed, and never before.

import { type Address, Inet6Address, InetAddress, UnixAddress } from "../addr/index.js";
import type { Calls } from "./calls.js";
import { SO_PEERNAME, SOL_SOCKET } from "./constants.js";
import { addressBuffer, decodeAddress, decodeAddressBuffer } from "./sockaddr.js";

/** The addresses of a socket as text. */
export interface Route {
  readonly local?: string | undefined;
  readonly peer?: string | undefined;
}

/** `struct sockaddr_in` and `struct sockaddr_in6`. */
const SIZE_IN = 16;
const SIZE_IN6 = 28;

function textOf(address: Address): string | undefined {
  if (address instanceof UnixAddress) return address.path === "" ? undefined : String(address);
  if (!(address instanceof InetAddress) && !(address instanceof Inet6Address)) return undefined;
  // The socket has no address yet.
  return address.port === 0 ? undefined : String(address);
}

/**
 * The peer. getpeername(2) fails on a connection that was reset. SO_PEERNAME still has the address (inet_getname in
 * net/ipv4/af_inet.c), but accepts no buffer that is larger than it.
 */
function peerOf(calls: Calls, fd: number, local: Address): string | undefined {
  if (local instanceof UnixAddress) {
    return calls.getpeername(fd, addressBuffer) < 0 ? undefined : textOf(decodeAddressBuffer());
  }
  const bytes = new Uint8Array(local instanceof InetAddress ? SIZE_IN : SIZE_IN6);
  return calls.getsockopt(fd, SOL_SOCKET, SO_PEERNAME, bytes) < bytes.length ? undefined : textOf(decodeAddress(bytes));
}

/** The ends of an IP or UNIX socket; undefined if it is closed, or has no address. */
export function routeOf(calls: Calls, fd: number): Route | undefined {
  if (fd < 0 || calls.getsockname(fd, addressBuffer) < 0) return undefined;
  const address = decodeAddressBuffer();
  const local = textOf(address);
  const known = address instanceof InetAddress || address instanceof Inet6Address || address instanceof UnixAddress;
  const peer = known ? peerOf(calls, fd, address) : undefined;
  return local === undefined && peer === undefined ? undefined : { local, peer };
}
