// The options of the blocking calls: those of the awaitable calls without `signal`.

import { checkOptions } from "../check/index.js";
import type { TransferOptions as AwaitableTransfer } from "../ops/flags.js";
import { timeoutOf, type WaitOptions as AwaitableWait } from "../wait/waitOptions.js";
import type { SendBatchOptions as AwaitableBatch } from "../ops/mmsg.js";
import type { SendSegmentsOptions as AwaitableSegments } from "../ops/sendSegments.js";
import type {
  CreateConnectionOptions as AwaitableConnection,
  CreateServerOptions as AwaitableServer,
} from "../ops/createOptions.js";
import type { SendFileOptions as AwaitableFile } from "../ops/sendfile.js";
import type { RecvmsgOptions as AwaitableRecvmsg } from "../ops/recvmsg.js";
import type { SendmsgOptions as AwaitableSendmsg } from "../ops/sendmsg.js";
import type { AcceptOptions as AwaitableAccept } from "../ops/accept.js";

/** Options of a call that may wait: `timeout` in ms. */
export type WaitOptions = Omit<AwaitableWait, "signal">;
/** Options of a call that moves bytes: `timeout` in ms, `flags`. */
export type TransferOptions = Omit<AwaitableTransfer, "signal">;
/** Options of `accept`: `timeout`, `retryOnShortage`. */
export type AcceptOptions = Omit<AwaitableAccept, "signal">;
/** Options of `sendmsg`: `timeout`, `flags`, `address`, `control`. */
export type SendmsgOptions = Omit<AwaitableSendmsg, "signal">;
/** Options of `recvmsg`: `timeout`, `flags`, `controlSize`. */
export type RecvmsgOptions = Omit<AwaitableRecvmsg, "signal">;
/** Options of `sendmmsg`: `timeout`, `flags`, `start`, `skipRefused`. */
export type SendBatchOptions = Omit<AwaitableBatch, "signal">;
/** Options of `sendSegments`: `timeout`, `flags`, `address`. */
export type SendSegmentsOptions = Omit<AwaitableSegments, "signal">;
/** Options of `sendfile`: `timeout`, `offset`, `count`, `onProgress`. */
export type SendFileOptions = Omit<AwaitableFile, "signal">;
/** Options of `create_connection`: `timeout`, `sourceAddress`, `allErrors`. */
export type CreateConnectionOptions = Omit<AwaitableConnection, "signal">;
/** Options of `create_server`: `timeout`, `family`, `backlog`, `reusePort`, `dualstackIpv6`. */
export type CreateServerOptions = Omit<AwaitableServer, "signal">;

/**
 * The timeout of the options, or `otherwise`. Refuses the option `signal`, because a blocked thread can't run the code
 * that aborts the signal. With `knownNames`, refuses options with other names too.
 */
export function blockingTimeoutOf(
  opts: WaitOptions | undefined,
  otherwise: number | null,
  action: string,
  knownNames?: readonly string[],
): number | null {
  checkOptions(opts, action, knownNames);
  if (opts !== undefined && "signal" in opts && opts.signal !== undefined) {
    throw new TypeError(
      `Cannot ${action}: signal is given, required none, because a blocked thread can't run the aborting code`,
    );
  }
  return timeoutOf(opts, otherwise, action);
}
