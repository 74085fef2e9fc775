// Shortage of descriptors and memory: EMFILE, ENFILE, ENOBUFS, ENOMEM.
//
// A shortage concerns the whole process, so all servers of a thread share one state and one timer. During a shortage
// they accept no connections. The timer retries the work that waits for descriptors, the oldest first. When more
// descriptors than a reserve are free, it lets the servers accept again.
//
// Servers leave a reserve of descriptors to the work on the connections that they have. Counting the open descriptors
// of the process means reading /proc/self/fd, which is too expensive for each connection. So each accepted connection
// lowers an estimate, and the descriptors are counted again when the estimate has reached the reserve. A server without
// connections needs no reserve.

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

/** The code of the shortage that has caused an error, or one of the errors in its `cause`; otherwise undefined. */
export function shortageOf(error: unknown): string | undefined {
  const { cause, code } = (error ?? {}) as { readonly cause?: unknown; readonly code?: unknown };
  if (typeof code === "string" && SHORTAGE_CODES.includes(code)) return code;
  const combined = (cause as { readonly errors?: unknown } | null | undefined)?.errors;
  return Array.isArray(combined) ? combined.map(shortageOf).find((found) => found !== undefined) : undefined;
}

/** A server. Its methods must not throw. */
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

/** The descriptors by which a connection lowers the estimate: its own, and one that its handler may open. */
const DESCRIPTORS_PER_CONNECTION = 2;

/** RLIMIT_NOFILE; Infinity if it is unknown. */
function readLimit(): number {
  const text = fs().readFileSync("/proc/self/limits", "latin1");
  return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Infinity);
}

class Pressure {
  readonly #clients = new Set<PressureClient>();
  /** RLIMIT_NOFILE, as of the last count. */
  #limit = Infinity;
  /** The estimate of the free descriptors. */
  #free = Infinity;
  /** The code of the shortage; undefined exactly when there is none. */
  #code: string | undefined;
  /** Whether servers accept again. If no call fails until the timer expires, the shortage is over. */
  #acceptsAgain = false;
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;

  /** Adds a server that accepts. */
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
  get blocks(): boolean {
    return this.#code !== undefined && !this.#acceptsAgain;
  }

  /**
   * Called after each accept. Lowers the estimate. Returns whether fewer descriptors are free than the reserve and the
   * pending ones.
   */
  isScarce(reserve: number | undefined, pendingDescriptors: number): boolean {
    this.#free -= DESCRIPTORS_PER_CONNECTION;
    const needed = this.#reserveOf(reserve) + pendingDescriptors;
    if (this.#free >= needed) return false;
    this.#countFree();
    return this.#free < needed;
  }

  #reserveOf(given: number | undefined): number {
    return given ?? Math.min(DEFAULT_RESERVE, Math.floor(this.#limit / 8));
  }

  /**
   * Reports that a call has failed because no descriptor or memory was free.
   *
   * @param fewLeft true if the call has succeeded, but has left too few descriptors
   */
  report(code: string, fewLeft: boolean = false): void {
    // The last server may have been closed during the call.
    if (this.#clients.size === 0) return;
    const began = this.#code === undefined;
    if (began || (this.#acceptsAgain && fewLeft)) this.#pause = FIRST_PAUSE;
    else if (this.#acceptsAgain) this.#pause = Math.min(this.#pause * 2, MAX_PAUSE);
    else return;
    this.#code = code;
    this.#acceptsAgain = false;
    this.#startTimer();
    if (began) for (const client of this.#clients) client.onShortageBegin(code);
  }

  #startTimer(): void {
    clearTimeout(this.#timer);
    // A server that accepts nothing has no other handle that keeps the process alive.
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
    let waits = false;
    for (const client of this.#clients) waits = client.retryWork() || waits;
    // retryWork() may have closed the last server.
    if (this.#clients.size === 0) return;
    if (waits || !this.#hasEnough()) {
      this.#pause = Math.min(this.#pause * 2, MAX_PAUSE);
      this.#startTimer();
      return;
    }
    this.#acceptsAgain = true;
    this.#startTimer();
    for (const client of this.#clients) client.resumeAccepting();
  }

  /** Whether another connection can be accepted without using the reserves. */
  #hasEnough(): boolean {
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
      this.#limit = readLimit();
      // One of the listed descriptors is open only for this listing.
      this.#free = this.#limit - (fs().readdirSync("/proc/self/fd").length - 1);
    } catch (error) {
      // Without /proc the number is unknown. Then only a failed call shows a shortage.
      this.#free = shortageOf(error) === undefined ? Infinity : 0;
    }
  }
}

/** The state that the servers of this thread share. */
export const pressure: Pressure = new Pressure();
