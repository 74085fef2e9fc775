// The addon can not be loaded.

/**
 * Loading the addon failed: `import "berkeley"` throws this error. The message says which file was found or missed, what is
 * wrong with it, and which command mends it. The error has no stack, because no code of the program took part.
 *
 * - `platform`, `runtime`: no addon can work on this platform, or in this runtime or this version of it,
 * - `poller`: BERKELEY_POLLER has a value that is not known or can't be had in this runtime,
 * - `missing`: there is neither a local build nor a prebuilt file for this architecture and C library,
 * - `unreadable`: the file can't be opened or read,
 * - `truncated`: the file is empty or cut off,
 * - `foreign`: the file is no addon of this package,
 * - `architecture`, `libc`: the file is for another processor or another C library,
 * - `version`: the file was built for another version of this package,
 * - `refused`: dlopen(3) refused the file, such as on a file system that is mounted with noexec.
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
export class AddonError extends Error {
  /** Always `"ERR_ADDON"`. */
  readonly code: "ERR_ADDON";
  /** What is wrong, for programs. */
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
  /** The files that were looked for, in order. */
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
  }
}
