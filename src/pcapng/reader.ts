// Reads captures in the format pcapng. If bytes break the rules of the format, readCapture() throws an error with their
// offset.

import {
  BYTE_ORDER_MAGIC,
  ENHANCED_PACKET,
  INTERFACE_DESCRIPTION,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  OPTION,
  padded,
  SECTION_HEADER,
} from "./blocks.js";

/** Maximum number of bytes of a block. Other readers have the same limit. */
const MAX_BLOCK_BYTES = 16 << 20;
/** Maximum number of interfaces of a section, so that a damaged capture can't use up the memory. */
const MAX_INTERFACES = 4096;

/** A packet of a capture. */
export interface CapturedPacket {
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  /** The kind of the packet's first header: `LINKTYPE_RAW`, `LINKTYPE_ETHERNET`, or another registered number. */
  readonly linkType: number;
  /** The stored bytes, as a view of the capture. */
  readonly bytes: Uint8Array;
  /** The length of the whole packet. */
  readonly length: number;
  readonly comment: string | undefined;
}

interface Interface {
  readonly linkType: number;
  /** Converts a time that is in the unit of the interface. */
  readonly toNanoseconds: (time: bigint) => bigint;
}

function fail(offset: number, problem: string): never {
  throw new RangeError(`Cannot read a capture: at offset ${offset} ${problem}`);
}

/**
 * Reads the packets of a capture in the format pcapng, in their order. Other blocks are skipped.
 *
 * @param capture the whole capture
 * @throws RangeError for bytes that are not a capture, or for an incomplete capture
 * @see {@link https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html | pcapng}
 * @example
 * ```ts
 * import { InetAddress } from "berkeley";
 * import { Capture, readCapture, UdpFlow } from "berkeley/pcapng";
 *
 * const blocks: Buffer[] = [];
 * const capture = new Capture({ write: (block) => blocks.push(block) });
 * const [client, server] = [new InetAddress("127.0.0.1", 50_000), new InetAddress("127.0.0.1", 53)];
 * new UdpFlow(capture.addInterface(), { client, server }).datagram("client", Buffer.from("?"), { comment: "first" });
 * for (const { length, comment } of readCapture(Buffer.concat(blocks))) console.log(length, comment);
 * // prints: 29 first
 * ```
 */
export function* readCapture(capture: Uint8Array): Generator<CapturedPacket, void, undefined> {
  const view = new DataView(capture.buffer, capture.byteOffset, capture.length);
  /** The byte order of the section. */
  let littleEndian = true;
  let interfaces: Interface[] = [];
  // The shortest section header has 28 bytes.
  if (capture.length < 28 || view.getUint32(0) !== SECTION_HEADER) {
    fail(0, "there is no section header of pcapng");
  }
  for (let at = 0; at < capture.length;) {
    if (at + 12 > capture.length) fail(at, "a block is cut off");
    // The type of a section header is the same in both byte orders.
    if (view.getUint32(at) === SECTION_HEADER) {
      if (at + 28 > capture.length) fail(at, "a section header is cut off");
      littleEndian = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
      if (!littleEndian && view.getUint32(at + 8, false) !== BYTE_ORDER_MAGIC)
        fail(at + 8, "a section has no byte order");
      if (view.getUint16(at + 12, littleEndian) !== 1) fail(at + 12, "a section has a version that is not 1");
      interfaces = [];
    }
    const length = view.getUint32(at + 4, littleEndian);
    if (length < 12 || length % 4 !== 0 || length > MAX_BLOCK_BYTES) fail(at + 4, `a block has ${length} bytes`);
    if (at + length > capture.length) fail(at, "a block is cut off");
    if (view.getUint32(at + length - 4, littleEndian) !== length)
      fail(at + length - 4, "the two lengths of a block differ");
    const type = view.getUint32(at, littleEndian);
    const block = new Block(capture.subarray(at + 8, at + length - 4), at + 8, littleEndian);
    if (type === INTERFACE_DESCRIPTION) {
      if (interfaces.length >= MAX_INTERFACES) fail(at, `a section has more than ${MAX_INTERFACES} interfaces`);
      interfaces.push(interfaceOf(block));
    } else if (type === ENHANCED_PACKET) {
      yield packetOf(block, interfaces);
    }
    at += length;
  }
}

/** The content of a block. `offset` is where the content begins in the capture, for error messages. */
class Block {
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly view: DataView;
  readonly littleEndian: boolean;

  constructor(bytes: Uint8Array, offset: number, littleEndian: boolean) {
    this.bytes = bytes;
    this.offset = offset;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.littleEndian = littleEndian;
  }

  uint16(at: number): number {
    if (at + 2 > this.bytes.length) fail(this.offset + at, "a block is too short");
    return this.view.getUint16(at, this.littleEndian);
  }

  uint32(at: number): number {
    if (at + 4 > this.bytes.length) fail(this.offset + at, "a block is too short");
    return this.view.getUint32(at, this.littleEndian);
  }

  /** The value of the first option with this code; undefined if there is none. The options begin at `start`. */
  option(start: number, code: number): Uint8Array | undefined {
    for (let at = start; at + 4 <= this.bytes.length;) {
      const [foundCode, length] = [this.uint16(at), this.uint16(at + 2)];
      if (foundCode === OPTION.end) return undefined;
      if (at + 4 + length > this.bytes.length) fail(this.offset + at, "an option is cut off");
      if (foundCode === code) return this.bytes.subarray(at + 4, at + 4 + length);
      at += 4 + padded(length);
    }
    return undefined;
  }
}

function interfaceOf(block: Block): Interface {
  const linkType = block.uint16(0);
  // The options follow the link type and the snap length, which take 8 bytes. A second has 10^exponent units, or
  // 2^exponent if the highest bit of the option is set. The default is microseconds.
  const resolution = block.option(8, OPTION.timestampResolution)?.[0] ?? 6;
  const exponent = BigInt(resolution & 0x7f);
  const unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** exponent : 2n ** exponent;
  return { linkType, toNanoseconds: (time) => (time * 1_000_000_000n) / unitsPerSecond };
}

function packetOf(block: Block, interfaces: readonly Interface[]): CapturedPacket {
  // Five 32-bit fields: the interface, the time (two fields), the stored length, and the whole length. The stored bytes
  // and the options follow them.
  const source = interfaces[block.uint32(0)];
  if (source === undefined) fail(block.offset, "a packet has an interface that is not described");
  const stored = block.uint32(12);
  if (20 + stored > block.bytes.length) fail(block.offset + 12, "a packet is longer than its block");
  const comment = block.option(20 + padded(stored), OPTION.comment);
  return {
    time: source.toNanoseconds((BigInt(block.uint32(4)) << 32n) | BigInt(block.uint32(8))),
    linkType: source.linkType,
    bytes: block.bytes.subarray(20, 20 + stored),
    length: block.uint32(16),
    comment: comment === undefined ? undefined : new TextDecoder().decode(comment),
  };
}

/** The IP packet in a captured packet; undefined if the packet has another protocol. */
export function ipPacketOf({ linkType, bytes }: CapturedPacket): Uint8Array | undefined {
  if (linkType === LINKTYPE_RAW) return bytes;
  if (linkType !== LINKTYPE_ETHERNET || bytes.length < 14) return undefined;
  const etherType = (bytes[12]! << 8) | bytes[13]!;
  // IPv4 or IPv6.
  return etherType === 0x0800 || etherType === 0x86dd ? bytes.subarray(14) : undefined;
}
