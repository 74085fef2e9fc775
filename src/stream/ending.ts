// The end of a conversation that does not cut off what was said last.
//
// close(2) of a TCP socket with unread data, or to which data comes afterwards, sends a reset, and a reset takes from the peer
// what it has received and not read (RFC 1122, section 4.2.2.13; RFC 9112, section 9.6). So a server that answers before it
// has read everything has to finish writing, read on until the peer finishes, and only then close. A peer may do that never,
// or send for ever, hence the bounds.

import { END_MAX_BYTES, END_TIMEOUT, type Conn, type EndOptions, type EndResult } from "../io.js";
import { kindOf } from "../check/index.js";
import { refusal, takeSignal } from "../wait/pendingCall.js";

/** Where dropped bytes go, of all connections: nobody reads it. */
let dump = new Uint8Array(0);
const DUMP = 65_536;

/** The reading side of a connection, with what it holds of it. */
export interface EndingReader {
  /** Takes the reading side for good, whatever ended it, and drops what is buffered; returns how many bytes that were. */
  seize(): number;
  readonly closed: boolean;
  now(): number;
}

/** What is wrong with the options, as an error. */
export function endRefusal(opts: EndOptions | undefined): Error | undefined {
  const refused = refusal(opts);
  // An aborted signal closes.
  if (refused !== undefined && !isAbort(refused.error, opts)) return refused.error as Error;
  const max = opts?.maxBytes;
  if (max === undefined || max === Infinity || (Number.isSafeInteger(max) && max >= 0)) return undefined;
  const text = `Cannot end: maxBytes is ${typeof max === "number" ? max : kindOf(max)}, required an integer from 0 or Infinity`;
  return typeof max === "number" ? new RangeError(text) : new TypeError(text);
}

/** Whether the options are refused for nothing but their signal, which is aborted. */
function isAbort(error: unknown, opts: EndOptions | undefined): boolean {
  try {
    const signal = takeSignal(opts?.signal);
    return signal?.aborted === true && signal.reason === error;
  } catch {
    return false;
  }
}

/** Shuts down writing, drops what comes until the peer's end within the bounds, and closes. */
export async function endConn(conn: Conn, reader: EndingReader, opts: EndOptions | undefined): Promise<EndResult> {
  if (reader.closed) return { how: "closed", dropped: 0 };
  const { maxBytes = END_MAX_BYTES, timeout = END_TIMEOUT } = opts ?? {};
  const signal = takeSignal(opts?.signal);
  const deadline = timeout === null ? undefined : reader.now() + timeout;
  const left = (): number | null => (deadline === undefined ? null : Math.max(0, deadline - reader.now()));
  const farewell: Farewell = { dropped: reader.seize(), maxBytes, left, signal };
  let written = false;
  let how: EndResult["how"];
  let failed: { readonly error?: unknown } = {};
  try {
    signal?.throwIfAborted();
    await conn.closeWrite({ timeout: left(), signal });
    written = true;
    how = await drop(conn, farewell);
  } catch (error) {
    const code = (error as { readonly code?: unknown } | null)?.code;
    if (reader.closed || code === "EBADF" || code === "ECANCELED") how = "closed";
    // Not by the clock: a timer of Node fires early by as much as the turn took in which it was set.
    else if (code === "ETIMEDOUT") how = "timeout";
    else {
      how = "failed";
      failed = { error };
    }
  }
  // What could not be written is not to look complete to the peer, nor to be waited for again by close().
  if (!written) conn.abort();
  await conn.close();
  if (signal?.aborted === true && how === "failed") throw signal.reason;
  return { how, dropped: farewell.dropped, ...failed };
}

interface Farewell {
  dropped: number;
  readonly maxBytes: number;
  readonly left: () => number | null;
  readonly signal: AbortSignal | undefined;
}

async function drop(conn: Conn, farewell: Farewell): Promise<EndResult["how"]> {
  const { maxBytes, left, signal } = farewell;
  while (farewell.dropped <= maxBytes) {
    if (dump.length === 0) dump = new Uint8Array(DUMP);
    // One byte more than may come tells that from the end.
    const room = Math.min(DUMP, maxBytes - farewell.dropped + 1);
    const timeout = left();
    const count = await conn.read(room === DUMP ? dump : dump.subarray(0, room), { timeout, signal });
    if (count === 0) return "finished";
    farewell.dropped += count;
    // A read that need not wait has no timeout, and a peer that sends without a pause would have us read for ever.
    if (timeout === 0) return "timeout";
  }
  return "maxBytes";
}
