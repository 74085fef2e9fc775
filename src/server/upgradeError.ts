// The error of an upgrade whose new program did not take over.

import { BerkeleyError } from "../errors/index.js";
import { mark } from "../errors/mark.js";

/**
 * The new program did not start, or it ended before it was ready. The old program continues to serve. The code is
 * `ERR_UPGRADE`. If the error that ended the new program is known, the message has it.
 */
export class UpgradeError extends BerkeleyError {
  /** The name of the error, for programs. */
  override readonly code = "ERR_UPGRADE" as const;
  /** The process id of the new program. Undefined if it did not start. */
  readonly pid: number | undefined;
  /** The exit status of the new program; null if a signal has ended it, or if it did not start. */
  readonly exitCode: number | null;
  /** The signal that has ended the new program; null if no signal has ended it. */
  readonly signal: NodeJS.Signals | null;

  constructor(
    message: string,
    end: { readonly pid: number | undefined; readonly exitCode: number | null; readonly signal: NodeJS.Signals | null },
    options?: { readonly cause?: unknown },
  ) {
    super(message, options);
    this.pid = end.pid;
    this.exitCode = end.exitCode;
    this.signal = end.signal;
  }

  static {
    UpgradeError.prototype.name = "UpgradeError";
    mark(UpgradeError);
  }
}
