// The descriptor of a blocking socket.

import { calls } from "../sys/calls.js";
import type { LeakableDescriptor } from "../sys/leakDetection.js";

export class OpenDescriptor implements LeakableDescriptor {
  /** -1 after `close()`. After a release, the caller sets it to -1. */
  fd: number;
  /** Index in the list of descriptors that leak detection has not registered yet; -1 outside the list. */
  pendingIndex: number = -1;
  /**
   * The identity of the open file, from `calls.share()`; 0 if no other code has the number of the descriptor, and
   * -errno if `share()` failed. With an identity, close() and release() detect that the number was reused for another
   * file.
   */
  #file = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Called before other code gets the number. That code may close the descriptor. */
  share(): void {
    if (this.#file === 0 && this.fd >= 0) this.#file = calls.share(this.fd);
  }

  /**
   * Gives up the descriptor without closing it. `fd` does not change.
   *
   * @param blocking whether to clear O_NONBLOCK
   * @returns 0 or -errno
   */
  release(blocking: boolean): number {
    const mode = blocking ? 1 : 0;
    return this.#file > 0 ? calls.release(this.fd, mode, this.#file) : calls.release(this.fd, mode);
  }

  close(): number {
    const { fd } = this;
    this.fd = -1;
    return this.#file > 0 ? calls.close(fd, this.#file) : calls.close(fd);
  }
}
