// Filters sockets by state, port and process.

import { ValueError, type ValueParser } from "../frame/values.js";
import { didYouMean } from "../frame/suggest.js";
import { type SocketInfo, STATES } from "./socketInfo.js";

/** The bit of a state in a mask. `state` is the index in STATES. */
const bit = (state: number): number => 1 << state;
/** The states 1 to 12. */
export const ALL_STATES = 0x1ffe;

/** Masks by name: the names of STATES, and further names of ss(8). */
const MASKS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    STATES.map((name, number) => [name.toLowerCase(), bit(number)] as const).filter(([n]) => n !== ""),
  ),
  // ss(8) prints the states 3 and 12 of the kernel under this name.
  "syn-recv": bit(3) | bit(12),
  established: bit(1),
  listening: bit(10),
  closed: bit(7),
  unconnected: bit(7),
  connected: ALL_STATES & ~(bit(7) | bit(10)),
  synchronized: ALL_STATES & ~(bit(2) | bit(7) | bit(10)),
  all: ALL_STATES,
};

/** Parses names of states, such as `established,time-wait`, to a mask. */
export const stateMask: ValueParser<number> = Object.assign(
  (text: string): number =>
    text.split(",").reduce((mask, word) => {
      const known = Object.hasOwn(MASKS, word.toLowerCase()) ? MASKS[word.toLowerCase()] : undefined;
      if (known !== undefined) return mask | known;
      throw new ValueError(
        `required states such as listen, established or time-wait, with commas${didYouMean(word, Object.keys(MASKS))}`,
      );
    }, 0),
  { complete: Object.keys(MASKS) },
);

export interface Filter {
  readonly ports: readonly (readonly [from: number, to: number])[];
  /** Names, or numbers of processes. */
  readonly processes: readonly string[];
}

/** Whether a socket has one of the ports and one of the processes. An empty list matches each socket. */
export function matchesFilter(socket: SocketInfo, { ports, processes }: Filter): boolean {
  const { local, peer, users } = socket;
  const within = (port: number | undefined): boolean =>
    port !== undefined && ports.some(([from, to]) => port >= from && port <= to);
  if (ports.length > 0 && !within(local.port) && !within(peer.port)) return false;
  if (processes.length === 0) return true;
  return users.some(({ name, pid }) => processes.some((word) => word === name || word === String(pid)));
}
