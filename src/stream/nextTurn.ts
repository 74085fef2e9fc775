// Delays a read that finds its bytes in the buffer, if the budget of the turn is spent.

import type { IoOptions } from "../io.js";
import { localError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { threadTurnBudget } from "../wait/turnBudget.js";
import type { BufferedReader } from "./bufferedReader.js";

/**
 * Calls `startRead` in the next turn, with the remaining time as `timeout`. The reading side is locked until then. The
 * bytes are in the buffer already, so the call does not time out before `startRead`.
 */
export async function readInNextTurn<T>(
  reader: BufferedReader,
  opts: IoOptions | undefined,
  startRead: (opts: IoOptions | undefined) => Promise<T>,
): Promise<T> {
  const timeout = opts?.timeout ?? null;
  const startTime = timeout === null ? 0 : reader.now();
  reader.lock();
  try {
    await threadTurnBudget.next();
  } finally {
    reader.unlock();
  }
  if (reader.closed) throw localError("ECANCELED", "read");
  // The signal may be aborted now.
  const refused = optionsError(opts, "read");
  if (refused !== undefined) throw refused.error;
  if (timeout === null) return startRead(opts);
  return startRead({ timeout: Math.max(0, timeout - (reader.now() - startTime)), signal: opts?.signal });
}
