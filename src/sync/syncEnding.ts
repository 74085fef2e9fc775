// Socket.end(), blocking. stream/endConnection.ts explains why an orderly end takes more than close(2).

import { quote } from "../check/index.js";
import { SocketError } from "../errors/index.js";
import { END_MAX_BYTES, END_TIMEOUT, type EndResult } from "../io.js";
import type { EndOptions as AwaitableEnd } from "../io.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { blockingRunnerOf } from "./blockingRunner.js";
import { deadlineIn } from "./blockingCall.js";
import type { Socket } from "./syncSocket.js";
import { blockingTimeoutOf } from "./syncOptions.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";

/** Options of `end`: `timeout` in ms, `maxBytes`. */
export type EndOptions = Omit<AwaitableEnd, "signal">;

const END_NAMES: readonly string[] = [...WAIT_NAMES, "maxBytes"];
/** Maximum number of bytes of one receive. */
const DISCARD_SIZE = 65_536;

function maxBytesOf(opts: EndOptions | undefined): number {
  const max: unknown = opts?.maxBytes ?? END_MAX_BYTES;
  if (max === Infinity || (Number.isSafeInteger(max) && (max as number) >= 0)) return max as number;
  const text = `Cannot end: maxBytes is ${quote(max)}, required a whole number from 0, or Infinity`;
  throw typeof max === "number" ? new RangeError(text) : new TypeError(text);
}

/** Shuts down writing, reads and drops bytes until the peer finishes or a limit is reached, and closes. */
export function endSyncSocket(socket: Socket, opts: EndOptions | undefined): EndResult {
  const deadline = deadlineIn(blockingTimeoutOf(opts, END_TIMEOUT, "end", END_NAMES));
  const maxBytes = maxBytesOf(opts);
  if (socket.type !== SOCK_STREAM) {
    throw new TypeError(`Cannot end: the socket is of type ${socket.type}, required SOCK_STREAM`);
  }
  if (socket.closed) return { how: "closed", dropped: 0 };
  const remaining = (): number | null => (deadline === Infinity ? null : Math.max(0, deadline - performance.now()));
  const discarded = new Uint8Array(DISCARD_SIZE);
  let dropped = blockingRunnerOf(socket)?.reader?.discard() ?? 0;
  // The loop below sets another value, unless it ends because more than `maxBytes` bytes were dropped.
  let how: EndResult["how"] = "maxBytes";
  try {
    socket.shutdown(SHUT_WR);
    while (dropped <= maxBytes) {
      const timeout = remaining();
      // Reads one byte more than the limit allows. That byte shows that the limit is exceeded.
      const count = socket.recvInto(discarded.subarray(0, Math.min(DISCARD_SIZE, maxBytes - dropped + 1)), { timeout });
      if (count === 0) {
        how = "finished";
        break;
      }
      dropped += count;
      // The deadline has passed, and the peer still sends.
      if (timeout === 0) {
        how = "timeout";
        break;
      }
    }
    return { how, dropped };
  } catch (error) {
    if (error instanceof SocketError && error.code === "ETIMEDOUT") return { how: "timeout", dropped };
    return { how: "failed", dropped, error };
  } finally {
    socket.close();
  }
}
