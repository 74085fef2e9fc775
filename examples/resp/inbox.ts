// The received bytes of one connection that are not processed yet. A read adds bytes to the buffer, and a session takes
// bytes from it.
//
// The buffer grows only when received bytes fill it. A length that a client only announces does not make it grow. It
// shrinks when it is empty.

const SMALL = 16_384;

export class Inbox {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SMALL);
  start = 0;
  end = 0;

  get buffer(): Buffer {
    return this.#buffer;
  }

  /** The room for the next read, at least one byte. */
  room(): Buffer {
    if (this.start === this.end) {
      this.start = this.end = 0;
      if (this.#buffer.length > SMALL) this.#buffer = Buffer.allocUnsafeSlow(SMALL);
      return this.#buffer;
    }
    if (this.start > 0) {
      this.#buffer.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    if (this.end === this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(this.end * 2);
      this.#buffer.copy(grown, 0, 0, this.end);
      this.#buffer = grown;
    }
    return this.#buffer.subarray(this.end);
  }
}
