// IPv6 addresses as text. The parser accepts every form of RFC 4291, section 2.2, and zones as in RFC 4007, section 11.
// The formatter writes the form of RFC 5952.

import { formatIPv4, readIPv4 } from "./ipv4Text.js";
import { utf8Length } from "./utf8.js";

// Character codes.
const COLON = 58;
const DOT = 46;

/**
 * The name of an interface. dev_valid_name() of the kernel defines which characters it may have. Brackets and "%" are
 * not accepted here, because they would make the text of an address ambiguous.
 */
const ZONE_NAME = /^[^\s\p{Cc}\p{Cs}/:%[\]]+$/u;
/** IFNAMSIZ is 16, with the NUL. */
const MAX_ZONE_BYTES = 15;
const ZONE_NUMBER = /^(?:0|[1-9][0-9]{0,9})$/;
const DIGITS = /^[0-9]+$/;

/** `isIPv6()` writes the bytes here. No code reads them. */
const scratch = new Uint8Array(16);

/**
 * Reads an IPv6 address (RFC 4291, section 2.2; inet_pton(3)), upper or lower case, with `::`, with an IPv4 address in
 * the last 32 bits, and with a zone after `%`: an interface's name or its index.
 *
 * @returns the 16 bytes in network order and the zone as written, or undefined for any other text
 * @example
 * parseIPv6("fe80::1%eth0"); // { bytes: Uint8Array(16), zone: "eth0" }
 * parseIPv6(":::"); // undefined
 */
export function parseIPv6(text: string): { bytes: Uint8Array; zone: string | undefined } | undefined {
  const percent = text.indexOf("%");
  let zone: string | undefined;
  if (percent >= 0) {
    zone = text.slice(percent + 1);
    if (!isZone(zone)) return undefined;
    text = text.slice(0, percent);
  }
  const bytes = new Uint8Array(16);
  return readIPv6(text, bytes) ? { bytes, zone } : undefined;
}

/** Whether a text is an IPv6 address without a zone; allocates nothing. */
export function isIPv6(text: string): boolean {
  return readIPv6(text, scratch);
}

/** The index in a numeric zone, or undefined for a name. */
export function zoneIndex(zone: string): number | undefined {
  return ZONE_NUMBER.test(zone) ? Number(zone) : undefined;
}

/** Whether a text can be a zone: the name of an interface, or a number of 32 bits without leading zeros. */
export function isZone(zone: string): boolean {
  if (DIGITS.test(zone)) return ZONE_NUMBER.test(zone) && Number(zone) <= 0xffff_ffff;
  const isName = ZONE_NAME.test(zone) && zone !== "." && zone !== "..";
  return isName && utf8Length(zone) <= MAX_ZONE_BYTES;
}

/**
 * Reads a text as an IPv6 address without a zone. Writes the groups to `out` from the left, and then moves the groups
 * after "::" to the right end.
 *
 * @returns whether it is such an address; if not, the contents of `out` are undefined
 */
function readIPv6(text: string, out: Uint8Array): boolean {
  const end = text.length;
  // The longest form has 45 characters: six groups of four digits, and an IPv4 address.
  if (end < 2 || end > 45) return false;
  /** The number of bytes that are written to `out`. */
  let filled = 0;
  /** The index in `out` at which "::" stands; -1 without "::". */
  let gap = -1;
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (filled === 16) return false;
    const start = i;
    let group = 0;
    for (; i < end && i - start < 4; i++) {
      const digit = hexDigit(text.charCodeAt(i));
      if (digit < 0) break;
      group = (group << 4) | digit;
    }
    if (i < end && text.charCodeAt(i) === DOT) {
      // The rest, from this group on, is an IPv4 address.
      if (filled > 12 || !readIPv4(text, start, out, filled)) return false;
      filled += 4;
      break;
    }
    if (i === start) return false;
    out[filled++] = group >> 8;
    out[filled++] = group & 255;
    if (i === end) break;
    // A colon must follow, and more text after the colon.
    if (text.charCodeAt(i++) !== COLON || i === end) return false;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return false;
      gap = filled;
      i++;
    }
  }
  if (gap < 0) return filled === 16;
  // "::" stands for one group at least.
  if (filled > 14) return false;
  const gapEnd = 16 - (filled - gap);
  out.copyWithin(gapEnd, gap, filled);
  out.fill(0, gap, gapEnd);
  return true;
}

/** The value of a hexadecimal digit, from its character code; -1 for any other character. */
function hexDigit(code: number): number {
  // "0" to "9" have the codes 48 to 57, "a" to "f" have 97 to 102. Upper-case letters lack the bit 32.
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/**
 * Returns 16 bytes in network order as text of RFC 5952: lower case, no leading zeros, the longest run of two or more
 * zero groups (the first of equals) as `::`, and an IPv4-mapped address as `::ffff:192.0.2.1` (section 5).
 *
 * @param offset where the 16 bytes start
 * @throws RangeError when fewer than 16 bytes are there
 * @example
 * formatIPv6(parseIPv6("2001:DB8:0:0:8:0:0:1")!.bytes); // "2001:db8::8:0:0:1"
 */
export function formatIPv6(bytes: Uint8Array, offset: number = 0): string {
  if (!Number.isInteger(offset) || offset < 0 || offset + 16 > bytes.length) {
    throw new RangeError(
      `Cannot print an IPv6 address: bytes has length ${bytes.length}, required 16 bytes from ${offset} on`,
    );
  }
  if (isMapped(bytes, offset)) return `::ffff:${formatIPv4(bytes, offset + 12)}`;
  // Finds the longest run of zero groups. One zero group alone is not shortened, so the run must be longer than 1.
  let runStart = -1;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groupAt(bytes, offset, end) === 0) end++;
    if (end - start > runLength) {
      runStart = start;
      runLength = end - start;
    }
    // The group at `end` is not zero, so no run starts there.
    if (end > start) start = end;
  }
  let text = "";
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      text += "::";
      group += runLength - 1;
    } else {
      // After a run, "::" has the colon already.
      if (group > 0 && group !== runStart + runLength) text += ":";
      text += groupAt(bytes, offset, group).toString(16);
    }
  }
  return text;
}

function groupAt(bytes: Uint8Array, offset: number, group: number): number {
  return (bytes[offset + 2 * group]! << 8) | bytes[offset + 2 * group + 1]!;
}

function isMapped(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[offset + i] !== 0) return false;
  return bytes[offset + 10] === 255 && bytes[offset + 11] === 255;
}
