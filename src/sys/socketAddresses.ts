// Reads the local address and the peer's address of a socket, for the error of a failed call.

import { type Address, Inet6Address, InetAddress, UnixAddress } from "../addr/index.js";
import type { Calls } from "./calls.js";
import { SO_PEERNAME, SOL_SOCKET } from "./constants.js";
import { addressBuffer, decodeAddress, decodeAddressBuffer } from "./sockaddr.js";

/** The two addresses of a socket as text. */
export interface SocketAddresses {
  readonly local?: string | undefined;
  readonly peer?: string | undefined;
}

/** Sizes of `struct sockaddr_in` and `struct sockaddr_in6`. */
const SIZE_IN = 16;
const SIZE_IN6 = 28;

/** The address as text; undefined if the socket has no address, or one that is neither IP nor UNIX. */
function textOf(address: Address): string | undefined {
  if (address instanceof UnixAddress) return address.path === "" ? undefined : String(address);
  if (!(address instanceof InetAddress) && !(address instanceof Inet6Address)) return undefined;
  // Port 0: the socket is not bound or connected yet.
  return address.port === 0 ? undefined : String(address);
}

/**
 * The address of the peer. After a reset of the connection getpeername(2) fails, but SO_PEERNAME still returns the
 * address (inet_getname in net/ipv4/af_inet.c). SO_PEERNAME requires a buffer that is not longer than the address. The
 * length of a UNIX address is not known before the call, so a UNIX socket uses getpeername(2).
 */
function peerOf(calls: Calls, fd: number, local: Address): string | undefined {
  if (local instanceof UnixAddress) {
    return calls.getpeername(fd, addressBuffer) < 0 ? undefined : textOf(decodeAddressBuffer());
  }
  const bytes = new Uint8Array(local instanceof InetAddress ? SIZE_IN : SIZE_IN6);
  return calls.getsockopt(fd, SOL_SOCKET, SO_PEERNAME, bytes) < bytes.length ? undefined : textOf(decodeAddress(bytes));
}

/** The addresses of an IP or UNIX socket; undefined if the socket is closed or has none. */
export function socketAddresses(calls: Calls, fd: number): SocketAddresses | undefined {
  if (fd < 0 || calls.getsockname(fd, addressBuffer) < 0) return undefined;
  const address = decodeAddressBuffer();
  const local = textOf(address);
  const isInetOrUnix =
    address instanceof InetAddress || address instanceof Inet6Address || address instanceof UnixAddress;
  const peer = isInetOrUnix ? peerOf(calls, fd, address) : undefined;
  return local === undefined && peer === undefined ? undefined : { local, peer };
}
