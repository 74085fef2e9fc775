// The updates of the table as JSON lines, in a file or a descriptor. One write is under way at a time: a reader that is
// slow gets the newest state, and the program waits for no write.

import { fs } from "../builtins.js";
import type { TableUpdate } from "./protocol.js";

export class HeadlessWriter {
  readonly #fd: number;
  readonly #owned: boolean;
  #version = 0;
  #busy = false;
  #failed = false;

  /** @throws the error of open(2) */
  constructor(target: string | number) {
    this.#owned = typeof target === "string";
    this.#fd = typeof target === "string" ? fs().openSync(target, "a") : target;
  }

  /** Writes what has changed since the last line. */
  update(version: number, read: (since: number) => TableUpdate): void {
    if (this.#busy || this.#failed) return;
    const update = read(this.#version);
    const first = this.#version === 0;
    this.#version = version;
    if (!first && update.changed.length === 0 && update.removed.length === 0) return;
    this.#busy = true;
    this.#write(Buffer.from(`${JSON.stringify(update)}\n`), 0);
  }

  /** Writes the last line, at the end of the process. A write that is under way is not waited for. */
  finish(version: number, read: (since: number) => TableUpdate): void {
    if (this.#failed || this.#busy) return;
    try {
      const update = read(this.#version);
      this.#version = version;
      if (update.changed.length > 0 || update.removed.length > 0) {
        fs().writeSync(this.#fd, `${JSON.stringify(update)}\n`);
      }
    } catch {
      this.#failed = true;
    }
  }

  close(): void {
    this.#failed = true;
    if (this.#owned && !this.#busy) fs().closeSync(this.#fd);
  }

  #write(bytes: Buffer, at: number): void {
    fs().write(this.#fd, bytes, at, bytes.length - at, null, (error, count) => {
      if (error?.code === "EAGAIN") {
        setTimeout(() => this.#write(bytes, at), 100).unref();
      } else if (error !== null && error !== undefined) {
        this.#fail(error);
      } else if (at + count < bytes.length) {
        this.#write(bytes, at + count);
      } else {
        this.#busy = false;
        if (this.#failed && this.#owned) fs().closeSync(this.#fd);
      }
    });
  }

  #fail(error: Error): void {
    this.#failed = true;
    process.emitWarning(`The inspector writes no more lines: ${error.message}`, "InspectorWarning");
  }
}
