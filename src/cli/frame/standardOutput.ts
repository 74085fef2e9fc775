// Writes to standard output until a write fails. It is no failure of the command if the reader has closed standard
// output (`| head -1`). A full disk is a failure.

import { fstatSync, writeSync } from "node:fs";

/** Thrown when standard output is closed. It ends the command with status 0, unless `writeError` is set. */
export class OutputClosedError extends Error {
  constructor() {
    super("standard output is closed");
  }
}

let instance: StandardOutput | undefined;

export class StandardOutput {
  /** Whether standard output is a file or a device, whose writes are synchronous. */
  readonly #isSynchronous: boolean;
  #isClosed = false;
  #writeError: NodeJS.ErrnoException | undefined;
  #closeListeners: (() => void)[] = [];

  /** The only instance of the process. */
  static get(): StandardOutput {
    return (instance ??= new StandardOutput());
  }

  private constructor() {
    this.#isSynchronous = isSynchronous();
    process.stdout.on("error", (error: NodeJS.ErrnoException) => this.#onWriteError(error));
    process.stderr.on("error", () => {});
  }

  /** Whether a write has failed. Later writes are dropped. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The error of a failed write, such as ENOSPC. Undefined if the reader has closed standard output. */
  get writeError(): Error | undefined {
    return this.#writeError;
  }

  /** Calls `stop` when a write has failed, or at once if one has failed already. */
  onOutputClosed(stop: () => void): void {
    if (this.#isClosed) stop();
    else this.#closeListeners.push(stop);
  }

  text(text: string): void {
    if (!this.#isClosed) process.stdout.write(text);
  }

  /** Writes bytes. After it has resolved, the caller may change the bytes. */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) throw new OutputClosedError();
    if (this.#isSynchronous) {
      try {
        for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
        return;
      } catch (error) {
        this.#onWriteError(error as NodeJS.ErrnoException);
        throw new OutputClosedError();
      }
    }
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(bytes, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(new OutputClosedError());
      });
    });
  }

  #onWriteError(error: NodeJS.ErrnoException): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (error.code !== "EPIPE") this.#writeError = error;
    for (const stop of this.#closeListeners.splice(0)) stop();
  }
}

function isSynchronous(): boolean {
  if (process.stdout.isTTY) return false;
  try {
    const stat = fstatSync(1);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false;
  }
}
