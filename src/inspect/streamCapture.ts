// The connections of a capture: TCP, and UNIX sockets with connections, which get addresses of the loopback interface.
//
// A connection may have both of its ends in this thread, and an end may be several descriptors (dup(2)). Its bytes are taken
// when they are sent, if the sender is here, and else when they are received.

import { AF_UNIX, InetAddress, UnixAddress } from "../addr/index.js";
import { type CaptureInterface, type FlowSide, TcpFlow } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { SO_LINGER, SOL_SOCKET } from "../sys/constants.js";
import { ECONNRESET, EINPROGRESS } from "../sys/errno.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import type { CallName } from "./callRing.js";
import { type Ends, ipAddress } from "./captureEnds.js";
import { addressOf, isTcp } from "./kernelState.js";
import type { MovedBytes } from "./recording.js";
import type { SocketRow } from "./socketRow.js";
import { inodeOf, peerInode } from "./unixPeer.js";

interface Connection {
  readonly flow: TcpFlow;
  /** The sockets of each end that are in this thread. */
  readonly ends: Readonly<Record<FlowSide, Set<SocketRow>>>;
  /** By sender: bytes that are in the capture and that no call of the other end has received. */
  readonly ahead: Record<FlowSide, number>;
  /** Its key in `#byEnd`, and the end that the key names. */
  readonly key: string;
  readonly keySide: FlowSide;
}

interface Place {
  readonly connection: Connection;
  readonly side: FlowSide;
}

/** What identifies an end, and the other one. */
interface Keys {
  readonly own: string;
  readonly other: string | undefined;
  readonly ends: Ends | undefined;
}

const SEQUENCE_STEP = 65_537;
const NOTHING = new Uint8Array(0);
const linger = new Uint8Array(8);

const other = (side: FlowSide): FlowSide => (side === "client" ? "server" : "client");

export class StreamCapture {
  readonly #to: CaptureInterface;
  readonly #kernel: Calls;
  readonly #places = new Map<SocketRow, Place>();
  readonly #byEnd = new Map<string, Connection>();
  readonly #connected = new WeakSet<SocketRow>();
  /** Sockets whose close() sends RST: SO_LINGER with a time of 0, or unread bytes. */
  readonly #abortive = new WeakSet<SocketRow>();
  /** Sockets that another process or thread has, too. */
  readonly #passed = new WeakSet<SocketRow>();
  #unnamed = 0;
  #count = 0;

  constructor(to: CaptureInterface, kernel: Calls) {
    this.#to = to;
    this.#kernel = kernel;
  }

  moved(row: SocketRow, { sent, bytes = NOTHING, length, address }: MovedBytes, comment: string): void {
    // MSG_FASTOPEN: a send that connects.
    if (sent && address !== undefined) this.#connected.add(row);
    const place = this.#place(row, comment);
    if (place === undefined) return;
    const { connection, side } = place;
    const { flow, ends, ahead } = connection;
    if (sent) {
      ahead[side] += length;
      flow.data(side, bytes, { comment, length });
      return;
    }
    const from = other(side);
    const known = Math.min(length, ahead[from]);
    ahead[from] -= known;
    if (ends[from].size > 0 || known === length) return;
    flow.data(from, bytes.subarray(known), { comment, length: length - known });
  }

  /** A call of this socket has returned that the peer has finished. */
  ended(row: SocketRow, comment: string): void {
    const place = this.#place(row, comment);
    place?.connection.flow.finish(other(place.side), { comment });
  }

  called(row: SocketRow, call: CallName, result: number, detail: string, comment: string): void {
    if (call === "connect") {
      if (result !== 0 && result !== EINPROGRESS) return;
      this.removed(row);
      this.#connected.add(row);
      if (result === 0) this.#place(row, comment);
    } else if (call === "dup") {
      // Before the other descriptor is closed, which then does not end the connection.
      this.#place(row, comment);
    } else if (call === "accept") {
      if (row.listener !== undefined) this.#place(row, comment);
    } else if (call === "shutdown") {
      const place = result === 0 && detail !== "SHUT_RD" ? this.#place(row, comment) : undefined;
      place?.connection.flow.finish(place.side, { comment });
    } else if (call === "setsockopt") {
      if (detail.startsWith("SO_LINGER")) this.#readLinger(row);
    } else if (call === "close") {
      this.#close(row, comment);
    } else if (call === "detach") {
      const place = this.#places.get(row);
      place?.connection.flow.note(place.side, { comment: `${comment}: later bytes of this end are not recorded` });
    } else if (result === ECONNRESET) {
      const place = this.#places.get(row);
      place?.connection.flow.reset(other(place.side), { comment });
    } else if (result === EINPROGRESS) {
      this.#connected.add(row);
    }
  }

  /** A socket that is closed with unread bytes sends RST (RFC 1122, section 4.2.2.13), and a UNIX socket resets its peer. */
  closing(row: SocketRow): void {
    if (this.#places.has(row) && this.#kernel.inq(row.fd) > 0) this.#abortive.add(row);
  }

  passed(row: SocketRow): void {
    this.#passed.add(row);
  }

  removed(row: SocketRow): void {
    const place = this.#places.get(row);
    if (place === undefined) return;
    this.#places.delete(row);
    const { connection, side } = place;
    const { ends, key } = connection;
    ends[side].delete(row);
    if (ends.client.size + ends.server.size === 0 && this.#byEnd.get(key) === connection) this.#byEnd.delete(key);
  }

  clear(): void {
    this.#places.clear();
    this.#byEnd.clear();
  }

  #readLinger(row: SocketRow): void {
    const length = this.#kernel.getsockopt(row.fd, SOL_SOCKET, SO_LINGER, linger);
    const { on, time } = { on: view(linger).getInt32(0, LITTLE), time: view(linger).getInt32(4, LITTLE) };
    if (length === 8 && on !== 0 && time === 0) this.#abortive.add(row);
    else this.#abortive.delete(row);
  }

  /** The kernel ends the connection when its last descriptor is closed. */
  #close(row: SocketRow, comment: string): void {
    const place = this.#places.get(row);
    if (place === undefined) return;
    const { connection, side } = place;
    if (connection.ends[side].size > 1) return;
    if (this.#passed.has(row)) {
      const where = "another process or thread has the socket, and its bytes are not recorded here";
      connection.flow.note(side, { comment: `${comment}: ${where}` });
    } else if (this.#abortive.has(row)) {
      connection.flow.reset(side, { comment });
    } else {
      connection.flow.finish(side, { comment });
    }
  }

  /** The connection of a socket; undefined while it has none. */
  #place(row: SocketRow, comment: string): Place | undefined {
    const known = this.#places.get(row);
    if (known !== undefined) return known;
    const keys = row.family === AF_UNIX ? this.#unixKeys(row) : isTcp(row) ? this.#tcpKeys(row) : undefined;
    if (keys === undefined) return undefined;
    const place = this.#found(row, keys) ?? this.#made(row, keys, comment);
    place.connection.ends[place.side].add(row);
    this.#places.set(row, place);
    return place;
  }

  /** The connection, if another socket of this thread belongs to it. */
  #found({ pair }: SocketRow, { own, other: far }: Keys): Place | undefined {
    const ofPair = pair === undefined ? undefined : this.#places.get(pair);
    if (ofPair !== undefined) return { connection: ofPair.connection, side: other(ofPair.side) };
    const same = this.#byEnd.get(own);
    if (same !== undefined) return { connection: same, side: same.keySide };
    const opposite = far === undefined ? undefined : this.#byEnd.get(far);
    return opposite === undefined ? undefined : { connection: opposite, side: other(opposite.keySide) };
  }

  #made(row: SocketRow, { own, ends }: Keys, comment: string): Place {
    const side = this.#sideOf(row);
    const { local, peer } = ends ?? this.#unixEnds(side);
    const [client, server] = side === "client" ? [local, peer] : [peer, local];
    // Another connection of the same addresses begins with other numbers, as the kernel would have it.
    const initialSequence = (this.#count++ * SEQUENCE_STEP) >>> 0;
    const flow = new TcpFlow(this.#to, { client, server, initialSequence });
    const name = row.family === AF_UNIX ? this.#pathOf(row, side) : "";
    flow.open({ comment: name === "" ? comment : `${comment}: unix:${name}` });
    const connection: Connection = {
      flow,
      ends: { client: new Set(), server: new Set() },
      ahead: { client: 0, server: 0 },
      key: own,
      keySide: side,
    };
    this.#byEnd.set(own, connection);
    return { connection, side };
  }

  /** The kernel does not report which end a socket is that neither connected nor was accepted here. */
  #sideOf(row: SocketRow): FlowSide {
    if (row.listener !== undefined) return "server";
    if (this.#connected.has(row)) return "client";
    if (row.family !== AF_UNIX) return "server";
    return unixPath(this.#kernel, "getsockname", row) === "" ? "client" : "server";
  }

  /** The path of the server. */
  #pathOf(row: SocketRow, side: FlowSide): string {
    return unixPath(this.#kernel, side === "client" ? "getpeername" : "getsockname", row);
  }

  #tcpKeys({ fd }: SocketRow): Keys | undefined {
    const local = ipAddress(addressOf(this.#kernel, "getsockname", fd));
    const peer = ipAddress(addressOf(this.#kernel, "getpeername", fd));
    if (local === undefined || peer === undefined || local.family !== peer.family) return undefined;
    return { own: `${local} ${peer}`, other: `${peer} ${local}`, ends: { local, peer } };
  }

  #unixKeys(row: SocketRow): Keys | undefined {
    if (addressOf(this.#kernel, "getpeername", row.fd) === undefined) return undefined;
    const own = inodeOf(row.fd);
    const far = peerInode(this.#kernel, own);
    return { own: `unix ${own}`, other: far === 0 ? undefined : `unix ${far}`, ends: undefined };
  }

  /** Ports that no other connection of the capture has now. */
  #unixEnds(side: FlowSide): Ends {
    const client = new InetAddress("127.0.0.1", 1024 + (this.#unnamed++ % 64_000));
    const server = new InetAddress("127.0.0.1", 1);
    return side === "client" ? { local: client, peer: server } : { local: server, peer: client };
  }
}

function unixPath(kernel: Calls, name: "getsockname" | "getpeername", { fd }: SocketRow): string {
  const address = addressOf(kernel, name, fd);
  return address instanceof UnixAddress ? address.path : "";
}
