// The descriptor of a blocking socket.

import { calls } from "../sys/calls.js";
import type { LeakableDescriptor } from "../sys/leakDetection.js";

export class OpenDescriptor implements LeakableDescriptor {
  /** -1 once closed or given away. */
  fd: number;
  pendingIndex: number = -1;
  /** The file, as `calls.share` returned it, once others may close the number. */
  #file = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Others may close the number from now on. */
  share(): void {
    if (this.#file === 0 && this.fd >= 0) this.#file = calls.share(this.fd);
  }

  /** Gives the descriptor away. `fd` stays as it is. */
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
