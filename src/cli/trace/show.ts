// Formats the line of a hop, and looks up the names of its routers.

import { getnameinfo, NI_NAMEREQD, SocketError } from "berkeley";

import { escapeLine } from "../frame/escape.js";
import { formatTime } from "../frame/units.js";
import type { Hop } from "./hop.js";

/** Formats ` 2  10.0.2.2  0.51 ms  0.49 ms  *`. An address is left out if the previous answer came from it too. */
export function hopLine({ ttl, replies }: Hop, names: ReadonlyMap<string, string>): string {
  const cells: string[] = [];
  let previousFrom: string | undefined;
  for (const { from, time, error } of replies) {
    if (from === undefined) {
      cells.push(error ?? "*");
      continue;
    }
    const name = names.get(from);
    if (from !== previousFrom) cells.push(name === undefined ? from : `${escapeLine(name)} (${from})`);
    previousFrom = from;
    cells.push(`${formatTime(time ?? 0)}${error === undefined ? "" : ` ${error}`}`);
  }
  return `${String(ttl).padStart(2)}  ${cells.join("  ")}`;
}

/** Looks up the names of the routers. The map has no entry for a router without a name. */
export async function lookUpNames({ replies }: Hop, signal: AbortSignal): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const hosts = new Set(replies.flatMap(({ from }) => (from === undefined ? [] : [from])));
  for (const host of hosts) {
    try {
      const [name] = await getnameinfo([host, 0], NI_NAMEREQD, { signal });
      found.set(host, name);
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    }
  }
  return found;
}
