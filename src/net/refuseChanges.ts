// Checks the options of a socket that the old program of an upgrade has bound. Some options can't change after bind(2).

import { AF_INET6 } from "../addr/index.js";
import { IPV6_V6ONLY, SO_REUSEPORT } from "../options/index.js";
import type { Socket } from "../socket/index.js";
import { localError } from "../wait/localError.js";

/** Compares the options. @throws SocketError `EINVAL` if the new program requests another value than the socket has */
export function refuseChanges(
  socket: Socket,
  requested: { readonly reusePort: boolean; readonly ipv6Only: boolean },
): void {
  const { host } = socket.getsockname() as { readonly host?: string };
  const present = {
    reusePort: socket.getsockopt(SO_REUSEPORT),
    // The option is compared only at the wildcard of IPv6. At other addresses of IPv6 the kernel itself sets the option
    // (__inet6_bind in net/ipv6/af_inet6.c).
    ipv6Only: socket.family === AF_INET6 && host === "::" ? socket.getsockopt(IPV6_V6ONLY) : requested.ipv6Only,
  };
  for (const name of ["reusePort", "ipv6Only"] as const) {
    if (present[name] === requested[name]) continue;
    const cause = new Error(
      `${name} is ${String(requested[name])}, required ${String(present[name])} as on the socket of the old program`,
    );
    throw localError("EINVAL", "upgrade", { cause });
  }
}
