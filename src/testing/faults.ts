// Failures by script: which call of which side fails, after how many bytes, with what.

import { localError } from "../wait/localError.js";

/** A failure that is due on a connection in memory. */
export interface Fault {
  /** Which end fails: `"a"` is the first of the pair. Both, each on its own count, when absent. */
  readonly side?: "a" | "b" | undefined;
  /** Which call fails. */
  readonly call: "read" | "write" | "closeWrite";
  /**
   * Bytes that go through this call on this side before it fails. Default 0: the next call fails. A read stops there and
   * the one after it fails; a write is cut there, and its error says so in `transferred`.
   */
  readonly after?: number | undefined;
  /** The code of a `SocketError`, or any error. */
  readonly error: string | Error;
  /** How many calls fail. Default 1. */
  readonly times?: number | undefined;
}

/** The faults of one call on one side, as they fall due. */
export class FaultScript {
  readonly #call: string;
  readonly #due: { readonly after: number; readonly error: string | Error; times: number }[];
  #moved = 0;

  constructor(faults: readonly Fault[], side: "a" | "b", call: Fault["call"]) {
    this.#call = call;
    this.#due = faults
      .filter((fault) => fault.call === call && (fault.side ?? side) === side)
      .map(({ after = 0, error, times = 1 }) => ({ after, error, times }))
      .sort((one, other) => one.after - other.after);
  }

  /** Bytes that may go through before the next fault; 0 when it is due. */
  get allowed(): number {
    const next = this.#due[0];
    return next === undefined ? Infinity : Math.max(0, next.after - this.#moved);
  }

  moved(count: number): void {
    this.#moved += count;
  }

  /** The error that is due, once for each call; `undefined` when none is. */
  next(transferred?: number): Error | undefined {
    const fault = this.#due[0];
    if (fault === undefined || fault.after > this.#moved) return undefined;
    if (--fault.times <= 0) this.#due.shift();
    return typeof fault.error === "string" ? localError(fault.error, this.#call, { transferred }) : fault.error;
  }
}
