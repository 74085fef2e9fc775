// poll(): waiting for several descriptors at once.
//
// poll(2) itself says what is ready: it is asked when the call is made, and again whenever there may be something new, of which
// an epoll set of the call's own tells (reactor/pollset.ts). So a descriptor may stand in the list twice and be in use by a Socket,
// whose pending calls neither take readiness from poll() nor lose any to it. Descriptors that epoll refuses, such as regular
// files, are always ready, as poll(2) says.
//
// The kernel drops a descriptor from the set when it is closed, without a word. For a Socket its end is heard of, and is
// POLLNVAL, as poll(2) has it for a number that is not open. A raw descriptor has to stay open while it is polled, which
// poll(2) requires as well.

import { TimeoutError } from "../errors/index.js";
import { Pollset } from "../reactor/index.js";
import { operation, type Operation } from "../reactor/operation.js";
import { type Entry, type PollResult, PollTable } from "../ops/pollTable.js";
import { descriptorOf, isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";
import { checkOptions } from "../check/index.js";
import { signalOf, timeoutOf, type WaitOptions } from "../wait/waitOptions.js";

export { type PollResult } from "../ops/pollTable.js";

/** What `poll` waits for: events of a socket (`{ socket, events }`) or of a raw descriptor (`{ fd, events }`). */
export type PollEntry = Entry<Socket>;

const POLL: Operation<PollTable<PollEntry>, undefined, PollResult[]> = operation<
  PollTable<PollEntry>,
  undefined,
  PollResult[]
>({
  syscall: "poll",
  movesBytes: false,
  attempt: (calls, _fd, table) => table.ask(calls, 0),
  complete: (_count, table) => table.ready(),
});

/**
 * Waits until one of several sockets or descriptors is ready: poll(2). Nothing is consumed, and readiness is only a hint: somebody
 * else may take what there is.
 *
 * A socket that is closed meanwhile is ready with `POLLNVAL`; a raw descriptor has to stay open. Regular files are always ready.
 * The call keeps the process alive while it waits.
 *
 * @param entries sockets (`{ socket, events }`) and raw descriptors (`{ fd, events }`), the same one several times if need be
 * @param opts `timeout` in ms, `signal`
 * @returns the entries that are ready, in their order; none when the timeout has passed
 * @throws TypeError or RangeError for entries that are wrong
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
  checkOptions(opts, "poll");
  const timeout = timeoutOf(opts, null, "poll");
  const signal = signalOf(opts, "poll");
  const table = new PollTable<E>(entries, isSocket);
  const descriptors = new Set(
    table.entries.flatMap((entry) => ("socket" in entry ? [descriptorOf(entry.socket)] : [])),
  );
  let wake: { ended(): void } | undefined;
  const set = new Pollset((waken) => {
    wake = { ended: waken };
    for (const descriptor of descriptors) descriptor.addCloseListener(wake);
    return table.merged();
  });
  try {
    return (await set.run(POLL, table, undefined, timeout, signal)) as PollResult<E>[];
  } catch (error) {
    if (error instanceof TimeoutError) return [];
    throw error;
  } finally {
    if (wake !== undefined) for (const descriptor of descriptors) descriptor.removeCloseListener(wake);
    set.end();
  }
}
