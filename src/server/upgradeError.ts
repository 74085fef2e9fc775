// The error of a new program that did not take over.

import { BerkeleyError } from "../errors/index.js";
import { mark } from "../errors/mark.js";

/**
 * The new program did not start, or it ended before it was ready. The old one serves on. The code is `ERR_UPGRADE`. The
 * message has the error that ended the new program, if that is known.
 */
export class UpgradeError extends BerkeleyError {
  /** The name of the error, for programs. */
  override readonly code = "ERR_UPGRADE" as const;
  /** The process id of the new program. Undefined if it did not start. */
  readonly pid: number | undefined;
  /** The exit status of the new program; null if a signal has ended it. */
  readonly exitCode: number | null;
  /** The signal that has ended the new program. */
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
