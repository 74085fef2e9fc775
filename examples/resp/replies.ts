// The replies to a batch of requests, joined for one write.
//
// Small replies are copied into a buffer. A large value is a part of its own and is not copied.

import type { Data } from "berkeley";

const CR = 13;
const LF = 10;
const ZERO = 48;

/** A loop copies a text that is shorter than this faster than a method of Buffer. */
const SHORT = 40;
/** A value of this length or more is not copied. It is a part of its own. */
const LONG = 16_384;
/** The length of a new buffer. */
const SMALLEST = 1024;
/** Room for the type character, the digits and the two line ends of any reply. */
const FRAME = 32;

export class Replies {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SMALLEST);
  #at = 0;
  /** The finished parts. */
  #parts: Uint8Array[] = [];
  /** The number of bytes in the finished parts. */
  #done = 0;
  /**
   * The view that was returned last. It is used again if the next replies have the same length, as most of them have.
   */
  #view: Buffer = this.#buffer.subarray(0, 0);

  /** Number of bytes in the replies. */
  get size(): number {
    return this.#done + this.#at;
  }

  /** Replies without a number or a value, such as `+OK\r\n`; ASCII. */
  constant(text: string): void {
    this.#reserve(text.length);
    this.#at = copy(text, this.#buffer, this.#at);
  }

  /** The error reply of a command. Line ends in the text are replaced, because they would end the reply. */
  error(text: string): void {
    const line = `-${text.replace(/[\r\n]/g, " ")}\r\n`;
    this.#reserve(line.length);
    this.#at += this.#buffer.write(line, this.#at, "latin1");
  }

  integer(value: number | bigint): void {
    this.constant(`:${value}\r\n`);
  }

  /** The header of an array. Its elements follow. */
  array(count: number): void {
    this.constant(`*${count}\r\n`);
  }

  /** A value with one character per byte. */
  bulk(value: string): void {
    const { length } = value;
    this.#reserve(FRAME + (length < LONG ? length : 0));
    this.#head(length);
    if (length < SHORT) this.#at = copy(value, this.#buffer, this.#at);
    else if (length < LONG) this.#at += this.#buffer.write(value, this.#at, "latin1");
    else {
      this.#cut();
      this.#parts.push(Buffer.from(value, "latin1"));
      this.#done += length;
    }
    this.#buffer[this.#at++] = CR;
    this.#buffer[this.#at++] = LF;
  }

  /** All replies. The caller may use them until `taken()`. */
  take(): Data {
    if (this.#parts.length === 0) {
      if (this.#view.length !== this.#at) this.#view = this.#buffer.subarray(0, this.#at);
      return this.#view;
    }
    return [...this.#parts, this.#buffer.subarray(0, this.#at)];
  }

  /** Removes the replies that were sent. */
  taken(): void {
    this.#at = 0;
    if (this.#buffer.length > LONG) this.#renew(SMALLEST);
    if (this.#parts.length > 0) this.#parts = [];
    this.#done = 0;
  }

  /** `$<length>\r\n` */
  #head(length: number): void {
    const buffer = this.#buffer;
    buffer[this.#at++] = 36;
    if (length < 10) buffer[this.#at++] = ZERO + length;
    else this.#at = copy(String(length), buffer, this.#at);
    buffer[this.#at++] = CR;
    buffer[this.#at++] = LF;
  }

  /** Adds the content of the buffer as a part, and begins a new buffer. */
  #cut(): void {
    this.#parts.push(this.#buffer.subarray(0, this.#at));
    this.#done += this.#at;
    this.#at = 0;
    this.#renew(SMALLEST);
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#at + count, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
    this.#view = grown.subarray(0, 0);
  }

  #renew(size: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(size);
    this.#view = this.#buffer.subarray(0, 0);
  }
}

/** Writes characters below 256 into a buffer, and returns their end. */
function copy(text: string, buffer: Buffer, at: number): number {
  for (let index = 0; index < text.length; index++) buffer[at + index] = text.charCodeAt(index);
  return at + text.length;
}
