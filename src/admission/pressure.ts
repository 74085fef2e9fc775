// Shortage of descriptors and memory: EMFILE, ENFILE, ENOBUFS, ENOMEM.
//
// The shortage is one of the thread or the process, so all its servers share one state and one timer. During a shortage
// they accept no connections, and only the timer runs: it retries the work that waits for descriptors, oldest first, and
// lets the servers accept again when there are descriptors above a reserve.
//
// The reserve costs no descriptor and no system call. The kernel gives a new descriptor the lowest free number
// (open(2)). So after an accepted connection with number N, at most RLIMIT_NOFILE - N - 1 numbers above it are free, and
// all below it are in use. A server that accepts no connection once N is within RESERVE of the limit leaves RESERVE
// descriptors to the work on the connections that it has.

import { fs } from "../builtins.js";
import { AF_UNIX } from "../addr/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM } from "../sys/constants.js";

/** Descriptors that are left to the work on accepted connections; fewer if the limit of the process is small. */
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
  /** A shortage begins: accept no more. */
  pressureBegan(code: string): void;
  /** Tries the work that waits for descriptors, until some fails for the same reason. Returns whether some still waits. */
  retryWork(): boolean;
  /** Connections may be accepted again. */
  acceptAgain(): void;
  pressureEnded(code: string): void;
}

/** Reads RLIMIT_NOFILE; Infinity if it is unknown. */
function readLimit(): number {
  try {
    const text = fs().readFileSync("/proc/self/limits", "latin1");
    return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}

class Pressure {
  readonly #clients = new Set<PressureClient>();
  /** The first number that accepted connections may not get. */
  #ceiling = Infinity;
  /** The code of the shortage; undefined exactly when there is none. */
  #code: string | undefined;
  /** Whether accepting is tried again, to find out whether the shortage is over. */
  #trying = false;
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;

  join(client: PressureClient): void {
    if (this.#clients.size === 0) this.#readCeiling();
    this.#clients.add(client);
  }

  leave(client: PressureClient): void {
    if (!this.#clients.delete(client) || this.#clients.size > 0) return;
    clearTimeout(this.#timer);
    this.#code = undefined;
    this.#trying = false;
    this.#pause = FIRST_PAUSE;
  }

  /** Whether servers must not accept now. */
  get blocks(): boolean {
    return this.#code !== undefined && !this.#trying;
  }

  /** Whether an accepted connection with this descriptor leaves less than the reserve and `owed` descriptors. */
  isScarce(fd: number, owed: number): boolean {
    return fd >= this.#ceiling - owed;
  }

  /**
   * A call has failed for want of descriptors or memory.
   *
   * @param fewLeft the call has succeeded, and there are too few descriptors for the next one
   */
  report(code: string, fewLeft: boolean = false): void {
    const began = this.#code === undefined;
    if (began || (this.#trying && fewLeft)) this.#pause = FIRST_PAUSE;
    else if (this.#trying) this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
    else return;
    this.#code = code;
    this.#trying = false;
    this.#arm();
    if (began) for (const client of [...this.#clients]) client.pressureBegan(code);
  }

  #arm(): void {
    clearTimeout(this.#timer);
    // Referenced: a server that accepts nothing has no other handle that keeps the process alive.
    this.#timer = setTimeout(() => this.#check(), this.#pause);
  }

  #check(): void {
    const code = this.#code;
    if (code === undefined) return;
    if (this.#trying) {
      // Nothing has failed since.
      this.#code = undefined;
      this.#trying = false;
      for (const client of [...this.#clients]) client.pressureEnded(code);
      return;
    }
    let waits = false;
    for (const client of [...this.#clients]) waits = client.retryWork() || waits;
    // The last server may have gone.
    if (this.#clients.size === 0) return;
    if (waits || !this.#hasRoom()) {
      this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
      this.#arm();
      return;
    }
    this.#trying = true;
    this.#arm();
    for (const client of [...this.#clients]) client.acceptAgain();
  }

  /** Whether the next descriptor leaves the reserve untouched. */
  #hasRoom(): boolean {
    this.#readCeiling();
    const fd = calls.socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) return false;
    calls.close(fd);
    return fd < this.#ceiling;
  }

  #readCeiling(): void {
    const most = readLimit();
    // Reading the limit needs a descriptor; if there is none, the last known value holds.
    if (most !== Infinity) this.#ceiling = most - Math.min(RESERVE, Math.floor(most / 8));
  }
}

/** The shortage of this thread. */
export const pressure: Pressure = new Pressure();
