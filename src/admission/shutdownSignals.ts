// How servers end: the timeout of drain(), and the signals of the process that begin it.

import { os } from "../builtins.js";
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

/** Signals that no process can handle; signal(7). */
const UNHANDLED: readonly string[] = ["SIGKILL", "SIGSTOP"];

/** Refuses what is no list of names of signals. Returns each name once. */
export function checkSignals(signals: unknown, action: string): ReadonlySet<NodeJS.Signals> {
  const known = os().constants.signals;
  const handled = (name: unknown): boolean =>
    typeof name === "string" && Object.hasOwn(known, name) && !UNHANDLED.includes(name);
  if (Array.isArray(signals) && signals.every(handled)) return new Set(signals as NodeJS.Signals[]);
  throw new TypeError(`Cannot ${action}: signals are ${quote(signals)}, required an array such as ["SIGTERM"]`);
}

/**
 * The listeners of all servers, by signal. The process has one listener for each signal: Node.js warns of a leak at the
 * eleventh.
 */
const dispatchers = new Map<NodeJS.Signals, { readonly members: Set<() => void>; readonly dispatch: () => void }>();

/** Calls `listener` when the process gets the signal. Returns a function that undoes that. */
export function onSignal(name: NodeJS.Signals, listener: () => void): () => void {
  let dispatcher = dispatchers.get(name);
  if (dispatcher === undefined) {
    const members = new Set<() => void>();
    const dispatch = (): void => {
      // A copy: a listener that is added meanwhile is for the next signal.
      for (const member of Array.from(members)) member();
    };
    dispatcher = { members, dispatch };
    dispatchers.set(name, dispatcher);
  }
  const { dispatch, members } = dispatcher;
  // The program may have removed all listeners of the signal.
  if (!process.listeners(name).includes(dispatch)) process.on(name, dispatch);
  // Two registrations of one function are two members.
  const member = (): void => listener();
  members.add(member);
  return () => {
    if (!members.delete(member) || members.size > 0) return;
    dispatchers.delete(name);
    process.off(name, dispatch);
  };
}

/** What signals of the process end. */
export interface Endable {
  /** @param timeout ms; null for no limit */
  drain(timeout: number | null): Promise<void>;
  end(): void;
}

/** The signals that end a server. */
export class ShutdownSignals {
  /** By signal, a function that removes its listener. */
  readonly #listeners = new Map<NodeJS.Signals, () => void>();
  /** Whether a signal has come. */
  #signalled = false;

  /**
   * Drains the server at the first signal, and ends it at the second. A signal that was given before gets the new
   * options, so that it does not count twice.
   */
  listen(server: Endable, signals: readonly NodeJS.Signals[], opts: DrainOptions): void {
    const action = "shut down on signals";
    const names = checkSignals(signals, action);
    const timeout = drainTimeout(opts, action);
    const listener = (): void => {
      // The program may have begun to drain before, without a signal.
      if (this.#signalled) return server.end();
      this.#signalled = true;
      void server.drain(timeout);
    };
    for (const name of names) {
      this.#listeners.get(name)?.();
      this.#listeners.set(name, onSignal(name, listener));
    }
  }

  /** The signals have their default action again. */
  release(): void {
    for (const undo of this.#listeners.values()) undo();
    this.#listeners.clear();
  }
}
