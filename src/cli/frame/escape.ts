// What a peer sent, for a terminal: text as it is, and everything that a terminal would obey as an escape.
//
// A control character can move the cursor, set the title, or answer as if the user had typed. Characters of category Cf turn
// the direction of text, and hide it. Line feed and tab are harmless; so is a carriage return before a line feed.

/** Control and format characters, and the line separators of Unicode. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\ufffe\uffff]/gu;

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return `\\u{${code.toString(16)}}`;
}

/** One line of text that a terminal shows and does not obey. */
export function escapeLine(text: string): string {
  return text.replace(OBEYED, escapeCharacter);
}

/** JSON in which no character is one that a terminal obeys; JSON.stringify() leaves those above ASCII. */
export function escapeJson(json: string): string {
  return json.replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (character) =>
    Array.from({ length: character.length }, (_, index) => {
      return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
    }).join(""),
  );
}

/** Bytes of UTF-8 that come in pieces, which may cut a character or the end of a line. */
export class Escaper {
  #kept: Uint8Array = new Uint8Array(0);

  /** The text for what came; a character that is not whole waits for the next piece. */
  write(bytes: Uint8Array): string {
    const all = this.#kept.length === 0 ? bytes : Buffer.concat([this.#kept, bytes]);
    let end = all.length - incomplete(all);
    // Whether a line feed follows is not known yet.
    if (end === all.length && all[end - 1] === 0x0d) end--;
    this.#kept = Buffer.from(all.subarray(end));
    return escapeBytes(all.subarray(0, end));
  }

  /** What is left at the end. */
  end(): string {
    const rest = this.#kept;
    this.#kept = new Uint8Array(0);
    return escapeBytes(rest);
  }
}

/** Bytes at the end that begin a character of UTF-8 and do not end it. */
function incomplete(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length > back ? back : 0;
  }
  return 0;
}

function escapeBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let result = "";
  let from = 0;
  while (from < bytes.length) {
    const valid = validPrefix(bytes, from);
    result += escapeText(buffer.toString("utf8", from, valid));
    if (valid < bytes.length) result += `\\x${bytes[valid]!.toString(16).padStart(2, "0")}`;
    from = valid + 1;
  }
  return result;
}

/** Where the first byte is that belongs to no character of UTF-8 (RFC 3629). */
function validPrefix(bytes: Uint8Array, from: number): number {
  const follows = (at: number, low: number, high: number): boolean => bytes[at]! >= low && bytes[at]! <= high;
  let at = from;
  while (at < bytes.length) {
    const byte = bytes[at]!;
    let length = 1;
    if (byte >= 0x80) {
      const low = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
      const high = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
      length = byte >= 0xc2 && byte < 0xe0 ? 2 : byte >= 0xe0 && byte < 0xf0 ? 3 : byte >= 0xf0 && byte < 0xf5 ? 4 : 0;
      if (length === 0 || !follows(at + 1, low, high)) return at;
      for (let next = 2; next < length; next++) if (!follows(at + next, 0x80, 0xbf)) return at;
    }
    at += length;
  }
  return at;
}

function escapeText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(OBEYED, (character) =>
      character === "\n" || character === "\t" ? character : escapeCharacter(character),
    );
}

/** Bytes as a text in quotes that can't do anything to a terminal; what is long is cut. */
export function quoteBytes(bytes: Uint8Array, longest: number): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, longest)).toString();
  const safe = JSON.stringify(shown).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return bytes.length > longest ? `${safe}...` : safe;
}
