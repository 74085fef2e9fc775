// The error of a new program that did not take over.

import { BerkeleyError } from "../errors/index.js";
import { mark } from "../errors/mark.js";

/** How the new program has ended. */
interface UpgradeErrorDetails {
  readonly pid: number | undefined;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly cause?: unknown;
}

/**
 * The new program did not start, or it ended before it was ready. The old one serves on. The code is `ERR_UPGRADE`. The
 * message has the error that ended the new program, if it was known.
 */
export class UpgradeError extends BerkeleyError {
  override readonly code: "ERR_UPGRADE" = "ERR_UPGRADE";
  /** The process id of the new program. Undefined if it did not start. */
  readonly pid: number | undefined;
  /** The exit status of the new program; null if a signal has ended it. */
  readonly exitCode: number | null;
  /** The signal that has ended the new program. */
  readonly signal: NodeJS.Signals | null;

  constructor(reason: string, { cause, exitCode, pid, signal }: UpgradeErrorDetails) {
    super(`Cannot upgrade: ${reason}`, cause === undefined ? undefined : { cause });
    this.pid = pid;
    this.exitCode = exitCode;
    this.signal = signal;
  }

  static {
    UpgradeError.prototype.name = "UpgradeError";
    mark(UpgradeError);
  }
}
