// The bytes of one connection that have come and are not dealt with yet: what a read fills and a session takes from.
//
// It grows only when a request fills it, by what has come and not by what was announced, and shrinks when it is empty.

const SMALL = 16_384;

export class Inbox {
  #buffer: Buffer = Buffer.allocUnsafeSlow(SMALL);
  start = 0;
  end = 0;

  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Where the next read puts its bytes; at least one. */
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
