// The state of a TCP socket as the kernel reports it: state, queues, round-trip time.
//
// State, accept queue and RTT come from getsockopt(TCP_INFO). TCP_INFO does not have the bytes in the queues of a
// connection, which ss(8) shows as Recv-Q and Send-Q. /proc/net/tcp has them (proc(5)); the socket is found there by
// its inode.

import { readFileSync, readlinkSync } from "node:fs";

import { AF_INET6, type Socket, TCP_INFO } from "berkeley";

interface Queues {
  /** Received bytes that the program has not read. */
  readonly receive: number;
  /** Sent bytes that the peer has not acknowledged. */
  readonly send: number;
}

const STATE_WIDTH = "ESTABLISHED".length;

/** The queues of a connection; undefined without /proc. */
function queuesOf(socket: Socket): Queues | undefined {
  try {
    const inode = /\d+/.exec(readlinkSync(`/proc/self/fd/${socket.fileno()}`))?.[0];
    const table = readFileSync(`/proc/self/net/${socket.family === AF_INET6 ? "tcp6" : "tcp"}`, "latin1");
    for (const line of table.split("\n")) {
      // sl, local address, remote address, state, send queue:receive queue, timer, retransmits, uid, timeout, inode
      const fields = line.trim().split(/\s+/);
      if (fields[9] !== inode) continue;
      const [send = "", receive = ""] = fields[4]!.split(":");
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
  return rtt === 0 || state === "LISTEN" || state === "CLOSE" ? state : `${state}  rtt ${milliseconds(rtt)}`;
}

/** A line with state, queues and RTT. `name` is the variable of the socket in the printed code. */
export function viewOf(name: string, socket: Socket): string {
  const info = socket.getsockopt(TCP_INFO);
  const state = `${name.padEnd(6)}  ${info.tcpi_state.padEnd(STATE_WIDTH)}  `;
  // For a listener, these two fields have the accept queue and its limit (tcp_get_info in net/ipv4/tcp.c).
  if (info.tcpi_state === "LISTEN") return `${state}accept queue ${info.tcpi_unacked} of ${info.tcpi_sacked}`;
  if (info.tcpi_state === "CLOSE") return state + nameOf(socket);
  const queues = queuesOf(socket);
  const bytes = queues === undefined ? "" : `recv-q ${bytesOf(queues.receive)}send-q ${bytesOf(queues.send)}`;
  return `${state}${bytes}rtt ${milliseconds(info.tcpi_rtt)}`;
}

function nameOf(socket: Socket): string {
  const address = socket.getsockname();
  return "port" in address && address.port === 0 ? "no address yet" : `address ${address}`;
}

function bytesOf(count: number): string {
  return `${count} B`.padEnd(6);
}

function milliseconds(microseconds: number): string {
  return `${(microseconds / 1000).toFixed(2)} ms`;
}
