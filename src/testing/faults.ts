// Scripted faults of a connection in memory: which call of which end fails, after how many bytes, and with which error.

import { localError } from "../wait/localError.js";

/** A scripted fault of a connection in memory. */
export interface Fault {
  /** Which end fails: `"a"` is the first of the pair. Default: both, each with a byte count of its own. */
  readonly side?: "a" | "b" | undefined;
  /** Which call fails. */
  readonly call: "read" | "write" | "closeWrite";
  /**
   * The number of bytes that calls of this kind move on this end before one fails. Default 0: the next call fails. A
   * read returns the bytes up to this number, and the next read fails. A write fails at this number. If `error` is a
   * code, `transferred` of the error is the number of bytes that the failed write has moved. A `closeWrite()` moves no
   * bytes, so only 0 is allowed there.
   */
  readonly after?: number | undefined;
  /** The code of a `SocketError`, or any error. */
  readonly error: string | Error;
  /** How many calls fail. Default 1. */
  readonly times?: number | undefined;
}

/** The faults of one kind of call on one end, in the order of their byte counts. */
export class FaultScript {
  readonly #call: string;
  readonly #faults: { readonly after: number; readonly error: string | Error; times: number }[];
  #movedBytes = 0;

  constructor(faults: readonly Fault[], side: "a" | "b", call: Fault["call"]) {
    this.#call = call;
    this.#faults = faults
      .filter((fault) => fault.call === call && (fault.side ?? side) === side)
      .map(({ after = 0, error, times = 1 }) => ({ after, error, times }))
      .sort((one, other) => one.after - other.after);
  }

  /** The number of bytes that can be moved before the next fault; 0 when the fault is due. */
  get bytesToNext(): number {
    const next = this.#faults[0];
    return next === undefined ? Infinity : Math.max(0, next.after - this.#movedBytes);
  }

  /** Counts bytes that were moved. */
  count(bytes: number): void {
    this.#movedBytes += bytes;
  }

  /** Counts the due fault as used by one call, and returns its error; undefined if no fault is due. */
  takeError(transferred?: number): Error | undefined {
    const fault = this.#faults[0];
    if (fault === undefined || fault.after > this.#movedBytes) return undefined;
    if (--fault.times <= 0) this.#faults.shift();
    return typeof fault.error === "string" ? localError(fault.error, this.#call, { transferred }) : fault.error;
  }
}
