// RESP, the protocol of Redis: finds the end of a request in a buffer, and the positions of its arguments.
//
// A request is an array of bulk strings, `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`, or a line of words, `GET k\r\n`, for people.
// Any other bytes are a ProtocolError. The position of the next request is then unknown, so the connection ends.
//
// The reader makes no objects: the arguments of a request are offsets, valid until the next call. An incomplete request
// is read again from its beginning, as soon as the bytes have arrived that it needs at least.
//
// See https://redis.io/docs/latest/develop/reference/protocol-spec/

/** Limits of requests, in bytes or numbers. */
export interface Limits {
  /** Maximum length of an argument in bytes. Default 1 MiB. */
  readonly maxBulk: number;
  /** Maximum number of arguments of a request, its name included. Default 1024. */
  readonly maxArguments: number;
  /** Maximum length in bytes of a request that is a line. Default 64 KiB. */
  readonly maxInline: number;
  /** Maximum length of a request in bytes. Default 4 MiB. */
  readonly maxRequest: number;
}

export const defaultLimits: Limits = { maxBulk: 1 << 20, maxArguments: 1024, maxInline: 65_536, maxRequest: 4 << 20 };

/** The bytes are not RESP, or a request exceeds a limit. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

const LF = 10;
const CR = 13;
const SPACE = 32;
const DOLLAR = 36;
const ASTERISK = 42;
const MINUS = 45;
const ZERO = 48;

/** More digits than any allowed length has. */
const MOST_DIGITS = 12;

/** The result of `#number` for an incomplete line. */
const UNFINISHED = -2;

/** Reads requests out of buffers. */
export class RequestReader {
  readonly #limits: Limits;
  /** Minimum length of the incomplete request in bytes. */
  need = 0;
  /** Number of arguments of the request, its name included. 0 for an empty request. */
  count = 0;
  /** The buffer with the arguments, mostly the one that was passed. */
  source: Buffer = Buffer.alloc(0);
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  /** End of the line that `#number` has read. */
  #after = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * Reads the request that begins at `start`, in the bytes before `end`. Returns the start of the next request, or -1
   * if this one is incomplete.
   */
  read(buffer: Buffer, start: number, end: number): number {
    this.count = 0;
    this.source = buffer;
    if (buffer[start] !== ASTERISK) return this.#readInline(buffer, start, end);
    const count = this.#number(buffer, start + 1, end, this.#limits.maxArguments, "multibulk");
    if (count === UNFINISHED) return this.#unfinished(start, end + 1);
    let at = this.#after;
    for (let index = 0; index < count; index++) {
      if (at >= end) return this.#unfinished(start, at + 1);
      if (buffer[at] !== DOLLAR) throw new ProtocolError(`expected '$', got '${printable(buffer[at]!)}'`);
      const length = this.#number(buffer, at + 1, end, this.#limits.maxBulk, "bulk");
      if (length === UNFINISHED) return this.#unfinished(start, end + 1);
      if (length < 0) throw new ProtocolError("invalid bulk length");
      const first = this.#after;
      const last = first + length;
      at = last + 2;
      if (at > end) return this.#unfinished(start, at);
      if (buffer[last] !== CR || buffer[last + 1] !== LF) throw new ProtocolError("a bulk string must end with CR LF");
      this.starts[index] = first;
      this.ends[index] = last;
    }
    this.count = Math.max(0, count);
    return at;
  }

  /** Stores that the request extends at least to `end`. */
  #unfinished(start: number, end: number): -1 {
    this.need = end - start;
    if (this.need > this.#limits.maxRequest) throw new ProtocolError("too big request");
    return -1;
  }

  /** The number between `at` and the end of its line, from -1 to `max`. */
  #number(buffer: Buffer, at: number, end: number, max: number, what: string): number {
    let value = 0;
    let index = at;
    const negative = index < end && buffer[index] === MINUS;
    if (negative) index++;
    const digits = index;
    for (; index < end; index++) {
      const digit = buffer[index]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (index - digits > MOST_DIGITS) throw new ProtocolError(`too big ${what} count string`);
    }
    if (index === end) return UNFINISHED;
    if (index === digits || buffer[index] !== CR) throw new ProtocolError(`invalid ${what} length`);
    if (negative ? value !== 1 : value > max) throw new ProtocolError(`invalid ${what} length`);
    if (index + 1 === end) return UNFINISHED;
    if (buffer[index + 1] !== LF) throw new ProtocolError(`invalid ${what} length`);
    this.#after = index + 2;
    return negative ? -1 : value;
  }

  #readInline(buffer: Buffer, start: number, end: number): number {
    const found = buffer.indexOf(LF, start);
    const whole = found >= 0 && found < end;
    if ((whole ? found : end) - start > this.#limits.maxInline) throw new ProtocolError("too big inline request");
    if (!whole) return this.#unfinished(start, end + 1);
    const last = found > start && buffer[found - 1] === CR ? found - 1 : found;
    let at = start;
    for (;;) {
      while (at < last && buffer[at]! <= SPACE) at++;
      if (at === last) return found + 1;
      const first = at;
      for (; at < last && buffer[at]! > SPACE; at++) {
        const byte = buffer[at]!;
        if (byte === 0x22 || byte === 0x27) return this.#readQuoted(buffer.toString("latin1", start, last), found + 1);
      }
      this.#add(first, at);
    }
  }

  #add(first: number, last: number): void {
    if (this.count === this.#limits.maxArguments) throw new ProtocolError("too many words in an inline request");
    this.starts[this.count] = first;
    this.ends[this.count++] = last;
  }

  /** A line with quotes, whose words have to be decoded. */
  #readQuoted(line: string, next: number): number {
    this.count = 0;
    const words = wordsOf(line);
    this.source = Buffer.from(words.join(""), "latin1");
    let at = 0;
    for (const word of words) this.#add(at, (at += word.length));
    return next;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/** "Double" quotes have escapes such as \n and \x41, 'single' quotes only \'. A word ends after the closing quote. */
function wordsOf(line: string): string[] {
  const word = /\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"']+))(?=\s|$)/sy;
  const words: string[] = [];
  const end = line.trimEnd().length;
  while (word.lastIndex < end) {
    const match = word.exec(line);
    if (match === null) throw new ProtocolError("unbalanced quotes in request");
    const [, double, single, plain] = match;
    if (double !== undefined) {
      words.push(
        double.replace(/\\(?:x([\da-f]{2})|(.))/gis, (_, hex: string | undefined, letter: string) =>
          hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(parseInt(hex, 16)),
        ),
      );
    } else words.push(single?.replaceAll("\\'", "'") ?? plain!);
  }
  return words;
}

function printable(byte: number): string {
  return byte > SPACE && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
}
