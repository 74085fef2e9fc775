// Escapes received bytes for a terminal: text is unchanged, and control characters are escaped.
//
// A control character can move the cursor, set the title, or make the terminal send input as if the user had typed it.
// Format characters (category Cf of Unicode) can reverse or hide text. Line feeds and tabs are not escaped. A carriage
// return before a line feed is removed.

/** Characters of control, format, private use and surrogates, line and paragraph separators, and two noncharacters. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\ufffe\uffff]/gu;

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return `\\u{${code.toString(16)}}`;
}

/** Escapes a text, line breaks included, so that the result is one line. */
export function escapeLine(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** Escapes the unsafe characters that JSON.stringify() does not escape, each UTF-16 unit as `\uNNNN`. */
export function escapeJson(json: string): string {
  return json.replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

/** Escapes UTF-8 that arrives in pieces. A piece may end within a character, or between CR and LF. */
export class Escaper {
  /** The bytes of an incomplete character, or a CR, from the end of the previous piece. */
  #kept: Uint8Array = new Uint8Array(0);

  /** Returns the escaped text, without the bytes that are kept for the next piece. */
  write(bytes: Uint8Array): string {
    const all = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    let end = all.length - incompleteLength(all);
    // A CR at the end is kept too, because a LF may follow.
    if (end === all.length && all[end - 1] === 0x0d) end--;
    this.#kept = Buffer.from(all.subarray(end));
    return escapeBytes(all.subarray(0, end));
  }

  /** Returns the escaped text of the kept bytes. */
  end(): string {
    const kept = this.#kept;
    this.#kept = new Uint8Array(0);
    return escapeBytes(kept);
  }
}

/** The number of bytes of an incomplete UTF-8 character at the end. */
function incompleteLength(bytes: Uint8Array): number {
  // A character has at most 4 bytes, so an incomplete one has at most 3.
  for (let count = 1; count <= 3 && count <= bytes.length; count++) {
    const byte = bytes[bytes.length - count]!;
    // A byte below 0x80 is a character, one below 0xc0 continues a character, and any other begins a character or is
    // invalid.
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    return characterLength(byte) > count ? count : 0;
  }
  return 0;
}

/** Escapes bytes. A byte that is not part of valid UTF-8 becomes `\xNN`. */
function escapeBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let result = "";
  let from = 0;
  while (from < bytes.length) {
    const validEnd = endOfValid(bytes, from);
    result += escapeText(buffer.toString("utf8", from, validEnd));
    if (validEnd < bytes.length) result += `\\x${bytes[validEnd]!.toString(16).padStart(2, "0")}`;
    from = validEnd + 1;
  }
  return result;
}

/**
 * The second byte of a character is in the range 80 to BF. After these first bytes the range is smaller (section 4 of
 * RFC 3629): it excludes overlong forms (after E0 and F0), surrogates (ED) and numbers above 10FFFF (F4).
 */
const SECOND_BYTES: ReadonlyMap<number, readonly [low: number, high: number]> = new Map([
  [0xe0, [0xa0, 0xbf]],
  [0xed, [0x80, 0x9f]],
  [0xf0, [0x90, 0xbf]],
  [0xf4, [0x80, 0x8f]],
]);

/** The end of the valid UTF-8 that begins at `from`. */
function endOfValid(bytes: Uint8Array, from: number): number {
  // Beyond the end of `bytes` the result is false, because comparisons with undefined are false.
  const within = (at: number, low: number, high: number): boolean => bytes[at]! >= low && bytes[at]! <= high;
  let at = from;
  while (at < bytes.length) {
    const byte = bytes[at]!;
    let length = 1;
    if (byte >= 0x80) {
      const [low, high] = SECOND_BYTES.get(byte) ?? [0x80, 0xbf];
      length = characterLength(byte);
      if (length === 0 || !within(at + 1, low, high)) return at;
      for (let next = 2; next < length; next++) if (!within(at + next, 0x80, 0xbf)) return at;
    }
    at += length;
  }
  return at;
}

/** The number of bytes of a character above ASCII with this first byte; 0 if no character begins with the byte. */
function characterLength(firstByte: number): number {
  if (firstByte < 0xc2 || firstByte >= 0xf5) return 0;
  if (firstByte >= 0xf0) return 4;
  return firstByte >= 0xe0 ? 3 : 2;
}

/** Escapes a text, except line feeds, tabs, and a CR before a LF, which is removed. */
function escapeText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(UNSAFE, (character) =>
      character === "\n" || character === "\t" ? character : escapeCharacter(character),
    );
}

/** Bytes as escaped text in quotes, truncated to `maxBytes` bytes. */
export function quoteBytes(bytes: Uint8Array, maxBytes: number): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, maxBytes)).toString();
  const safe = JSON.stringify(shown).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return bytes.length > maxBytes ? `${safe}...` : safe;
}
