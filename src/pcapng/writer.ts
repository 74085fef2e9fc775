// Writes a capture: one section of a pcapng file, with its interfaces and packets.

import { quote } from "../check/index.js";
import {
  encodeEnhancedPacket,
  encodeInterfaceDescription,
  encodeSectionHeader,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  type LinkType,
  type Option,
  OPTION,
} from "./blocks.js";

/** Options of a {@link Capture}. */
export interface CaptureOptions {
  /** Receives each complete block, and can keep it. The call that made the block throws the errors of `write`. */
  readonly write: (block: Buffer) => void;
  /** The name of the program that makes the capture. */
  readonly application?: string | undefined;
  /** A text that readers show with the capture. */
  readonly comment?: string | undefined;
}

/** Options of an interface of a capture. */
export interface CaptureInterfaceOptions {
  /** The first header of each packet: `LINKTYPE_RAW` (the default) for IP, or `LINKTYPE_ETHERNET`. */
  readonly linkType?: LinkType | undefined;
  /** Such as `eth0`. */
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  /** Maximum number of bytes that are stored of a packet; 0 (the default) for no limit. */
  readonly snapLength?: number | undefined;
}

/** Options of a packet. */
export interface PacketOptions {
  /** When the packet was sent or received, in nanoseconds since 1970. Default: now. */
  readonly time?: bigint | undefined;
  readonly direction?: "inbound" | "outbound" | undefined;
  /** A text that readers show with the packet. */
  readonly comment?: string | undefined;
  /** Number of bytes of the whole packet, if only the first of them are given. */
  readonly length?: number | undefined;
}

/**
 * The time at which `performance.now()` was 0, in nanoseconds since 1970. The times of packets do not come from
 * `Date.now()`, because that goes back when the system clock is set back.
 */
const TIME_ORIGIN: bigint = BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n;

const now = (): bigint => TIME_ORIGIN + BigInt(Math.round(performance.now() * 1e6));

/** Throws if `value` is not an integer from `min` to `max`. */
export function checkInteger(action: string, name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(`Cannot ${action}: ${name} is ${quote(value)}, required an integer from ${min} to ${max}`);
}

/**
 * Checks `length`, the size of a whole packet or of all data.
 *
 * @param passed the number of bytes that the caller has passed
 */
export function checkLength(action: string, length: number, passed: number, max: number): void {
  if (Number.isInteger(length) && length >= passed && length <= max) return;
  throw new RangeError(
    `Cannot ${action}: length is ${quote(length)}, required an integer from ${passed}, the given bytes, to ${max}`,
  );
}

/** An interface of a {@link Capture}. Its packets are written with {@link CaptureInterface.packet}. */
export class CaptureInterface {
  readonly linkType: LinkType;
  readonly #id: number;
  readonly #snapLength: number;
  readonly #write: (block: Buffer) => void;

  /** @internal Made by {@link Capture.addInterface}. */
  constructor(id: number, linkType: LinkType, snapLength: number, write: (block: Buffer) => void) {
    this.#id = id;
    this.linkType = linkType;
    this.#snapLength = snapLength;
    this.#write = write;
  }

  /** Writes a packet, whose first header has the link type of the interface. The bytes are copied. */
  packet(packet: Uint8Array, opts: PacketOptions = {}): void {
    const { time = now(), direction, comment, length = packet.length } = opts;
    checkLength("write a packet", length, packet.length, 0xffff_ffff);
    const options: Option[] = [];
    if (comment !== undefined) options.push([OPTION.comment, comment]);
    if (direction !== undefined) {
      // The lowest two bits of the flags: 1 is inbound, 2 is outbound.
      options.push([OPTION.packetFlags, new Uint8Array([direction === "inbound" ? 1 : 2, 0, 0, 0])]);
    }
    const stored = this.#snapLength === 0 ? packet : packet.subarray(0, this.#snapLength);
    this.#write(encodeEnhancedPacket(this.#id, time, stored, length, options));
  }
}

/**
 * Writes a capture in the format pcapng, which Wireshark and tshark read. It passes each block to `write` at once. The
 * blocks that were written so far are a valid capture.
 *
 * @throws TypeError or RangeError for a wrong option
 * @see {@link https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html | pcapng}
 * @example
 * ```ts
 * import { InetAddress } from "berkeley";
 * import { Capture, TcpFlow } from "berkeley/pcapng";
 *
 * const blocks: Buffer[] = [];
 * const capture = new Capture({ write: (block) => blocks.push(block), application: "example" });
 * const flow = new TcpFlow(capture.addInterface({ name: "lo" }), {
 *   client: new InetAddress("127.0.0.1", 50_000),
 *   server: new InetAddress("127.0.0.1", 80),
 * });
 * flow.open();
 * flow.data("client", Buffer.from("GET / HTTP/1.0\r\n\r\n"));
 * flow.finish("client");
 * console.log(blocks.length > 5, blocks[0]!.readUInt32LE(0).toString(16)); // prints: true a0d0d0a
 * ```
 */
export class Capture {
  readonly #write: (block: Buffer) => void;
  /** The number of interfaces so far. The id of an interface is its index. */
  #interfaceCount = 0;

  constructor(opts: CaptureOptions) {
    const { write, application, comment } = opts;
    if (typeof write !== "function") {
      throw new TypeError(`Cannot write a capture: write is ${quote(write)}, required a function`);
    }
    this.#write = write;
    write(
      encodeSectionHeader([
        ...(comment === undefined ? [] : [[OPTION.comment, comment] as const]),
        ...(application === undefined ? [] : [[OPTION.application, application] as const]),
      ]),
    );
  }

  /** Adds an interface. The unit of time of its packets is a nanosecond. */
  addInterface(opts: CaptureInterfaceOptions = {}): CaptureInterface {
    const { linkType = LINKTYPE_RAW, name, description, snapLength = 0 } = opts;
    if (linkType !== LINKTYPE_RAW && linkType !== LINKTYPE_ETHERNET) {
      throw new TypeError(
        `Cannot add an interface: linkType is ${quote(linkType)}, required LINKTYPE_RAW or LINKTYPE_ETHERNET`,
      );
    }
    checkInteger("add an interface", "snapLength", snapLength, 0, 0xffff_ffff);
    this.#write(
      encodeInterfaceDescription(linkType, snapLength, [
        ...(name === undefined ? [] : [[OPTION.interfaceName, name] as const]),
        ...(description === undefined ? [] : [[OPTION.interfaceDescription, description] as const]),
        // 9: the unit of time is 10^-9 seconds.
        [OPTION.timestampResolution, new Uint8Array([9])],
      ]),
    );
    return new CaptureInterface(this.#interfaceCount++, linkType, snapLength, this.#write);
  }
}
