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
  for (const kind of query.kinds) {
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
      // A connection that no process has open, such as one in TIME-WAIT, has the inode 0, so it has no users.
      .map((socket) => ({ ...socket, users: users.get(socket.inode) ?? [] }))
      .filter((socket) => matchesFilter(socket, query))
      .toSorted((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || rank(a) - rank(b) || byPorts(a, b))
  );
}

/** Sorts listeners before other sockets. */
const rank = ({ state }: SocketInfo): number => (state === "LISTEN" ? 0 : 1);

const byPorts = (a: SocketInfo, b: SocketInfo): number =>
  (a.local.port ?? 0) - (b.local.port ?? 0) || (a.peer.port ?? 0) - (b.peer.port ?? 0) || a.inode - b.inode;
