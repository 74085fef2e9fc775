// splice(): moves bytes from one socket to another. ops/spliceOperation.ts explains how.

import { addProgress, countAndEnd, pumpLimits, type SpliceOptions } from "../ops/spliceOptions.js";
import { enforceLimits } from "./flowLimits.js";
import type { Stream } from "../stream/index.js";
import { spliceEndOf, lockStreams } from "./spliceEnd.js";
import type { Socket } from "./socket.js";
import { type FlowOwner, SpliceFlow } from "./spliceFlow.js";
import { rejection } from "../wait/rejection.js";

/**
 * Moves bytes from one connected stream socket to another, inside the kernel: splice(2) through a pipe. `from` and `to`
 * may also be a {@link Stream} over a socket; bytes that `from` has read ahead are sent first. Small amounts are copied
 * by recv(2) and send(2), which costs less. At the end of `from`, the call shuts down writing to `to` (`SHUT_WR`),
 * unless `end` is false. The promise resolves when `to` has taken all bytes. If `to` is slow, the call reads only as
 * many bytes as fit into the pipe. The sockets stay open.
 *
 * If the call fails or is cancelled, the error (or the reason of the abort, if it is an object) has the properties of
 * {@link SpliceProgress}: the number of `transferred` bytes, and the `undelivered` bytes, which were read from `from`
 * and not sent. Nothing is lost: send `undelivered`, and continue. There is one exception: if the kernel has no memory
 * for the pipe (`ENOMEM`), up to 16 KiB of bytes that were read are lost.
 *
 * @returns the number of bytes moved
 * @throws SocketError `ECONNRESET`, `EPIPE`, `ENOTCONN`, `ETIMEDOUT`; `ECANCELED` if one of the sockets is closed
 *   during the call; `EMFILE` if no descriptors are free for a pipe; `EINVAL` for a family that splice(2) does not
 *   support; and the other errors of splice(2)
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
  const source = spliceEndOf(from, "from", action);
  const { socket: sourceSocket } = source;
  const { socket: destination } = spliceEndOf(to, "to", action);
  if (sourceSocket === undefined || destination === undefined) {
    const name = sourceSocket === undefined ? "from" : "to";
    throw new TypeError(
      `Cannot ${action}: ${name} is a stream without a socket, required a stream on a socket; use pipeTo()`,
    );
  }
  const limits = pumpLimits(opts, action, ["count", "end"]);
  const { count, end } = countAndEnd(opts);
  limits.signal?.throwIfAborted();
  const activity = limits.idleTimeout === null ? undefined : { last: performance.now() };
  let flow: SpliceFlow | undefined;
  let stopLimits: (() => void) | undefined;
  let unlockStreams: (() => void) | undefined;
  try {
    return await new Promise<number>((resolve) => {
      const owner: FlowOwner = {
        shutsDownDestination: () => end,
        onFlowEnded: ({ sent }) => resolve(sent),
        onFlowFailed: (_, error) => resolve(rejection(error)),
      };
      unlockStreams = lockStreams(source);
      flow = new SpliceFlow(sourceSocket, destination, limits.pipes, count, activity, owner);
      stopLimits = enforceLimits([flow], limits, activity);
      flow.start();
      flow.failOnHangup();
    });
  } catch (error) {
    // No flow was made, because lockStreams() has failed: the stream has a pending read.
    if (flow === undefined) throw error;
    throw addProgress(error, flow.progress());
  } finally {
    unlockStreams?.();
    stopLimits?.();
  }
}
