// The MSG_ flags of calls that send and receive.

import { checkOptions, integer } from "../check/index.js";
import { MSG_ZEROCOPY } from "../sys/constants.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";

/** Options of a call that moves bytes. */
export interface TransferOptions extends WaitOptions {
  /** `MSG_` flags, as send(2) and recv(2) take them. */
  readonly flags?: number | undefined;
}

/** Options of a call that never waits. */
export type FlagOptions = Pick<TransferOptions, "flags">;

/** Checks MSG_ flags, and returns their 32 bits as a signed number. The default is 0. */
export function messageFlags(value: unknown, action: string): number {
  if (value === undefined) return 0;
  return integer(value, action, "flags", -0x8000_0000, 0xffff_ffff) | 0;
}

/**
 * Checks the MSG_ flags of a call that sends. MSG_ZEROCOPY is refused: the kernel would still read the memory after the
 * call has settled. V8 may have collected the memory by then and stored other data there, which the kernel would send.
 */
export function sendFlags(value: unknown, action: string): number {
  const flags = messageFlags(value, action);
  if ((flags & MSG_ZEROCOPY) === 0) return flags;
  throw new TypeError(
    `Cannot ${action}: flags contain MSG_ZEROCOPY, required flags without it, because the memory could be ` +
      "collected before the kernel has sent it",
  );
}

/** The names of the options of a call that moves bytes. */
export const TRANSFER_NAMES: readonly string[] = [...WAIT_NAMES, "flags"];

/** The names of the options of a call that never waits. */
export const FLAG_NAMES: readonly string[] = ["flags"];

/** The checked flags of `opts`. `names` are the options that the call has. */
export function flagsOf(
  opts: TransferOptions | undefined,
  action: string,
  names: readonly string[] = TRANSFER_NAMES,
): number {
  if (opts === undefined) return 0;
  checkOptions(opts, action, names);
  return messageFlags(opts.flags, action);
}

/** Like `flagsOf`, for a call that sends. */
export function sendFlagsOf(
  opts: TransferOptions | undefined,
  action: string,
  names: readonly string[] = TRANSFER_NAMES,
): number {
  if (opts === undefined) return 0;
  checkOptions(opts, action, names);
  return sendFlags(opts.flags, action);
}
