// The connections of a capture: of TCP, and of UNIX sockets, which get addresses of the loopback interface.
//
// Both ends of a connection may be in this thread, and an end may have several descriptors (dup(2)). If the sender is
// in this thread, its bytes are added to the capture when they are sent. Otherwise they are added when received.

import { AF_UNIX, InetAddress, UnixAddress } from "../addr/index.js";
import { type CaptureInterface, type FlowSide, TcpFlow } from "../pcapng/index.js";
import type { Calls } from "../sys/calls.js";
import { SO_LINGER, SOL_SOCKET } from "../sys/constants.js";
import { ECONNRESET, EINPROGRESS } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import type { CallName } from "./callRing.js";
import { type CaptureAddresses, ipAddress } from "./captureEnds.js";
import type { MovedBytes } from "./dataObserver.js";
import { addressOf, isTcp } from "./kernelState.js";
import type { SocketRow } from "./socketRow.js";
import { inodeOf, peerInode } from "./unixPeer.js";

interface Connection {
  readonly flow: TcpFlow;
  /** The sockets of each end that are in this thread. */
  readonly ends: Readonly<Record<FlowSide, Set<SocketRow>>>;
  /** For each sender, the number of its bytes that are in the capture and that the other end has not received yet. */
  readonly unreceived: Record<FlowSide, number>;
  /** The key of the connection in `#byEnd`. */
  readonly key: string;
  /** The end that the key names. */
  readonly keySide: FlowSide;
}

/** The connection of a socket, and which end of it the socket is. */
interface Place {
  readonly connection: Connection;
  readonly side: FlowSide;
}

/** The keys of the two ends of a connection in `#byEnd`. */
interface Keys {
  readonly own: string;
  /** Undefined if the other end is not known. */
  readonly other: string | undefined;
  /** The addresses of TCP. UNIX sockets have none. */
  readonly addresses: CaptureAddresses | undefined;
}

/** The difference of the initial sequence numbers of successive connections. */
const SEQUENCE_STEP = 65_537;
const NOTHING = new Uint8Array(0);
/** A buffer for SO_LINGER, which has two ints. */
const linger = new Uint8Array(8);

const otherSide = (side: FlowSide): FlowSide => (side === "client" ? "server" : "client");

export class StreamCapture {
  readonly #captureInterface: CaptureInterface;
  readonly #kernel: Calls;
  readonly #places = new Map<SocketRow, Place>();
  /** The connections by the key of the end that was found first. */
  readonly #byEnd = new Map<string, Connection>();
  /** Sockets on which the program has called connect(), or send() with MSG_FASTOPEN. */
  readonly #connected = new WeakSet<SocketRow>();
  /** Sockets whose close() sends RST: SO_LINGER with a time of 0, or unread bytes. */
  readonly #abortive = new WeakSet<SocketRow>();
  /** Sockets of which another process or thread has a descriptor, too. */
  readonly #passed = new WeakSet<SocketRow>();
  /** The number of connections so far. */
  #connectionCount = 0;
  /** The number of UNIX connections so far. */
  #unixCount = 0;

  constructor(captureInterface: CaptureInterface, kernel: Calls) {
    this.#captureInterface = captureInterface;
    this.#kernel = kernel;
  }

  onMoved(row: SocketRow, { sent, bytes = NOTHING, length, address }: MovedBytes, comment: string): void {
    // A send on a stream has an address only with MSG_FASTOPEN, which connects.
    if (sent && address !== undefined) this.#connected.add(row);
    const place = this.#placeOf(row, comment);
    if (place === undefined) return;
    const { connection, side } = place;
    const { flow, ends, unreceived } = connection;
    if (sent) {
      unreceived[side] += length;
      flow.data(side, bytes, { comment, length });
      return;
    }
    const from = otherSide(side);
    // This many bytes are in the capture already, because their sender is or was in this thread.
    const captured = Math.min(length, unreceived[from]);
    unreceived[from] -= captured;
    // If the sender is in this thread, the calls of the sender add its bytes to the capture.
    if (ends[from].size > 0 || captured === length) return;
    flow.data(from, bytes.subarray(captured), { comment, length: length - captured });
  }

  /** A read of this socket has returned the end of the stream. */
  onEnd(row: SocketRow, comment: string): void {
    const place = this.#placeOf(row, comment);
    place?.connection.flow.finish(otherSide(place.side), { comment });
  }

  onCall(row: SocketRow, call: CallName, result: number, detail: string, comment: string): void {
    if (call === "connect") {
      if (result !== 0 && result !== EINPROGRESS) return;
      // The socket may have had another connection, which connect() with AF_UNSPEC has dissolved.
      this.onRemoved(row);
      this.#connected.add(row);
      if (result === 0) this.#placeOf(row, comment);
    } else if (call === "dup") {
      // Adds the new descriptor to the connection, so that close() of the other descriptor does not end it.
      this.#placeOf(row, comment);
    } else if (call === "accept") {
      if (row.listener !== undefined) this.#placeOf(row, comment);
    } else if (call === "shutdown") {
      const place = result === 0 && detail !== "SHUT_RD" ? this.#placeOf(row, comment) : undefined;
      place?.connection.flow.finish(place.side, { comment });
    } else if (call === "setsockopt") {
      if (detail.startsWith("SO_LINGER")) this.#readLinger(row);
    } else if (call === "close") {
      this.#endConnection(row, comment);
    } else if (call === "detach") {
      const place = this.#places.get(row);
      place?.connection.flow.note(place.side, { comment: `${comment}: later bytes of this end are not recorded` });
    } else if (result === ECONNRESET) {
      const place = this.#places.get(row);
      place?.connection.flow.reset(otherSide(place.side), { comment });
    } else if (result === EINPROGRESS) {
      // A send with MSG_FASTOPEN has begun to connect.
      this.#connected.add(row);
    }
  }

  /**
   * Stores whether close() will reset the connection. If a socket is closed with unread bytes, TCP sends RST (RFC 1122,
   * section 4.2.2.13), and a call on the peer of a UNIX socket fails with ECONNRESET.
   */
  onClosing(row: SocketRow): void {
    if (this.#places.has(row) && this.#kernel.inq(row.fd) > 0) this.#abortive.add(row);
  }

  onPassed(row: SocketRow): void {
    this.#passed.add(row);
  }

  onRemoved(row: SocketRow): void {
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
    const fields = view(linger);
    const isOn = fields.getInt32(0, LITTLE_ENDIAN) !== 0;
    const seconds = fields.getInt32(4, LITTLE_ENDIAN);
    // With a time of 0, close() sends RST.
    if (length === 8 && isOn && seconds === 0) this.#abortive.add(row);
    else this.#abortive.delete(row);
  }

  /** Records that a closed socket has ended its connection, unless this thread has another descriptor of the socket. */
  #endConnection(row: SocketRow, comment: string): void {
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

  /** Finds or makes the connection of a socket; undefined while the socket is not connected. */
  #placeOf(row: SocketRow, comment: string): Place | undefined {
    const known = this.#places.get(row);
    if (known !== undefined) return known;
    let keys: Keys | undefined;
    if (row.family === AF_UNIX) keys = this.#unixKeys(row);
    else if (isTcp(row)) keys = this.#tcpKeys(row);
    if (keys === undefined) return undefined;
    const place = this.#find(row, keys) ?? this.#make(row, keys, comment);
    place.connection.ends[place.side].add(row);
    this.#places.set(row, place);
    return place;
  }

  /** Finds the connection of a socket, if another socket of this thread is one of its ends. */
  #find(row: SocketRow, { own, other }: Keys): Place | undefined {
    const pairPlace = row.pair === undefined ? undefined : this.#places.get(row.pair);
    if (pairPlace !== undefined) return { connection: pairPlace.connection, side: otherSide(pairPlace.side) };
    // `row` may be another descriptor of an end that is known.
    const ofOwnEnd = this.#byEnd.get(own);
    if (ofOwnEnd !== undefined) return { connection: ofOwnEnd, side: ofOwnEnd.keySide };
    const ofOtherEnd = other === undefined ? undefined : this.#byEnd.get(other);
    return ofOtherEnd === undefined ? undefined : { connection: ofOtherEnd, side: otherSide(ofOtherEnd.keySide) };
  }

  #make(row: SocketRow, { own, addresses }: Keys, comment: string): Place {
    const side = this.#sideOf(row);
    const { local, peer } = addresses ?? this.#nextUnixAddresses(side);
    const [client, server] = side === "client" ? [local, peer] : [peer, local];
    // Each connection begins with other sequence numbers (32 bits), because a later connection may have the same
    // addresses.
    const initialSequence = (this.#connectionCount++ * SEQUENCE_STEP) >>> 0;
    const flow = new TcpFlow(this.#captureInterface, { client, server, initialSequence });
    const path = row.family === AF_UNIX ? this.#serverPath(row, side) : "";
    flow.open({ comment: path === "" ? comment : `${comment}: unix:${path}` });
    const connection: Connection = {
      flow,
      ends: { client: new Set(), server: new Set() },
      unreceived: { client: 0, server: 0 },
      key: own,
      keySide: side,
    };
    this.#byEnd.set(own, connection);
    return { connection, side };
  }

  /**
   * The side of a socket. The side is a guess if this thread has neither connected nor accepted the socket, because the
   * kernel does not report it.
   */
  #sideOf(row: SocketRow): FlowSide {
    if (row.listener !== undefined) return "server";
    if (this.#connected.has(row)) return "client";
    if (row.family !== AF_UNIX) return "server";
    // Mostly only the server of a UNIX connection has a name.
    return unixPath(this.#kernel, "getsockname", row) === "" ? "client" : "server";
  }

  /** The path of the server of a UNIX connection. */
  #serverPath(row: SocketRow, side: FlowSide): string {
    return unixPath(this.#kernel, side === "client" ? "getpeername" : "getsockname", row);
  }

  #tcpKeys({ fd }: SocketRow): Keys | undefined {
    const local = ipAddress(addressOf(this.#kernel, "getsockname", fd));
    const peer = ipAddress(addressOf(this.#kernel, "getpeername", fd));
    if (local === undefined || peer === undefined || local.family !== peer.family) return undefined;
    return { own: `${local} ${peer}`, other: `${peer} ${local}`, addresses: { local, peer } };
  }

  #unixKeys(row: SocketRow): Keys | undefined {
    if (addressOf(this.#kernel, "getpeername", row.fd) === undefined) return undefined;
    const inode = inodeOf(row.fd);
    const otherInode = peerInode(this.#kernel, inode);
    const other = otherInode === 0 ? undefined : `unix ${otherInode}`;
    return { own: `unix ${inode}`, other, addresses: undefined };
  }

  /** Addresses for the next UNIX connection. Successive clients have different ports. */
  #nextUnixAddresses(side: FlowSide): CaptureAddresses {
    const client = new InetAddress("127.0.0.1", 1024 + (this.#unixCount++ % 64_000));
    const server = new InetAddress("127.0.0.1", 1);
    return side === "client" ? { local: client, peer: server } : { local: server, peer: client };
  }
}

/** The path that the call `name` returns; an empty string for a socket without a name. */
function unixPath(kernel: Calls, name: "getsockname" | "getpeername", { fd }: SocketRow): string {
  const address = addressOf(kernel, name, fd);
  return address instanceof UnixAddress ? address.path : "";
}
