// UTF-8: the number of bytes of a text, for limits of the kernel, and the conversion of names between bytes and text.
//
// The name of a file or of a UNIX socket consists of bytes, which may be no valid UTF-8. In the string of a name, each
// byte that is not part of valid UTF-8 becomes a lone surrogate, U+DC80 for 0x80 to U+DCFF for 0xff, as in Python
// (PEP 383, "surrogateescape"). So two names never have the same string, and a string can be converted back to the same
// bytes.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** With the flag u, a pair of surrogates is one character, which does not match. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const REPLACEMENT = "\ufffd";

/**
 * Number of bytes of a text in UTF-8; -1 if it has a lone surrogate, which an encoder would replace silently. Allocates
 * nothing.
 */
export function utf8Length(text: string): number {
  // One byte for each unit of UTF-16. The loop adds the further bytes.
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      bytes += 1;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes += 2;
    } else {
      // A pair of surrogates has two units and four bytes.
      const next = text.charCodeAt(++i);
      if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return -1;
      bytes += 2;
    }
  }
  return bytes;
}

/** The bytes of a name; undefined if the name has a lone surrogate outside U+DC80 to U+DCFF. */
export function nameBytes(name: string): Uint8Array | undefined {
  if (!LONE_SURROGATE.test(name)) return encoder.encode(name);
  const bytes: number[] = [];
  for (const character of name) {
    const code = character.codePointAt(0)!;
    if (code < 0xd800 || code > 0xdfff) bytes.push(...encoder.encode(character));
    else if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else return undefined;
  }
  return Uint8Array.from(bytes);
}

/** The name that has these bytes. */
export function nameText(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  // The decoder replaces invalid bytes by U+FFFD. A valid text may contain U+FFFD too.
  if (!text.includes(REPLACEMENT)) return text;
  let name = "";
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at]!;
    // The first byte of valid UTF-8 determines the number of bytes of the character.
    let size = 1;
    if (first >= 0xf0) size = 4;
    else if (first >= 0xe0) size = 3;
    else if (first >= 0x80) size = 2;
    const sequence = bytes.subarray(at, at + size);
    const character = decoder.decode(sequence);
    const isValid = !character.includes(REPLACEMENT) || isReplacement(sequence);
    name += isValid ? character : String.fromCharCode(0xdc00 + first);
    at += isValid ? size : 1;
  }
  return name;
}

/** Whether the bytes are U+FFFD in UTF-8. */
function isReplacement(bytes: Uint8Array): boolean {
  return bytes.length === 3 && bytes[0] === 0xef && bytes[1] === 0xbf && bytes[2] === 0xbd;
}
