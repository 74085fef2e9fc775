// Writes to standard output until its reader closes it. A closed reader (`| head -1`) is no failure; a full disk is
// one.

import { fstatSync, writeSync } from "node:fs";

/** Thrown when standard output is closed. It ends the command with status 0, unless `lost` is set. */
export class OutputClosedError extends Error {
  constructor() {
    super("standard output is closed");
  }
}

let instance: StandardOutput | undefined;

export class StandardOutput {
  /** Whether standard output is a file or a device, whose writes are synchronous. */
  readonly #direct: boolean;
  #gone = false;
  #lost: NodeJS.ErrnoException | undefined;
  #onGone: (() => void)[] = [];

  /** The only one of the process. */
  static get(): StandardOutput {
    return (instance ??= new StandardOutput());
  }

  private constructor() {
    this.#direct = isDirect();
    process.stdout.on("error", (error: NodeJS.ErrnoException) => this.#failed(error));
    process.stderr.on("error", () => {});
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** The error of a failed write, such as ENOSPC. Undefined if the reader has closed standard output. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  onOutputClosed(stop: () => void): void {
    if (this.#gone) stop();
    else this.#onGone.push(stop);
  }

  text(text: string): void {
    if (!this.#gone) process.stdout.write(text);
  }

  /** Writes bytes. When it resolves, the caller may change them. */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.#gone) throw new OutputClosedError();
    if (this.#direct) {
      try {
        for (let at = 0; at < bytes.length;) at += writeSync(1, bytes, at);
        return;
      } catch (error) {
        this.#failed(error as NodeJS.ErrnoException);
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

  #failed(error: NodeJS.ErrnoException): void {
    if (this.#gone) return;
    this.#gone = true;
    if (error.code !== "EPIPE") this.#lost = error;
    for (const stop of this.#onGone.splice(0)) stop();
  }
}

function isDirect(): boolean {
  if (process.stdout.isTTY) return false;
  try {
    const stat = fstatSync(1);
    return stat.isFile() || stat.isCharacterDevice();
  } catch {
    return false;
  }
}
