// Standard input (descriptor 0: a terminal, a file or a pipe). Nothing is read before the first `read()`.

import { fstatSync, read as readFd, readFileSync } from "node:fs";
import { promisify } from "node:util";

import { Failure } from "../frame/failure.js";

const readAt = promisify(readFd);

/** Maximum number of bytes of one read of a file. */
const FILE_CHUNK = 256 << 10;

/** The input of a conversation: standard input, or with --keep-open a copy of its data. */
export type Input = Pick<StandardInput, "isTerminal" | "isFile" | "size" | "position" | "read" | "stop">;

export class StandardInput {
  readonly isTerminal: boolean = process.stdin.isTTY;
  /** For a regular file, the number of bytes from the initial `position` to the end; otherwise undefined. */
  readonly size: number | undefined;
  /** For a regular file, the offset of the next read. */
  position = 0;
  #stopped = false;
  #ended = false;
  #failure: Error | undefined;
  #hasListeners = false;
  /** Resumes a waiting read(). */
  #resumeRead: (() => void) | undefined;
  /** For a regular file, the buffer of its reads. */
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
    this.#resumeRead?.();
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
    this.#addListeners();
    for (;;) {
      const chunk = process.stdin.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#stopped || this.#ended) return null;
      await new Promise<void>((resolve) => (this.#resumeRead = resolve));
    }
  }

  async #readFile(): Promise<Buffer | null> {
    this.#buffer ??= Buffer.allocUnsafe(FILE_CHUNK);
    const { bytesRead } = await readAt(0, this.#buffer, 0, FILE_CHUNK, this.position);
    this.position += bytesRead;
    this.#ended = bytesRead === 0;
    return bytesRead === 0 ? null : this.#buffer.subarray(0, bytesRead);
  }

  /** Adds the listeners at the first read(), because a listener of `readable` makes Node read from standard input. */
  #addListeners(): void {
    if (this.#hasListeners) return;
    this.#hasListeners = true;
    const resume = (): void => this.#resumeRead?.();
    process.stdin.on("readable", resume);
    process.stdin.on("end", () => {
      this.#ended = true;
      resume();
    });
    process.stdin.on("error", (error) => {
      this.#failure = new Failure(`cannot read standard input: ${error.message}`);
      resume();
    });
  }
}

/**
 * The offset of an open file, from proc_pid_fdinfo(5). It is more than 0 if an earlier program has read from the same
 * descriptor: `(head -1; berkeley …) < FILE`.
 */
function positionOf(fd: number): number {
  try {
    return Number(/^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
