// Prints the table of sockets, and a line of details below each socket.

import { escapeLine } from "../frame/escape.js";
import type { Output } from "../frame/output.js";
import { formatBytes, formatTime, plural } from "../frame/units.js";
import type { SocketInfo } from "./socketInfo.js";

const HEAD = ["Kind", "State", "Recv-Q", "Send-Q", "Local", "Peer", "Process"] as const;
/** The columns with numbers, which are right-aligned. */
const NUMBERS: ReadonlySet<number> = new Set([HEAD.indexOf("Recv-Q"), HEAD.indexOf("Send-Q")]);

export interface TableOptions {
  /** Whether a line of details is printed below each socket. */
  readonly details: boolean;
  /** Whether the names of the columns are printed. */
  readonly header: boolean;
}

export function showTable(output: Output, sockets: readonly SocketInfo[], { details, header }: TableOptions): void {
  const rows = sockets.map(rowOf);
  const printedRows = header ? [[...HEAD], ...rows] : rows;
  const widths = HEAD.map((_, column) => Math.max(0, ...printedRows.map((row) => row[column]!.length)));
  const format = (row: readonly string[]): string =>
    row
      .map((cell, column) => (NUMBERS.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join("  ")
      .trimEnd();
  if (header) output.line(output.style("bold", format(HEAD)));
  for (const [index, row] of rows.entries()) {
    output.line(format(row));
    if (!details) continue;
    const detailsLine = detailsOf(sockets[index]!);
    if (detailsLine !== "") output.line(output.style("dim", `    ${detailsLine}`));
  }
}

function rowOf({ type, state, receiveQueue, sendQueue, local, peer, users }: SocketInfo): string[] {
  const process = users.map(({ name, pid, fd }) => `${name}[${pid}]:${fd}`).join(" ");
  return [type, state, String(receiveQueue), String(sendQueue), local.text, peer.text, process].map(escapeLine);
}

/** A part of the details that `ss -tiome` prints for a socket; "" if there are none. */
function detailsOf({ timer, congestion, memory, tcp, state, uid }: SocketInfo): string {
  const facts: string[] = [];
  if (timer !== undefined) {
    const times = timer.retransmits === 0 ? "" : `, fired ${plural(timer.retransmits, "time")}`;
    facts.push(`timer ${timer.kind} in ${formatTime(timer.expires)}${times}`);
  }
  if (tcp !== undefined) {
    if (congestion !== undefined && congestion !== "") facts.push(congestion);
    // For a listener, `tcpi_unacked` is the length of the accept queue, and `tcpi_sacked` its limit (net/ipv4/tcp.c).
    if (state === "LISTEN") facts.push(`accept queue ${tcp.tcpi_unacked} of ${tcp.tcpi_sacked}`);
    else {
      facts.push(
        `rtt ${formatMicroseconds(tcp.tcpi_rtt)} ± ${formatMicroseconds(tcp.tcpi_rttvar)}`,
        `rto ${formatMicroseconds(tcp.tcpi_rto)}`,
      );
      facts.push(`mss ${tcp.tcpi_snd_mss}`, `pmtu ${tcp.tcpi_pmtu}`, `cwnd ${tcp.tcpi_snd_cwnd}`);
      facts.push(
        `acknowledged ${formatBytes(tcp.tcpi_bytes_acked)}`,
        `received ${formatBytes(tcp.tcpi_bytes_received)}`,
      );
      facts.push(`segments ${tcp.tcpi_segs_out} out ${tcp.tcpi_segs_in} in`);
      if (tcp.tcpi_delivery_rate > 0) facts.push(`delivery rate ${formatBytes(tcp.tcpi_delivery_rate)}/s`);
      if (tcp.tcpi_unacked > 0) facts.push(`unacknowledged ${tcp.tcpi_unacked}`);
      if (tcp.tcpi_lost > 0) facts.push(`lost ${tcp.tcpi_lost}`);
      if (tcp.tcpi_total_retrans > 0) facts.push(`retransmitted ${tcp.tcpi_total_retrans}`);
      if (tcp.tcpi_notsent_bytes > 0) facts.push(`not sent ${formatBytes(tcp.tcpi_notsent_bytes)}`);
      if (tcp.tcpi_last_data_recv > 0) facts.push(`last data ${formatTime(tcp.tcpi_last_data_recv)} ago`);
    }
  }
  if (memory !== undefined) {
    const { receive, receiveLimit, send, sendLimit, queued, backlog, drops } = memory;
    facts.push(`memory ${receive} of ${receiveLimit} in, ${send} of ${sendLimit} out, ${queued} queued`);
    if (backlog > 0) facts.push(`backlog ${backlog}`);
    if (drops > 0) facts.push(`dropped ${drops}`);
  }
  if (uid !== undefined) facts.push(`uid ${uid}`);
  return facts.join("; ");
}

const formatMicroseconds = (microseconds: number): string => formatTime(microseconds / 1000);
