// poll(), blocking: it waits for several descriptors at once.

import { calls } from "../sys/calls.js";
import { EAGAIN, EINTR, socketError } from "../sys/errno.js";
import { type Entry, type PollResult, PollTable } from "../ops/pollTable.js";
import { deadlineIn, sliceUntil } from "./blockingCall.js";
import { takeInterrupt } from "./interrupts.js";
import { isBlockingSocket } from "./blockingRunner.js";
import type { Socket } from "./syncSocket.js";
import { blockingTimeoutOf, type WaitOptions } from "./syncOptions.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";

export { type PollResult } from "../ops/pollTable.js";

/** An entry of `poll`: events of a socket (`{ socket, events }`) or of a raw descriptor (`{ fd, events }`). */
export type PollEntry = Entry<Socket>;

/**
 * Blocks until one of several sockets or descriptors is ready: poll(2). It consumes no data. A closed socket is ready
 * with `POLLNVAL`.
 *
 * @param entries sockets (`{ socket, events }`) and raw descriptors (`{ fd, events }`); each may occur several times
 * @param opts `timeout` in ms
 * @returns the entries that are ready, in the order of `entries`; none after the timeout
 * @throws TypeError or RangeError for a wrong entry
 * @throws SocketError `EINTR` (a signal that the process listens for), `EINVAL` (more entries than RLIMIT_NOFILE),
 *   `ENOMEM`
 * @see poll(2)
 * @example
 * ```ts
 * import { poll, POLLIN, socketpair } from "berkeley/sync";
 *
 * const [left, right] = socketpair();
 * console.log(poll([{ socket: right, events: POLLIN }], { timeout: 0 }).length); // prints: 0
 * left.sendAll("x");
 * console.log(poll([{ socket: right, events: POLLIN }])[0]?.revents === POLLIN); // prints: true
 * left.close();
 * right.close();
 * ```
 */
export function poll<E extends PollEntry>(entries: readonly E[], opts?: WaitOptions): PollResult<E>[] {
  const deadline = deadlineIn(blockingTimeoutOf(opts, null, "poll", WAIT_NAMES));
  const table = new PollTable<E>(entries, isBlockingSocket);
  for (;;) {
    const slice = sliceUntil(deadline);
    // EAGAIN if no entry is ready after `slice` ms.
    const result = table.poll(calls, slice);
    if (result >= 0) return table.ready();
    if (result !== EAGAIN && result !== EINTR) throw socketError(result, "poll");
    if (slice === 0) return [];
    if (takeInterrupt(calls)) throw socketError(EINTR, "poll");
  }
}
