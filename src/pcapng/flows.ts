// Makes packets for a capture from the bytes that a program sends and receives over TCP and UDP. The addresses and the
// bytes are real. The packets are not, because a TCP or UDP socket does not return packets. So the sequence numbers
// begin at a given number, and all data is acknowledged at once.

import { quote } from "../check/index.js";
import { LINKTYPE_ETHERNET } from "./blocks.js";
import {
  ACK,
  bytesOf,
  type End,
  ethernetFrame,
  FIN,
  type IpAddress,
  PSH,
  RST,
  type Segment,
  SYN,
  tcpPacket,
  udpPacket,
} from "./headers.js";
import { type CaptureInterface, checkInteger, checkLength, type PacketOptions } from "./writer.js";

/** The ends of a flow. Both have the same family. */
export interface FlowEnds {
  readonly client: IpAddress;
  readonly server: IpAddress;
}

/** The end that sends. */
export type FlowSide = "client" | "server";

export interface TcpFlowOptions extends FlowEnds {
  /** Maximum number of payload bytes of a segment, 1 to 65000. Default 32768. */
  readonly segmentSize?: number | undefined;
  /** The first sequence number of both ends, 0 to 4294967295. Default 0. */
  readonly initialSequence?: number | undefined;
}

/** Time and comment of an event of a flow. */
export type FlowOptions = Pick<PacketOptions, "time" | "comment">;

/** Options of a method that records data. */
export interface FlowDataOptions extends FlowOptions {
  /**
   * Number of bytes that were sent, if only the first of them are given, as after sendfile(2). The headers of the
   * packets have the real lengths. A packet whose payload is not complete has no valid checksum.
   */
  readonly length?: number | undefined;
}

const SIDES = ["client", "server"] as const;
/** Maximum of `segmentSize`: a packet with its headers must have at most 65535 bytes. */
const MAX_SEGMENT = 65_000;
/** The largest payload of UDP over IPv4: 65535 less the two headers. */
const MAX_DATAGRAM = 65_507;
/** The window of each segment. */
const WINDOW = 0xffff;
/** Readers multiply `WINDOW` by 2^14, the largest factor of RFC 7323, and so never report a full window. */
const WINDOW_SHIFT = 14;

/** Converts the addresses. Throws if they have two families. */
function endsOf(action: string, { client, server }: FlowEnds): Record<FlowSide, End> {
  const ends = { client: endOf(client), server: endOf(server) };
  if (ends.client.bytes.length !== ends.server.bytes.length) {
    throw new TypeError(
      `Cannot ${action}: client is ${quote(String(client))} and server ${quote(String(server))}, required one family`,
    );
  }
  return ends;
}

const endOf = (address: IpAddress): End => ({ bytes: bytesOf(address), port: address.port });

function checkSide(action: string, side: FlowSide): void {
  if (SIDES.includes(side)) return;
  throw new TypeError(`Cannot ${action}: side is ${quote(side)}, required "client" or "server"`);
}

const otherSide = (side: FlowSide): FlowSide => (side === "client" ? "server" : "client");

class Flow {
  protected readonly ends: Record<FlowSide, End>;
  readonly #interface: CaptureInterface;
  /** The number of packets so far. */
  protected packetCount = 0;

  constructor(to: CaptureInterface, ends: Record<FlowSide, End>) {
    this.#interface = to;
    this.ends = ends;
  }

  /** Writes a packet that `side` sends. The last `missing` bytes of the real packet are not in `packet`. */
  protected write(side: FlowSide, packet: Buffer, missing: number, { time, comment }: FlowOptions): void {
    this.packetCount++;
    const { linkType } = this.#interface;
    const frame =
      linkType === LINKTYPE_ETHERNET ? ethernetFrame(this.ends[side], this.ends[otherSide(side)], packet) : packet;
    // The capture looks as if it were made on the machine of the server.
    const direction = side === "client" ? "inbound" : "outbound";
    this.#interface.packet(frame, { time, comment, direction, length: frame.length + missing });
  }
}

/**
 * A TCP connection in a capture. `open()` writes the handshake, `data()` writes segments and their acknowledgement,
 * `finish()` and `reset()` write the end. Wireshark's "Follow stream" shows the bytes.
 *
 * @throws TypeError or RangeError for a wrong option
 * @see RFC 9293
 * @example
 * ```ts
 * import { Inet6Address } from "berkeley";
 * import { Capture, TcpFlow } from "berkeley/pcapng";
 *
 * let bytes = 0;
 * const capture = new Capture({ write: (block) => (bytes += block.length) });
 * const flow = new TcpFlow(capture.addInterface(), {
 *   client: new Inet6Address("::1", 50_000),
 *   server: new Inet6Address("::1", 7),
 * });
 * flow.open({ comment: "accepted" });
 * flow.data("client", Buffer.from("ping"));
 * flow.data("server", Buffer.from("pong"));
 * flow.finish("client");
 * flow.finish("server");
 * console.log(bytes > 0); // prints: true
 * ```
 */
export class TcpFlow extends Flow {
  readonly #segmentSize: number;
  /** The next sequence number of each side. */
  readonly #nextSequence: Record<FlowSide, number>;
  readonly #isFinished: Record<FlowSide, boolean> = { client: false, server: false };
  #isOpen = false;
  #isReset = false;

  constructor(to: CaptureInterface, opts: TcpFlowOptions) {
    const { segmentSize = 32_768, initialSequence = 0 } = opts;
    checkInteger("record a connection", "segmentSize", segmentSize, 1, MAX_SEGMENT);
    checkInteger("record a connection", "initialSequence", initialSequence, 0, 0xffff_ffff);
    super(to, endsOf("record a connection", opts));
    this.#segmentSize = segmentSize;
    this.#nextSequence = { client: initialSequence, server: initialSequence };
  }

  /** Writes the three segments of the handshake. The other methods call `open()` if it was not called. */
  open(opts: FlowOptions = {}): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    // TCP options: maximum segment size (kind 2), padding (kind 1), window scale (kind 3).
    const options = Buffer.from([2, 4, this.#segmentSize >> 8, this.#segmentSize & 0xff, 1, 3, 3, WINDOW_SHIFT]);
    this.#segment("client", SYN, opts, { options });
    this.#segment("server", SYN | ACK, {}, { options });
    this.#segment("client", ACK, {});
  }

  /** Writes bytes that a side has sent, in segments of at most `segmentSize` bytes. */
  data(side: FlowSide, bytes: Uint8Array, opts: FlowDataOptions = {}): void {
    const { length = bytes.length } = opts;
    checkSide("record data", side);
    checkLength("record data", length, bytes.length, Number.MAX_SAFE_INTEGER);
    if (length === 0) return;
    // The handshake gets no comment, because the comment describes the data.
    this.open({ time: opts.time });
    for (let at = 0; at < length; at += this.#segmentSize) {
      const size = Math.min(this.#segmentSize, length - at);
      const payload = bytes.subarray(at, at + size);
      const missing = size - payload.length;
      // PSH marks the last segment, as the kernel does.
      const flags = at + size === length ? ACK | PSH : ACK;
      this.#segment(side, flags, at === 0 ? opts : { time: opts.time }, { payload, missing });
    }
    this.#acknowledge(otherSide(side), opts);
  }

  /** Writes that a side has finished sending. */
  finish(side: FlowSide, opts: FlowOptions = {}): void {
    checkSide("record the end", side);
    if (this.#isFinished[side] || this.#isReset) return;
    this.open({ time: opts.time });
    this.#segment(side, FIN | ACK, opts);
    this.#isFinished[side] = true;
    this.#acknowledge(otherSide(side), opts);
  }

  /** Writes that a side has reset the connection. After that, `finish()` and `reset()` write nothing. */
  reset(side: FlowSide, opts: FlowOptions = {}): void {
    checkSide("record a reset", side);
    if (this.#isReset) return;
    this.open({ time: opts.time });
    this.#segment(side, RST | ACK, opts);
    this.#isReset = true;
  }

  /**
   * Writes a segment without data, for its comment. Its window is different, so readers show it as a window update and
   * not as a duplicate acknowledgement.
   */
  note(side: FlowSide, opts: FlowOptions): void {
    checkSide("record a note", side);
    this.open({ time: opts.time });
    this.#segment(side, ACK, opts, { window: WINDOW - 1 });
  }

  #acknowledge(side: FlowSide, { time }: FlowOptions): void {
    this.#segment(side, ACK, { time });
  }

  /** Writes a segment. A field in `fields` replaces the value that this function computes. */
  #segment(side: FlowSide, flags: number, opts: FlowOptions, fields: Partial<Segment> = {}): void {
    const peer = otherSide(side);
    const { payload, missing = 0 } = fields;
    const packet = tcpPacket(this.ends[side], this.ends[peer], {
      flags,
      sequence: this.#nextSequence[side],
      acknowledgement: (flags & ACK) === 0 ? 0 : this.#nextSequence[peer],
      window: WINDOW,
      id: this.packetCount,
      ...fields,
    });
    // SYN and FIN each take one sequence number.
    const sequenceNumbers = (payload?.length ?? 0) + missing + ((flags & (SYN | FIN)) === 0 ? 0 : 1);
    // Sequence numbers wrap around at 2^32.
    this.#nextSequence[side] = (this.#nextSequence[side] + sequenceNumbers) >>> 0;
    this.write(side, packet, missing, opts);
  }
}

/**
 * The UDP datagrams between two addresses in a capture.
 *
 * @throws TypeError for addresses of two families; RangeError for a datagram that UDP can't carry
 * @see RFC 768
 * @example
 * ```ts
 * import { InetAddress } from "berkeley";
 * import { Capture, UdpFlow } from "berkeley/pcapng";
 *
 * let bytes = 0;
 * const capture = new Capture({ write: (block) => (bytes += block.length) });
 * const [client, server] = [new InetAddress("127.0.0.1", 50_000), new InetAddress("127.0.0.1", 53)];
 * new UdpFlow(capture.addInterface(), { client, server }).datagram("client", Buffer.from("question"));
 * console.log(bytes > 0); // prints: true
 * ```
 */
export class UdpFlow extends Flow {
  constructor(to: CaptureInterface, ends: FlowEnds) {
    super(to, endsOf("record datagrams", ends));
  }

  /** Writes a datagram that a side has sent. */
  datagram(side: FlowSide, bytes: Uint8Array, opts: FlowDataOptions = {}): void {
    checkSide("record a datagram", side);
    if (bytes.length > MAX_DATAGRAM) {
      throw new RangeError(`Cannot record a datagram: it has ${bytes.length} bytes, required at most ${MAX_DATAGRAM}`);
    }
    const { length = bytes.length } = opts;
    checkLength("record a datagram", length, bytes.length, MAX_DATAGRAM);
    const missing = length - bytes.length;
    const packet = udpPacket(this.ends[side], this.ends[otherSide(side)], bytes, this.packetCount, missing);
    this.write(side, packet, missing, opts);
  }
}
