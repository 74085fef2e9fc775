// The outbox of a stream: the writes that the connection below has not taken yet, and the limit of their memory.
//
// A connection takes most writes at once. The stream makes an outbox for the first write that has to wait. From then on
// the outbox counts each waiting write until its promise settles. `writeProgress` of the connection is the number of
// bytes that the connection has taken of the first waiting write.
//
// The limit applies only while another write waits, so a program that awaits each write never reaches it. If the outbox
// counts no write, and the next one is larger than the limit, the bytes of that write do not count. If they counted, no
// small write could wait behind the large one.

import { isUint8Array } from "node:util/types";
import { OutboxFullError } from "../errors/index.js";
import type { Conn, Data, IoOptions } from "../io.js";
import { optionsError } from "../wait/pendingCall.js";

/** The writes of a stream that the connection below has not taken. */
export interface OutboxCounts {
  /** Bytes of these writes that the connection has not taken. For a socket: bytes that are not in the kernel yet. */
  readonly bytes: number;
  /** The number of these writes. */
  readonly writes: number;
}

/** The limits of an outbox; see `StreamOptions`. */
export interface OutboxLimits {
  readonly maxOutbox: number;
  readonly maxOutboxWrites: number;
}

/** The value of `writeProgress` while no write is pending. */
export const NO_WRITE = -1;

export class Outbox {
  readonly #conn: Conn;
  readonly #limits: OutboxLimits;
  /** The total size of the writes that have not settled. */
  #totalSize = 0;
  #writes = 0;
  /** The size of the first counted write if it is larger than the limit; otherwise 0. */
  #oversizedWrite = 0;
  /** The bytes and the writes that were added since the outbox was empty, or since the last `onTurnPassed()`. */
  #newBytes = 0;
  #newWrites = 0;

  constructor(conn: Conn, limits: OutboxLimits) {
    this.#conn = conn;
    this.#limits = limits;
  }

  /** The writes that wait now. */
  get counts(): OutboxCounts {
    if (!this.#hasWaitingWrite) return { bytes: 0, writes: 0 };
    return { bytes: Math.max(0, this.#totalSize - this.#progress), writes: this.#writes };
  }

  /** Writes to the connection. Rejects with an `OutboxFullError` if the write would exceed the limit. */
  write(data: Data, opts: IoOptions | undefined): Promise<void> {
    const conn = this.#conn;
    if (this.#hasWaitingWrite) {
      const size = dataSize(data);
      // If the type of the data is wrong, the connection rejects.
      if (size !== undefined && !this.#fits(size)) {
        const refused = optionsError(opts, "write");
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- the reason of a signal can be any value
        return Promise.reject(refused === undefined ? this.fullError(size) : refused.error);
      }
    }
    const writing = conn.write(data, opts);
    return conn.writeProgress === NO_WRITE ? writing : this.countWrite(data, writing);
  }

  /**
   * Writes a whole message, or nothing of it.
   *
   * @param mayExceedLimit whether the message is taken although it exceeds the limit. An outbox that already exceeds
   *   the limit takes no message
   * @returns true if the connection has taken the whole message already; the promise of the write if it waits;
   *   undefined if the message does not fit
   * @throws the error with which a write would reject
   */
  offer(bytes: Uint8Array, { mayExceedLimit }: { readonly mayExceedLimit: boolean }): Promise<void> | true | undefined {
    const conn = this.#conn;
    if (this.#hasWaitingWrite && !this.#fits(bytes.length) && !(mayExceedLimit && this.#fits(0))) return undefined;
    // While another write is pending, `tryWrite` takes nothing, so messages stay in order.
    const taken = conn.tryWrite?.(bytes) ?? 0;
    if (taken === bytes.length) return true;
    const rest = taken === 0 ? bytes : bytes.subarray(taken);
    return this.countWrite(rest, conn.write(rest));
  }

  /** Counts a write until it settles. */
  countWrite(data: Data, writing: Promise<void>): Promise<void> {
    const size = dataSize(data) ?? 0;
    if (this.#writes === 0 && size > this.#limits.maxOutbox) this.#oversizedWrite = size;
    this.#totalSize += size;
    this.#writes++;
    this.#newBytes += size;
    this.#newWrites++;
    return writing.then(
      () => this.#countSettled(size),
      (error: unknown) => {
        this.#countSettled(size);
        throw error;
      },
    );
  }

  /**
   * Whether a write of this stream waits. `#writes` alone does not show that, because it still counts a write whose
   * promise has settled and whose handlers have not run.
   */
  get #hasWaitingWrite(): boolean {
    return this.#writes > 0 && this.#conn.writeProgress !== NO_WRITE;
  }

  /**
   * Whether the caller should wait for a turn of the event loop, because a quarter of the limit was added since the
   * last `onTurnPassed()`. The reactor empties the outbox only in later turns.
   */
  get needsTurn(): boolean {
    const { maxOutbox, maxOutboxWrites } = this.#limits;
    const addedQuarter = this.#newBytes * 4 >= maxOutbox || this.#newWrites * 4 >= maxOutboxWrites;
    return this.#hasWaitingWrite && addedQuarter;
  }

  /** Resets the counts of `needsTurn`. Called after a turn of the event loop, and when the outbox is empty. */
  onTurnPassed(): void {
    this.#newBytes = this.#newWrites = 0;
  }

  /** The number of bytes that the connection has taken of the first waiting write. */
  get #progress(): number {
    return this.#conn.writeProgress ?? 0;
  }

  /** Whether another write of `size` bytes is within the limits. */
  #fits(size: number): boolean {
    // An oversized write does not count, whether the connection has taken some of its bytes or not.
    const bytes = this.#totalSize - (this.#oversizedWrite === 0 ? this.#progress : this.#oversizedWrite);
    return bytes + size <= this.#limits.maxOutbox && this.#writes < this.#limits.maxOutboxWrites;
  }

  /** The error of a write of `size` bytes that does not fit. */
  fullError(size: number): OutboxFullError {
    const limit = this.#writes < this.#limits.maxOutboxWrites ? "maxOutbox" : "maxOutboxWrites";
    return new OutboxFullError(size, this.counts, limit, this.#limits[limit]);
  }

  #countSettled(size: number): void {
    this.#totalSize -= size;
    this.#writes--;
    if (this.#writes === 0) this.onTurnPassed();
    // A later write of this size may wait too (see `mayExceedLimit`). The oversized write settles before that write.
    if (size === this.#oversizedWrite) this.#oversizedWrite = 0;
  }
}

/** The number of bytes of `data`; undefined if its type is wrong. */
export function dataSize(data: Data): number | undefined {
  if (isUint8Array(data)) return data.length;
  if (typeof data === "string") return Buffer.byteLength(data);
  if (!Array.isArray(data)) return undefined;
  let total = 0;
  for (const part of data as readonly unknown[]) {
    if (isUint8Array(part)) total += part.length;
    else if (typeof part === "string") total += Buffer.byteLength(part);
    else return undefined;
  }
  return total;
}
