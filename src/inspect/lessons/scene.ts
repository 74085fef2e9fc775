// The sockets of a lesson, and the reports of the kernel about them.
//
// TCP_INFO has the state of an open socket. After close() the kernel may keep the connection, for example in FIN_WAIT2
// or TIME_WAIT. Such a connection, and the socket of another process, are found in /proc/net/tcp (proc(5)) by their
// addresses.

import { AF_INET, type Address } from "../../addr/index.js";
import { fs } from "../../builtins.js";
import { TCP_INFO, type TcpInfo } from "../../options/index.js";
import { Socket } from "../../socket/index.js";
import { calls } from "../../sys/calls.js";
import { SOCK_DGRAM, SOCK_STREAM } from "../../sys/constants.js";
import type { LessonSocket } from "../protocol.js";
import { type ProcSocket, readProcTcp } from "./procTcp.js";

/** A socket of the lesson. */
interface SceneSocket {
  readonly name: string;
  /** Undefined for the socket of another process. */
  readonly socket: Socket | undefined;
  readonly type: number;
  /** The address of the socket when it was last read; null if the socket had none. */
  local: string | null;
  peer: string | null;
}

/** Segments and bytes that a socket has sent, as TCP_INFO counts them. */
export interface SegmentCounts {
  readonly name: string;
  readonly local: string | null;
  readonly peer: string | null;
  readonly segmentsOut: number;
  readonly bytesOut: number;
}

const nullIfFailed = (result: number): number | null => (result < 0 ? null : result);

/** The address that `read` returns, as text; null if the socket has none. */
function addressText(read: () => Address): string | null {
  let address: Address;
  try {
    address = read();
  } catch {
    // The socket has no such address.
    return null;
  }
  return "port" in address && address.port === 0 ? null : String(address);
}

export class Scene {
  readonly #sockets = new Map<string, SceneSocket>();
  readonly #children = new Set<{ kill(signal: "SIGKILL"): boolean }>();
  readonly #ports = new Set<number>();

  /** Makes a socket, and adds it. */
  open(name: string, type: number = SOCK_STREAM): Socket {
    return this.add(name, new Socket(AF_INET, type), type);
  }

  /** Adds a socket, for example one that accept() has returned. */
  add(name: string, socket: Socket, type: number = SOCK_STREAM): Socket {
    this.#sockets.set(name, { name, socket, type, local: null, peer: null });
    return socket;
  }

  /** Adds the socket of another process. */
  addForeign(name: string, local: string, peer: string): void {
    this.#sockets.set(name, { name, socket: undefined, type: SOCK_STREAM, local, peer });
  }

  /** Adds a process that close() has to end. */
  addChild(child: { kill(signal: "SIGKILL"): boolean }): void {
    this.#children.add(child);
  }

  /** The local ports of the sockets. Packets with these ports belong to the lesson. */
  get ports(): ReadonlySet<number> {
    return this.#ports;
  }

  #readAddresses(sceneSocket: SceneSocket): void {
    const { socket } = sceneSocket;
    if (socket === undefined || socket.closed) return;
    sceneSocket.local = addressText(() => socket.getsockname()) ?? sceneSocket.local;
    sceneSocket.peer = addressText(() => socket.getpeername()) ?? sceneSocket.peer;
    const port = Number(sceneSocket.local?.slice(sceneSocket.local.lastIndexOf(":") + 1) ?? 0);
    if (port > 0) this.#ports.add(port);
  }

  /** Reads the state of each socket that the kernel still has. Also adds the ports of open sockets to `ports`. */
  observe(): LessonSocket[] {
    const observed: LessonSocket[] = [];
    let procSockets: readonly ProcSocket[] | undefined;
    for (const sceneSocket of this.#sockets.values()) {
      this.#readAddresses(sceneSocket);
      const { name, socket, type, local, peer } = sceneSocket;
      if (socket !== undefined && !socket.closed) {
        observed.push(type === SOCK_DGRAM ? observeUdp(sceneSocket, socket) : observeTcp(sceneSocket, socket));
        continue;
      }
      // The kernel keeps nothing of a closed UDP socket.
      if (type === SOCK_DGRAM) continue;
      procSockets ??= readProcTcp(fs());
      const procSocket = procSockets.find((one) => one.local === local && one.peer === peer);
      if (procSocket === undefined) continue;
      const { state, receiveQueue, sendQueue } = procSocket;
      observed.push({ name, state, local, peer, receiveQueue, sendQueue, acceptQueue: null });
    }
    return observed;
  }

  /** The counters of each open connection. */
  counts(): SegmentCounts[] {
    const counts: SegmentCounts[] = [];
    for (const { name, socket, type, local, peer } of this.#sockets.values()) {
      if (socket === undefined || socket.closed || type !== SOCK_STREAM) continue;
      const info = socket.getsockopt(TCP_INFO);
      if (info.tcpi_state === "LISTEN") continue;
      // Kernels before 4.19 count only the acknowledged bytes, and not all that were sent.
      const bytesOut = info.tcpi_bytes_sent ?? info.tcpi_bytes_acked;
      counts.push({ name, local, peer, segmentsOut: info.tcpi_segs_out, bytesOut });
    }
    return counts;
  }

  /** Closes the sockets, and ends the processes. */
  close(): void {
    for (const { socket } of this.#sockets.values()) if (socket !== undefined && !socket.closed) socket.close();
    for (const child of this.#children) child.kill("SIGKILL");
    this.#sockets.clear();
    this.#children.clear();
  }
}

function observeTcp({ name, local, peer }: SceneSocket, socket: Socket): LessonSocket {
  const info: TcpInfo = socket.getsockopt(TCP_INFO);
  const state = info.tcpi_state;
  // For a listener, the kernel returns the accept queue and its limit in these fields (tcp_get_info in net/ipv4/tcp.c).
  const acceptQueue = state === "LISTEN" ? { length: info.tcpi_unacked, limit: info.tcpi_sacked } : null;
  const isConnection = state !== "LISTEN" && state !== "CLOSE";
  const fd = socket.fileno();
  return {
    name,
    state,
    local,
    peer: isConnection ? peer : null,
    receiveQueue: isConnection ? nullIfFailed(calls.inq(fd)) : null,
    sendQueue: isConnection ? nullIfFailed(calls.outq(fd)) : null,
    acceptQueue,
  };
}

function observeUdp({ name, local, peer }: SceneSocket, socket: Socket): LessonSocket {
  const fd = socket.fileno();
  let state = local === null ? "open" : "bound";
  if (peer !== null) state = "connected";
  return {
    name,
    state,
    local,
    peer,
    // The kernel reports only the size of the first datagram in the queue.
    receiveQueue: nullIfFailed(calls.inq(fd)),
    sendQueue: nullIfFailed(calls.outq(fd)),
    acceptQueue: null,
  };
}
