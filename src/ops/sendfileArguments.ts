// sendfile: its arguments, checked, and the pieces in which its caller hears of it.

import { warnOnRejection } from "../callbacks.js";
import { checkOptions, integer, quote } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { check } from "../sys/errno.js";
import { timeoutError } from "../wait/localError.js";
import type { FileSending, FileSource } from "./transfer.js";
import { type WaitOptions } from "../wait/waitOptions.js";

/** Options of `sendfile`. */
export interface SendFileOptions extends WaitOptions {
  /** Where in the file to start, in bytes; 0 if not given. The file's own offset is neither used nor changed. */
  readonly offset?: number | undefined;
  /** How many bytes to send; up to the end of the file if not given. */
  readonly count?: number | undefined;
  /** Called with the number of bytes sent so far: about once per MiB, and at the end. What it throws ends the call. */
  readonly onProgress?: ((transferred: number) => void) | undefined;
}

/** Bytes after which `onProgress` is called again. */
export const PROGRESS_STEP: number = 1 << 20;
const ACTION = "sendfile";

export interface FileRequest {
  readonly file: FileSource;
  readonly fd: number;
  readonly offset: number;
  readonly count: number | undefined;
  readonly onProgress: ((transferred: number) => void) | undefined;
}

export function sendfileRequest(file: FileSource, opts: SendFileOptions | undefined): FileRequest {
  const fd = descriptorIn(file);
  checkOptions(opts, ACTION);
  const offset = integer(opts?.offset ?? 0, ACTION, "offset", 0, Number.MAX_SAFE_INTEGER);
  const count =
    opts?.count === undefined ? undefined : integer(opts.count, ACTION, "count", 0, Number.MAX_SAFE_INTEGER);
  const onProgress = opts?.onProgress;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(`Cannot ${ACTION}: onProgress is ${quote(onProgress)}, required a function`);
  }
  return { file, fd, offset, count, onProgress };
}

function descriptorIn(file: unknown): number {
  if (typeof file === "number") return integer(file, ACTION, "file", 0, 0x7fff_ffff);
  const fd: unknown = typeof file === "object" && file !== null && "fd" in file ? file.fd : undefined;
  if (typeof fd !== "number") {
    throw new TypeError(`Cannot ${ACTION}: file is ${quote(file)}, required a descriptor or an object with one in fd`);
  }
  // A FileHandle that is closed has -1, which is for the kernel to refuse.
  return integer(fd, ACTION, "file.fd", -1, 0x7fff_ffff);
}

/** Asks how long the file is; what is then to be sent. */
export function fileSending(calls: Calls, { count, fd, file, offset }: FileRequest): FileSending {
  const size = check(calls.fileSize(fd), ACTION);
  // Files without a length of their own, such as those of /proc, end where the kernel says so. For others the last call
  // asks for no more than there is, or the kernel would hold the last packet back for what does not come.
  const end = size === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, size - offset);
  return { file, offset, until: Math.min(count ?? end, end), sent: 0, ended: false };
}

/**
 * The runs that a sendfile takes when it blocks the thread, none where there is nothing to send: for each, `sending` is ready for the operation, and
 * what is left of the timeout (ms) is yielded.
 */
export function* sendfileRuns(
  sending: FileSending,
  { onProgress }: FileRequest,
  timeout: number | null,
): Generator<number | null, void, void> {
  const total = sending.until;
  if (total === 0) return;
  if (onProgress === undefined) {
    yield timeout;
    return;
  }
  const deadline = timeout === null ? null : performance.now() + timeout;
  sending.until = 0;
  do {
    const left = deadline === null ? null : deadline - performance.now();
    if (left !== null && left <= 0 && sending.sent > 0) throw timeoutError(ACTION, { transferred: sending.sent });
    sending.until = Math.min(total, sending.until + PROGRESS_STEP);
    yield left;
    warnOnRejection("onProgress", onProgress(sending.sent));
  } while (!sending.ended && sending.sent < total);
}
