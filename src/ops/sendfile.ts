// sendfile: the kernel sends the bytes of a file.

import { checkOptions, integer, quote } from "../check/index.js";
import { progress, type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import { check, EBADF } from "../sys/errno.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";

const ACTION = "sendfile";

/**
 * The maximum number of bytes of one sendfile(2). If they are not in memory, the call blocks the thread until the disk
 * has read them: a few milliseconds for this number.
 */
const SENDFILE_CHUNK = 1 << 20;

/** The number of bytes between two calls of `onProgress`. */
export const PROGRESS_STEP: number = 1 << 20;

/** A descriptor, or an object with one. `fd` is read before each system call, because a FileHandle may be closed. */
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
export interface FileSendProgress {
  readonly file: FileSource;
  /** The file offset of the first byte. */
  readonly offset: number;
  /**
   * The operation completes when `sent` is at least this number, or at the end of the file. The caller may increase the
   * number for a next operation.
   */
  until: number;
  sent: number;
  /** Whether the end of the file was reached. */
  ended: boolean;
  /** Called after each attempt that sent bytes. It must not run code of users. */
  onSent?: (() => void) | undefined;
}

export const SENDFILE: Operation<FileSendProgress, undefined, void> = operation<FileSendProgress, undefined, void>({
  syscall: "sendfile",
  movesBytes: true,
  attempt: (calls, fd, sending) => {
    const remaining = sending.until - sending.sent;
    const { file } = sending;
    const fileFd = typeof file === "number" ? file : file.fd;
    // The `fd` of a closed FileHandle is -1.
    if (typeof fileFd !== "number" || fileFd < 0) return EBADF;
    // With a callback an attempt ends at each multiple of SENDFILE_CHUNK, so the callback runs there.
    const chunk = sending.onSent === undefined ? SENDFILE_CHUNK : SENDFILE_CHUNK - (sending.sent % SENDFILE_CHUNK);
    const result = calls.sendfile(fd, fileFd, sending.offset + sending.sent, Math.min(remaining, chunk));
    if (result < 0) return result;
    sending.sent += result;
    if (result === 0) sending.ended = true;
    else sending.onSent?.();
    return result === 0 || sending.sent >= sending.until ? result : progress(result);
  },
  complete: () => undefined,
  transferred: (sending) => sending.sent,
});

/** The checked arguments of sendfile. */
export interface SendfileRequest {
  readonly file: FileSource;
  /** The descriptor of `file` at the time of the call. */
  readonly fd: number;
  readonly offset: number;
  readonly count: number | undefined;
  readonly onProgress: ((transferred: number) => void) | undefined;
}

const SENDFILE_NAMES: readonly string[] = [...WAIT_NAMES, "offset", "count", "onProgress"];

export function sendfileRequest(file: FileSource, opts: SendFileOptions | undefined): SendfileRequest {
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
  // The `fd` of a closed FileHandle is -1. The kernel refuses this number.
  return integer(fd, ACTION, "file.fd", -1, 0x7fff_ffff);
}

/** Makes the operand of SENDFILE. Reads the length of the file. */
export function fileSendProgress(calls: Calls, { count, fd, file, offset }: SendfileRequest): FileSendProgress {
  const size = check(calls.fileSize(fd), ACTION);
  // Some files, such as those of /proc, have the length 0 and yet have bytes. They end when sendfile(2) returns 0. For
  // other files the last call requests exactly the rest: after a larger request the kernel would delay the last packet.
  const maximum = size === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, size - offset);
  return { file, offset, until: Math.min(count ?? maximum, maximum), sent: 0, ended: false };
}
