// sendfile: the bytes of a file to a socket, inside the kernel.

import { checkOptions, integer, quote } from "../check/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { check, EBADF } from "../sys/errno.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";

const ACTION = "sendfile";

/**
 * Maximum number of bytes of one sendfile(2). The call blocks the thread while the kernel reads a file that is not in
 * memory. This is about what a disk reads in a few milliseconds.
 */
const SENDFILE_CHUNK = 1 << 20;

/** The bytes between two calls of `onProgress`. */
export const PROGRESS_STEP: number = 1 << 20;

/** A descriptor, or an object with one. Each system call reads it again, so a FileHandle that was closed is noticed. */
export type FileSource = number | { readonly fd: number };

/** Options of `sendfile`. */
export interface SendFileOptions extends WaitOptions {
  /** The file offset of the first byte; the default is 0. The call neither uses nor changes the file's own offset. */
  readonly offset?: number | undefined;
  /** The number of bytes to send; the default is all to the end of the file. */
  readonly count?: number | undefined;
  /**
   * Called with the number of bytes sent so far: about once per MiB, and at the end. An error that it throws ends the
   * call.
   */
  readonly onProgress?: ((transferred: number) => void) | undefined;
}

/** The progress of a sendfile. */
export interface FileSending {
  readonly file: FileSource;
  /** The file offset of the first byte. */
  readonly offset: number;
  /** The operation completes after this many bytes. */
  until: number;
  sent: number;
  ended: boolean;
  /** Called after each attempt that sent bytes, and at the end of each chunk. It must not run code of users. */
  moved?: (() => void) | undefined;
}

export const SENDFILE: Operation<FileSending, undefined, void> = operation<FileSending, undefined, void>({
  syscall: "sendfile",
  movesBytes: true,
  attempt: (calls, fd, sending) => {
    const left = sending.until - sending.sent;
    const file = typeof sending.file === "number" ? sending.file : sending.file.fd;
    // The `fd` of a closed FileHandle is -1.
    if (typeof file !== "number" || file < 0) return EBADF;
    // With a callback a call ends at each whole chunk, so the callback runs there.
    const chunk = sending.moved === undefined ? SENDFILE_CHUNK : SENDFILE_CHUNK - (sending.sent % SENDFILE_CHUNK);
    const result = calls.sendfile(fd, file, sending.offset + sending.sent, Math.min(left, chunk));
    if (result < 0) return result;
    sending.sent += result;
    if (result === 0) sending.ended = true;
    else sending.moved?.();
    return result === 0 || sending.sent >= sending.until ? result : progress(result);
  },
  complete: () => undefined,
  transferred: (sending) => sending.sent,
});

export interface CheckedFile {
  readonly file: FileSource;
  readonly fd: number;
  readonly offset: number;
  readonly count: number | undefined;
  readonly onProgress: ((transferred: number) => void) | undefined;
}

const SENDFILE_NAMES: readonly string[] = [...WAIT_NAMES, "offset", "count", "onProgress"];

export function checkSendfile(file: FileSource, opts: SendFileOptions | undefined): CheckedFile {
  const fd = descriptorIn(file);
  checkOptions(opts, ACTION, SENDFILE_NAMES);
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
  // The `fd` of a closed FileHandle is -1; the kernel refuses it.
  return integer(fd, ACTION, "file.fd", -1, 0x7fff_ffff);
}

/** Reads the length of the file. Returns the operand of SENDFILE. */
export function fileSending(calls: Calls, { count, fd, file, offset }: CheckedFile): FileSending {
  const size = check(calls.fileSize(fd), ACTION);
  // Files without a length, such as those of /proc, end when the kernel returns 0. For other files the last call
  // requests exactly the rest of the file. A larger request would make the kernel delay the last packet.
  const end = size === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, size - offset);
  return { file, offset, until: Math.min(count ?? end, end), sent: 0, ended: false };
}
