// IPv4 addresses as text: exactly four decimal numbers. inet_aton(3) also accepts shorter, octal and hexadecimal forms.
// They are refused here, because two programs can read such a form as two different addresses (RFC 6943, 3.1.1).

// Character codes.
const DOT = 46;
const ZERO = 48;

/** The text of each octet, and the same text with a dot after it. */
const octetTexts: readonly string[] = Array.from({ length: 256 }, (_, octet) => String(octet));
const dottedTexts: readonly string[] = octetTexts.map((text) => `${text}.`);

/** Gets the bytes that `isIPv4()` does not need. */
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
  const length = end - start;
  // From "0.0.0.0" to "255.255.255.255".
  if (length < 7 || length > 15) return false;
  /** The number that is being read; -1 before its first digit. */
  let octet = -1;
  /** The number of bytes that are written to `out`. */
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
    // If `octet` is 0, the digit follows a leading zero.
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
  // Undefined if there is no such byte: index -1 has no text.
  const last = octetTexts[bytes[offset + 3] ?? -1];
  const first = dottedTexts[bytes[offset] ?? -1];
  if (last === undefined || first === undefined) {
    throw new RangeError(
      `Cannot print an IPv4 address: bytes has length ${bytes.length}, required 4 bytes from ${offset} on`,
    );
  }
  return first + dottedTexts[bytes[offset + 1]!]! + dottedTexts[bytes[offset + 2]!]! + last;
}
