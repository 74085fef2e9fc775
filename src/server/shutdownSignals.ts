// How servers end: the timeout of drain(), and the signals of the system that begin it.

import { checkNames, checkOptions, quote } from "../check/index.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import type { DrainOptions } from "./server.js";

const DRAIN_TIMEOUT = 10_000;

/** Checks the options of `drain()`. Returns its timeout; null for none. */
export function drainTimeout(opts: DrainOptions, action: string): number | null {
  checkOptions(opts, action);
  checkNames(opts, ["timeout"], action);
  return millisecondsOr(opts.timeout, DRAIN_TIMEOUT, action, "timeout");
}

/** A server that signals end. */
interface Endable {
  stats(): { readonly state: string };
  drain(opts: DrainOptions): Promise<void>;
  close(): Promise<void>;
}

/** The signals that end a server. */
export class ShutdownSignals {
  readonly #listeners: { readonly name: NodeJS.Signals; readonly listener: () => void }[] = [];

  /** Drains the server at the first signal, and closes it at the second. */
  listen(server: Endable, signals: readonly NodeJS.Signals[], opts: DrainOptions): void {
    const action = "shut down on signals";
    if (!Array.isArray(signals) || !signals.every((name) => typeof name === "string" && /^SIG[A-Z\d]+$/.test(name))) {
      throw new TypeError(`Cannot ${action}: signals are ${quote(signals)}, required an array such as ["SIGTERM"]`);
    }
    drainTimeout(opts, action);
    if (server.stats().state === "closed") return;
    const listener = (): void => {
      if (server.stats().state === "draining") void server.close();
      else void server.drain(opts);
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
