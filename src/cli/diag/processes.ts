// Finds the processes that have a socket open, by the links in /proc/PID/fd (proc(5)). Only root can read the
// links of other users' processes.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

import type { SocketUser } from "./socketInfo.js";

/** The processes that have a socket open, by the inode of the socket. */
export function usersOfSockets(): ReadonlyMap<number, readonly SocketUser[]> {
  const found = new Map<number, SocketUser[]>();
  for (const folder of namesIn("/proc")) {
    const pid = Number(folder);
    // Other files of /proc have no number as their name.
    if (!Number.isInteger(pid)) continue;
    let name: string | undefined;
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      const inode = inodeOf(`/proc/${pid}/fd/${fd}`);
      if (inode === undefined) continue;
      name ??= nameOf(pid);
      const user = { name, pid, fd: Number(fd) };
      const users = found.get(inode);
      if (users === undefined) found.set(inode, [user]);
      else users.push(user);
    }
  }
  return found;
}

// Before each call of the functions below, the process may end, or the descriptor may be closed. So these functions
// return an empty list, an empty text or undefined after an error.

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The inode of a socket; undefined if the descriptor is no socket. */
function inodeOf(link: string): number | undefined {
  try {
    const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(link));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").replace(/\n$/, "");
  } catch {
    return "";
  }
}
