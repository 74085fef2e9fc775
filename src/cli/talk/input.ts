// Standard input (a terminal, a file or a pipe), read only when `read()` is called.

import { fstatSync, read as readFd, readFileSync } from "node:fs";
import { promisify } from "node:util";

import { Failure } from "../frame/failure.js";

const readAt = promisify(readFd);

/** The number of bytes of one read of a file. */
const FILE_CHUNK = 256 << 10;

export class StandardInput {
  readonly isTerminal: boolean = process.stdin.isTTY;
  /** For a regular file, the number of bytes from the first `position` to the end; otherwise undefined. */
  readonly size: number | undefined;
  /** For a regular file, the offset of the next read. */
  position = 0;
  #stopped = false;
  #ended = false;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #buffer: Buffer | undefined;

  constructor() {
    let stat;
    try {
      stat = fstatSync(0);
    } catch (error) {
      // EBADF: the shell has closed standard input (`<&-`).
      if ((error as NodeJS.ErrnoException).code !== "EBADF") throw error;
      this.#ended = true;
      return;
    }
    if (stat.isFile()) {
      this.position = positionOf(0);
      this.size = Math.max(0, stat.size - this.position);
    }
  }

  /** Whether standard input is a regular file, whose end is known. */
  get isFile(): boolean {
    return this.size !== undefined;
  }

  /** Makes the waiting read, and all later ones, resolve with null. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** Stops reading and closes standard input, so that it does not keep the process alive. */
  close(): void {
    this.stop();
    if (!this.isFile && !this.#ended) process.stdin.destroy();
  }

  /** Reads the next bytes, which are valid until the next call; null at the end. */
  async read(): Promise<Buffer | null> {
    if (this.#stopped || this.#ended) return null;
    if (this.isFile) return this.#readFile();
    this.#listen();
    for (;;) {
      const chunk = process.stdin.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#stopped || this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async #readFile(): Promise<Buffer | null> {
    this.#buffer ??= Buffer.allocUnsafe(FILE_CHUNK);
    const { bytesRead } = await readAt(0, this.#buffer, 0, FILE_CHUNK, this.position);
    this.position += bytesRead;
    this.#ended = bytesRead === 0;
    return bytesRead === 0 ? null : this.#buffer.subarray(0, bytesRead);
  }

  #listening = false;

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const wake = (): void => this.#wake?.();
    process.stdin.on("readable", wake);
    process.stdin.on("end", () => {
      this.#ended = true;
      wake();
    });
    process.stdin.on("error", (error) => {
      this.#failure = new Failure(`cannot read standard input: ${error.message}`);
      wake();
    });
  }
}

/** The offset of an open file, from proc_pid_fdinfo(5). Another program with the same file may have moved it. */
function positionOf(fd: number): number {
  try {
    return Number(/^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
