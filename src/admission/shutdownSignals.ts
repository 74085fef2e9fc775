// How servers end: the timeout of drain(), and the signals of the process that begin it.

import { checkNames, checkOptions, quote } from "../check/index.js";
import { millisecondsOr } from "../wait/waitOptions.js";

/** Options of `drain()`. */
export interface DrainOptions {
  /** Milliseconds for the handlers; then their connections are cut. null for no limit. Default 10,000. */
  readonly timeout?: number | null | undefined;
}

const DRAIN_TIMEOUT = 10_000;

/** Checks the options of `drain()`, and returns the timeout. */
export function drainTimeout(opts: DrainOptions, action: string = "drain"): number | null {
  checkOptions(opts, action);
  checkNames(opts, ["timeout"], action);
  return millisecondsOr(opts.timeout, DRAIN_TIMEOUT, action, "timeout");
}

/** Refuses what is no list of names of signals. */
export function checkSignals(signals: unknown, action: string): void {
  const named = (name: unknown): boolean => typeof name === "string" && /^SIG[A-Z\d]+$/.test(name);
  if (Array.isArray(signals) && signals.every(named)) return;
  throw new TypeError(`Cannot ${action}: signals are ${quote(signals)}, required an array such as ["SIGTERM"]`);
}

/** What signals of the process end. */
export interface Endable {
  state(): "listening" | "draining" | "closed";
  /** @param timeout ms; null for no limit */
  drain(timeout: number | null): Promise<void>;
  end(): void;
}

/** The signals that end a server. */
export class ShutdownSignals {
  readonly #listeners: { readonly name: NodeJS.Signals; readonly listener: () => void }[] = [];

  /** Drains the server at the first signal, and ends it at the second. */
  listen(server: Endable, signals: readonly NodeJS.Signals[], opts: DrainOptions): void {
    const action = "shut down on signals";
    checkSignals(signals, action);
    const timeout = drainTimeout(opts, action);
    if (server.state() === "closed") return;
    const listener = (): void => {
      if (server.state() === "draining") server.end();
      else void server.drain(timeout);
    };
    for (const name of signals) {
      process.on(name, listener);
      this.#listeners.push({ name, listener });
    }
  }

  /** The signals have their default action again. */
  release(): void {
    for (const { name, listener } of this.#listeners.splice(0)) process.off(name, listener);
  }
}
