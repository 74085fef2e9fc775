// attachFilter() attaches a packet filter. From then on the program receives only packets that have passed the filter.
//
// setsockopt(2) with SO_ATTACH_FILTER filters the packets that arrive later. A raw or packet socket receives
// packets as soon as socket(2) has made it, so its receive queue may hold packets that no filter has checked.
// attachFilter() removes them in four steps:
//
// 1. It attaches the caller's filter. The kernel checks it here; if the check fails, the socket is unchanged.
// 2. It attaches a filter that accepts no packet, so that the queue does not fill again.
// 3. It empties the queue.
// 4. It attaches the caller's filter again.

import { quote } from "../check/index.js";
import { type BpfInstruction, SO_ATTACH_BPF, SO_ATTACH_FILTER, SO_DETACH_FILTER } from "../options/index.js";
import { BPF_K, BPF_RET, MSG_DONTWAIT, SOCK_SEQPACKET, SOCK_STREAM } from "../sys/constants.js";
import { EAGAIN, EINTR } from "../sys/errno.js";
import { setsockopt } from "./plainCalls.js";
import { slab } from "./recv.js";
import type { OpenSocket } from "./runner.js";

/**
 * A packet filter: a program of classic BPF, or the descriptor of a loaded eBPF program
 * (`BPF_PROG_TYPE_SOCKET_FILTER`).
 */
export type PacketFilter = readonly BpfInstruction[] | number;

/** A filter that accepts no packet. */
const ACCEPT_NOTHING: readonly BpfInstruction[] = [{ code: BPF_RET | BPF_K, k: 0 }];

/** Returns a copy of `value` if it has the form of a filter. The kernel checks the program later. */
export function checkFilter(value: unknown, action: string): PacketFilter {
  if (!Array.isArray(value) && typeof value !== "number") {
    const required = "an array of instructions { code, jt, jf, k }, or the descriptor of an eBPF program";
    throw new TypeError(`Cannot ${action}: filter is ${quote(value)}, required ${required}`);
  }
  const filter = value as PacketFilter;
  // encode() throws for a number out of range and for a wrong instruction.
  if (typeof filter === "number") SO_ATTACH_BPF.encode(filter);
  else SO_ATTACH_FILTER.encode(filter);
  // A copy, because bindUdp() attaches the filter later, and the caller could change the array before that.
  return typeof filter === "number" ? filter : filter.map((instruction) => ({ ...instruction }));
}

function setFilter(socket: OpenSocket, filter: PacketFilter): void {
  if (typeof filter === "number") setsockopt(socket, SO_ATTACH_BPF, filter, undefined);
  else setsockopt(socket, SO_ATTACH_FILTER, filter, undefined);
}

export function attachFilter(socket: OpenSocket, filter: unknown): void {
  const checked = checkFilter(filter, "attachFilter");
  if (socket.type === SOCK_STREAM || socket.type === SOCK_SEQPACKET) {
    throw new TypeError(
      `Cannot attachFilter: the socket is of type ${socket.type}, required a datagram socket, because packets ` +
        "are dropped",
    );
  }
  setFilter(socket, checked);
  setFilter(socket, ACCEPT_NOTHING);
  drain(socket);
  try {
    setFilter(socket, checked);
  } catch (error) {
    // Without this call, ACCEPT_NOTHING would stay attached.
    setsockopt(socket, SO_DETACH_FILTER, true, undefined);
    throw error;
  }
}

/** Empties the receive queue. No packet enters the queue, because ACCEPT_NOTHING is attached. */
function drain(socket: OpenSocket): void {
  const { calls } = socket;
  const fd = socket.checkOpen("recv");
  // recv(2) returns a pending error once, and packets may follow. If it returns the same error twice, more calls of
  // recv(2) would not help.
  let lastError = 0;
  for (;;) {
    // recv(2) removes the whole packet, so one byte of memory is enough.
    const result = calls.recv(fd, slab, 1, MSG_DONTWAIT);
    if (result >= 0 || result === EINTR) continue;
    if (result === EAGAIN || result === lastError) return;
    lastError = result;
  }
}
