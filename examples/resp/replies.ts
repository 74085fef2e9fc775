// The replies to a batch of requests, put together for one write.
//
// Small ones are written one behind the other into a buffer; a large value goes out from where it is, as a part of its own.

import type { Data } from "berkeley";

const CR = 13;
const LF = 10;
const ZERO = 48;

/** Below this a loop is cheaper than a call into the runtime. */
const SHORT = 40;
/** Values from here on are parts of their own. */
const LONG = 16_384;
const SMALLEST = 1024;
/** Room for the mark, the digits and the two line ends of any reply. */
const FRAME = 32;

export class Replies {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SMALLEST);
  #at = 0;
  /** The parts that are finished, and how many bytes they have. */
  #parts: Uint8Array[] = [];
  #done = 0;
  /** The last view that was given out: the next is mostly as long. */
  #view: Buffer = this.#buffer.subarray(0, 0);

  /** Bytes that wait to be taken. */
  get size(): number {
    return this.#done + this.#at;
  }

  /** Replies without a number or a value, such as `+OK\r\n`; ASCII. */
  constant(text: string): void {
    this.#reserve(text.length);
    this.#at = copy(text, this.#buffer, this.#at);
  }

  /** What a command that failed says; line ends in it would end the reply. */
  error(text: string): void {
    const line = `-${text.replace(/[\r\n]/g, " ")}\r\n`;
    this.#reserve(line.length);
    this.#at += this.#buffer.write(line, this.#at, "latin1");
  }

  integer(value: number | bigint): void {
    this.constant(`:${value}\r\n`);
  }

  /** The head of an array, whose elements follow. */
  array(count: number): void {
    this.constant(`*${count}\r\n`);
  }

  /** A value, a character for each byte. */
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

  /** All of it, which is the caller's until `taken()`. */
  take(): Data {
    if (this.#parts.length === 0) {
      if (this.#view.length !== this.#at) this.#view = this.#buffer.subarray(0, this.#at);
      return this.#view;
    }
    return [...this.#parts, this.#buffer.subarray(0, this.#at)];
  }

  /** Forgets what has gone out. */
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

  /** Makes what is in the buffer a part, and begins another buffer. */
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

/** Puts characters below 256 into a buffer; returns where they end. */
function copy(text: string, buffer: Buffer, at: number): number {
  for (let index = 0; index < text.length; index++) buffer[at + index] = text.charCodeAt(index);
  return at + text.length;
}
