// The capture of a program: what its sockets send and receive, as packets in a file of the format pcapng.
//
// A program sees bytes and not packets, so the packets are made (berkeley/pcapng), with the real addresses. Two sockets of
// one process that talk to each other are one connection, whose bytes are taken from one end: the first one seen.

import { type Address, AF_INET6, AF_UNIX, Inet6Address, InetAddress } from "../addr/index.js";
import { Capture, type CaptureInterface, type FlowSide, TcpFlow, UdpFlow } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import { EAGAIN, EINPROGRESS } from "../sys/errno.js";
import { decodeAddress } from "../sys/sockaddr.js";
import type { CallName } from "./callRing.js";
import { CaptureFile } from "./captureFile.js";
import { ownsEnvironment } from "./inspectOptions.js";
import { addressOf, isTcp } from "./kernelState.js";
import type { DataObserver, MovedBytes } from "./recording.js";
import type { SocketRow } from "./socketRow.js";

type IpAddress = InetAddress | Inet6Address;
interface Ends {
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

interface Connection {
  readonly flow: TcpFlow;
  /** Which end of the flow the socket is. */
  readonly side: FlowSide;
  /** Whether the bytes are taken from this end. */
  readonly owner: boolean;
}

const MOST_DATAGRAM_FLOWS = 10_000;

const other = (side: FlowSide): FlowSide => (side === "client" ? "server" : "client");

const isIp = (address: Address | undefined): address is IpAddress =>
  address instanceof InetAddress || address instanceof Inet6Address;

export class TrafficCapture implements DataObserver {
  readonly #file: CaptureFile;
  readonly #kernel: Calls;
  readonly #interface: CaptureInterface;
  readonly #connections = new Map<SocketRow, Connection>();
  /** The connections that have one end here, by both addresses. */
  readonly #byEnds = new Map<string, Connection>();
  readonly #connected = new WeakSet<SocketRow>();
  readonly #datagrams = new Map<string, UdpFlow>();
  /** Sender and receiver of the datagrams that this process has sent. */
  readonly #sent = new Set<string>();
  #unnamed = 0;
  readonly #names = new WeakMap<SocketRow, Ends>();

  /** @throws the error of open(2) */
  constructor(path: string, kernel: Calls) {
    this.#file = new CaptureFile(path);
    this.#kernel = kernel;
    const about = `process ${process.pid}, ${process.argv.slice(1, 2).join("")}`;
    const capture = new Capture({
      write: (block) => this.#file.add(block),
      application: "berkeley",
      comment: `Sockets of ${about}`,
    });
    this.#interface = capture.addInterface({ name: "berkeley", description: about });
  }

  moved(row: SocketRow, moved: MovedBytes): void {
    const comment = commentOf(row, moved.call, moved.line);
    if (row.type === SOCK_DGRAM) {
      this.#datagram(row, moved, comment);
      return;
    }
    const connection = this.#connection(row);
    if (connection === undefined || !connection.owner) return;
    connection.flow.data(moved.sent ? connection.side : other(connection.side), moved.bytes, { comment });
  }

  called(row: SocketRow, call: CallName, result: number, detail: string, line: string | undefined): void {
    if (row.type === SOCK_DGRAM) return;
    const comment = commentOf(row, call, line);
    if (call === "connect") {
      this.#connected.add(row);
      if (result === 0) this.#connection(row, comment);
    } else if (call === "accept" && detail.startsWith("of ")) {
      this.#connection(row, comment);
    } else if (call === "shutdown") {
      const connection = this.#connections.get(row);
      if (result === 0 && detail !== "SHUT_RD") connection?.flow.finish(connection.side, { comment });
    } else if (call === "close") {
      this.#end(row, comment);
    } else if (call === "recv" || call === "recvfrom" || call === "recvmsg") {
      const connection = this.#connections.get(row);
      if (connection === undefined || result === EAGAIN || result === EINPROGRESS) return;
      if (result === 0)
        connection.flow.finish(other(connection.side), { comment: `${comment}: the peer has finished` });
      else connection.flow.reset(other(connection.side), { comment });
    }
  }

  flush(): void {
    this.#file.flush();
  }

  close(): void {
    this.#file.close();
    this.#connections.clear();
    this.#byEnds.clear();
  }

  #end(row: SocketRow, comment: string): void {
    const connection = this.#connections.get(row);
    if (connection === undefined) return;
    connection.flow.finish(connection.side, { comment });
    this.#connections.delete(row);
    for (const [key, one] of this.#byEnds) {
      if (one !== connection) continue;
      this.#byEnds.delete(key);
      break;
    }
  }

  /** The connection of a stream socket; undefined while it has none. */
  #connection(row: SocketRow, comment?: string): Connection | undefined {
    const known = this.#connections.get(row);
    if (known !== undefined) return known;
    const pair = row.pair === undefined ? undefined : this.#connections.get(row.pair);
    const ends = pair === undefined ? this.#endsOf(row) : undefined;
    if (pair === undefined && ends === undefined) return undefined;
    const far = pair ?? this.#byEnds.get(`${ends!.peer} ${ends!.local}`);
    let connection: Connection;
    if (far === undefined) {
      const side = this.#connected.has(row) || row.family === AF_UNIX ? "client" : "server";
      const { local, peer } = ends!;
      const flow = new TcpFlow(
        this.#interface,
        side === "client" ? { client: local, server: peer } : { client: peer, server: local },
      );
      connection = { flow, side, owner: true };
      flow.open({ comment: comment ?? commentOf(row, "socket", row.line) });
      this.#byEnds.set(`${local} ${peer}`, connection);
    } else {
      connection = { flow: far.flow, side: other(far.side), owner: false };
    }
    this.#connections.set(row, connection);
    return connection;
  }

  /** Both addresses. A UNIX socket gets addresses of the loopback interface, with ports that nothing else has. */
  #endsOf(row: SocketRow): Ends | undefined {
    const named = this.#names.get(row);
    if (named !== undefined) return named;
    const local = addressOf(this.#kernel, "getsockname", row.fd);
    const peer = addressOf(this.#kernel, "getpeername", row.fd);
    if (isIp(local) && isIp(peer) && isTcp(row)) return { local, peer };
    if (row.family !== AF_UNIX) return undefined;
    const port = 1024 + (this.#unnamed++ % 64_000);
    const ends = { local: new InetAddress("127.0.0.1", port), peer: new InetAddress("127.0.0.1", 1) };
    this.#names.set(row, ends);
    return ends;
  }

  #datagram(row: SocketRow, { bytes, sent, address }: MovedBytes, comment: string): void {
    const far = address === undefined ? addressOf(this.#kernel, "getpeername", row.fd) : decodeAddress(address);
    let near = addressOf(this.#kernel, "getsockname", row.fd);
    if (!isIp(far) || !isIp(near)) return;
    // A socket on all interfaces: between two sockets of this machine both addresses are the same.
    if (near.host === "0.0.0.0" || near.host === "::") near = onInterfaceOf(far, near);
    if (near.family !== far.family) return;
    const [from, to] = sent ? [near, far] : [far, near];
    const way = `${from} ${to}`;
    if (sent) {
      if (this.#sent.size >= MOST_DATAGRAM_FLOWS) this.#sent.clear();
      this.#sent.add(way);
    } else if (this.#sent.has(way)) {
      // It is in the capture, because this process has sent it.
      return;
    }
    const back = this.#datagrams.get(`${to} ${from}`);
    if (back !== undefined) {
      back.datagram("server", bytes, { comment });
      return;
    }
    let flow = this.#datagrams.get(way);
    if (flow === undefined) {
      if (this.#datagrams.size >= MOST_DATAGRAM_FLOWS) this.#datagrams.clear();
      flow = new UdpFlow(this.#interface, { client: from, server: to });
      this.#datagrams.set(way, flow);
    }
    flow.datagram("client", bytes, { comment });
  }
}

/** The address of an end on all interfaces, as far as the peer shows it. */
function onInterfaceOf(peer: IpAddress, { port }: IpAddress): IpAddress {
  const loopback = peer.family === AF_INET6 ? peer.host === "::1" : peer.host.startsWith("127.");
  if (peer instanceof Inet6Address) return new Inet6Address(loopback ? peer.host : "::", port);
  return new InetAddress(loopback ? "127.0.0.1" : "0.0.0.0", port);
}

function commentOf(row: SocketRow, call: CallName, line: string | undefined): string {
  if (line !== undefined) return `${call} at ${line}`;
  return row.line === undefined ? call : `${call}; socket made at ${row.line}`;
}

/**
 * The file of a thread: each worker thread and each child process has a file of its own, because two writers would break
 * the blocks of each other.
 */
export function captureName(path: string, thread: number, env: NodeJS.ProcessEnv): string {
  const suffix = `${ownsEnvironment(env) ? "" : `-${process.pid}`}${thread === 0 ? "" : `-thread${thread}`}`;
  const end = path.endsWith(".pcapng") ? ".pcapng" : "";
  return suffix === "" ? path : `${path.slice(0, path.length - end.length)}${suffix}${end}`;
}
