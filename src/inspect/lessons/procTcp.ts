// Reads the TCP connections of /proc/net/tcp, proc(5). The file also has connections without a descriptor.

import type * as Fs from "node:fs";

export interface ProcSocket {
  readonly local: string;
  readonly peer: string;
  readonly state: string;
  readonly receiveQueue: number;
  readonly sendQueue: number;
}

/** The names of the states, by their numbers in net/tcp_states.h. */
const STATES = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
];

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Reads `0100007F:22B8`: the bytes of the address in the machine's byte order, and the port. Both are hexadecimal. */
function addressOf(text: string): string {
  const [host = "", port = ""] = text.split(":");
  const bytes = [0, 2, 4, 6].map((at) => Number.parseInt(host.slice(at, at + 2), 16));
  return `${(LITTLE_ENDIAN ? bytes.toReversed() : bytes).join(".")}:${Number.parseInt(port, 16)}`;
}

/** The IPv4 connections; none if /proc is missing. */
export function readProcTcp(fs: Pick<typeof Fs, "readFileSync">): ProcSocket[] {
  let table: string;
  try {
    table = fs.readFileSync("/proc/self/net/tcp", "latin1");
  } catch {
    return [];
  }
  return table
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => {
      // sl, local address, remote address, state, send queue:receive queue
      const [, local = "", peer = "", state = "", queues = ""] = line.trim().split(/\s+/);
      const [send = "", receive = ""] = queues.split(":");
      return {
        local: addressOf(local),
        peer: addressOf(peer),
        state: STATES[Number.parseInt(state, 16)] ?? state,
        receiveQueue: Number.parseInt(receive, 16),
        sendQueue: Number.parseInt(send, 16),
      };
    });
}
