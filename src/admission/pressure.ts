// Shortage of descriptors and memory: EMFILE, ENFILE, ENOBUFS, ENOMEM.
//
// A shortage concerns the whole process, so all servers of a thread share one state and one timer. During a shortage
// the servers accept no connections. The timer retries the work that waits for descriptors, the oldest first. When more
// descriptors than the reserve are free, the servers accept again. The shortage is over if no call fails from then
// until the timer expires once more.
//
// Servers leave a reserve of descriptors to the handlers of their open connections. Counting the open descriptors of
// the process means reading /proc/self/fd, which is too expensive for each connection. So each accepted connection only
// lowers an estimate of the free descriptors. When the estimate has reached the reserve, the descriptors are counted
// again. A server without connections needs no reserve.

import { fs } from "../builtins.js";
import { AF_UNIX } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";

/** The default reserve. It is less if RLIMIT_NOFILE is small. */
const DEFAULT_RESERVE = 16;
/** Milliseconds between two attempts during a shortage: the first and the longest pause. */
const FIRST_PAUSE = 5;
const MAX_PAUSE = 100;

const SHORTAGE_CODES: readonly string[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/**
 * The code of an error that means a shortage; undefined for another error. If the `cause` is an AggregateError, its
 * `errors` are searched too.
 */
export function shortageOf(error: unknown): string | undefined {
  const { cause, code } = (error ?? {}) as { readonly cause?: unknown; readonly code?: unknown };
  if (typeof code === "string" && SHORTAGE_CODES.includes(code)) return code;
  const errors = (cause as { readonly errors?: unknown } | null | undefined)?.errors;
  return Array.isArray(errors) ? errors.map(shortageOf).find((found) => found !== undefined) : undefined;
}

/** A server that accepts connections. Its methods must not throw. */
export interface PressureClient {
  /** The reserve of descriptors for the work on its connections; undefined for the default. */
  readonly reserve: number | undefined;
  /** The number of descriptors that its connections are about to open. */
  readonly pendingDescriptors: number;
  /** Whether it has no connections. */
  readonly idle: boolean;
  /** Whether it keeps the process alive. */
  readonly keepsAlive: boolean;
  /** Called when a shortage begins, or by `join()` during one. The server must not accept. */
  onShortageBegin(code: string): void;
  /** Retries the connections that wait for descriptors, until one fails again. Returns whether one still waits. */
  retryWork(): boolean;
  /** Called when connections may be accepted again. */
  resumeAccepting(): void;
  /** Called when the shortage has ended. */
  onShortageEnd(code: string): void;
}

/** The number by which a connection lowers the estimate: its own descriptor, and one that its handler may open. */
const ESTIMATED_USE = 2;

/** RLIMIT_NOFILE; Infinity if it is unknown. */
function readDescriptorLimit(): number {
  const text = fs().readFileSync("/proc/self/limits", "latin1");
  return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Infinity);
}

class Pressure {
  readonly #clients = new Set<PressureClient>();
  /** RLIMIT_NOFILE, as of the last count. */
  #limit = Infinity;
  /** The estimate of the number of free descriptors. */
  #free = Infinity;
  /** The code of the shortage; undefined exactly when there is none. */
  #code: string | undefined;
  /** Whether servers accept again although the shortage may not be over. */
  #acceptsAgain = false;
  /** Milliseconds until the timer expires. */
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;

  /** Adds a server. */
  join(client: PressureClient): void {
    if (this.#clients.size === 0) this.#countFree();
    this.#clients.add(client);
    if (this.#code !== undefined) client.onShortageBegin(this.#code);
  }

  /** Removes a server. */
  leave(client: PressureClient): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return;
    clearTimeout(this.#timer);
    this.#code = undefined;
    this.#acceptsAgain = false;
    this.#pause = FIRST_PAUSE;
  }

  /** Whether there is a shortage. */
  get active(): boolean {
    return this.#code !== undefined;
  }

  /** Whether servers must not accept now. */
  get blocksAccepting(): boolean {
    return this.#code !== undefined && !this.#acceptsAgain;
  }

  /**
   * Lowers the estimate. Called when a server begins to read the PROXY header of a connection, and when it begins to
   * serve one. Returns whether fewer descriptors are left than the sum of the reserve and `pendingDescriptors`.
   */
  countConnection(reserve: number | undefined, pendingDescriptors: number): boolean {
    this.#free -= ESTIMATED_USE;
    const needed = this.#reserveOf(reserve) + pendingDescriptors;
    if (this.#free >= needed) return false;
    this.#countFree();
    return this.#free < needed;
  }

  #reserveOf(reserve: number | undefined): number {
    return reserve ?? Math.min(DEFAULT_RESERVE, Math.floor(this.#limit / 8));
  }

  /** Reports that a call has failed because no descriptor or memory was free. */
  report(code: string): void {
    // If the servers have begun to accept again, that was too early. So the next pause is longer.
    this.#begin(code, this.#acceptsAgain ? Math.min(this.#pause * 2, MAX_PAUSE) : FIRST_PAUSE);
  }

  /** Reports that a call has succeeded, but has left fewer descriptors than the reserve. */
  reportFewLeft(): void {
    this.#begin("EMFILE", FIRST_PAUSE);
  }

  /** Begins a shortage, or stops servers that accept again although the shortage is not over. */
  #begin(code: string, pause: number): void {
    // The last server may have been closed during the call.
    if (this.#clients.size === 0) return;
    // The timer of this shortage runs already.
    if (this.blocksAccepting) return;
    const isNew = this.#code === undefined;
    this.#code = code;
    this.#acceptsAgain = false;
    this.#pause = pause;
    this.#startTimer();
    if (isNew) for (const client of this.#clients) client.onShortageBegin(code);
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    // A server that accepts nothing has no other handle that keeps the process alive. So the timer keeps it alive,
    // unless all servers are unreferenced.
    this.#timer = setTimeout(() => this.#retry(), this.#pause);
    if (![...this.#clients].some(({ keepsAlive }) => keepsAlive)) this.#timer.unref();
  }

  #retry(): void {
    const code = this.#code;
    if (code === undefined) return;
    if (this.#acceptsAgain) {
      // No call has failed since accepting began again.
      this.#code = undefined;
      this.#acceptsAgain = false;
      for (const client of this.#clients) client.onShortageEnd(code);
      return;
    }
    let workWaits = false;
    for (const client of this.#clients) workWaits = client.retryWork() || workWaits;
    // retryWork() may have closed the last server.
    if (this.#clients.size === 0) return;
    if (workWaits || !this.#hasEnoughDescriptors()) {
      this.#pause = Math.min(this.#pause * 2, MAX_PAUSE);
      this.#startTimer();
      return;
    }
    this.#acceptsAgain = true;
    this.#startTimer();
    for (const client of this.#clients) client.resumeAccepting();
  }

  /** Whether another connection can be accepted without using the reserves. */
  #hasEnoughDescriptors(): boolean {
    // Only an attempt shows a shortage of memory, or of the descriptors of the whole system.
    const fd = calls.socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return false;
    calls.close(fd);
    this.#countFree();
    return [...this.#clients].every(
      ({ idle, pendingDescriptors, reserve }) => idle || this.#free > this.#reserveOf(reserve) + pendingDescriptors,
    );
  }

  #countFree(): void {
    try {
      this.#limit = readDescriptorLimit();
      // Minus one: the descriptor that readdirSync() opens for the directory.
      this.#free = this.#limit - (fs().readdirSync("/proc/self/fd").length - 1);
    } catch (error) {
      // Either no descriptor is free to read /proc, or there is no /proc. In the second case the number is unknown, and
      // only a failed call shows a shortage.
      this.#free = shortageOf(error) === undefined ? Infinity : 0;
    }
  }
}

/** The state that the servers of this thread share. */
export const pressure: Pressure = new Pressure();
