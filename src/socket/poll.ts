// poll(): waiting for several descriptors at once.
//
// poll(2) decides which entries are ready. It is called at once. If no entry is ready, poll() makes an epoll set
// (reactor/pollset.ts) and calls poll(2) again after each event. Because poll(2) checks each entry, a descriptor may be
// in several entries, although an epoll set holds it only once. Other calls may wait on the same Socket, and get their
// events from the epoll set of the reactor. epoll refuses regular files, but poll(2) returns them as ready at once.
//
// When a descriptor is closed, the kernel removes it from the epoll set without an event. For a Socket, a close
// listener wakes the call, which then returns POLLNVAL, as poll(2) does for a number that is not open. A raw descriptor
// must stay open during the call.

import { TimeoutError } from "../errors/index.js";
import { Pollset } from "../reactor/index.js";
import { operation, type Operation } from "../reactor/operation.js";
import { type Entry, type PollResult, PollTable } from "../ops/pollTable.js";
import { descriptorOf, isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";
import { checkOptions } from "../check/index.js";
import { signalOf, timeoutOf, WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";

export { type PollResult } from "../ops/pollTable.js";

/** An entry of `poll`: events of a socket (`{ socket, events }`) or of a raw descriptor (`{ fd, events }`). */
export type PollEntry = Entry<Socket>;

const POLL: Operation<PollTable<PollEntry>, undefined, PollResult[]> = operation<
  PollTable<PollEntry>,
  undefined,
  PollResult[]
>({
  syscall: "poll",
  movesBytes: false,
  attempt: (calls, _fd, table) => table.poll(calls, 0),
  complete: (_count, table) => table.ready(),
});

/**
 * Waits until one of several sockets or descriptors is ready: poll(2). It consumes no data. Another call may read the
 * data before the caller does.
 *
 * A socket that is closed during the call is ready with `POLLNVAL`. A raw descriptor must stay open. Regular files are
 * always ready. The call keeps the process alive while it waits.
 *
 * @param entries sockets (`{ socket, events }`) and raw descriptors (`{ fd, events }`); each may occur several times
 * @param opts `timeout` in ms, `signal`
 * @returns the entries that are ready, in the order of `entries`; none after the timeout
 * @throws TypeError or RangeError for a wrong entry
 * @throws SocketError `EINVAL` (more entries than RLIMIT_NOFILE), `EMFILE`, `ENOMEM`
 * @see poll(2)
 * @example
 * ```ts
 * import { poll, POLLIN, POLLOUT, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * await left.sendAll("x");
 * const ready = await poll([
 *   { socket: left, events: POLLIN },
 *   { socket: right, events: POLLIN },
 *   { fd: right.fileno(), events: POLLOUT },
 * ]);
 * for (const { entry, revents } of ready) {
 *   console.log("socket" in entry, revents === entry.events);
 * }
 * // prints: true true
 * // prints: false true
 * left.close();
 * right.close();
 * ```
 */
export async function poll<E extends PollEntry>(entries: readonly E[], opts?: WaitOptions): Promise<PollResult<E>[]> {
  checkOptions(opts, "poll", WAIT_NAMES);
  const timeout = timeoutOf(opts, null, "poll");
  const signal = signalOf(opts, "poll");
  const table = new PollTable<E>(entries, isSocket);
  const descriptors = new Set(
    table.entries.flatMap((entry) => ("socket" in entry ? [descriptorOf(entry.socket)] : [])),
  );
  let closeListener: { onClosed(): void } | undefined;
  // The callback runs only if the call has to wait.
  const pollset = new Pollset((tryAgain) => {
    closeListener = { onClosed: tryAgain };
    for (const descriptor of descriptors) descriptor.addCloseListener(closeListener);
    return table.merged();
  });
  try {
    return (await pollset.run(POLL, table, undefined, timeout, signal)) as PollResult<E>[];
  } catch (error) {
    if (error instanceof TimeoutError) return [];
    throw error;
  } finally {
    if (closeListener !== undefined) {
      for (const descriptor of descriptors) descriptor.removeCloseListener(closeListener);
    }
    pollset.end();
  }
}
