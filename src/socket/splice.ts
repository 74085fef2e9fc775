// Bytes from one socket to another inside the kernel, one way. operations/move.ts explains how.

import { annotate, extentOf, limitsOf, type SpliceOptions } from "../ops/spliceOptions.js";
import { watch } from "./flowLimits.js";
import type { Stream } from "../stream/index.js";
import { endOf, hold } from "./endpoints.js";
import type { Socket } from "./socket.js";
import { type FlowOwner, SpliceFlow } from "./spliceFlow.js";

/**
 * Moves bytes from one connected stream socket (or a {@link Stream} over one, whose buffer goes first) to another until the first has ended, then ends the second's direction
 * (`SHUT_WR`): splice(2) through a pipe, inside the kernel; a few bytes are copied by recv(2) and send(2), which costs less. The promise resolves when `to` has taken all
 * of them; `to` being slow holds `from` back, with at most a pipe of bytes in between. The sockets stay open.
 *
 * When it fails or is cancelled, the error (or the reason of the abort, if that is an object) has the properties of
 * {@link SpliceProgress}: `transferred` bytes have gone out, and `undelivered` is what had been taken from `from` and has
 * not. Nothing is lost: send `undelivered`, and go on. There is one exception: when the kernel has no memory for the pipe
 * (`ENOMEM`), as many as 16 KiB that had been taken are neither.
 *
 * @returns the number of bytes moved
 * @throws SocketError `ECONNRESET`, `EPIPE`, `ENOTCONN`, `ETIMEDOUT`; `ECANCELED` when one of the sockets is closed
 *   meanwhile; `EMFILE` when there are no descriptors for a pipe; `EINVAL` for a family that cannot be spliced …
 * @see splice(2), pipe(7)
 * @example
 * ```ts
 * import { SHUT_WR, socketpair, splice } from "berkeley";
 *
 * const [client, a] = socketpair();
 * const [b, server] = socketpair();
 * await client.sendAll("from end to end");
 * client.shutdown(SHUT_WR);
 * console.log(await splice(a, b)); // prints: 15
 * console.log((await server.recv(100)).toString()); // prints: from end to end
 * console.log((await server.recv(100)).length); // prints: 0
 * for (const socket of [client, a, b, server]) socket.close();
 * ```
 */
export async function splice(from: Socket | Stream, to: Socket | Stream, opts?: SpliceOptions): Promise<number> {
  const action = "splice";
  const source = endOf(from, "from", action);
  const { socket } = source;
  const { socket: target } = endOf(to, "to", action);
  if (socket === undefined || target === undefined) {
    const name = socket === undefined ? "from" : "to";
    throw new TypeError(
      `Cannot ${action}: ${name} is a stream over no socket, required one over a socket, or pipeTo()`,
    );
  }
  const limits = limitsOf(opts, action);
  const { count, end } = extentOf(opts);
  limits.signal?.throwIfAborted();
  const activity = limits.idleTimeout === null ? undefined : { last: performance.now() };
  let flow: SpliceFlow | undefined;
  let unwatch: (() => void) | undefined;
  let release: (() => void) | undefined;
  try {
    return await new Promise<number>((resolve, reject) => {
      const owner: FlowOwner = {
        endsDestination: () => end,
        flowed: ({ sent }) => resolve(sent),
        broke: (_, error) => reject(error),
      };
      release = hold(source);
      flow = new SpliceFlow(socket, target, limits.pipes, count, activity, owner);
      unwatch = watch([flow], limits, activity);
      flow.start();
      flow.watch(true);
    });
  } catch (error) {
    // A stream that was busy.
    if (flow === undefined) throw error;
    throw annotate(error, flow.progress());
  } finally {
    release?.();
    unwatch?.();
  }
}
