// Values as text for people. In text of peers, characters that are invisible or change the text around them are
// escaped.

/** A number of bytes, with its unit. */
export function byteCountText(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count;
  let unit = -1;
  do {
    value /= 1000;
    unit++;
    // 999.5 would be rounded to 1000.
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** A number with commas between the thousands. */
export const countText = (value: number): string => value.toLocaleString("en-US");

/** A number and a noun, which gets an "s" unless the number is 1. */
export const plural = (value: number, noun: string): string => `${countText(value)} ${noun}${value === 1 ? "" : "s"}`;

/** A duration as text, with at most two units. */
export function ageText(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} m ${Math.floor(seconds % 60)} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A duration in microseconds as text, with one unit. */
export function microsecondsText(value: number): string {
  if (value < 1000) return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} µs`;
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} ms`;
  return `${(value / 1_000_000).toFixed(2)} s`;
}

/** A time of Date.now() as `hours:minutes:seconds`. */
export const clockTime = (time: number): string => {
  const date = new Date(time);
  const twoDigits = (value: number): string => String(value).padStart(2, "0");
  return `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}:${twoDigits(date.getSeconds())}`;
};

/** Control characters, and characters that are invisible or change the direction of text. */
const UNSAFE = /[\p{Cc}\p{Cf}\u2028\u2029\ud800-\udfff]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\t": "\\t", "\n": "\\n", "\r": "\\r" };

const escapeOf = (character: string): string => {
  const short = SHORT_ESCAPES[character];
  if (short !== undefined) return short;
  const code = character.codePointAt(0)!;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
};

/** Escapes a short text of a peer or of the program, which is shown in one line. */
export const visible = (text: string): string => text.replace(UNSAFE, escapeOf);

/** A piece of a payload: unchanged text, or escapes of bytes and characters. */
export interface Piece {
  readonly text: string;
  readonly escaped: boolean;
}

/** The length of the UTF-8 sequence that begins at `at`; 0 if the bytes there are no valid sequence. */
function sequenceLength(data: Uint8Array, at: number): number {
  // The ranges of the first byte and of the second one are those of RFC 3629, section 4.
  const first = data[at]!;
  let length = 0;
  if (first < 0x80) length = 1;
  else if (first >= 0xc2 && first < 0xe0) length = 2;
  else if (first >= 0xe0 && first < 0xf0) length = 3;
  else if (first >= 0xf0 && first < 0xf5) length = 4;
  // The other bytes of a sequence begin with the bits 10.
  for (let next = 1; next < length; next++) if ((data[at + next] ?? 0) >> 6 !== 0b10) return 0;
  const second = data[at + 1] ?? 0;
  // Overlong forms, surrogates, and values above U+10FFFF are invalid.
  if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return 0;
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return 0;
  return length;
}

/** A payload as text. Line breaks stay, and are shown as `\n` too. Invalid UTF-8 and unsafe characters are escaped. */
export function payloadText(data: Uint8Array): Piece[] {
  const decoder = new TextDecoder();
  const pieces: { text: string; escaped: boolean }[] = [];
  const add = ({ text, escaped }: Piece): void => {
    const last = pieces.at(-1);
    if (last !== undefined && last.escaped === escaped) last.text += text;
    else pieces.push({ text, escaped });
  };
  for (let at = 0; at < data.length;) {
    const length = sequenceLength(data, at);
    if (length === 0) {
      add({ text: `\\x${data[at]!.toString(16).padStart(2, "0")}`, escaped: true });
      at++;
      continue;
    }
    // The decoder drops U+FEFF, the byte order mark.
    const character = decoder.decode(data.subarray(at, at + length)) || "\ufeff";
    at += length;
    if (character === "\n") {
      add({ text: "\\n", escaped: true });
      add({ text: "\n", escaped: false });
    } else if (character.search(UNSAFE) >= 0) add({ text: escapeOf(character), escaped: true });
    else add({ text: character, escaped: false });
  }
  return pieces;
}

/** Lines of a hex dump with 8 bytes each: offset, bytes, and printable ASCII. */
export function hexDump(data: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < data.length; at += 8) {
    const lineBytes = [...data.subarray(at, at + 8)];
    const hex = lineBytes.map((byte) => byte.toString(16).padStart(2, "0"));
    const ascii = lineBytes.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.join(" ").padEnd(8 * 3 - 1)}  ${ascii}`);
  }
  return lines.join("\n");
}

export function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const data = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) data[at] = binary.charCodeAt(at);
  return data;
}

/** A line of the program without its folders: file name, line and column. */
export const shortLine = (line: string): string => visible(line.replace(/^.*[/\\](?=[^/\\]+$)/, ""));

/** The name of a family or a type without `AF_` or `SOCK_`. */
export const shortName = (name: string): string => name.replace(/^(?:AF|SOCK)_/, "");
