// poll(): waiting for several descriptors at once.
//
// poll(2) itself says what is ready: it is asked when the call is made, and again whenever there may be something new, of which
// an epoll set of the call's own tells (fd/pollset.ts). So a descriptor may stand in the list twice and be in use by a Socket,
// whose pending calls neither take readiness from poll() nor lose any to it. Descriptors that epoll refuses, such as regular
// files, are always ready, as poll(2) says.
//
// The kernel drops a descriptor from the set when it is closed, without a word. For a Socket its end is heard of, and is
// POLLNVAL, as poll(2) has it for a number that is not open. A raw descriptor has to stay open while it is polled, which
// poll(2) requires as well.

import { quote } from "../addr/index.js";
import { SocketError } from "../errors.js";
import { Pollset } from "../fd/index.js";
import type { Operation } from "../sys/operations/operation.js";
import { integer } from "../sys/arguments.js";
import type { Calls } from "../sys/calls.js";
import { POLLNVAL } from "../sys/constants.js";
import { EAGAIN } from "../sys/errno.js";
import { descriptorOf, DescriptorSocket } from "./descriptorSocket.js";
import { checkOptions, signalOf, timeoutOf, type WaitOptions } from "./options.js";

/** What `poll` waits for: events of a socket or of a raw descriptor. */
export type PollEntry =
  | {
      readonly socket: DescriptorSocket;
      /** `POLLIN`, `POLLPRI`, `POLLOUT`, `POLLRDHUP`, or 0 for errors and the end alone. */
      readonly events: number;
    }
  | {
      /** Number of an open descriptor of any kind. */
      readonly fd: number;
      readonly events: number;
    };

/** An entry that is ready, and why. */
export interface PollResult<Entry extends PollEntry = PollEntry> {
  /** The entry, as it was given. */
  readonly entry: Entry;
  /** Those of `events` that are ready, and `POLLERR`, `POLLHUP` and `POLLNVAL` without being asked for. */
  readonly revents: number;
}

/** Words and half words of a struct pollfd. */
const WORDS = 2;
const HALVES = 4;
const EVENTS = 2;
const REVENTS = 3;

/** The entries as an array of struct pollfd. */
class Table<Entry extends PollEntry> {
  readonly entries: readonly Entry[];
  readonly #words: Int32Array;
  readonly #halves: Int16Array;
  readonly #bytes: Uint8Array;

  constructor(entries: readonly Entry[]) {
    this.entries = entries;
    this.#words = new Int32Array(WORDS * entries.length);
    this.#halves = new Int16Array(this.#words.buffer);
    this.#bytes = new Uint8Array(this.#words.buffer);
    entries.forEach((entry, index) => {
      this.#words[WORDS * index] = checkEntry(entry, index);
      this.#halves[HALVES * index + EVENTS] = integer(entry.events, "poll", `entries[${index}].events`, 0, 0x7fff);
    });
  }

  /** poll(2) without waiting: how many are ready, EAGAIN for none. */
  ask(calls: Calls): number {
    let closed = 0;
    for (const [index, entry] of this.entries.entries()) {
      if (!("socket" in entry)) continue;
      // A number below 0 has poll(2) pass over the entry.
      const fd = (this.#words[WORDS * index] = entry.socket.fileno());
      if (fd < 0) closed++;
    }
    const count = calls.pollEntries(this.#bytes, 0);
    if (count < 0) return count;
    if (closed > 0) {
      for (let index = 0; index < this.entries.length; index++) {
        if (this.#words[WORDS * index]! < 0) this.#halves[HALVES * index + REVENTS] = POLLNVAL;
      }
    }
    return count + closed > 0 ? count + closed : EAGAIN;
  }

  ready(): PollResult<Entry>[] {
    const results: PollResult<Entry>[] = [];
    for (const [index, entry] of this.entries.entries()) {
      const revents = this.#halves[HALVES * index + REVENTS]!;
      if (revents !== 0) results.push({ entry, revents: revents & 0xffff });
    }
    return results;
  }

  /** The entries for the set, where each descriptor stands once. */
  merged(): Uint8Array {
    const events = new Map<number, number>();
    for (let index = 0; index < this.entries.length; index++) {
      const fd = this.#words[WORDS * index]!;
      events.set(fd, (events.get(fd) ?? 0) | this.#halves[HALVES * index + EVENTS]!);
    }
    const words = new Int32Array(WORDS * events.size);
    const halves = new Int16Array(words.buffer);
    let index = 0;
    for (const [fd, its] of events) {
      words[WORDS * index] = fd;
      halves[HALVES * index++ + EVENTS] = its;
    }
    return new Uint8Array(words.buffer);
  }
}

/** The number of the descriptor. */
function checkEntry(entry: unknown, index: number): number {
  const name = `entries[${index}]`;
  if (typeof entry !== "object" || entry === null || "socket" in entry === "fd" in entry) {
    throw new TypeError(`Cannot poll: ${name} is ${quote(entry)}, required { socket, events } or { fd, events }`);
  }
  if ("fd" in entry) return integer(entry.fd, "poll", `${name}.fd`, 0, 0x7fff_ffff);
  const { socket } = entry as { socket: unknown };
  if (socket instanceof DescriptorSocket) return socket.fileno();
  throw new TypeError(`Cannot poll: ${name}.socket is ${quote(socket)}, required a Socket`);
}

const POLL: Operation<Table<PollEntry>, undefined, PollResult[]> = {
  syscall: "poll",
  movesBytes: false,
  attempt: (calls, _fd, table) => table.ask(calls),
  complete: (_count, table) => table.ready(),
};

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
export async function poll<Entry extends PollEntry>(
  entries: readonly Entry[],
  opts?: WaitOptions,
): Promise<PollResult<Entry>[]> {
  if (!Array.isArray(entries)) throw new TypeError(`Cannot poll: entries are ${quote(entries)}, required an array`);
  checkOptions(opts, "poll");
  const timeout = timeoutOf(opts, null, "poll");
  const signal = signalOf(opts, "poll");
  const table = new Table<Entry>([...(entries as readonly Entry[])]);
  const descriptors = new Set(table.entries.flatMap((entry) => ("socket" in entry ? [descriptorOf(entry.socket)] : [])));
  let wake: (() => void) | undefined;
  const set = new Pollset((waken) => {
    wake = waken;
    for (const descriptor of descriptors) descriptor.addDependant(waken);
    return table.merged();
  });
  try {
    return (await set.run(POLL, table, undefined, timeout, signal)) as PollResult<Entry>[];
  } catch (error) {
    if (error instanceof SocketError && error.code === "ETIMEDOUT") return [];
    throw error;
  } finally {
    if (wake !== undefined) for (const descriptor of descriptors) descriptor.removeDependant(wake);
    set.end();
  }
}
