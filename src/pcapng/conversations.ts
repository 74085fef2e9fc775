// Reads the conversations of a capture: the bytes of each TCP connection, and the datagrams of each pair of UDP
// addresses, in the order in which the two ends sent them.

import { formatIPv4, formatIPv6 } from "../addr/index.js";
import type { FlowSide } from "./flows.js";
import { ACK, FIN, RST, SYN } from "./headers.js";
import { type CapturedPacket, ipPacketOf, readCapture } from "./reader.js";

const TCP = 6;
const UDP = 17;
/** Maximum number of segments of one direction that wait for a missing segment before them. */
const MAX_EARLY_SEGMENTS = 1024;

/** The bytes that one end of a TCP connection sent without bytes of the other end in between; or one UDP datagram. */
export interface Turn {
  readonly side: FlowSide;
  readonly bytes: Buffer;
  /**
   * Number of bytes that were sent after `bytes` and that the capture did not store. Absent for 0. Later bytes of the
   * same end begin a new turn.
   */
  readonly cut?: number;
}

/** A TCP connection, or the datagrams between two UDP addresses. */
export interface Conversation {
  readonly protocol: "tcp" | "udp";
  /** The end that sent the first packet, as `host:port`. */
  readonly client: string;
  readonly server: string;
  readonly turns: readonly Turn[];
}

/** A TCP segment or a UDP datagram. */
interface Segment {
  /** The source, as `host:port`. */
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Number of bytes after the payload that the capture did not store. */
  readonly cut: number;
  /** 0 for UDP. */
  readonly flags: number;
  /** 0 for UDP. */
  readonly sequence: number;
}

/** The data of a segment. */
type Piece = Pick<Segment, "payload" | "cut">;

/** The state of one direction of a connection. */
interface Direction {
  /** The sequence number of the SYN; undefined if the capture has no SYN. */
  synSequence: number | undefined;
  /** The sequence number of the next byte; undefined before the first segment. */
  nextSequence: number | undefined;
  /** Segments that are not added yet, because a segment before them is missing. The key is the sequence number. */
  readonly early: Map<number, Piece>;
}

/** Collects the turns of a conversation. */
class ConversationBuilder {
  readonly protocol: "tcp" | "udp";
  readonly client: string;
  readonly server: string;
  readonly directions: Readonly<Record<FlowSide, Direction>> = {
    client: { synSequence: undefined, nextSequence: undefined, early: new Map() },
    server: { synSequence: undefined, nextSequence: undefined, early: new Map() },
  };
  readonly #turns: { readonly side: FlowSide; readonly parts: Uint8Array[]; cut: number }[] = [];
  /** Whether a FIN or RST was read. */
  ended = false;

  constructor(protocol: "tcp" | "udp", client: string, server: string) {
    this.protocol = protocol;
    this.client = client;
    this.server = server;
  }

  add(side: FlowSide, { payload, cut }: Piece): void {
    const last = this.#turns.at(-1);
    // `cut` counts bytes at the end of a turn. So bytes that follow cut bytes begin a new turn.
    const isSameTurn = this.protocol === "tcp" && last?.side === side && (last.cut === 0 || payload.length === 0);
    if (!isSameTurn) {
      this.#turns.push({ side, parts: [payload], cut });
      return;
    }
    last.parts.push(payload);
    last.cut += cut;
  }

  result(): Conversation {
    const { protocol, client, server } = this;
    return {
      protocol,
      client,
      server,
      turns: this.#turns.map(({ side, parts, cut }) => {
        const bytes = Buffer.concat(parts);
        return cut === 0 ? { side, bytes } : { side, bytes, cut };
      }),
    };
  }
}

/**
 * Reads the conversations of a capture, in the order of their first packets. Bytes that were sent twice appear once.
 * Fragments, and packets of protocols other than TCP and UDP, are left out.
 *
 * @param capture the whole capture, in the format pcapng
 * @throws RangeError as {@link readCapture}, or when a segment of TCP is missing
 * @example
 * ```ts
 * import { InetAddress } from "berkeley";
 * import { Capture, readConversations, TcpFlow } from "berkeley/pcapng";
 *
 * const blocks: Buffer[] = [];
 * const capture = new Capture({ write: (block) => blocks.push(block) });
 * const [client, server] = [new InetAddress("127.0.0.1", 50_000), new InetAddress("127.0.0.1", 7)];
 * const flow = new TcpFlow(capture.addInterface(), { client, server });
 * flow.data("client", Buffer.from("ping"));
 * flow.data("server", Buffer.from("pong"));
 * const [conversation] = readConversations(Buffer.concat(blocks));
 * console.log(conversation?.turns.map(({ side, bytes }) => `${side} ${bytes}`).join());
 * // prints: client ping,server pong
 * ```
 */
export function readConversations(capture: Uint8Array): Conversation[] {
  const all: ConversationBuilder[] = [];
  /** The latest conversation of each pair of addresses. */
  const latest = new Map<string, ConversationBuilder>();
  for (const packet of readCapture(capture)) {
    const segment = segmentOf(packet);
    if (segment === undefined) continue;
    const { from, to, protocol, flags } = segment;
    // The latest conversation in which `from` is the client.
    const ofClient = latest.get(`${protocol} ${from} ${to}`);
    // A client may use the same two addresses again. A SYN that is sent again has the sequence number of the first SYN,
    // so another number means a new connection.
    const isNewConnection =
      protocol === TCP &&
      (flags & (SYN | ACK)) === SYN &&
      ofClient !== undefined &&
      (ofClient.ended || ofClient.directions.client.synSequence !== segment.sequence);
    let builder = isNewConnection ? undefined : (ofClient ?? latest.get(`${protocol} ${to} ${from}`));
    if (builder === undefined) {
      builder = new ConversationBuilder(protocol === TCP ? "tcp" : "udp", from, to);
      all.push(builder);
      latest.set(`${protocol} ${from} ${to}`, builder);
      latest.delete(`${protocol} ${to} ${from}`);
    }
    const side = builder.client === from ? "client" : "server";
    if (protocol === UDP) builder.add(side, segment);
    else addSegment(builder, side, segment);
  }
  for (const builder of all) {
    for (const { early } of Object.values(builder.directions)) {
      if (early.size > 0) throw missingSegmentsError(builder);
    }
  }
  return all.map((builder) => builder.result());
}

function missingSegmentsError({ client, server }: ConversationBuilder): RangeError {
  return new RangeError(`Cannot read a capture: segments between ${client} and ${server} are missing`);
}

/** Adds a TCP segment, and then the early segments that follow it without a gap. */
function addSegment(builder: ConversationBuilder, side: FlowSide, segment: Segment): void {
  const { flags, sequence } = segment;
  const direction = builder.directions[side];
  if ((flags & (FIN | RST)) !== 0) builder.ended = true;
  if ((flags & SYN) !== 0) {
    direction.synSequence ??= sequence;
    direction.nextSequence ??= (sequence + 1) >>> 0;
    return;
  }
  // There was no SYN if the capture began after the connection.
  direction.nextSequence ??= sequence;
  if (segment.payload.length + segment.cut > 0) direction.early.set(sequence, segment);
  if (direction.early.size > MAX_EARLY_SEGMENTS) throw missingSegmentsError(builder);
  // A segment that is added may close the gap before another one, so the search begins again.
  let wasAdded: boolean;
  do {
    wasAdded = false;
    for (const [start, piece] of direction.early) {
      // The number of bytes of this segment that earlier segments had already; negative for a gap before this segment.
      // `| 0` makes it a signed 32-bit number, so it is also right if the sequence numbers have wrapped around at 2^32.
      const known = (direction.nextSequence - start) | 0;
      if (known < 0) continue;
      direction.early.delete(start);
      const length = piece.payload.length + piece.cut;
      if (known >= length) continue;
      const payload = piece.payload.subarray(known);
      builder.add(side, { payload, cut: length - known - payload.length });
      direction.nextSequence = (start + length) >>> 0;
      wasAdded = true;
    }
  } while (wasAdded);
}

/** The TCP segment or UDP datagram of a packet; undefined for a fragment or another protocol. */
function segmentOf(packet: CapturedPacket): Segment | undefined {
  const ip = ipPacketOf(packet);
  if (ip === undefined || ip.length < 20) return undefined;
  const version = ip[0]! >> 4;
  let protocol: number;
  let end: number;
  let start: number;
  let from: string;
  let to: string;
  if (version === 4) {
    // The length of the header, which the packet has as a number of 32-bit words, and the length of the packet.
    [start, end] = [(ip[0]! & 15) * 4, uint16(ip, 2)];
    // 0x3fff covers the flag "more fragments" and the offset of the fragment.
    const isFragment = (uint16(ip, 6) & 0x3fff) !== 0;
    if (start < 20 || end < start || isFragment) return undefined;
    protocol = ip[9]!;
    [from, to] = [formatIPv4(ip, 12), formatIPv4(ip, 16)];
  } else if (version === 6 && ip.length >= 40) {
    protocol = ip[6]!;
    [start, end] = [40, 40 + uint16(ip, 4)];
    [from, to] = [`[${formatIPv6(ip, 8)}]`, `[${formatIPv6(ip, 24)}]`];
  } else {
    return undefined;
  }
  const transport = ip.subarray(start, end);
  const cut = Math.max(0, end - ip.length);
  // True if the length in the IP header is greater than the length of the packet.
  const isLengthWrong = cut > packet.length - packet.bytes.length;
  if (isLengthWrong || transport.length < (protocol === TCP ? 20 : 8)) return undefined;
  const ends = { from: `${from}:${uint16(transport, 0)}`, to: `${to}:${uint16(transport, 2)}`, protocol, cut };
  if (protocol === UDP) return { ...ends, payload: transport.subarray(8), flags: 0, sequence: 0 };
  // The high 4 bits are the length of the TCP header in 32-bit words.
  const headerLength = (transport[12]! >> 4) * 4;
  if (protocol !== TCP || headerLength < 20 || headerLength > transport.length) return undefined;
  const sequence = ((uint16(transport, 4) << 16) | uint16(transport, 6)) >>> 0;
  return { ...ends, payload: transport.subarray(headerLength), flags: transport[13]!, sequence };
}

/** Reads 16 bits in network byte order. */
const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
