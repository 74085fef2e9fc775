// A file that gets the blocks of a capture. It is whole after each write: after a failure it is cut after the last block
// that is whole in it.

import { fs } from "../builtins.js";

/** Bytes that are kept before they are written, and ms after which they are. */
const KEPT = 256 << 10;
const PERIOD = 250;

export class CaptureFile {
  readonly #path: string;
  readonly #file: number;
  readonly #timer: NodeJS.Timeout;
  #blocks: Buffer[] = [];
  #kept = 0;
  /** Bytes of whole blocks in the file. */
  #written = 0;
  #open = true;

  /** @throws the error of open(2) */
  constructor(path: string) {
    this.#path = path;
    this.#file = fs().openSync(path, "w");
    this.#timer = setInterval(() => this.flush(), PERIOD);
    this.#timer.unref();
  }

  add(block: Buffer): void {
    if (!this.#open) return;
    this.#blocks.push(block);
    this.#kept += block.length;
    if (this.#kept >= KEPT) this.flush();
  }

  flush(): void {
    if (!this.#open || this.#kept === 0) return;
    const bytes = Buffer.concat(this.#blocks);
    this.#blocks = [];
    this.#kept = 0;
    let at = 0;
    try {
      while (at < bytes.length) at += fs().writeSync(this.#file, bytes, at, bytes.length - at);
      this.#written += bytes.length;
    } catch (error) {
      this.#fail(error as Error, bytes, at);
    }
  }

  close(): void {
    this.flush();
    clearInterval(this.#timer);
    if (!this.#open) return;
    this.#open = false;
    fs().closeSync(this.#file);
  }

  #fail(error: Error, bytes: Buffer, written: number): void {
    let whole = 0;
    while (whole + 8 <= written) {
      const next = whole + bytes.readUInt32LE(whole + 4);
      if (next > written) break;
      whole = next;
    }
    this.#open = false;
    clearInterval(this.#timer);
    try {
      fs().ftruncateSync(this.#file, this.#written + whole);
    } catch {
      // A device has no length.
    }
    fs().closeSync(this.#file);
    process.emitWarning(`The inspector ends the capture ${this.#path}: ${error.message}`, "InspectorWarning");
  }
}
