// Writes the updates of the table as JSON lines, to a file or a descriptor. No write blocks the program: a pipe, a
// socket or a terminal is written in pieces while it has room. No other thread makes these writes, because a thread
// that blocks in write(2) would keep the process alive. While the reader is slow, updates are left out. The next line
// then has the newest state.

import { fs } from "../builtins.js";
import { calls, type Calls } from "../sys/calls.js";
import { POLLOUT } from "../sys/constants.js";
import type { HeadlessUpdate, TableUpdate } from "./protocol.js";

/** PIPE_BUF, pipe(7): if poll(2) reports a pipe as writable, a write of this many bytes does not block. */
const PIECE = 4096;
/** Milliseconds until the writer tries again to write the rest of a line. */
const RETRY = 50;
/** How long finish() waits for a slow reader, in ms, so that the last line is complete. */
const LAST_LINE_TIMEOUT = 200;

export class HeadlessWriter {
  readonly #fd: number;
  /** Whether the writer has opened the file itself. */
  readonly #owned: boolean;
  /** Whether the target is a regular file. Its writes always end, so a thread of Node may make them. */
  readonly #regular: boolean;
  readonly #poll: Calls["poll"];
  /** The version of the table in the last line. */
  #version = 0;
  /** The number of updates since the last line that were not written. */
  #skipped = 0;
  /** The line that is being written, and how many of its bytes are written already. */
  #line: Buffer | undefined;
  #at = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Whether no further line is written: a write has failed, or the writer is closed. */
  #stopped = false;
  #closed = false;

  /** @throws the error of open(2): ENXIO for a named pipe without a reader */
  constructor(target: string | number, kernel: Pick<Calls, "poll"> = calls) {
    const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs().constants;
    this.#owned = typeof target === "string";
    this.#fd =
      typeof target === "string" ? fs().openSync(target, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666) : target;
    this.#regular = fs().fstatSync(this.#fd).isFile();
    this.#poll = (...args) => kernel.poll(...args);
  }

  /** Writes a line with the changes since the last line. */
  update(version: number, read: (since: number) => TableUpdate): void {
    if (this.#stopped) return;
    if (this.#line !== undefined) {
      this.#skipped++;
      return;
    }
    const line = this.#nextLine(version, read);
    if (line === undefined) return;
    this.#line = line;
    this.#at = 0;
    if (this.#regular) this.#writeFile();
    else this.#writePieces();
  }

  /** Writes the last line at the end of the process, if the line before it is complete and there is room. */
  finish(version: number, read: (since: number) => TableUpdate): void {
    if (this.#stopped) return;
    try {
      if (this.#line !== undefined && (this.#regular || !this.#writeNow(0))) return;
      if (!this.#regular && !this.#hasRoom(0)) return;
      const line = this.#nextLine(version, read);
      if (line === undefined) return;
      this.#line = line;
      this.#at = 0;
      if (this.#regular) this.#writeAll();
      else this.#writeNow(LAST_LINE_TIMEOUT);
    } catch {
      this.#stopped = true;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#stopped = this.#closed = true;
    clearTimeout(this.#timer);
    // While a write runs, its callback closes the file.
    if (!(this.#regular && this.#line !== undefined)) this.#closeFile();
  }

  /** Makes the next line, and sets `#version` and `#skipped`; undefined if nothing has changed. */
  #nextLine(version: number, read: (since: number) => TableUpdate): Buffer | undefined {
    const update = read(this.#version);
    const first = this.#version === 0;
    this.#version = version;
    if (!first && !update.whole && update.changed.length === 0 && update.removed.length === 0) return undefined;
    const line: HeadlessUpdate = { ...update, skipped: this.#skipped };
    this.#skipped = 0;
    return Buffer.from(`${JSON.stringify(line)}\n`);
  }

  #hasRoom(timeout: number): boolean {
    // poll() also reports an error as an event. The write then fails with that error.
    return this.#poll(this.#fd, POLLOUT, timeout) > 0;
  }

  /**
   * Writes pieces while there is room, and waits for room for `timeout` ms in all. Returns whether the line is
   * complete.
   */
  #writeNow(timeout: number): boolean {
    const end = performance.now() + timeout;
    while (this.#line !== undefined) {
      if (!this.#hasRoom(Math.max(0, Math.ceil(end - performance.now())))) return false;
      try {
        this.#at += fs().writeSync(this.#fd, this.#line, this.#at, Math.min(PIECE, this.#line.length - this.#at));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
        throw error;
      }
      if (this.#at === this.#line.length) this.#line = undefined;
    }
    return true;
  }

  #writePieces(): void {
    try {
      if (this.#writeNow(0)) return;
    } catch (error) {
      this.#fail(error as Error);
      return;
    }
    this.#timer = setTimeout(() => this.#writePieces(), RETRY);
    this.#timer.unref();
  }

  #writeAll(): void {
    const line = this.#line!;
    while (this.#at < line.length) this.#at += fs().writeSync(this.#fd, line, this.#at);
    this.#line = undefined;
  }

  #writeFile(): void {
    const line = this.#line!;
    fs().write(this.#fd, line, this.#at, line.length - this.#at, null, (error, count) => {
      if (error !== null && error !== undefined) {
        this.#line = undefined;
        if (!this.#stopped) this.#fail(error);
      } else {
        this.#at += count;
        if (this.#at < line.length) {
          this.#writeFile();
          return;
        }
        this.#line = undefined;
      }
      if (this.#closed) this.#closeFile();
    });
  }

  #closeFile(): void {
    if (!this.#owned) return;
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
