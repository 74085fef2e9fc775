// Ends a connection without a reset. A reset would discard the last bytes that were sent.
//
// If a TCP socket has unread data when close(2) is called, or gets data afterwards, the kernel sends a reset. A reset
// makes the peer's kernel discard data that the peer has received and not read (RFC 1122, section 4.2.2.13; RFC 9112,
// section 9.6). So endConnection() ends writing, reads until the peer ends its direction too, and then closes. A
// timeout and a number of bytes limit these reads, because a peer may never end.

import { quote } from "../check/index.js";
import { END_MAX_BYTES, END_TIMEOUT, type Conn, type EndOptions, type EndResult } from "../io.js";
import { adoptSignal } from "../wait/aborts.js";
import { optionsError } from "../wait/pendingCall.js";

const DISCARD_SIZE = 65_536;
/** Memory for discarded bytes. All connections share it, because no code uses the bytes. Allocated at the first use. */
let discardBuffer = new Uint8Array(0);

/** The reading side of the connection, whose buffer may have bytes. */
export interface EndingReader {
  /**
   * Locks the reading side permanently, even after a failure, and drops the bytes in the buffer. Returns their number.
   */
  lockAndDiscard(): number;
  readonly closed: boolean;
  /** Whether the peer has ended its direction, so that nothing is left to read. */
  readonly ended: boolean;
  now(): number;
}

/** The error of a wrong option, or undefined. An aborted signal is no error here: `end()` then closes at once. */
export function endOptionsError(opts: EndOptions | undefined): Error | undefined {
  const refused = optionsError(opts, "end", ["timeout", "signal", "maxBytes"]);
  if (refused !== undefined && !isAbort(refused.error, opts)) return refused.error as Error;
  const max = opts?.maxBytes;
  const isCount = Number.isSafeInteger(max) && (max as number) >= 0;
  if (max === undefined || max === Infinity || isCount) return undefined;
  const text = `Cannot end: maxBytes is ${quote(max)}, required a whole number from 0, or Infinity`;
  return typeof max === "number" ? new RangeError(text) : new TypeError(text);
}

/** Whether the signal is aborted and `error` is its reason. */
function isAbort(error: unknown, opts: EndOptions | undefined): boolean {
  try {
    const signal = adoptSignal(opts?.signal);
    return signal?.aborted === true && signal.reason === error;
  } catch {
    return false;
  }
}

/** Ends writing, discards the received bytes until the peer ends or a limit is reached, and closes. */
export async function endConnection(
  conn: Conn,
  reader: EndingReader,
  opts: EndOptions | undefined,
): Promise<EndResult> {
  if (reader.closed) return { how: "closed", dropped: 0 };
  const { maxBytes = END_MAX_BYTES, timeout = END_TIMEOUT } = opts ?? {};
  const signal = adoptSignal(opts?.signal);
  const deadline = timeout === null ? undefined : reader.now() + timeout;
  const timeLeft = (): number | null => (deadline === undefined ? null : Math.max(0, deadline - reader.now()));
  const discard: DiscardProgress = { dropped: reader.lockAndDiscard(), maxBytes, timeLeft, signal };
  let writingEnded = false;
  let how: EndResult["how"];
  let failure: { readonly error?: unknown } = {};
  try {
    signal?.throwIfAborted();
    await conn.closeWrite({ timeout: timeLeft(), signal });
    writingEnded = true;
    // After the end of the peer, another read would only cost time.
    const hasFinished = reader.ended && discard.dropped <= maxBytes;
    how = hasFinished ? "finished" : await discardUntilEnd(conn, discard);
  } catch (error) {
    const code = (error as { readonly code?: unknown } | null)?.code;
    if (reader.closed || code === "EBADF" || code === "ECANCELED") how = "closed";
    // The clock is not checked, because a timer of Node may fire before the deadline.
    else if (code === "ETIMEDOUT") how = "timeout";
    else {
      how = "failed";
      failure = { error };
    }
  }
  // If not all data were written, the peer must get a reset. abort() also ends the pending writes, for which close()
  // would wait.
  if (!writingEnded) conn.abort();
  await conn.close();
  // The abort is the cause of the failure.
  if (signal?.aborted === true && how === "failed") throw signal.reason;
  return { how, dropped: discard.dropped, ...failure };
}

/** The number of bytes that were discarded, and the limits of discarding. */
interface DiscardProgress {
  dropped: number;
  readonly maxBytes: number;
  readonly timeLeft: () => number | null;
  readonly signal: AbortSignal | undefined;
}

/** Reads and discards bytes until the peer ends or a limit is reached. Returns which of these has happened. */
async function discardUntilEnd(conn: Conn, discard: DiscardProgress): Promise<EndResult["how"]> {
  const { maxBytes, timeLeft, signal } = discard;
  while (discard.dropped <= maxBytes) {
    if (discardBuffer.length === 0) discardBuffer = new Uint8Array(DISCARD_SIZE);
    // The read takes one byte more than allowed, to distinguish a peer that sends exactly maxBytes from one that sends
    // more.
    const size = Math.min(DISCARD_SIZE, maxBytes - discard.dropped + 1);
    const timeout = timeLeft();
    const target = size === DISCARD_SIZE ? discardBuffer : discardBuffer.subarray(0, size);
    const count = await conn.read(target, { timeout, signal });
    if (count === 0) return "finished";
    discard.dropped += count;
    // A read that finds data does not time out. Without this check, the call would never time out while the peer keeps
    // sending.
    if (timeout === 0) return "timeout";
  }
  return "maxBytes";
}
