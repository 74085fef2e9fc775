// The pipes for splice(2). A flow is the transfer from one socket to another (spliceOperation.ts). A pipe that one flow
// has emptied is used again by another flow. All relays of a pool, which move bytes in C (reactor/relay.ts), share one
// pipe. When no flow is left, all pipes are closed.

import type { Calls } from "../sys/calls.js";
import { readInt } from "../sys/nativeInts.js";
import type { Pipe, RelayTable } from "../reactor/relay.js";

/** log2 of the smallest pipe: a page of 4096 bytes. */
const SMALLEST_LOG = 12;

/** The maximum number of empty pipes that stay open for later flows. */
const MAX_FREE = 8;

export class PipePool {
  readonly #size: number;
  /** The index of `#shared` in a RelayTable. Pools of different sizes have different indexes. */
  readonly #index: number;
  /** Empty pipes. */
  #free: Pipe[] = [];
  /** The number of flows that use the pool. */
  #users = 0;
  /** The pipe that all relays of this pool share. */
  #shared: Pipe | undefined;
  /** The table that `#shared` is stored in. */
  #table: RelayTable | undefined;

  /** @param size the capacity of each pipe in bytes, a power of two */
  constructor(size: number) {
    this.#size = size;
    this.#index = Math.log2(size) - SMALLEST_LOG;
  }

  /**
   * Counts one more flow. Opens a pipe if none is free, so that the flow gets EMFILE before it starts. Returns 0 or
   * -errno.
   */
  addUser(calls: Calls): number {
    if (this.#free.length === 0) {
      const pipe = this.#open(calls);
      if (typeof pipe === "number") return pipe;
      this.#free.push(pipe);
    }
    this.#users++;
    return 0;
  }

  /** Counts one flow less. When no flow is left, closes all pipes. */
  removeUser(calls: Calls): void {
    if (--this.#users > 0) return;
    if (this.#shared !== undefined) {
      this.#table!.removePipe(this.#index);
      this.discard(calls, this.#shared);
      this.#shared = this.#table = undefined;
    }
    for (const pipe of this.#free.splice(0)) this.discard(calls, pipe);
  }

  /** Returns an empty pipe, or -errno. */
  take(calls: Calls): Pipe | number {
    return this.#free.pop() ?? this.#open(calls);
  }

  /** Returns an empty pipe to the pool. Closes the pipe if the pool has enough, or if no flow uses the pool. */
  giveBack(calls: Calls, pipe: Pipe): void {
    if (this.#free.length < MAX_FREE && this.#users > 0) this.#free.push(pipe);
    else this.discard(calls, pipe);
  }

  /**
   * Stores the shared pipe in the table, if it is not stored yet.
   *
   * @returns its index, or -1 if no pipe could be opened or the pipe is stored in another table
   */
  share(calls: Calls, table: RelayTable): number {
    if (this.#shared === undefined) {
      const pipe = this.take(calls);
      if (typeof pipe === "number") return -1;
      table.putPipe(this.#index, pipe);
      this.#shared = pipe;
      this.#table = table;
    }
    return this.#table === table ? this.#index : -1;
  }

  /** Passes the shared pipe to a flow whose relay has left bytes in it. The next `share()` stores another pipe. */
  takeShared(): Pipe {
    const pipe = this.#shared!;
    this.#shared = this.#table = undefined;
    return pipe;
  }

  /** Closes a pipe. Bytes in it are lost. */
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

/** The pool of this thread for a size in bytes, a power of two. */
export function pipePool(size: number): PipePool {
  let pool = pools.get(size);
  if (pool === undefined) pools.set(size, (pool = new PipePool(size)));
  return pool;
}
