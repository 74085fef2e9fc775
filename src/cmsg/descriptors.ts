// Owns the descriptors that were received with a message, until the caller takes or closes them.
//
// The kernel creates the descriptors during recvmsg(2), so they leak unless they are closed. The addon records them as
// owned by the environment, which closes them when it ends. A ReceivedDescriptors object closes them earlier: when it
// is disposed or collected. After `take()` neither the environment nor the object closes them.

import { integer } from "../check/index.js";
import type { Calls } from "../sys/calls.js";

/**
 * The descriptors that are left to close, and the calls that close them. The FinalizationRegistry references this
 * object. So it must not reference its ReceivedDescriptors object, which would then never be collected.
 */
interface HeldDescriptors {
  readonly calls: Calls;
  fds: number[];
}

function closeAll(held: HeldDescriptors): void {
  const { fds, calls } = held;
  held.fds = [];
  // The addon closes only numbers that it has recorded.
  for (const fd of fds) calls.close(fd);
}

const registry = new FinalizationRegistry<HeldDescriptors>(closeAll);

/**
 * Descriptors that another process passed: SCM_RIGHTS of unix(7). They are open and close-on-exec. This object closes
 * the descriptors that are not taken: with `close()`, with `using`, or when it is collected.
 *
 * @see unix(7), SCM_RIGHTS
 * @example
 * ```ts
 * import { readFileSync, closeSync, openSync } from "node:fs";
 * import { recv_fds, send_fds, Socket, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * const file = openSync("/dev/null", "r");
 * await send_fds(left, "a file and a socket", [file, left]);
 *
 * const [data, descriptors] = await recv_fds(right, 1024, 2);
 * const [received, socket] = descriptors.take();
 * console.log(data.toString(), readFileSync(received!).length); // prints: a file and a socket 0
 * Socket.fromfd(socket!).close();
 * for (const fd of [file, received!]) closeSync(fd);
 * left.close();
 * right.close();
 * ```
 */
export class ReceivedDescriptors {
  readonly #held: HeldDescriptors;

  /** @internal */
  constructor(fds: readonly number[], calls: Calls) {
    this.#held = { calls, fds: [...fds] };
    if (fds.length > 0) registry.register(this, this.#held, this.#held);
  }

  /** Number of descriptors that are held. */
  get length(): number {
    return this.#held.fds.length;
  }

  /** The numbers of the held descriptors, in the order in which they were sent. {@link take} removes them. */
  get fds(): readonly number[] {
    return [...this.#held.fds];
  }

  /**
   * Removes descriptors from the front and returns them. The caller must close them, or pass them to
   * `Socket.fromfd()`.
   *
   * @param count maximum number of descriptors to take; by default all
   */
  take(count?: number): number[] {
    const held = this.#held;
    const max = count === undefined ? held.fds.length : integer(count, "take descriptors", "count", 0, 0x7fff_ffff);
    const taken = held.fds.slice(0, max);
    held.fds = held.fds.slice(taken.length);
    // After release() the environment does not close the descriptor.
    for (const fd of taken) held.calls.release(fd);
    if (held.fds.length === 0) registry.unregister(held);
    return taken;
  }

  /** Closes the descriptors that were not taken. */
  close(): void {
    registry.unregister(this.#held);
    closeAll(this.#held);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Moves the descriptors of several objects to one new object.
   *
   * @internal
   */
  static join(all: readonly ReceivedDescriptors[], calls: Calls): ReceivedDescriptors {
    const fds = all.flatMap((received) => {
      const held = received.#held;
      registry.unregister(held);
      const moved = held.fds;
      held.fds = [];
      return moved;
    });
    return new ReceivedDescriptors(fds, calls);
  }
}
