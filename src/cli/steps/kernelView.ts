// The state of a TCP socket as the kernel reports it: state, queues, round-trip time (RTT).
//
// State, accept queue and RTT come from getsockopt(TCP_INFO). TCP_INFO does not contain the numbers of bytes in the
// queues of a connection (Recv-Q and Send-Q of ss(8)). These come from /proc/net/tcp (proc(5)): from the line with the
// inode of the socket.

import { readFileSync, readlinkSync } from "node:fs";

import { AF_INET6, type Socket, TCP_INFO } from "berkeley";

interface Queues {
  /** Received bytes that the program has not read. */
  readonly receive: number;
  /** Sent bytes that the peer has not acknowledged. */
  readonly send: number;
}

/** The widths of columns: the longest name, the longest state, and a number of bytes. */
const NAME_WIDTH = "server".length;
const STATE_WIDTH = "ESTABLISHED".length;
const BYTES_WIDTH = "1234 B".length;

/** The positions of fields in a line of /proc/net/tcp. */
const QUEUES_FIELD = 4;
const INODE_FIELD = 9;

/** The queues of a connection; undefined without /proc. */
function queuesOf(socket: Socket): Queues | undefined {
  try {
    const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${socket.fileno()}`))?.[0];
    const table = readFileSync(`/proc/self/net/${socket.family === AF_INET6 ? "tcp6" : "tcp"}`, "latin1");
    for (const line of table.split("\n")) {
      // sl, local address, remote address, state, send queue:receive queue, timer, retransmits, uid, timeout, inode
      const fields = line.trim().split(/\s+/);
      if (fields[INODE_FIELD] !== inode) continue;
      const [send = "", receive = ""] = fields[QUEUES_FIELD]!.split(":");
      return { receive: Number.parseInt(receive, 16), send: Number.parseInt(send, 16) };
    }
  } catch {
    // /proc is missing, or the table has an unknown format.
  }
  return undefined;
}

/** The state, and the RTT if the socket has one. */
export function stateOf(socket: Socket): string {
  const { tcpi_state: state, tcpi_rtt: rtt } = socket.getsockopt(TCP_INFO);
  const hasRtt = rtt !== 0 && state !== "LISTEN" && state !== "CLOSE";
  return hasRtt ? `${state}  rtt ${formatMicroseconds(rtt)}` : state;
}

/**
 * A line with the state of a socket. The state determines what follows: the accept queue of a listener, the address of
 * a socket that is not connected, or the queues and the RTT. `name` is the variable of the socket in the printed code.
 */
export function viewOf(name: string, socket: Socket): string {
  const info = socket.getsockopt(TCP_INFO);
  const nameAndState = `${name.padEnd(NAME_WIDTH)}  ${info.tcpi_state.padEnd(STATE_WIDTH)}  `;
  // For a listener, `tcpi_unacked` is the length of the accept queue, and `tcpi_sacked` its limit (net/ipv4/tcp.c).
  if (info.tcpi_state === "LISTEN") return `${nameAndState}accept queue ${info.tcpi_unacked} of ${info.tcpi_sacked}`;
  if (info.tcpi_state === "CLOSE") return nameAndState + addressText(socket);
  const queues = queuesOf(socket);
  const bytes = queues === undefined ? "" : `recv-q ${column(queues.receive)}send-q ${column(queues.send)}`;
  return `${nameAndState}${bytes}rtt ${formatMicroseconds(info.tcpi_rtt)}`;
}

function addressText(socket: Socket): string {
  const address = socket.getsockname();
  return "port" in address && address.port === 0 ? "no address yet" : `address ${address}`;
}

function column(count: number): string {
  return `${count} B`.padEnd(BYTES_WIDTH);
}

function formatMicroseconds(microseconds: number): string {
  return `${(microseconds / 1000).toFixed(2)} ms`;
}
