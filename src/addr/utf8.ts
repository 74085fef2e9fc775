// UTF-8: how long a text is in it, which is what the kernel's limits count; and names that are bytes.
//
// A name in the file system or of a UNIX socket is bytes, of which most are UTF-8 and some are not. As a string, each byte that
// belongs to no text becomes a lone surrogate, U+DC80 for 0x80 to U+DCFF for 0xff, as in Python (PEP 383, "surrogateescape").
// So every name is a string, no two names are the same one, and the string gives the bytes again.

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** With the flag u a surrogate matches only outside of a pair. */
const LONE = /[\ud800-\udfff]/u;
const REPLACEMENT = "\ufffd";

/** Bytes of a text in UTF-8, or -1 when a lone surrogate makes it no text: encoding would change it silently. Allocates nothing. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      bytes += 1;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes += 2;
    } else {
      // A pair is two units and four bytes.
      const next = text.charCodeAt(++i);
      if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return -1;
      bytes += 2;
    }
  }
  return bytes;
}

/** The bytes of a name; undefined when it has a lone surrogate that stands for no byte. */
export function nameBytes(name: string): Uint8Array | undefined {
  if (!LONE.test(name)) return encoder.encode(name);
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
  // What belongs to no text becomes U+FFFD, which text can have as well.
  if (!text.includes(REPLACEMENT)) return text;
  let name = "";
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at]!;
    const size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    const sequence = bytes.subarray(at, at + size);
    const character = decoder.decode(sequence);
    const whole = !character.includes(REPLACEMENT) || (character === REPLACEMENT && isReplacement(sequence));
    name += whole ? character : String.fromCharCode(0xdc00 + first);
    at += whole ? size : 1;
  }
  return name;
}

function isReplacement(bytes: Uint8Array): boolean {
  return bytes.length === 3 && bytes[0] === 0xef && bytes[1] === 0xbf && bytes[2] === 0xbd;
}
