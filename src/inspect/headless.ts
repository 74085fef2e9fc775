// The updates of the table as JSON lines, in a file or a descriptor. A reader that is slow gets the newest state, and the
// program waits for no write: a pipe, a socket or a terminal is written while it has room, a piece at a time. A thread that
// waits in write(2) would keep the process alive.

import { fs } from "../builtins.js";
import { calls, type Calls } from "../sys/calls.js";
import { POLLOUT } from "../sys/constants.js";
import type { HeadlessUpdate, TableUpdate } from "./protocol.js";

/** What a pipe with room takes without blocking: PIPE_BUF, pipe(7). */
const PIECE = 4096;
/** When the rest of a line is tried again, in ms. */
const RETRY = 50;
/** How long the last line may wait for its reader in the middle, in ms, so that it stays whole. */
const PATIENCE = 200;

export class HeadlessWriter {
  readonly #fd: number;
  readonly #owned: boolean;
  /** A file of the disk always takes all, so it is written by Node's threads. */
  readonly #regular: boolean;
  readonly #poll: Calls["poll"];
  #version = 0;
  #skipped = 0;
  /** The line that is being written, and how much of it is. */
  #line: Buffer | undefined;
  #at = 0;
  #timer: NodeJS.Timeout | undefined;
  #failed = false;
  #closed = false;

  /** @throws the error of open(2): ENXIO for a named pipe that nothing reads */
  constructor(target: string | number, kernel: Pick<Calls, "poll"> = calls) {
    const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs().constants;
    this.#owned = typeof target === "string";
    this.#fd =
      typeof target === "string" ? fs().openSync(target, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o666) : target;
    this.#regular = fs().fstatSync(this.#fd).isFile();
    this.#poll = (...args) => kernel.poll(...args);
  }

  /** Writes what has changed since the last line. */
  update(version: number, read: (since: number) => TableUpdate): void {
    if (this.#failed) return;
    if (this.#line !== undefined) {
      this.#skipped++;
      return;
    }
    const line = this.#next(version, read);
    if (line === undefined) return;
    this.#line = line;
    this.#at = 0;
    if (this.#regular) this.#writeFile();
    else this.#writePieces();
  }

  /** Writes the last line, at the end of the process, if the line before it is whole and there is room. */
  finish(version: number, read: (since: number) => TableUpdate): void {
    if (this.#failed) return;
    try {
      if (this.#line !== undefined && (this.#regular || !this.#writeNow(0))) return;
      if (!this.#regular && !this.#hasRoom(0)) return;
      const line = this.#next(version, read);
      if (line === undefined) return;
      this.#line = line;
      this.#at = 0;
      if (this.#regular) this.#writeAll();
      else this.#writeNow(PATIENCE);
    } catch {
      this.#failed = true;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#failed = this.#closed = true;
    clearTimeout(this.#timer);
    // Else the callback of the write closes it.
    if (!(this.#regular && this.#line !== undefined)) this.#closeFile();
  }

  #next(version: number, read: (since: number) => TableUpdate): Buffer | undefined {
    const update = read(this.#version);
    const first = this.#version === 0;
    this.#version = version;
    if (!first && !update.whole && update.changed.length === 0 && update.removed.length === 0) return undefined;
    const line: HeadlessUpdate = { ...update, skipped: this.#skipped };
    this.#skipped = 0;
    return Buffer.from(`${JSON.stringify(line)}\n`);
  }

  #hasRoom(timeout: number): boolean {
    // Also after an error, which the write reports.
    return this.#poll(this.#fd, POLLOUT, timeout) > 0;
  }

  /** Writes pieces while there is room, and waits for room for `patience` ms in all. Returns whether the line is whole. */
  #writeNow(patience: number): boolean {
    const end = performance.now() + patience;
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
        if (!this.#failed) this.#fail(error);
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
    this.#failed = true;
    this.#line = undefined;
    process.emitWarning(`The inspector writes no more lines: ${error.message}`, "InspectorWarning");
  }
}
