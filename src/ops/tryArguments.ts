// The calls that never wait: trySend, tryRecv, tryRecvInto. What they ask for, and what became of it.

import { MSG_DONTWAIT } from "../sys/constants.js";
import { EAGAIN } from "../sys/errno.js";
import { failure, type Operation } from "../reactor/operation.js";
import { flagsOf, type TransferOptions } from "./flags.js";
import { recvIntoRequest, recvRequest } from "./byteArguments.js";
import type { Request } from "./request.js";

/** Options of a call that does not wait. */
export type FlagOptions = Pick<TransferOptions, "flags">;

/** With flags goes the one against waiting, so that MSG_WAITALL has no call collect bytes. */
function withoutWait(opts: FlagOptions | undefined): TransferOptions | undefined {
  const flags = flagsOf(opts, "recv");
  return flags === 0 ? undefined : { flags: flags | MSG_DONTWAIT };
}

export function tryRecvRequest(type: number, size: number, opts: FlagOptions | undefined): Request<Buffer> {
  return recvRequest(type, size, withoutWait(opts));
}

export function tryRecvIntoRequest(type: number, buffer: Uint8Array, opts: FlagOptions | undefined): Request<number> {
  return recvIntoRequest(type, buffer, withoutWait(opts));
}

/** What an attempt returned, for the caller of a call that does not wait: undefined for would-block. */
export function countOf<A, B, T>(operation: Operation<A, B, T>, result: number, a: A, b: B): number | undefined {
  if (result >= 0) return result;
  if (result === EAGAIN) return undefined;
  throw failure(operation, result, a, b);
}
