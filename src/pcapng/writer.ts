// A capture: a section of a pcapng file with its interfaces and packets, block by block.

import { quote } from "../check/index.js";
import {
  enhancedPacket,
  interfaceDescription,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  type LinkType,
  type Option,
  OPTION,
  sectionHeader,
} from "./blocks.js";

/** What a capture is of, and where its blocks go. */
export interface CaptureOptions {
  /** Gets each block, whole. It may keep the bytes. What it throws, the call that wrote the block throws. */
  readonly write: (block: Buffer) => void;
  /** The program that writes the capture. */
  readonly application?: string | undefined;
  /** A text for the readers of the capture. */
  readonly comment?: string | undefined;
}

/** An interface of a capture. */
export interface CaptureInterfaceOptions {
  /** What a packet begins with: `LINKTYPE_RAW` (default) for IP, or `LINKTYPE_ETHERNET`. */
  readonly linkType?: LinkType | undefined;
  /** As `eth0`. */
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  /** The bytes of each packet that are kept; 0, the default, keeps all. */
  readonly snapLength?: number | undefined;
}

/** What is known of a packet. */
export interface PacketOptions {
  /** When it passed, in nanoseconds since 1970. Default now. */
  readonly time?: bigint | undefined;
  readonly direction?: "inbound" | "outbound" | undefined;
  /** A text that readers show with the packet. */
  readonly comment?: string | undefined;
  /** Bytes of the whole packet, if the given ones are only its beginning. */
  readonly length?: number | undefined;
}

/** Nanoseconds from 1970 to the zero of the monotonic clock, so that times never go back within a process. */
const EPOCH: bigint = BigInt(Math.round(performance.timeOrigin * 1000)) * 1000n;

const now = (): bigint => EPOCH + BigInt(Math.round(performance.now() * 1e6));

/** Checks the length of something of which `given` bytes are passed. */
export function checkLength(action: string, length: number, given: number, most: number): void {
  if (Number.isInteger(length) && length >= given && length <= most) return;
  throw new RangeError(
    `Cannot ${action}: length is ${quote(length)}, required an integer from ${given}, the given bytes, to ${most}`,
  );
}

/** An interface of a {@link Capture}, to which packets are written. */
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

  /** Writes a packet, which begins as the link type of the interface says. Makes no call; the bytes are copied. */
  packet(packet: Uint8Array, opts: PacketOptions = {}): void {
    const { time = now(), direction, comment, length = packet.length } = opts;
    checkLength("write a packet", length, packet.length, 0xffff_ffff);
    const options: Option[] = [];
    if (comment !== undefined) options.push([OPTION.comment, comment]);
    if (direction !== undefined) {
      options.push([OPTION.packetFlags, new Uint8Array([direction === "inbound" ? 1 : 2, 0, 0, 0])]);
    }
    const kept = this.#snapLength === 0 ? packet : packet.subarray(0, this.#snapLength);
    this.#write(enhancedPacket(this.#id, time, kept, length, options));
  }
}

/**
 * Writes a capture in the format pcapng, which Wireshark and tshark read. It gives each block to `write`, and keeps nothing: a
 * capture is whole after every block.
 *
 * @throws TypeError or RangeError for an option that is wrong
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
  #interfaces = 0;

  constructor(opts: CaptureOptions) {
    const { write, application, comment } = opts;
    if (typeof write !== "function") {
      throw new TypeError(`Cannot write a capture: write is ${quote(write)}, required a function`);
    }
    this.#write = write;
    write(
      sectionHeader([
        ...(comment === undefined ? [] : [[OPTION.comment, comment] as const]),
        ...(application === undefined ? [] : [[OPTION.application, application] as const]),
      ]),
    );
  }

  /** Adds an interface. Times of its packets have nanoseconds. */
  addInterface(opts: CaptureInterfaceOptions = {}): CaptureInterface {
    const { linkType = LINKTYPE_RAW, name, description, snapLength = 0 } = opts;
    if (linkType !== LINKTYPE_RAW && linkType !== LINKTYPE_ETHERNET) {
      throw new TypeError(
        `Cannot add an interface: linkType is ${quote(linkType)}, required LINKTYPE_RAW or LINKTYPE_ETHERNET`,
      );
    }
    if (!Number.isInteger(snapLength) || snapLength < 0 || snapLength > 0xffff_ffff) {
      throw new RangeError(
        `Cannot add an interface: snapLength is ${quote(snapLength)}, required an integer from 0 to 4294967295`,
      );
    }
    this.#write(
      interfaceDescription(linkType, snapLength, [
        ...(name === undefined ? [] : [[OPTION.interfaceName, name] as const]),
        ...(description === undefined ? [] : [[OPTION.interfaceDescription, description] as const]),
        // 10^-9 seconds.
        [OPTION.timestampResolution, new Uint8Array([9])],
      ]),
    );
    return new CaptureInterface(this.#interfaces++, linkType, snapLength, this.#write);
  }
}
