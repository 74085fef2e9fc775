// One direction of a connection in memory: what one end wrote and the other has not read.

import type { SocketError } from "../errors/index.js";
import type { IoOptions } from "../io.js";
import type { Clock } from "../wait/clock.js";
import { Broken } from "../stream/broken.js";
import { Parts } from "../stream/data.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { localError, timeoutError } from "../wait/localError.js";
import { Wait } from "../wait/pendingCall.js";
import type { FaultScript } from "./faults.js";

/** How a direction behaves. */
export interface PipeOptions {
  /** Bytes that are taken before writes wait. */
  readonly capacity: number;
  /** Milliseconds from write to read. */
  readonly latency: number;
  /** Most bytes of a read, when `available` could be had. */
  readonly chunk: (available: number) => number;
  readonly clock: Clock;
}

class Reading extends Wait<number> {
  readonly target: Uint8Array;
  readonly #pipe: MemoryPipe;

  constructor(pipe: MemoryPipe, target: Uint8Array, opts: IoOptions | undefined, clock: Clock) {
    super(opts, clock, pipe.readerRefs);
    this.#pipe = pipe;
    this.target = target;
  }

  protected override cut(): SocketError {
    this.#pipe.drop(this);
    return timeoutError("read");
  }
}

/** A write or, without parts, the end. */
class Writing extends Wait<void> {
  readonly parts: Parts | undefined;
  transferred = 0;
  readonly #pipe: MemoryPipe;

  constructor(pipe: MemoryPipe, parts: Parts | undefined, opts: IoOptions | undefined, clock: Clock) {
    super(opts, clock, pipe.writerRefs);
    this.#pipe = pipe;
    this.parts = parts;
  }

  failure(code: string): SocketError {
    if (this.parts === undefined) return localError(code, "closeWrite");
    return localError(code, "write", { transferred: this.transferred });
  }

  late(): SocketError {
    if (this.parts === undefined) return timeoutError("closeWrite");
    return timeoutError("write", { transferred: this.transferred });
  }

  protected override cut(): SocketError {
    this.#pipe.drop(this);
    return this.late();
  }
}

interface Segment {
  bytes: Uint8Array;
  /** When it can be read. */
  readonly at: number;
}

/** Bytes on their way from a writer to a reader, at most `capacity` of them. */
export class MemoryPipe {
  /** Of the calls that wait at either end. */
  readonly readerRefs: TimerRefs = new TimerRefs();
  readonly writerRefs: TimerRefs = new TimerRefs();
  readonly #opts: PipeOptions;
  readonly #segments: Segment[] = [];
  #held = 0;
  /** How many segments, and bytes in them, have arrived. */
  #arrived = 0;
  #ready = 0;
  #reading: Reading | undefined;
  #queue: Writing[] = [];
  #timer: unknown;
  /** When the end, or the reset, can be read. */
  #endAt: number | undefined;
  #reset = false;
  /** Why writes fail from now on. */
  #broken: string | undefined;
  readonly #watched = new Broken();
  readonly #readFaults: FaultScript;
  readonly #writeFaults: FaultScript;
  readonly #endFaults: FaultScript;

  constructor(opts: PipeOptions, faults: { read: FaultScript; write: FaultScript; closeWrite: FaultScript }) {
    this.#opts = opts;
    this.#readFaults = faults.read;
    this.#writeFaults = faults.write;
    this.#endFaults = faults.closeWrite;
  }

  /** Bytes that were written and not read. */
  get held(): number {
    return this.#held;
  }

  get reading(): boolean {
    return this.#reading !== undefined;
  }

  read(target: Uint8Array, opts: IoOptions | undefined): Promise<number> {
    const fault = this.#readFaults.next();
    if (fault !== undefined) return Promise.reject(fault);
    const ready = this.#arrive();
    if (ready > 0) return Promise.resolve(this.#serve(target, ready));
    const over = this.#over();
    if (over !== undefined) return over === 0 ? Promise.resolve(0) : Promise.reject(over);
    if (opts?.timeout === 0) return Promise.reject(timeoutError("read"));
    this.#reading = new Reading(this, target, opts, this.#opts.clock);
    this.#wake();
    return this.#reading.promise;
  }

  write(parts: readonly Uint8Array[], opts: IoOptions | undefined): Promise<void> {
    return this.#enqueue(new Parts(parts), opts);
  }

  end(opts: IoOptions | undefined): Promise<void> {
    return this.#enqueue(undefined, opts);
  }

  drop(call: Reading | Writing): void {
    if (call === this.#reading) {
      this.#reading = undefined;
      this.#sleep();
      return;
    }
    // The end stays due: only the wait for it was cut short.
    if ((call as Writing).parts !== undefined) this.#queue = this.#queue.filter((job) => job !== call);
    // The call that was in front may have been all that held the next one back.
    this.#move();
  }

  /** The writing end is gone: pending writes fail, the reader gets what was taken and then 0, or ECONNRESET. */
  leave(reset: boolean): void {
    this.#fail("ECANCELED", "EBADF");
    if (this.#endAt === undefined) {
      this.#endAt = this.#opts.clock.now() + this.#opts.latency;
      this.#reset = reset;
    }
    this.#answer();
  }

  /** The reading end is gone: its pending read fails, nothing more is taken. */
  refuse(reset: boolean): void {
    const reading = this.#reading;
    this.#reading = undefined;
    this.#sleep();
    reading?.reject(localError("ECANCELED", "read"));
    this.#segments.length = 0;
    this.#held = this.#arrived = this.#ready = 0;
    this.#fail(reset ? "ECONNRESET" : "EPIPE", reset ? "ECONNRESET" : "EPIPE");
  }

  /** Waits until writes fail because the reading end is gone. */
  whenBroken(opts: IoOptions | undefined): Promise<unknown> {
    return this.#watched.wait(opts);
  }

  #fail(pending: string, later: string): void {
    if (pending === "ECANCELED") this.#watched.close();
    else this.#watched.tell(localError(later, "write"));
    this.#broken ??= later;
    for (const job of this.#queue.splice(0)) job.reject(job.failure(pending));
  }

  #enqueue(parts: Parts | undefined, opts: IoOptions | undefined): Promise<void> {
    const call = parts === undefined ? "closeWrite" : "write";
    // To say the end to a peer that has gone is no error, but to one that cut the connection it is.
    if (this.#broken === "EPIPE" && parts === undefined) return Promise.resolve();
    if (this.#broken !== undefined) return Promise.reject(localError(this.#broken, call));
    const immediate = opts?.timeout === 0;
    const job = new Writing(this, parts, immediate ? { signal: opts?.signal } : opts, this.#opts.clock);
    this.#queue.push(job);
    this.#move();
    if (immediate && !job.settled) {
      this.#queue = this.#queue.filter((other) => other !== job || parts === undefined);
      job.reject(job.late());
    }
    return job.promise;
  }

  /** Takes from the writes in front what there is room for, and answers the reader. */
  #move(): void {
    const { capacity, latency, clock } = this.#opts;
    for (let job = this.#queue[0]; job !== undefined; job = this.#queue[0]) {
      if (job.parts === undefined) {
        const fault = this.#endFaults.next();
        if (fault === undefined) this.#endAt ??= clock.now() + latency;
        this.#queue.shift();
        if (fault === undefined) job.resolve();
        else job.reject(fault);
        continue;
      }
      const room = Math.min(capacity - this.#held, job.parts.left, this.#writeFaults.allowed);
      if (room > 0) {
        this.#segments.push({ bytes: job.parts.take(room), at: clock.now() + latency });
        this.#held += room;
        job.transferred += room;
        this.#writeFaults.moved(room);
      }
      const fault = this.#writeFaults.next(job.transferred);
      if (fault === undefined && job.parts.left > 0) break;
      this.#queue.shift();
      if (fault === undefined) job.resolve();
      else job.reject(fault);
    }
    this.#answer();
  }

  /** Answers the pending read if that can be. */
  #answer(): void {
    const reading = this.#reading;
    if (reading === undefined) return;
    const ready = this.#arrive();
    const over = ready > 0 ? undefined : this.#over();
    if (ready === 0 && over === undefined) {
      this.#wake();
      return;
    }
    this.#reading = undefined;
    this.#sleep();
    if (over instanceof Error) reading.reject(over);
    else reading.resolve(ready > 0 ? this.#serve(reading.target, ready) : 0);
  }

  /** Bytes that have arrived. */
  #arrive(): number {
    const now = this.#opts.clock.now();
    for (let next = this.#segments[this.#arrived]; next !== undefined && next.at <= now;) {
      this.#ready += next.bytes.length;
      next = this.#segments[++this.#arrived];
    }
    return this.#ready;
  }

  /** 0 at the end, the error after a reset, `undefined` while there is more to come. */
  #over(): 0 | SocketError | undefined {
    if (this.#endAt === undefined || this.#segments.length > 0 || this.#endAt > this.#opts.clock.now())
      return undefined;
    return this.#reset ? localError("ECONNRESET", "read") : 0;
  }

  #serve(target: Uint8Array, ready: number): number {
    const most = Math.min(target.length, ready, this.#readFaults.allowed);
    const count = Math.max(1, Math.min(most, Math.floor(this.#opts.chunk(most))));
    let filled = 0;
    while (filled < count) {
      const segment = this.#segments[0] as Segment;
      const part = segment.bytes.subarray(0, count - filled);
      target.set(part, filled);
      filled += part.length;
      if (part.length === segment.bytes.length) {
        this.#segments.shift();
        this.#arrived--;
      } else {
        segment.bytes = segment.bytes.subarray(part.length);
      }
    }
    this.#held -= count;
    this.#ready -= count;
    this.#readFaults.moved(count);
    // As the kernel does: writers are woken when there is room worth it.
    if (this.#queue.length > 0 && this.#held <= this.#opts.capacity >> 1) this.#move();
    return count;
  }

  /** Looks again when the next bytes, or the end, arrive. */
  #wake(): void {
    const at = this.#segments[0]?.at ?? this.#endAt;
    if (at === undefined || this.#timer !== undefined) return;
    const { clock } = this.#opts;
    this.#timer = clock.setTimeout(
      () => {
        this.readerRefs.delete(this.#timer);
        this.#timer = undefined;
        this.#answer();
      },
      Math.max(0, at - clock.now()),
    );
    this.readerRefs.add(this.#timer);
  }

  #sleep(): void {
    if (this.#timer === undefined) return;
    this.#opts.clock.clearTimeout(this.#timer);
    this.readerRefs.delete(this.#timer);
    this.#timer = undefined;
  }
}
