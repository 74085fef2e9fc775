// Descriptors that came with a message: who owns them, from their arrival to their end.
//
// The kernel makes them in the moment in which recvmsg() returns, so from then on somebody has to close them. The addon
// records them as owned by the environment, which closes them when it ends. Here they are held by an object, and closed with
// it: when it is disposed, or when it is collected. Taking them out ends both.

import { integer } from "../check/index.js";
import type { Calls } from "../sys/calls.js";

/** What is left to close. It must not refer to the object whose end it outlives. */
interface Held {
  readonly calls: Calls;
  fds: number[];
}

function closeAll(held: Held): void {
  const { fds, calls } = held;
  held.fds = [];
  // The addon closes only numbers that it has recorded.
  for (const fd of fds) calls.close(fd);
}

const collected = new FinalizationRegistry<Held>(closeAll);

/**
 * Descriptors that another process passed: SCM_RIGHTS of unix(7). They are open and close-on-exec, and closed with this object
 * when nobody takes them: by `close()`, by `using`, or when it is collected.
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
  readonly #held: Held;

  /** @internal */
  constructor(fds: readonly number[], calls: Calls) {
    this.#held = { calls, fds: [...fds] };
    if (fds.length > 0) collected.register(this, this.#held, this.#held);
  }

  /** How many are held. */
  get length(): number {
    return this.#held.fds.length;
  }

  /** The numbers of those that are held, in the order in which they were sent. They stay held: see {@link take}. */
  get fds(): readonly number[] {
    return [...this.#held.fds];
  }

  /**
   * Takes descriptors out, the first ones first. They are the caller's to close, or to give to `Socket.fromfd()`.
   *
   * @param count how many at most; all by default
   */
  take(count?: number): number[] {
    const held = this.#held;
    const most = count === undefined ? held.fds.length : integer(count, "take descriptors", "count", 0, 0x7fff_ffff);
    const taken = held.fds.slice(0, most);
    held.fds = held.fds.slice(taken.length);
    for (const fd of taken) held.calls.release(fd);
    if (held.fds.length === 0) collected.unregister(held);
    return taken;
  }

  /** Closes those that nobody took. */
  close(): void {
    collected.unregister(this.#held);
    closeAll(this.#held);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * One object for the descriptors of several, which are empty afterwards.
   *
   * @internal
   */
  static join(all: readonly ReceivedDescriptors[], calls: Calls): ReceivedDescriptors {
    const fds = all.flatMap((one) => {
      const held = one.#held;
      collected.unregister(held);
      const its = held.fds;
      held.fds = [];
      return its;
    });
    return new ReceivedDescriptors(fds, calls);
  }
}
