// Writes the blocks of a capture to a file. When a write fails, the file is truncated after its last complete block, so
// that readers still accept it.

import { fs } from "../builtins.js";

/** The added blocks are written as soon as they have this many bytes: 256 KiB. */
const FLUSH_BYTES = 256 << 10;
/** The added blocks are also written each time this many milliseconds have passed. */
const FLUSH_INTERVAL = 250;

/** Options of a {@link CaptureFile}. */
export interface CaptureFileOptions {
  /** Called once, when a write fails. The file then ends with its last complete block, and `add()` has no effect. */
  readonly onFailure?: ((error: Error) => void) | undefined;
}

/**
 * A file for the blocks of a {@link Capture}. It collects blocks, and writes them four times a second or as soon as
 * they have 256 KiB. It does not keep the process alive, so call `close()`, which writes the remaining blocks.
 *
 * @throws the error of open(2)
 * @example
 * ```ts
 * import { rmSync, statSync } from "node:fs";
 * import { InetAddress } from "berkeley";
 * import { Capture, CaptureFile, UdpFlow } from "berkeley/pcapng";
 *
 * const file = new CaptureFile("example.pcapng");
 * const capture = new Capture({ write: (block) => file.add(block) });
 * const [client, server] = [new InetAddress("127.0.0.1", 50_000), new InetAddress("127.0.0.1", 53)];
 * new UdpFlow(capture.addInterface(), { client, server }).datagram("client", Buffer.from("question"));
 * file.close();
 * console.log(statSync("example.pcapng").size > 100); // prints: true
 * rmSync("example.pcapng");
 * ```
 */
export class CaptureFile {
  readonly #onFailure: ((error: Error) => void) | undefined;
  readonly #fd: number;
  readonly #flushTimer: NodeJS.Timeout;
  /** The added blocks that are not written yet. */
  #blocks: Buffer[] = [];
  /** The number of bytes in `#blocks`. */
  #collected = 0;
  /** The number of bytes in the file. */
  #written = 0;
  #open = true;

  constructor(path: string, opts: CaptureFileOptions = {}) {
    this.#onFailure = opts.onFailure;
    this.#fd = fs().openSync(path, "w");
    this.#flushTimer = setInterval(() => this.flush(), FLUSH_INTERVAL);
    this.#flushTimer.unref();
  }

  /** Adds a complete block. Its bytes must not change until they are written. */
  add(block: Buffer): void {
    if (!this.#open) return;
    this.#blocks.push(block);
    this.#collected += block.length;
    if (this.#collected >= FLUSH_BYTES) this.flush();
  }

  /** Writes the added blocks. */
  flush(): void {
    if (!this.#open || this.#collected === 0) return;
    const bytes = Buffer.concat(this.#blocks);
    this.#blocks = [];
    this.#collected = 0;
    let at = 0;
    try {
      while (at < bytes.length) at += fs().writeSync(this.#fd, bytes, at, bytes.length - at);
      this.#written += bytes.length;
    } catch (error) {
      this.#fail(error as Error, bytes, at);
    }
  }

  /** Writes the added blocks, and closes the file. */
  close(): void {
    this.flush();
    clearInterval(this.#flushTimer);
    if (!this.#open) return;
    this.#open = false;
    fs().closeSync(this.#fd);
  }

  /**
   * Truncates the file after its last complete block, and closes the file.
   *
   * @param bytes the blocks that were to be written
   * @param written the number of bytes of these blocks that are in the file
   */
  #fail(error: Error, bytes: Buffer, written: number): void {
    // The number of bytes in complete blocks.
    let complete = 0;
    // A block begins with its type and its length, which have four bytes each.
    while (complete + 8 <= written) {
      const end = complete + bytes.readUInt32LE(complete + 4);
      if (end > written) break;
      complete = end;
    }
    this.#open = false;
    clearInterval(this.#flushTimer);
    try {
      fs().ftruncateSync(this.#fd, this.#written + complete);
    } catch {
      // A device or a pipe can't be truncated.
    }
    try {
      fs().closeSync(this.#fd);
    } catch {
      // Other code may have closed the descriptor. `error` is then EBADF.
    }
    this.#onFailure?.(error);
  }
}
