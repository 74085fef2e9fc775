// The calls that move bytes inside the kernel, without a copy in the program: sendfile.

import { AsyncResource } from "node:async_hooks";
import { warnOnRejection } from "../callbacks.js";
import type { Descriptor, WaitQueue } from "../reactor/index.js";
import { type FileSending, type FileSource, SENDFILE } from "../ops/transfer.js";
import { fileSending, PROGRESS_STEP, type SendFileOptions, sendfileRequest } from "../ops/sendfileArguments.js";
import { signalOf, timeoutOf } from "../wait/waitOptions.js";
import type { Socket } from "./socket.js";
import { BatchSocket } from "./batchSocket.js";

/** The descriptor of a socket, for the calls that need two. */
export let descriptorOf: (socket: MoveSocket) => Descriptor;

/** Whether a value is a socket that bytes can be moved between. */
export function isSocket(value: unknown): value is Socket {
  return value instanceof MoveSocket;
}

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
    const request = sendfileRequest(file, opts);
    const timeout = timeoutOf(opts, this.timeout, "sendfile");
    const signal = signalOf(opts, "sendfile");
    signal?.throwIfAborted();
    this.checkOpen("sendfile");
    const sending = fileSending(this.calls(), request);
    if (sending.until === 0) return 0;
    const { writing } = this.descriptor;
    const { onProgress } = request;
    const progress = onProgress === undefined ? undefined : followed(sending, AsyncResource.bind(onProgress), writing);
    // One operation, however long the file is: what is sent after it must not come in between.
    await writing.run(this, SENDFILE, sending, undefined, timeout, signal);
    progress?.end();
    return sending.sent;
  }
}

/** Has `onProgress` called while `sending` is under way; what it throws ends the call. */
function followed(
  sending: FileSending,
  onProgress: (transferred: number) => void,
  writing: WaitQueue,
): { end(): void } {
  let next = PROGRESS_STEP;
  let told = -1;
  let failed: { readonly error: unknown } | undefined;
  const tell = (sent: number): void => {
    if (failed !== undefined) return;
    told = sent;
    try {
      warnOnRejection("onProgress", onProgress(sent));
    } catch (error) {
      failed = { error };
      writing.withdraw(sending, error);
    }
  };
  sending.moved = () => {
    const { sent } = sending;
    if (sent < next) return;
    next = PROGRESS_STEP * (Math.floor(sent / PROGRESS_STEP) + 1);
    // Not from here: events are being dispatched.
    queueMicrotask(() => tell(sent));
  };
  return {
    end: () => {
      if (told !== sending.sent) tell(sending.sent);
      if (failed !== undefined) throw failed.error;
    },
  };
}
