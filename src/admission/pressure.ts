// Shortage of descriptors and memory: EMFILE, ENFILE, ENOBUFS, ENOMEM.
//
// The shortage is one of the thread or the process, so all its servers share one state and one timer. During a shortage
// they accept no connections, and only the timer runs: it retries the work that waits for descriptors, oldest first, and
// lets the servers accept again when there are descriptors above a reserve.
//
// Servers leave a reserve of descriptors to the work on the connections that they have. Counting the open descriptors
// of the process means reading /proc/self/fd, which is too expensive for each connection. So a server counts down from
// the last count, and counts again when its estimate has reached the reserve. A server without connections needs no
// reserve.

import { fs } from "../builtins.js";
import { AF_UNIX } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";

/** The default reserve; less if the limit of the process is small. */
const RESERVE = 16;
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 100;

const CODES: readonly string[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** The code of a shortage, if the error or one of the errors that it combines is about that. */
export function shortageOf(error: unknown): string | undefined {
  const { cause, code } = (error ?? {}) as { readonly cause?: unknown; readonly code?: unknown };
  if (typeof code === "string" && CODES.includes(code)) return code;
  const combined = (cause as { readonly errors?: unknown } | null | undefined)?.errors;
  return Array.isArray(combined) ? combined.map(shortageOf).find((found) => found !== undefined) : undefined;
}

/** A server, for the shared state. Its methods must not throw. */
export interface PressureClient {
  /** Descriptors that are left to the work on its connections; undefined for the default. */
  readonly reserve: number | undefined;
  /** Descriptors that its connections are about to open. */
  readonly owed: number;
  /** Whether it has no connections. */
  readonly idle: boolean;
  /** Whether it keeps the process alive. */
  readonly held: boolean;
  /** A shortage begins: accept no more. */
  pressureBegan(code: string): void;
  /** Tries the work that waits for descriptors, until some fails for the same reason. Returns whether some still waits. */
  retryWork(): boolean;
  /** Connections may be accepted again. */
  acceptAgain(): void;
  pressureEnded(code: string): void;
}

/** Descriptors that the estimate takes for a connection: its own, and one that its handler opens. */
const PER_CONNECTION = 2;

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
  /** Whether accepting is tried again, to find out whether the shortage is over. */
  #trying = false;
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;

  join(client: PressureClient): void {
    if (this.#clients.size === 0) this.#count();
    this.#clients.add(client);
    if (this.#code !== undefined) client.pressureBegan(this.#code);
  }

  leave(client: PressureClient): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return;
    clearTimeout(this.#timer);
    this.#code = undefined;
    this.#trying = false;
    this.#pause = FIRST_PAUSE;
  }

  /** Whether there is a shortage. */
  get active(): boolean {
    return this.#code !== undefined;
  }

  /** Whether servers must not accept now. */
  get blocks(): boolean {
    return this.#code !== undefined && !this.#trying;
  }

  /** Whether the connection that was accepted now leaves less than the reserve and `owed` descriptors. */
  isScarce(reserve: number | undefined, owed: number): boolean {
    this.#free -= PER_CONNECTION;
    const needed = this.#reserveOf(reserve) + owed;
    if (this.#free >= needed) return false;
    this.#count();
    return this.#free < needed;
  }

  #reserveOf(given: number | undefined): number {
    return given ?? Math.min(RESERVE, Math.floor(this.#limit / 8));
  }

  /**
   * A call has failed for want of descriptors or memory.
   *
   * @param fewLeft the call has succeeded, and there are too few descriptors for the next one
   */
  report(code: string, fewLeft: boolean = false): void {
    // The last server may have been closed during the call.
    if (this.#clients.size === 0) return;
    const began = this.#code === undefined;
    if (began || (this.#trying && fewLeft)) this.#pause = FIRST_PAUSE;
    else if (this.#trying) this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    else return;
    this.#code = code;
    this.#trying = false;
    this.#arm();
    if (began) for (const client of this.#clients) client.pressureBegan(code);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    // A server that accepts nothing has no other handle that keeps the process alive.
    this.#timer = setTimeout(() => this.#check(), this.#pause);
    if (![...this.#clients].some(({ held }) => held)) this.#timer.unref();
  }

  #check(): void {
    const code = this.#code;
    if (code === undefined) return;
    if (this.#trying) {
      // Nothing has failed since.
      this.#code = undefined;
      this.#trying = false;
      for (const client of this.#clients) client.pressureEnded(code);
      return;
    }
    let waits = false;
    for (const client of this.#clients) waits = client.retryWork() || waits;
    // The last server may have gone.
    if (this.#clients.size === 0) return;
    if (waits || !this.#hasRoom()) {
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
      this.#arm();
      return;
    }
    this.#trying = true;
    this.#arm();
    for (const client of this.#clients) client.acceptAgain();
  }

  /** Whether another connection leaves the reserves untouched. */
  #hasRoom(): boolean {
    // Memory, and the descriptors of the whole system, show only when one is opened.
    const fd = calls.socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return false;
    calls.close(fd);
    this.#count();
    return [...this.#clients].every(({ idle, owed, reserve }) => idle || this.#free > this.#reserveOf(reserve) + owed);
  }

  #count(): void {
    try {
      this.#limit = readLimit();
      // One is the descriptor of the listing itself.
      this.#free = this.#limit - (fs().readdirSync("/proc/self/fd").length - 1);
    } catch (error) {
      // Without /proc nothing is known, and only a failed call shows a shortage.
      this.#free = shortageOf(error) === undefined ? Infinity : 0;
    }
  }
}

/** The shortage of this thread. */
export const pressure: Pressure = new Pressure();
