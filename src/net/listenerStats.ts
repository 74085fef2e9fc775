// The counters of a listener, and its description in JSON.

import { TCP_INFO } from "../options/index.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { describe, type Description, type Fields } from "../registry/index.js";
import { isTcp, type Socket } from "../socket/index.js";
import type { Address } from "../addr/index.js";

/** The counters of a listener. */
export interface ListenerStats {
  /** Connections that `accept()` has returned. */
  readonly accepted: number;
  /** Connections in the accept queue of the kernel. The kernel reports them only for TCP; otherwise undefined. */
  readonly queued: number | undefined;
  /** The maximum length of the accept queue; undefined if `queued` is. */
  readonly backlog: number | undefined;
}

/** The fields of a listener in JSON: those of its socket, and its counters. */
export interface ListenerDescription extends Description {
  readonly fd: number;
  readonly family: string | number;
  readonly type: string | number;
  readonly state: string;
  /** The address, also after `close()`. */
  readonly local: string | null;
  /** The names of the calls that wait. */
  readonly pending: readonly string[];
  readonly stats: Readonly<Record<string, number | null>>;
}

/**
 * The length of the accept queue of a TCP socket, and its maximum. For a listening socket the kernel stores them in the
 * fields `tcpi_unacked` and `tcpi_sacked` of `TCP_INFO`; see tcp_get_info() in net/ipv4/tcp.c.
 */
export function acceptQueueOf(socket: Socket): Pick<ListenerStats, "queued" | "backlog"> {
  if (socket.closed || !isTcp(socket.family, socket.type, socket.protocol)) {
    return { queued: undefined, backlog: undefined };
  }
  try {
    const { tcpi_sacked: backlog, tcpi_unacked: queued } = socket.getsockopt(TCP_INFO);
    return { queued, backlog };
  } catch {
    return { queued: undefined, backlog: undefined };
  }
}

/** The fields of a listener for its description. */
export function describeListener(socket: Socket, address: Address, stats: object): Fields<ListenerDescription> {
  const { fd, family, type, state, pending } = describe(socket) as SocketDescription;
  // JSON has no undefined: a counter that the kernel does not report is null.
  const counters = Object.fromEntries(
    Object.entries(stats as Record<string, number | undefined>).map(([name, count = null]) => [name, count]),
  );
  return { fd, family, type, state, local: String(address), pending, stats: counters };
}
