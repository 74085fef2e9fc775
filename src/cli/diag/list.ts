// Lists the sockets that match a filter, sorted, with their processes.

import { SocketError } from "berkeley";

import { Failure } from "../frame/failure.js";
import { type Filter, matchesFilter } from "./filter.js";
import { inetSockets } from "./inet.js";
import { Diag } from "./netlink.js";
import { usersOfSockets } from "./processes.js";
import { type Kind, KINDS, type SocketInfo } from "./socketInfo.js";
import { unixSockets } from "./unix.js";

export interface Query extends Filter {
  readonly kinds: readonly Kind[];
  /** A mask of the kernel's states. */
  readonly states: number;
}

export async function listSockets(query: Query, signal: AbortSignal): Promise<SocketInfo[]> {
  await using diag = new Diag(signal);
  const found: SocketInfo[] = [];
  for (const kind of KINDS.filter((one) => query.kinds.includes(one))) {
    try {
      found.push(
        ...(await (kind === "unix" ? unixSockets(diag, query.states) : inetSockets(diag, kind, query.states))),
      );
    } catch (error) {
      if (!(error instanceof SocketError && error.code === "ENOENT")) throw error;
      throw new Failure(`the kernel has no sock_diag for ${kind} sockets: load the module ${kind}_diag`);
    }
  }
  const users = usersOfSockets();
  return (
    found
      // Inode 0 is a connection that no process has open, such as a connection in TIME-WAIT.
      .map((socket) => ({ ...socket, users: (socket.inode === 0 ? undefined : users.get(socket.inode)) ?? [] }))
      .filter((socket) => matchesFilter(socket, query))
      .toSorted((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || rank(a) - rank(b) || compare(a, b))
  );
}

/** The rank in the order of sockets: listeners are first. */
const rank = ({ state }: SocketInfo): number => (state === "LISTEN" ? 0 : 1);

const compare = (a: SocketInfo, b: SocketInfo): number =>
  (a.local.port ?? 0) - (b.local.port ?? 0) || (a.peer.port ?? 0) - (b.peer.port ?? 0) || a.inode - b.inode;
