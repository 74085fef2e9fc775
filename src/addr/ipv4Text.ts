// IPv4 addresses as text: exactly four decimal numbers. The shorter, octal and hexadecimal forms that inet_aton(3)
// accepts are refused, because programs read them differently and then use different addresses (RFC 6943, 3.1.1).

const DOT = 46;
const ZERO = 48;

const octets: readonly string[] = Array.from({ length: 256 }, (_, octet) => String(octet));
const dotted: readonly string[] = octets.map((octet) => `${octet}.`);

const scratch = new Uint8Array(4);

/**
 * Reads a dotted quad (RFC 6943, section 3.1.1, "strict"; inet_pton(3)): four decimal numbers from 0 to 255, no leading
 * zeros, nothing before or after.
 *
 * @returns the 4 bytes in network order, or undefined for any other text
 * @example
 * parseIPv4("127.0.0.1"); // Uint8Array [127, 0, 0, 1]
 * parseIPv4("127.1"); // undefined
 */
export function parseIPv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  return readIPv4(text, 0, bytes, 0) ? bytes : undefined;
}

/** Whether a value is a dotted quad. Allocates nothing. */
export function isIPv4(text: unknown): boolean {
  return typeof text === "string" && readIPv4(text, 0, scratch, 0);
}

/**
 * Reads the text from `start` to its end as a dotted quad, and writes its bytes to `out` from `at` on. Allocates
 * nothing.
 *
 * @returns whether it is a dotted quad; if not, the contents of `out` are undefined
 */
export function readIPv4(text: string, start: number, out: Uint8Array, at: number): boolean {
  const end = text.length;
  if (end - start < 7 || end - start > 15) return false;
  let octet = -1;
  let filled = 0;
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (octet < 0 || filled === 3) return false;
      out[at + filled++] = octet;
      octet = -1;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9 || octet === 0) return false;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return false;
  }
  if (octet < 0 || filled !== 3) return false;
  out[at + 3] = octet;
  return true;
}

/**
 * The text of 4 bytes in network order: a dotted quad.
 *
 * @param offset where the 4 bytes start
 * @throws RangeError when fewer than 4 bytes are there
 * @example
 * formatIPv4(Uint8Array.of(127, 0, 0, 1)); // "127.0.0.1"
 */
export function formatIPv4(bytes: Uint8Array, offset: number = 0): string {
  const last = octets[bytes[offset + 3] ?? -1];
  const first = dotted[bytes[offset] ?? -1];
  if (last === undefined || first === undefined) {
    throw new RangeError(
      `Cannot print an IPv4 address: bytes has length ${bytes.length}, required 4 bytes from ${offset} on`,
    );
  }
  return first + dotted[bytes[offset + 1]!]! + dotted[bytes[offset + 2]!]! + last;
}
