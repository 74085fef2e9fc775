// A file that gets the blocks of a capture. It is whole after each write: after a failure it is cut after the last block
// that is whole in it.

import { fs } from "../builtins.js";

/** Bytes that are kept before they are written, and ms after which they are. */
const KEPT = 256 << 10;
const PERIOD = 250;

/** What a {@link CaptureFile} does apart from writing. */
export interface CaptureFileOptions {
  /** Called once when the file can't be written. It then ends with its last whole block, and takes no more. */
  readonly onFailure?: ((error: Error) => void) | undefined;
}

/**
 * A file for the blocks of a {@link Capture}. It collects them and writes them four times a second, and when it has 256 KiB.
 * It does not keep the process alive; `close()` writes what is left.
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
  readonly #file: number;
  readonly #timer: NodeJS.Timeout;
  #blocks: Buffer[] = [];
  #kept = 0;
  /** Bytes of whole blocks in the file. */
  #written = 0;
  #open = true;

  constructor(path: string, opts: CaptureFileOptions = {}) {
    this.#onFailure = opts.onFailure;
    this.#file = fs().openSync(path, "w");
    this.#timer = setInterval(() => this.flush(), PERIOD);
    this.#timer.unref();
  }

  /** Adds a whole block. The file keeps its bytes until it has written them. */
  add(block: Buffer): void {
    if (!this.#open) return;
    this.#blocks.push(block);
    this.#kept += block.length;
    if (this.#kept >= KEPT) this.flush();
  }

  /** Writes what was added. */
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

  /** Writes what was added, and closes the file. */
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
    try {
      fs().closeSync(this.#file);
    } catch {
      // Other code has closed the descriptor, and `error` says so.
    }
    this.#onFailure?.(error);
  }
}
