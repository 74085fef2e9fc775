// The blocks of a pcapng file: https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html
//
// A block has its type, its length, its content padded to 32 bits, and its length again. Both byte orders are allowed,
// and the magic number in the section header shows which one a file has. These functions always write little-endian.

/** Frames with an Ethernet header. */
export const LINKTYPE_ETHERNET = 1;
/** Packets that begin with the header of IPv4 or IPv6. */
export const LINKTYPE_RAW = 101;

/** The link types that a capture of this package can have. */
export type LinkType = typeof LINKTYPE_ETHERNET | typeof LINKTYPE_RAW;

// Types of blocks, and the number that shows the byte order of a section.
export const SECTION_HEADER = 0x0a0d_0d0a;
export const INTERFACE_DESCRIPTION = 1;
export const ENHANCED_PACKET = 6;
export const BYTE_ORDER_MAGIC = 0x1a2b_3c4d;

/**
 * Codes of options. `end` and `comment` are valid in every block. The others are valid in one kind of block, so one
 * number can be several options.
 */
export const OPTION = {
  end: 0,
  comment: 1,
  hardware: 2,
  os: 3,
  application: 4,
  interfaceName: 2,
  interfaceDescription: 3,
  timestampResolution: 9,
  packetFlags: 2,
} as const;

export type Option = readonly [code: number, value: string | Uint8Array];

/** Rounds a length up to a multiple of 4. */
export const padded = (length: number): number => (length + 3) & ~3;

function encodeOptions(options: readonly Option[]): Buffer {
  if (options.length === 0) return Buffer.alloc(0);
  const parts = options.map(([code, value]) => {
    // The field for the length has 16 bits, so a longer value is truncated. Both branches make the same call, because
    // TypeScript accepts no union for the overloads of Buffer.from.
    const bytes = (typeof value === "string" ? Buffer.from(value) : Buffer.from(value)).subarray(0, 0xffff);
    const part = Buffer.alloc(4 + padded(bytes.length));
    part.writeUInt16LE(code, 0);
    part.writeUInt16LE(bytes.length, 2);
    part.set(bytes, 4);
    return part;
  });
  // Four bytes of 0 are the option `end`.
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

/** Puts the type and the two lengths around the content of a block. */
function encodeBlock(type: number, content: readonly Uint8Array[]): Buffer {
  const length = 12 + content.reduce((sum, part) => sum + part.length, 0);
  const [head, tail] = [Buffer.alloc(8), Buffer.alloc(4)];
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  tail.writeUInt32LE(length, 0);
  return Buffer.concat([head, ...content, tail]);
}

export function encodeSectionHeader(options: readonly Option[]): Buffer {
  const fields = Buffer.alloc(16);
  fields.writeUInt32LE(BYTE_ORDER_MAGIC, 0);
  // Version 1.0.
  fields.writeUInt16LE(1, 4);
  // -1: the length of the section is not known.
  fields.fill(0xff, 8, 16);
  return encodeBlock(SECTION_HEADER, [fields, encodeOptions(options)]);
}

/** @param snapLength the maximum number of bytes stored of a packet; 0 for no limit */
export function encodeInterfaceDescription(linkType: number, snapLength: number, options: readonly Option[]): Buffer {
  const fields = Buffer.alloc(8);
  fields.writeUInt16LE(linkType, 0);
  fields.writeUInt32LE(snapLength, 4);
  return encodeBlock(INTERFACE_DESCRIPTION, [fields, encodeOptions(options)]);
}

/**
 * @param time in the unit of the interface's option `timestampResolution`
 * @param captured the stored bytes of the packet
 * @param length the length of the whole packet
 */
export function encodeEnhancedPacket(
  interfaceId: number,
  time: bigint,
  captured: Uint8Array,
  length: number,
  options: readonly Option[],
): Buffer {
  const fields = Buffer.alloc(20);
  fields.writeUInt32LE(interfaceId, 0);
  fields.writeUInt32LE(Number(time >> 32n), 4);
  fields.writeUInt32LE(Number(time & 0xffff_ffffn), 8);
  fields.writeUInt32LE(captured.length, 12);
  fields.writeUInt32LE(length, 16);
  const padding = Buffer.alloc(padded(captured.length) - captured.length);
  return encodeBlock(ENHANCED_PACKET, [fields, captured, padding, encodeOptions(options)]);
}
