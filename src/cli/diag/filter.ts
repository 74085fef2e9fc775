// Filters sockets by state, port and process.

import { ValueError, type ValueParser } from "../frame/values.js";
import { didYouMean } from "../frame/suggest.js";
import { type SocketInfo, STATES } from "./socketInfo.js";

/** The kernel's numbers of some states: indexes in STATES. */
const ESTABLISHED = 1;
const SYN_SENT = 2;
const SYN_RECV = 3;
const CLOSE = 7;
const LISTEN = 10;
const NEW_SYN_RECV = 12;

/** The bit of a state in a mask. */
const bit = (state: number): number => 1 << state;
/** The mask of the states 1 to 12. */
export const ALL_STATES = 0x1ffe;

/** Masks by name: the names of STATES, and further names of ss(8). */
const MASKS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    STATES.map((name, number) => [name.toLowerCase(), bit(number)] as const).filter(([name]) => name !== ""),
  ),
  // ss(8) prints both states under this name.
  "syn-recv": bit(SYN_RECV) | bit(NEW_SYN_RECV),
  established: bit(ESTABLISHED),
  listening: bit(LISTEN),
  closed: bit(CLOSE),
  unconnected: bit(CLOSE),
  connected: ALL_STATES & ~(bit(CLOSE) | bit(LISTEN)),
  synchronized: ALL_STATES & ~(bit(SYN_SENT) | bit(CLOSE) | bit(LISTEN)),
  all: ALL_STATES,
};

/** Parses names of states, such as `established,time-wait`. Returns their mask. */
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
  /** Names or numbers (PIDs) of processes. */
  readonly processes: readonly string[];
}

/** Whether a socket has one of the ports and one of the processes. An empty list matches each socket. */
export function matchesFilter(socket: SocketInfo, { ports, processes }: Filter): boolean {
  const { local, peer, users } = socket;
  const isWanted = (port: number | undefined): boolean =>
    port !== undefined && ports.some(([from, to]) => port >= from && port <= to);
  if (ports.length > 0 && !isWanted(local.port) && !isWanted(peer.port)) return false;
  if (processes.length === 0) return true;
  return users.some(({ name, pid }) => processes.some((word) => word === name || word === String(pid)));
}
