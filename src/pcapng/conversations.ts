// The conversations of a capture: the bytes of each connection of TCP, and the datagrams of each pair of UDP addresses, in
// the order in which the two ends sent them.

import { formatIPv4, formatIPv6 } from "../addr/index.js";
import type { FlowSide } from "./flows.js";
import { ACK, FIN, RST, SYN } from "./headers.js";
import { type CapturedPacket, ipPacketOf, readCapture } from "./reader.js";

const TCP = 6;
const UDP = 17;
/** Segments that came before those in front of them, of one direction. */
const MOST_EARLY = 1024;

/** What one end has sent before the other end sent something: bytes of TCP, or one datagram of UDP. */
export interface Turn {
  readonly side: FlowSide;
  readonly bytes: Buffer;
  /** Bytes that came behind these, and that the capture does not have: it has cut them. Absent if there are none. */
  readonly cut?: number;
}

/** A connection of TCP, or the datagrams between two addresses of UDP. */
export interface Conversation {
  readonly protocol: "tcp" | "udp";
  /** The end that began, as `host:port`. */
  readonly client: string;
  readonly server: string;
  readonly turns: readonly Turn[];
}

interface Segment {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Bytes behind the payload that the capture has cut. */
  readonly cut: number;
  readonly flags: number;
  readonly sequence: number;
}

type Piece = Pick<Segment, "payload" | "cut">;

/** One direction of a connection: the number of the next byte, and segments that came early. */
interface Direction {
  /** Its SYN. */
  first: number | undefined;
  next: number | undefined;
  readonly early: Map<number, Piece>;
}

class Builder {
  readonly protocol: "tcp" | "udp";
  readonly client: string;
  readonly server: string;
  readonly directions: Readonly<Record<FlowSide, Direction>> = {
    client: { first: undefined, next: undefined, early: new Map() },
    server: { first: undefined, next: undefined, early: new Map() },
  };
  readonly #turns: { readonly side: FlowSide; readonly parts: Uint8Array[]; cut: number }[] = [];
  ended = false;

  constructor(protocol: "tcp" | "udp", client: string, server: string) {
    this.protocol = protocol;
    this.client = client;
    this.server = server;
  }

  add(side: FlowSide, { payload, cut }: Piece): void {
    const last = this.#turns.at(-1);
    const goesOn = this.protocol === "tcp" && last?.side === side && (last.cut === 0 || payload.length === 0);
    if (!goesOn) {
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
 * The conversations of a capture, in the order of their first packets. Repeated segments count once. Packets that are
 * neither TCP nor UDP, and fragments, are left out. A turn has the number of bytes that the capture has cut behind its own.
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
  const all: Builder[] = [];
  const open = new Map<string, Builder>();
  for (const packet of readCapture(capture)) {
    const segment = segmentOf(packet);
    if (segment === undefined) continue;
    const { from, to, protocol, flags } = segment;
    const own = open.get(`${protocol} ${from} ${to}`);
    // The first SYN of another connection: a repeated one has the number that it had.
    const again = own !== undefined && (own.ended || own.directions.client.first !== segment.sequence);
    const begins = protocol === TCP && (flags & (SYN | ACK)) === SYN && again;
    let builder = begins ? undefined : (own ?? open.get(`${protocol} ${to} ${from}`));
    if (builder === undefined) {
      builder = new Builder(protocol === TCP ? "tcp" : "udp", from, to);
      all.push(builder);
      open.set(`${protocol} ${from} ${to}`, builder);
      open.delete(`${protocol} ${to} ${from}`);
    }
    const side = builder.client === from ? "client" : "server";
    if (protocol === UDP) builder.add(side, segment);
    else takeSegment(builder, side, segment);
  }
  for (const builder of all) {
    for (const { early } of Object.values(builder.directions)) {
      if (early.size === 0) continue;
      throw new RangeError(
        `Cannot read a capture: segments between ${builder.client} and ${builder.server} are missing`,
      );
    }
  }
  return all.map((builder) => builder.result());
}

function takeSegment(builder: Builder, side: FlowSide, { flags, sequence, payload, cut }: Segment): void {
  const direction = builder.directions[side];
  if ((flags & (FIN | RST)) !== 0) builder.ended = true;
  if ((flags & SYN) !== 0) {
    direction.first ??= sequence;
    direction.next ??= (sequence + 1) >>> 0;
    return;
  }
  // A capture that began after the connection.
  direction.next ??= sequence;
  if (payload.length + cut > 0) direction.early.set(sequence, { payload, cut });
  if (direction.early.size > MOST_EARLY) {
    throw new RangeError(`Cannot read a capture: segments between ${builder.client} and ${builder.server} are missing`);
  }
  for (let found = true; found;) {
    found = false;
    for (const [start, piece] of direction.early) {
      // Bytes that were taken already; negative for a gap. Sequence numbers wrap.
      const known = (direction.next - start) | 0;
      if (known < 0) continue;
      direction.early.delete(start);
      const end = piece.payload.length + piece.cut;
      if (known >= end) continue;
      const left = piece.payload.subarray(known);
      builder.add(side, { payload: left, cut: end - known - left.length });
      direction.next = (start + end) >>> 0;
      found = true;
    }
  }
}

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
    const header = (ip[0]! & 15) * 4;
    const total = u16(ip, 2);
    // More fragments, or an offset.
    if (header < 20 || total < header || (u16(ip, 6) & 0x3fff) !== 0) return undefined;
    protocol = ip[9]!;
    [start, end] = [header, total];
    [from, to] = [formatIPv4(ip, 12), formatIPv4(ip, 16)];
  } else if (version === 6 && ip.length >= 40) {
    protocol = ip[6]!;
    [start, end] = [40, 40 + u16(ip, 4)];
    [from, to] = [`[${formatIPv6(ip, 8)}]`, `[${formatIPv6(ip, 24)}]`];
  } else {
    return undefined;
  }
  const transport = ip.subarray(start, end);
  const cut = Math.max(0, end - ip.length);
  // A packet that says to be longer than it was.
  if (cut > packet.length - packet.bytes.length || transport.length < (protocol === TCP ? 20 : 8)) return undefined;
  const ends = { from: `${from}:${u16(transport, 0)}`, to: `${to}:${u16(transport, 2)}`, protocol, cut };
  if (protocol === UDP) return { ...ends, payload: transport.subarray(8), flags: 0, sequence: 0 };
  const header = (transport[12]! >> 4) * 4;
  if (protocol !== TCP || header < 20 || header > transport.length) return undefined;
  const sequence = ((u16(transport, 4) << 16) | u16(transport, 6)) >>> 0;
  return { ...ends, payload: transport.subarray(header), flags: transport[13]!, sequence };
}

const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
