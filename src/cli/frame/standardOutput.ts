// Writes to standard output until a write fails. If the reader has closed standard output (`| head -1`), the failed
// write is no failure of the command. Any other error, such as a full disk, is a failure of the command.

import { fstatSync, writeSync } from "node:fs";

/**
 * Thrown after a failed write. It ends the command with status 0. If `StandardOutput.writeError` is set, the status
 * becomes 1 at the end of the process.
 */
export class OutputClosedError extends Error {
  constructor() {
    super("standard output is closed");
  }
}

/** The descriptor of standard output. */
const STDOUT = 1;

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
    // If standard error is closed, the command goes on without messages.
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

  /** Writes text. Does nothing after a failed write. */
  writeText(text: string): void {
    if (!this.#isClosed) process.stdout.write(text);
  }

  /** Writes bytes. When the promise has resolved, the caller may change the bytes. */
  async writeBytes(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) throw new OutputClosedError();
    if (this.#isSynchronous) {
      try {
        for (let at = 0; at < bytes.length;) at += writeSync(STDOUT, bytes, at);
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
    const stat = fstatSync(STDOUT);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false;
  }
}
