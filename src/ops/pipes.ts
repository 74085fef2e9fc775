// The pipes through which bytes are spliced. They are open only while somebody splices, and handed from flow to flow.

import type { Calls } from "../sys/calls.js";
import { readInt } from "../sys/nativeInts.js";
import type { Pipe, RelayTable } from "../reactor/relay.js";

/** The smallest pipe is a page of 4096 bytes. */
const SMALLEST_LOG = 12;

/** Empty pipes to keep for the next flow. */
const KEPT = 8;

export class PipePool {
  readonly #size: number;
  /** Its place in the table of relay.ts. */
  readonly #place: number;
  #free: Pipe[] = [];
  #users = 0;
  /** The pipe that all flows share which wait for their source, and the table where it stands. */
  #lent: Pipe | undefined;
  #table: RelayTable | undefined;

  /** @param size bytes that each pipe is to hold */
  constructor(size: number) {
    this.#size = size;
    this.#place = Math.log2(size) - SMALLEST_LOG;
  }

  /** One user more. Opens the first pipe, so that a lack of descriptors shows at once; 0 or -errno. */
  enter(calls: Calls): number {
    if (this.#free.length === 0) {
      const pipe = this.#open(calls);
      if (typeof pipe === "number") return pipe;
      this.#free.push(pipe);
    }
    this.#users++;
    return 0;
  }

  /** One user less. With the last one the pipes go. */
  leave(calls: Calls): void {
    if (--this.#users > 0) return;
    if (this.#lent !== undefined) {
      this.#table!.take(this.#place);
      this.discard(calls, this.#lent);
      this.#lent = this.#table = undefined;
    }
    for (const pipe of this.#free.splice(0)) this.discard(calls, pipe);
  }

  /** An empty pipe, or -errno. */
  take(calls: Calls): Pipe | number {
    return this.#free.pop() ?? this.#open(calls);
  }

  /** Takes back a pipe, which must be empty. */
  give(calls: Calls, pipe: Pipe): void {
    if (this.#free.length < KEPT && this.#users > 0) this.#free.push(pipe);
    else this.discard(calls, pipe);
  }

  /** Has a pipe in the table, for the notes there; its place, or -1 when there is none to be had. */
  lend(calls: Calls, table: RelayTable): number {
    if (this.#lent === undefined) {
      const pipe = this.take(calls);
      if (typeof pipe === "number") return -1;
      table.lend(this.#place, pipe);
      this.#lent = pipe;
      this.#table = table;
    }
    return this.#table === table ? this.#place : -1;
  }

  /** The pipe of the table, in which bytes have been left: it is the flow's, and the next one to wait puts another there. */
  takeLent(): Pipe {
    const pipe = this.#lent!;
    this.#lent = this.#table = undefined;
    return pipe;
  }

  /** Closes a pipe, with whatever is in it. */
  discard(calls: Calls, pipe: Pipe): void {
    calls.close(pipe.readEnd);
    calls.close(pipe.writeEnd);
  }

  #open(calls: Calls): Pipe | number {
    const ends = new Uint8Array(8);
    const capacity = calls.pipe(this.#size, ends);
    if (capacity < 0) return capacity;
    return { readEnd: readInt(ends), writeEnd: readInt(ends.subarray(4)), capacity };
  }
}

const pools = new Map<number, PipePool>();

/** The pipes of this thread of a size in bytes, a power of two. */
export function pipePool(size: number): PipePool {
  let pool = pools.get(size);
  if (pool === undefined) pools.set(size, (pool = new PipePool(size)));
  return pool;
}
