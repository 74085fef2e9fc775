// Checks options that can't change after bind(2), when the new program of an upgrade takes over a socket.

import { AF_INET6 } from "../addr/index.js";
import { IPV6_V6ONLY, SO_REUSEPORT } from "../options/index.js";
import type { Socket } from "../socket/index.js";
import { localError } from "../wait/localError.js";

/** @throws SocketError `EINVAL` if the new program requests another value than the socket has */
export function refuseChanges(
  socket: Socket,
  wanted: { readonly reusePort: boolean; readonly ipv6Only: boolean },
): void {
  const { host } = socket.getsockname() as { readonly host?: string };
  const found = {
    reusePort: socket.getsockopt(SO_REUSEPORT),
    // The option is compared only at the wildcard: at other addresses the kernel itself sets it (__inet6_bind in
    // net/ipv6/af_inet6.c).
    ipv6Only: socket.family === AF_INET6 && host === "::" ? socket.getsockopt(IPV6_V6ONLY) : wanted.ipv6Only,
  };
  for (const name of ["reusePort", "ipv6Only"] as const) {
    if (found[name] === wanted[name]) continue;
    const cause = new Error(
      `${name} is ${String(wanted[name])}, required ${String(found[name])} as on the socket of the old program`,
    );
    throw localError("EINVAL", "upgrade", { cause });
  }
}
