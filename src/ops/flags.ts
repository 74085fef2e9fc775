// The MSG_ flags of calls that send and receive.

import { integer, checkOptions } from "../check/index.js";
import { MSG_ZEROCOPY } from "../sys/constants.js";
import type { WaitOptions } from "../wait/waitOptions.js";

/** Options of a call that moves bytes. */
export interface TransferOptions extends WaitOptions {
  /** `MSG_` flags, as send(2) and recv(2) take them. */
  readonly flags?: number | undefined;
}

/** MSG_ flags: 32 bits. */
export function messageFlags(value: unknown, action: string): number {
  if (value === undefined) return 0;
  return integer(value, action, "flags", -0x8000_0000, 0xffff_ffff) | 0;
}

/**
 * MSG_ flags of a call that sends. MSG_ZEROCOPY is refused: with it the kernel reads the memory after the call has settled,
 * until a message in the error queue says that it has finished. Here the memory may be collected by then and hold something
 * else, which would go out in its place. Over loopback
 * the kernel copies in the end, so that it only costs more there.
 */
export function sendFlags(value: unknown, action: string): number {
  const flags = messageFlags(value, action);
  if ((flags & MSG_ZEROCOPY) === 0) return flags;
  throw new TypeError(
    `Cannot ${action}: flags have MSG_ZEROCOPY, required none of it: the memory could be collected before the kernel has sent it`,
  );
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
