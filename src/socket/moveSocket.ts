// The calls that move bytes inside the kernel, without a copy in the program: sendfile.

import { quote } from "../addr/index.js";
import type { Descriptor } from "../fd/index.js";
import { integer } from "../sys/arguments.js";
import { check, ETIMEDOUT, socketError } from "../sys/errno.js";
import { BatchSocket } from "./batchSocket.js";
import { type FileSending, type FileSource, SENDFILE } from "../sys/operations/move.js";
import { checkOptions, signalOf, timeoutOf, type WaitOptions } from "./options.js";

/** Options of `sendfile`. */
export interface SendFileOptions extends WaitOptions {
  /** Where in the file to start, in bytes; 0 if not given. The file's own offset is neither used nor changed. */
  readonly offset?: number | undefined;
  /** How many bytes to send; up to the end of the file if not given. */
  readonly count?: number | undefined;
  /** Called with the number of bytes sent so far: about once per MiB, and at the end. What it throws ends the call. */
  readonly onProgress?: ((transferred: number) => void) | undefined;
}

const PROGRESS_STEP = 1 << 20;

/** The descriptor of a socket, for the calls that need two. */
export let descriptorOf: (socket: MoveSocket) => Descriptor;

export abstract class MoveSocket extends BatchSocket {
  static {
    descriptorOf = (socket) => socket.descriptor;
  }

  /**
   * Sends the bytes of a file without taking them into the program: sendfile(2), as often as it takes. Resolves when the
   * kernel has taken all of them.
   *
   * When it is cut short (`timeout`, `signal`, `close()`, an error), `transferred` of the error says how many bytes went out
   * (an abort's reason has it if it is an object): to send from `offset + transferred` on goes on exactly there. The
   * descriptor belongs to the call until the promise settles; a FileHandle that is closed meanwhile ends the call with
   * `EBADF`.
   *
   * A file that is not in memory is read by the kernel meanwhile, and the thread is blocked for as long: at most 1 MiB at a
   * time, then others have their turn. Where disks are slow, that is what worker threads are for.
   *
   * @param file descriptor of a regular file or a block device, or an object with one, such as a FileHandle
   * @returns the number of bytes sent: fewer than `count` where the file ends before
   * @throws SocketError with `transferred`: `EPIPE`, `ECONNRESET`, `ENOTCONN`, `EBADF`, `EIO`, `ETIMEDOUT`; `EINVAL` if it is no
   *   regular file …
   * @see sendfile(2)
   * @example
   * ```ts
   * import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
   * import { open } from "node:fs/promises";
   * import { tmpdir } from "node:os";
   * import { join } from "node:path";
   * import { socketpair } from "berkeley";
   *
   * const folder = mkdtempSync(join(tmpdir(), "sendfile-"));
   * writeFileSync(join(folder, "hello"), "Hello, Server");
   * const file = await open(join(folder, "hello"));
   * const [left, right] = socketpair();
   *
   * console.log(await left.sendfile(file, { offset: 7 })); // prints: 6
   * console.log((await right.recv(100)).toString()); // prints: Server
   *
   * left.close();
   * right.close();
   * await file.close();
   * rmSync(folder, { recursive: true });
   * ```
   */
  async sendfile(file: FileSource, opts?: SendFileOptions): Promise<number> {
    const action = "sendfile";
    const fd = descriptorIn(file);
    checkOptions(opts, action);
    const timeout = timeoutOf(opts, this.timeout, action);
    const signal = signalOf(opts, action);
    const offset = integer(opts?.offset ?? 0, action, "offset", 0, Number.MAX_SAFE_INTEGER);
    const count = opts?.count === undefined ? undefined : integer(opts.count, action, "count", 0, Number.MAX_SAFE_INTEGER);
    const onProgress: unknown = opts?.onProgress;
    if (onProgress !== undefined && typeof onProgress !== "function") {
      throw new TypeError(`Cannot ${action}: onProgress is ${quote(onProgress)}, required a function`);
    }
    signal?.throwIfAborted();
    this.checkOpen(action);
    const size = check(this.calls().fileSize(fd), action);
    // Files without a length of their own, such as those of /proc, end where the kernel says so. For others the last call
    // asks for no more than there is, or the kernel would hold the last packet back for what does not come.
    const end = size === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, size - offset);
    const total = Math.min(count ?? end, end);
    const sending: FileSending = { file, offset, until: total, sent: 0, ended: false };
    const { writing } = this.descriptor;
    // Who has nothing to send is not to wait for room.
    if (total === 0) return 0;
    if (onProgress === undefined) {
      await writing.run(this, SENDFILE, sending, undefined, timeout, signal);
      return sending.sent;
    }
    const deadline = timeout === null ? null : performance.now() + timeout;
    sending.until = 0;
    do {
      const left = deadline === null ? null : deadline - performance.now();
      if (left !== null && left <= 0 && sending.sent > 0) throw socketError(ETIMEDOUT, action, { transferred: sending.sent });
      sending.until = Math.min(total, sending.until + PROGRESS_STEP);
      await writing.run(this, SENDFILE, sending, undefined, left, signal);
      onProgress(sending.sent);
    } while (!sending.ended && sending.sent < total);
    return sending.sent;
  }
}

function descriptorIn(file: unknown): number {
  const action = "sendfile";
  if (typeof file === "number") return integer(file, action, "file", 0, 0x7fff_ffff);
  const fd: unknown = typeof file === "object" && file !== null && "fd" in file ? file.fd : undefined;
  if (typeof fd !== "number") {
    throw new TypeError(`Cannot ${action}: file is ${quote(file)}, required a descriptor or an object with one in fd`);
  }
  // A FileHandle that is closed has -1, which is for the kernel to refuse.
  return integer(fd, action, "file.fd", -1, 0x7fff_ffff);
}
