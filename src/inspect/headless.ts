// Writes the updates of the table as JSON lines, to a file or a descriptor. No write blocks the program. To a pipe, a
// socket or a terminal, this thread writes pieces while there is room. Another thread of Node.js does not make these
// writes, because a thread that blocks in write(2) would keep the process alive. While the reader is slow, updates are
// left out, and the next line has the newest state.

import { fs } from "../builtins.js";
import { calls, type Calls } from "../sys/calls.js";
import { POLLOUT } from "../sys/constants.js";
import type { HeadlessUpdate, TableUpdate } from "./protocol.js";

/** PIPE_BUF, pipe(7): if poll(2) reports a pipe as writable, a write of this many bytes does not block. */
const PIECE_SIZE = 4096;
/** Milliseconds until the writer tries again to write the rest of a line. */
const RETRY_DELAY = 50;
/** How long, in ms, finish() waits for a slow reader to take the last line. */
const LAST_LINE_TIMEOUT = 200;

export class HeadlessWriter {
  readonly #fd: number;
  /** Whether the writer has opened the file itself. */
  readonly #isOwned: boolean;
  /** Whether the target is a regular file. Writes to such a file always end, so a thread of Node.js may make them. */
  readonly #isRegular: boolean;
  readonly #poll: Calls["poll"];
  /** The version of the table in the last line. */
  #version = 0;
  /** The number of updates that were left out since the last line. */
  #skipped = 0;
  /** The line that is being written; undefined if the last line is complete. */
  #line: Buffer | undefined;
  /** The number of bytes of `#line` that are written already. */
  #written = 0;
  #timer: NodeJS.Timeout | undefined;
  /** True when a write has failed, or the writer is closed. Then no further line is written. */
  #stopped = false;
  #closed = false;

  /** @throws the error of open(2): ENXIO for a named pipe without a reader */
  constructor(target: string | number, kernel: Pick<Calls, "poll"> = calls) {
    const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs().constants;
    this.#isOwned = typeof target === "string";
    this.#fd =
      typeof target === "string" ? fs().openSync(target, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666) : target;
    this.#isRegular = fs().fstatSync(this.#fd).isFile();
    this.#poll = (...args) => kernel.poll(...args);
  }

  /** Writes a line with the changes since the last line. `version` is the present version of the table. */
  update(version: number, updateSince: (version: number) => TableUpdate): void {
    if (this.#stopped) return;
    if (this.#line !== undefined) {
      this.#skipped++;
      return;
    }
    const line = this.#nextLine(version, updateSince);
    if (line === undefined) return;
    this.#line = line;
    this.#written = 0;
    if (this.#isRegular) this.#startFileWrite();
    else this.#writePieces();
  }

  /**
   * Writes the last line, when the inspector ends. Does nothing if the line before it cannot be completed now, or if
   * there is no room now.
   */
  finish(version: number, updateSince: (version: number) => TableUpdate): void {
    if (this.#stopped) return;
    try {
      // While a thread of Node.js writes a line to a file, that line cannot be completed here.
      if (this.#line !== undefined && (this.#isRegular || !this.#writeNow(0))) return;
      if (!this.#isRegular && !this.#hasRoom(0)) return;
      const line = this.#nextLine(version, updateSince);
      if (line === undefined) return;
      this.#line = line;
      this.#written = 0;
      if (this.#isRegular) this.#writeFileNow();
      else this.#writeNow(LAST_LINE_TIMEOUT);
    } catch {
      // The last line is missing. The inspector ends anyway.
      this.#stopped = true;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#stopped = this.#closed = true;
    clearTimeout(this.#timer);
    // While a thread of Node.js writes, the callback of the write closes the file.
    if (!(this.#isRegular && this.#line !== undefined)) this.#closeFile();
  }

  /** Makes the next line, and sets `#version` and `#skipped`; undefined if nothing has changed. */
  #nextLine(version: number, updateSince: (version: number) => TableUpdate): Buffer | undefined {
    const update = updateSince(this.#version);
    const isFirst = this.#version === 0;
    this.#version = version;
    if (!isFirst && !update.whole && update.changed.length === 0 && update.removed.length === 0) return undefined;
    const line: HeadlessUpdate = { ...update, skipped: this.#skipped };
    this.#skipped = 0;
    return Buffer.from(`${JSON.stringify(line)}\n`);
  }

  #hasRoom(timeout: number): boolean {
    // poll() also reports an error as an event. The write then fails with that error.
    return this.#poll(this.#fd, POLLOUT, timeout) > 0;
  }

  /**
   * Writes pieces of the line while there is room. Waits for room, in all at most for `timeout` ms. Returns whether the
   * line is complete.
   */
  #writeNow(timeout: number): boolean {
    const deadline = performance.now() + timeout;
    while (this.#line !== undefined) {
      if (!this.#hasRoom(Math.max(0, Math.ceil(deadline - performance.now())))) return false;
      try {
        const size = Math.min(PIECE_SIZE, this.#line.length - this.#written);
        this.#written += fs().writeSync(this.#fd, this.#line, this.#written, size);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
        throw error;
      }
      if (this.#written === this.#line.length) this.#line = undefined;
    }
    return true;
  }

  /** Writes pieces now, and the rest of the line later, when there is room. */
  #writePieces(): void {
    try {
      if (this.#writeNow(0)) return;
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#timer = setTimeout(() => this.#writePieces(), RETRY_DELAY);
    this.#timer.unref();
  }

  /** Writes the rest of the line to a regular file. */
  #writeFileNow(): void {
    const line = this.#line!;
    while (this.#written < line.length) this.#written += fs().writeSync(this.#fd, line, this.#written);
    this.#line = undefined;
  }

  /** Begins to write the rest of the line to a regular file, in a thread of Node.js. */
  #startFileWrite(): void {
    const line = this.#line!;
    fs().write(this.#fd, line, this.#written, line.length - this.#written, null, (error, count) => {
      if (error !== null && error !== undefined) {
        this.#line = undefined;
        if (!this.#stopped) this.#fail(error);
      } else {
        this.#written += count;
        if (this.#written < line.length) {
          this.#startFileWrite();
          return;
        }
        this.#line = undefined;
      }
      if (this.#closed) this.#closeFile();
    });
  }

  #closeFile(): void {
    if (!this.#isOwned) return;
    try {
      fs().closeSync(this.#fd);
    } catch {
      // The program has closed the descriptor.
    }
  }

  #fail(error: Error): void {
    this.#stopped = true;
    this.#line = undefined;
    process.emitWarning(`The inspector writes no more lines: ${error.message}`, "InspectorWarning");
  }
}
