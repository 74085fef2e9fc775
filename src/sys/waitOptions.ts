// What every waiting call takes besides its operands.

import { quote } from "../addr/index.js";
import { messageFlags, milliseconds, sendFlags } from "./arguments.js";
import { abortSignal } from "./deadline.js";

/** Options of a call that may wait. */
export interface WaitOptions {
  /** Deadline in ms from the call on; null or Infinity for none. Without it the socket's `timeout` holds. */
  readonly timeout?: number | null | undefined;
  /** Cancels the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a call that moves bytes. */
export interface TransferOptions extends WaitOptions {
  /** `MSG_` flags, as send(2) and recv(2) take them. */
  readonly flags?: number | undefined;
}

export function timeoutOf(opts: WaitOptions | undefined, otherwise: number | null, action: string): number | null {
  if (opts === undefined || opts.timeout === undefined) return otherwise;
  return milliseconds(opts.timeout, action);
}

export function signalOf(opts: WaitOptions | undefined, action: string): AbortSignal | undefined {
  return abortSignal(opts?.signal, action);
}

export function flagsOf(opts: TransferOptions | undefined, action: string): number {
  if (opts === undefined) return 0;
  checkOptions(opts, action);
  return messageFlags(opts.flags, action);
}

/** The flags of a call that sends. */
export function sendFlagsOf(opts: TransferOptions | undefined, action: string): number {
  if (opts === undefined) return 0;
  checkOptions(opts, action);
  return sendFlags(opts.flags, action);
}

/** Refuses what is not an object where options are taken: `recv(10, MSG_PEEK)` would otherwise pass unnoticed. */
export function checkOptions(opts: WaitOptions | undefined, action: string): void {
  if (opts === undefined || (typeof opts === "object" && opts !== null)) return;
  throw new TypeError(
    `Cannot ${action}: options are ${quote(opts)}, required an object such as { timeout, signal, flags }`,
  );
}
