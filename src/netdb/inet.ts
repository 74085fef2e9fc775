// Converts addresses between text and bytes: inet_pton(3), inet_ntop(3), inet_aton(3), inet_ntoa(3).

import { isUint8Array } from "node:util/types";
import { AF_INET, AF_INET6, formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from "../addr/index.js";
import { int32, quote } from "../check/index.js";
import { calls } from "../sys/calls.js";
import { EAFNOSUPPORT, socketError } from "../sys/errno.js";
import { checkPlainText } from "./textArguments.js";

/**
 * The bytes of a numeric address, in network order: inet_pton(3). It accepts four decimal numbers, or an IPv6 address
 * without a zone.
 *
 * @param family `AF_INET` or `AF_INET6`
 * @returns 4 or 16 bytes
 * @throws TypeError for text that is no address of the family; SocketError `EAFNOSUPPORT` for another family
 * @see inet_pton(3)
 * @example
 * ```ts
 * import { AF_INET, inet_pton } from "berkeley";
 *
 * console.log(inet_pton(AF_INET, "192.0.2.1").toString("hex")); // prints: c0000201
 * ```
 */
export function inet_pton(family: number, text: string): Buffer {
  const isIPv6 = checkFamily(family, "inet_pton") === AF_INET6;
  if (typeof text !== "string") throw new TypeError(`Cannot inet_pton: text is ${quote(text)}, required a string`);
  let bytes: Uint8Array | undefined;
  if (isIPv6) {
    const parsed = parseIPv6(text);
    if (parsed?.zone === undefined) bytes = parsed?.bytes;
  } else {
    bytes = parseIPv4(text);
  }
  if (bytes === undefined) {
    throw new TypeError(
      `Cannot inet_pton: text is ${quote(text)}, required ` +
        (isIPv6 ? "an IPv6 address without a zone" : "four decimal numbers from 0 to 255 with dots between"),
    );
  }
  return Buffer.from(bytes.buffer);
}

/**
 * The text of an address: inet_ntop(3). IPv6 addresses have the form of RFC 5952, as everywhere in this package. The
 * C library writes the deprecated IPv4-compatible addresses as `::1.2.3.4`; this function writes `::102:304`.
 *
 * @param family `AF_INET` or `AF_INET6`
 * @param bytes 4 or 16 bytes, in network order
 * @throws RangeError for another number of bytes; SocketError `EAFNOSUPPORT` for another family
 * @see inet_ntop(3)
 * @example
 * ```ts
 * import { AF_INET6, inet_ntop, inet_pton } from "berkeley";
 *
 * console.log(inet_ntop(AF_INET6, inet_pton(AF_INET6, "2001:DB8:0:0:0:0:0:1"))); // prints: 2001:db8::1
 * ```
 */
export function inet_ntop(family: number, bytes: Uint8Array): string {
  const size = checkFamily(family, "inet_ntop") === AF_INET6 ? 16 : 4;
  return formatAddressBytes(family, checkLength(bytes, size, "inet_ntop"));
}

/**
 * The bytes of an IPv4 address in any form that the C library accepts: inet_aton(3). The address has one to four
 * numbers (`127.1` is `127.0.0.1`). Each number is decimal, octal after `0`, or hexadecimal after `0x`. Sockets and
 * {@link inet_pton} accept an IPv4 address only as four decimal numbers. The C library ignores text after a space; this
 * function refuses it.
 *
 * @returns 4 bytes in network order
 * @throws TypeError for text that is not an address
 * @see inet_aton(3)
 * @example
 * ```ts
 * import { inet_aton, inet_ntoa } from "berkeley";
 *
 * console.log(inet_ntoa(inet_aton("127.1"))); // prints: 127.0.0.1
 * ```
 */
export function inet_aton(text: string): Buffer {
  const plain = checkPlainText(text, "inet_aton", "text");
  // The C library ignores a space and all that comes after it.
  const value = /\s/.test(plain) ? -1 : calls.inet_aton(plain);
  if (value < 0) throw new TypeError(`Cannot inet_aton: text is ${quote(text)}, required an IPv4 address`);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/**
 * The text of an IPv4 address: inet_ntoa(3).
 *
 * @param bytes 4 bytes, in network order
 * @throws RangeError for another number of bytes
 * @see inet_ntoa(3)
 * @example
 * ```ts
 * import { inet_ntoa } from "berkeley";
 *
 * console.log(inet_ntoa(Uint8Array.of(192, 0, 2, 1))); // prints: 192.0.2.1
 * ```
 */
export function inet_ntoa(bytes: Uint8Array): string {
  return formatIPv4(checkLength(bytes, 4, "inet_ntoa"));
}

/** The text of the bytes of an IPv4 or IPv6 address. */
export function formatAddressBytes(family: number, bytes: Uint8Array): string {
  return family === AF_INET ? formatIPv4(bytes) : formatIPv6(bytes);
}

/** Returns `family` if it is `AF_INET` or `AF_INET6`, and throws otherwise. */
function checkFamily(family: unknown, action: string): number {
  const number = int32(family, action, "family");
  if (number !== AF_INET && number !== AF_INET6) throw socketError(EAFNOSUPPORT, action);
  return number;
}

function checkLength(bytes: unknown, length: number, action: string): Uint8Array {
  if (!isUint8Array(bytes)) {
    throw new TypeError(`Cannot ${action}: bytes are ${quote(bytes)}, required a Uint8Array of ${length} bytes`);
  }
  if (bytes.length !== length) {
    throw new RangeError(`Cannot ${action}: bytes has length ${bytes.length}, required ${length}`);
  }
  return bytes;
}
