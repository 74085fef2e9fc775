// The entries of `poll()`: checks them, stores them as an array of struct pollfd, calls poll(2) and makes the result.

import { integer, quote, quoteNonInstance } from "../check/index.js";
import type { Calls } from "../sys/calls.js";
import { POLLNVAL } from "../sys/constants.js";
import { EAGAIN } from "../sys/errno.js";

/** The part of a socket that `poll()` uses. */
export interface PollSocket {
  /** -1 once it is closed. */
  fileno(): number;
}

/** An entry of `poll`: events of a socket or of a raw descriptor. */
export type Entry<S extends PollSocket> =
  | {
      readonly socket: S;
      /** `POLLIN`, `POLLPRI`, `POLLOUT`, `POLLRDHUP`, or 0 for errors and the end only. */
      readonly events: number;
    }
  | {
      /** The number of an open descriptor of any kind. */
      readonly fd: number;
      readonly events: number;
    };

/** An entry that is ready, and its events. */
export interface PollResult<E extends Entry<PollSocket> = Entry<PollSocket>> {
  /** The object that was passed. */
  readonly entry: E;
  /** Those of `events` that are ready. `POLLERR`, `POLLHUP` and `POLLNVAL` are reported without a request. */
  readonly revents: number;
}

// struct pollfd: a 32-bit `fd`, then `events` and `revents` of 16 bits each.
const POLLFD_WORDS = 2;
const POLLFD_HALVES = 4;
/** The indices of `events` and `revents` among the 16-bit halves of an entry. */
const EVENTS_INDEX = 2;
const REVENTS_INDEX = 3;

/** The entries as an array of struct pollfd. */
export class PollTable<E extends Entry<PollSocket>> {
  readonly entries: readonly E[];
  // Three views of the same memory.
  readonly #words: Int32Array;
  readonly #halves: Int16Array;
  readonly #bytes: Uint8Array;

  /** @param isSocket whether a value is a socket that this call can poll */
  constructor(entries: readonly E[], isSocket: (value: unknown) => value is PollSocket) {
    if (!Array.isArray(entries)) throw new TypeError(`Cannot poll: entries are ${quote(entries)}, required an array`);
    this.entries = [...entries] as readonly E[];
    this.#words = new Int32Array(POLLFD_WORDS * this.entries.length);
    this.#halves = new Int16Array(this.#words.buffer);
    this.#bytes = new Uint8Array(this.#words.buffer);
    this.entries.forEach((entry, index) => {
      this.#words[POLLFD_WORDS * index] = descriptorOfEntry(entry, index, isSocket);
      this.#halves[POLLFD_HALVES * index + EVENTS_INDEX] = integer(
        entry.events,
        "poll",
        `entries[${index}].events`,
        0,
        0x7fff,
      );
    });
  }

  /**
   * Calls poll(2). A closed socket counts as ready, with POLLNVAL.
   *
   * @param timeout ms
   * @returns the number of ready entries, EAGAIN for none, or another -errno
   */
  poll(calls: Calls, timeout: number): number {
    let closedCount = 0;
    for (const [index, entry] of this.entries.entries()) {
      if (!("socket" in entry)) continue;
      // poll(2) skips an entry whose descriptor is negative.
      const fd = (this.#words[POLLFD_WORDS * index] = entry.socket.fileno());
      if (fd < 0) closedCount++;
    }
    // A closed socket is ready already, so poll(2) must not wait.
    const count = calls.pollEntries(this.#bytes, closedCount > 0 ? 0 : timeout);
    if (count < 0) return count;
    if (closedCount > 0) {
      for (let index = 0; index < this.entries.length; index++) {
        if (this.#words[POLLFD_WORDS * index]! < 0) this.#halves[POLLFD_HALVES * index + REVENTS_INDEX] = POLLNVAL;
      }
    }
    const readyCount = count + closedCount;
    return readyCount > 0 ? readyCount : EAGAIN;
  }

  /** The entries that the latest poll(2) reported as ready. */
  ready(): PollResult<E>[] {
    const results: PollResult<E>[] = [];
    for (const [index, entry] of this.entries.entries()) {
      const revents = this.#halves[POLLFD_HALVES * index + REVENTS_INDEX]!;
      // `& 0xffff` makes an unsigned number of the 16 bits.
      if (revents !== 0) results.push({ entry, revents: revents & 0xffff });
    }
    return results;
  }

  /**
   * The entries for an epoll set, as an array of struct pollfd. epoll takes each descriptor once, so the events of all
   * entries of one descriptor are joined.
   */
  merged(): Uint8Array {
    const events = new Map<number, number>();
    for (let index = 0; index < this.entries.length; index++) {
      const fd = this.#words[POLLFD_WORDS * index]!;
      events.set(fd, (events.get(fd) ?? 0) | this.#halves[POLLFD_HALVES * index + EVENTS_INDEX]!);
    }
    const words = new Int32Array(POLLFD_WORDS * events.size);
    const halves = new Int16Array(words.buffer);
    let index = 0;
    for (const [fd, mask] of events) {
      words[POLLFD_WORDS * index] = fd;
      halves[POLLFD_HALVES * index + EVENTS_INDEX] = mask;
      index++;
    }
    return new Uint8Array(words.buffer);
  }
}

/** Checks an entry and returns its descriptor. */
function descriptorOfEntry(entry: unknown, index: number, isSocket: (value: unknown) => value is PollSocket): number {
  const name = `entries[${index}]`;
  const isObject = typeof entry === "object" && entry !== null;
  // Exactly one of `socket` and `fd` must be there.
  if (!isObject || "socket" in entry === "fd" in entry) {
    throw new TypeError(`Cannot poll: ${name} is ${quote(entry)}, required { socket, events } or { fd, events }`);
  }
  if ("fd" in entry) return integer(entry.fd, "poll", `${name}.fd`, 0, 0x7fff_ffff);
  const { socket } = entry as { socket: unknown };
  if (isSocket(socket)) return socket.fileno();
  throw new TypeError(`Cannot poll: ${name}.socket is ${quoteNonInstance(socket, "Socket")}, required a Socket`);
}
