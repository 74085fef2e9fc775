// AddonError: the addon cannot be loaded.

import { BerkeleyError } from "./berkeleyError.js";
import { mark } from "./mark.js";

/**
 * Loading the addon failed: `import "berkeley"` throws this error. The message says which file is wrong or missing,
 * why, and which command repairs it. The error has no stack, because the program is not the cause.
 *
 * - `platform`, `runtime`: no addon can work on this platform, in this runtime, or in this version of it,
 * - `poller`: BERKELEY_POLLER has an unknown value, or one that this runtime does not support,
 * - `missing`: there is neither a local build nor a prebuilt file for this architecture and C library,
 * - `unreadable`: the file can't be opened or read,
 * - `truncated`: the file is empty or incomplete,
 * - `foreign`: the file is not an addon of this package,
 * - `architecture`, `libc`: the file is for another processor or another C library,
 * - `version`: the file was built for another version of this package,
 * - `refused`: dlopen(3) refused the file, for example on a file system that is mounted with noexec.
 *
 * @see dlopen(3)
 * @example
 * ```ts
 * try {
 *   await import("berkeley");
 * } catch (error) {
 *   if ((error as { code?: string }).code === "ERR_ADDON") console.error((error as Error).message);
 * }
 * ```
 */
export class AddonError extends BerkeleyError {
  /** Always `"ERR_ADDON"`. */
  override readonly code: "ERR_ADDON";
  /** The reason as a code, for programs. */
  readonly reason:
    | "platform"
    | "runtime"
    | "poller"
    | "missing"
    | "unreadable"
    | "truncated"
    | "foreign"
    | "architecture"
    | "libc"
    | "version"
    | "refused";
  /** The files that were tried, in order. */
  readonly tried: readonly string[];

  constructor(message: string, reason: AddonError["reason"], tried: readonly string[] = []) {
    super(message);
    this.code = "ERR_ADDON";
    this.reason = reason;
    this.tried = tried;
    this.stack = `AddonError: ${message}`;
  }

  static {
    AddonError.prototype.name = "AddonError";
    mark(AddonError);
  }
}
