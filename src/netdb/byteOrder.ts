// Converts numbers between host byte order and network byte order (big endian): byteorder(3).

import { integer } from "../check/index.js";
import { LITTLE_ENDIAN } from "../sys/nativeInts.js";

const U16_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}

/** Converts in either direction: swaps the bytes on a little-endian machine. */
function convert16(value: number, action: string): number {
  const number = integer(value, action, "value", 0, U16_MAX);
  return LITTLE_ENDIAN ? swap16(number) : number;
}

function convert32(value: number, action: string): number {
  const number = integer(value, action, "value", 0, U32_MAX);
  return LITTLE_ENDIAN ? swap32(number) : number;
}

/**
 * Converts a 16-bit number from host to network byte order: htons(3). Don't convert the port of an address: this
 * package takes and returns ports in host byte order.
 *
 * @throws RangeError outside 0 to 65535
 * @see htons(3)
 * @example
 * ```ts
 * import { htons, ntohs } from "berkeley";
 *
 * console.log(ntohs(htons(8080))); // prints: 8080
 * ```
 */
export function htons(value: number): number {
  return convert16(value, "htons");
}

/**
 * Converts a 32-bit number from host to network byte order: htonl(3).
 *
 * @throws RangeError outside 0 to 4294967295
 * @see htonl(3)
 * @example
 * ```ts
 * import { htonl, ntohl } from "berkeley";
 *
 * console.log(ntohl(htonl(0x7f000001)) === 0x7f000001); // prints: true
 * ```
 */
export function htonl(value: number): number {
  return convert32(value, "htonl");
}

/**
 * Converts a 16-bit number from network to host byte order: ntohs(3).
 *
 * @throws RangeError outside 0 to 65535
 * @see ntohs(3)
 * @example
 * ```ts
 * import { ntohs } from "berkeley";
 *
 * const inMemory = new Uint16Array(Uint8Array.of(0x1f, 0x90).buffer)[0] ?? 0;
 * console.log(ntohs(inMemory)); // prints: 8080
 * ```
 */
export function ntohs(value: number): number {
  return convert16(value, "ntohs");
}

/**
 * Converts a 32-bit number from network to host byte order: ntohl(3).
 *
 * @throws RangeError outside 0 to 4294967295
 * @see ntohl(3)
 * @example
 * ```ts
 * import { ntohl } from "berkeley";
 *
 * const inMemory = new Uint32Array(Uint8Array.of(127, 0, 0, 1).buffer)[0] ?? 0;
 * console.log(ntohl(inMemory).toString(16)); // prints: 7f000001
 * ```
 */
export function ntohl(value: number): number {
  return convert32(value, "ntohl");
}
