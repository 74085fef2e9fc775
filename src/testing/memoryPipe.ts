// One direction of a connection in memory: the bytes that one end has written and the other end has not read.
//
// A read or write that does not have to wait counts against the budget of the turn, as a call of a socket does. When
// the budget is spent, the call continues in the next turn. Otherwise two ends could exchange data in microtasks
// without end, and no other callback would run.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import { EndWaiters } from "../stream/endWaiters.js";
import { PendingRead, PendingWrite } from "../stream/pendingTransfers.js";
import { WriteParts } from "../stream/writeParts.js";
import type { Clock } from "../wait/clock.js";
import { localError, timeoutError } from "../wait/localError.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { threadTurnBudget } from "../wait/turnBudget.js";
import type { FaultScript } from "./faults.js";

/** How a pipe behaves. */
export interface MemoryPipeOptions {
  /** Bytes that the pipe holds before writes wait. */
  readonly capacity: number;
  /** Milliseconds from a write until its bytes can be read. */
  readonly latency: number;
  /** Maximum number of bytes of a read that could return `available` bytes. */
  readonly chunk: (available: number) => number;
  readonly clock: Clock;
}

/** The bytes of one step of a write, and the time from which they can be read. */
interface Segment {
  bytes: Uint8Array;
  readonly readableAt: number;
}

/** Bytes on the way from a writing end to a reading end, at most `capacity`. */
export class MemoryPipe {
  /** The timers of the calls that wait at the reading end and at the writing end. */
  readonly readerRefs: TimerRefs = new TimerRefs();
  readonly writerRefs: TimerRefs = new TimerRefs();
  readonly #opts: MemoryPipeOptions;
  readonly #segments: Segment[] = [];
  /** The counters of both ends: see {@link TransferStats}. */
  bytesRead: number = 0;
  reads: number = 0;
  bytesWritten: number = 0;
  writes: number = 0;
  /** Bytes in all segments. */
  #held = 0;
  /** The latency of the first `#arrivedSegments` segments has passed. They have `#arrivedBytes` bytes. */
  #arrivedSegments = 0;
  #arrivedBytes = 0;
  #pendingRead: PendingRead | undefined;
  /** The calls that wait at the writing end. */
  #writes: PendingWrite[] = [];
  /** The timer for the arrival of the next segment, or of the end. Set only while a read waits. */
  #timer: unknown;
  /** The time from which the end, or the reset, can be read. */
  #endAt: number | undefined;
  /** Whether the writing end was aborted. Then the reading end gets `ECONNRESET` and not the end. */
  #reset = false;
  /** The code with which writes fail; undefined while neither end is closed. */
  #writeError: string | undefined;
  readonly #brokenWaiters = new EndWaiters();
  readonly #readFaults: FaultScript;
  readonly #writeFaults: FaultScript;
  readonly #endFaults: FaultScript;

  constructor(opts: MemoryPipeOptions, faults: { read: FaultScript; write: FaultScript; closeWrite: FaultScript }) {
    this.#opts = opts;
    this.#readFaults = faults.read;
    this.#writeFaults = faults.write;
    this.#endFaults = faults.closeWrite;
  }

  /** Bytes that were written and not read. */
  get held(): number {
    return this.#held;
  }

  /** See {@link Writer.writeProgress}. */
  get writeProgress(): number {
    return this.#writes[0]?.transferred ?? -1;
  }

  get reading(): boolean {
    return this.#pendingRead !== undefined;
  }

  /** The names of the calls that wait at the writing end. */
  pendingWrites(): string[] {
    return this.#writes.map(({ parts }) => (parts === undefined ? "closeWrite" : "write"));
  }

  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const fault = this.#readFaults.takeError();
    if (fault !== undefined) return Promise.reject(fault);
    const available = this.#countArrived();
    const endOrReset = available > 0 ? undefined : this.#endOrReset();
    const canSettle = available > 0 || endOrReset !== undefined;
    if (canSettle && threadTurnBudget.spend()) {
      if (endOrReset instanceof Error) return Promise.reject(endOrReset);
      return Promise.resolve(available > 0 ? this.#takeArrived(target, available) : 0);
    }
    if (!canSettle && opts?.timeout === 0) return Promise.reject(timeoutError("read"));
    // If the read can settle, it only waits for the next turn, and so has no timeout.
    this.#pendingRead = new PendingRead(target, canSettle ? { signal: opts?.signal } : opts, {
      clock: this.#opts.clock,
      refs: this.readerRefs,
      remove: () => {
        this.#pendingRead = undefined;
        this.#stopTimer();
      },
    });
    const { promise } = this.#pendingRead;
    if (canSettle) threadTurnBudget.defer({ resume: () => this.#settleRead() });
    else this.#startTimer();
    return promise;
  }

  write(parts: readonly Uint8Array[], opts: IoOptions | undefined): Promise<void> {
    return this.#enqueue(new WriteParts(parts), opts);
  }

  /** closeWrite() of the writing end. */
  end(opts: IoOptions | undefined): Promise<void> {
    return this.#enqueue(undefined, opts);
  }

  /**
   * Closes the writing end: its writes fail. The reading end reads the held bytes, and then 0, or `ECONNRESET` after a
   * reset.
   */
  closeWritingEnd(how: "close" | "reset"): void {
    this.#brokenWaiters.close();
    this.#failWrites({ pendingCode: "ECANCELED", laterCode: "EBADF" });
    if (this.#endAt === undefined) {
      this.#endAt = this.#opts.clock.now() + this.#opts.latency;
      this.#reset = how === "reset";
    }
    this.#settleRead();
  }

  /** Closes the reading end: the pending read fails, the held bytes are dropped, and writes fail from now on. */
  closeReadingEnd(how: "close" | "reset"): void {
    const read = this.#pendingRead;
    this.#pendingRead = undefined;
    this.#stopTimer();
    read?.reject(localError("ECANCELED", "read"));
    this.#segments.length = 0;
    this.#held = this.#arrivedSegments = this.#arrivedBytes = 0;
    const code = how === "reset" ? "ECONNRESET" : "EPIPE";
    this.#brokenWaiters.resolveAll(localError(code, "write"));
    this.#failWrites({ pendingCode: code, laterCode: code });
  }

  /** Waits until writes fail because the reading end was closed. */
  whenBroken(opts: IoOptions | undefined): Promise<unknown> {
    return this.#brokenWaiters.wait(opts);
  }

  /** Rejects pending writes with `pendingCode`, and later ones with `laterCode`. */
  #failWrites({ pendingCode, laterCode }: { readonly pendingCode: string; readonly laterCode: string }): void {
    this.#writeError ??= laterCode;
    for (const write of this.#writes.splice(0)) write.reject(write.errorWith(pendingCode));
  }

  #enqueue(parts: WriteParts | undefined, opts: IoOptions | undefined): Promise<void> {
    const call = parts === undefined ? "closeWrite" : "write";
    // As in the kernel: shutdown(2) succeeds after the peer has closed, and fails after the peer has reset the
    // connection.
    if (this.#writeError === "EPIPE" && parts === undefined) return Promise.resolve();
    if (this.#writeError !== undefined) return Promise.reject(localError(this.#writeError, call));
    const mustNotWait = opts?.timeout === 0;
    const write = new PendingWrite(parts, mustNotWait ? { signal: opts?.signal } : opts, {
      clock: this.#opts.clock,
      refs: this.writerRefs,
      remove: (cancelled) => {
        this.#removeWrite(cancelled);
        // The next write may have waited only for the cancelled write.
        this.#advanceWrites();
      },
    });
    this.#writes.push(write);
    // A write behind others does not count against the budget. A write with timeout 0 can't wait for the next turn.
    if (mustNotWait || this.#writes.length > 1 || threadTurnBudget.spend()) this.#advanceWrites();
    else threadTurnBudget.defer({ resume: () => this.#advanceWrites() });
    if (mustNotWait && !write.settled) {
      this.#removeWrite(write);
      write.reject(write.timeoutError());
    }
    return write.promise;
  }

  /** Removes a cancelled write. A closeWrite() stays in the queue: only the wait for it ends. */
  #removeWrite(removed: PendingWrite): void {
    if (removed.parts !== undefined) this.#writes = this.#writes.filter((write) => write !== removed);
  }

  /** Takes as many bytes of the pending writes as there is space for, and settles the pending read. */
  #advanceWrites(): void {
    const { capacity, latency, clock } = this.#opts;
    for (let write = this.#writes[0]; write !== undefined; write = this.#writes[0]) {
      if (write.parts === undefined) {
        const fault = this.#endFaults.takeError();
        if (fault === undefined) this.#endAt ??= clock.now() + latency;
        this.#writes.shift();
        if (fault === undefined) write.resolve();
        else write.reject(fault);
        continue;
      }
      const count = Math.min(capacity - this.#held, write.parts.remaining, this.#writeFaults.bytesToNext);
      if (count > 0) {
        this.#segments.push({ bytes: write.parts.shift(count), readableAt: clock.now() + latency });
        this.#held += count;
        this.bytesWritten += count;
        write.transferred += count;
        this.#writeFaults.count(count);
      }
      const fault = this.#writeFaults.takeError(write.transferred);
      if (fault === undefined && write.parts.remaining > 0) break;
      this.#writes.shift();
      if (fault === undefined) {
        this.writes++;
        write.resolve();
      } else {
        write.reject(fault);
      }
    }
    this.#settleRead();
  }

  /** Settles the pending read if bytes, the end or a reset can be read. */
  #settleRead(): void {
    const read = this.#pendingRead;
    if (read === undefined) return;
    const available = this.#countArrived();
    const endOrReset = available > 0 ? undefined : this.#endOrReset();
    if (available === 0 && endOrReset === undefined) {
      this.#startTimer();
      return;
    }
    this.#pendingRead = undefined;
    this.#stopTimer();
    if (endOrReset instanceof Error) read.reject(endOrReset);
    else read.resolve(available > 0 ? this.#takeArrived(read.target, available) : 0);
  }

  /** The number of bytes that can be read now. */
  #countArrived(): number {
    const now = this.#opts.clock.now();
    for (let next = this.#segments[this.#arrivedSegments]; next !== undefined && next.readableAt <= now;) {
      this.#arrivedBytes += next.bytes.length;
      next = this.#segments[++this.#arrivedSegments];
    }
    return this.#arrivedBytes;
  }

  /** 0 if the end can be read now, the error if a reset can be read now, undefined if neither can. */
  #endOrReset(): 0 | SocketError | undefined {
    if (this.#endAt === undefined || this.#segments.length > 0) return undefined;
    if (this.#endAt > this.#opts.clock.now()) return undefined;
    return this.#reset ? localError("ECONNRESET", "read") : 0;
  }

  /**
   * Copies arrived bytes into `target`, and removes them. Returns their number. Writes that waited for space continue.
   */
  #takeArrived(target: Uint8Array, available: number): number {
    const allowed = Math.min(target.length, available, this.#readFaults.bytesToNext);
    // `chunk` may be a function of the user with any result, for example NaN. A count of 0 would stand for the end.
    const limit = Math.floor(this.#opts.chunk(allowed)) || 1;
    const count = Math.max(1, Math.min(allowed, limit));
    let filled = 0;
    while (filled < count) {
      const segment = this.#segments[0] as Segment;
      const part = segment.bytes.subarray(0, count - filled);
      target.set(part, filled);
      filled += part.length;
      if (part.length === segment.bytes.length) {
        this.#segments.shift();
        this.#arrivedSegments--;
      } else {
        segment.bytes = segment.bytes.subarray(part.length);
      }
    }
    this.#held -= count;
    this.#arrivedBytes -= count;
    this.bytesRead += count;
    this.reads++;
    this.#readFaults.count(count);
    // As in the kernel, a waiting write continues when half of the capacity is free, and not after each byte.
    if (this.#writes.length > 0 && this.#held <= this.#opts.capacity >> 1) this.#advanceWrites();
    return count;
  }

  /** Starts a timer that settles the pending read when the next bytes, or the end, can be read. */
  #startTimer(): void {
    const settleAt = this.#segments[0]?.readableAt ?? this.#endAt;
    if (settleAt === undefined || this.#timer !== undefined) return;
    const { clock } = this.#opts;
    this.#timer = clock.setTimeout(
      () => {
        this.readerRefs.delete(this.#timer);
        this.#timer = undefined;
        this.#settleRead();
      },
      Math.max(0, settleAt - clock.now()),
    );
    this.readerRefs.add(this.#timer);
  }

  #stopTimer(): void {
    if (this.#timer === undefined) return;
    this.#opts.clock.clearTimeout(this.#timer);
    this.readerRefs.delete(this.#timer);
    this.#timer = undefined;
  }
}
