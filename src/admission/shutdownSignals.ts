// The options of drain(), and the signals of the process that make servers drain.

import { os } from "../builtins.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { millisecondsOr } from "../wait/waitOptions.js";

/** Options of `drain()`. */
export interface DrainOptions {
  /** Milliseconds for the handlers, after which their connections are reset; null for no limit. Default 10,000. */
  readonly timeout?: number | null | undefined;
}

const DRAIN_TIMEOUT = 10_000;

/** Checks the options of `drain()`, and returns the timeout. */
export function checkDrainTimeout(opts: DrainOptions, action: string = "drain"): number | null {
  checkOptions(opts, action);
  checkNames(opts, ["timeout"], action);
  return millisecondsOr(opts.timeout, DRAIN_TIMEOUT, action, "timeout");
}

/** Signals that no process can handle; signal(7). */
const NOT_HANDLEABLE: readonly string[] = ["SIGKILL", "SIGSTOP"];

/** Checks a list of names of signals. Returns each name once. */
export function checkSignals(signals: unknown, action: string): ReadonlySet<NodeJS.Signals> {
  const known = os().constants.signals;
  const isHandleable = (name: unknown): boolean =>
    typeof name === "string" && Object.hasOwn(known, name) && !NOT_HANDLEABLE.includes(name);
  if (Array.isArray(signals) && signals.every(isHandleable)) return new Set(signals as NodeJS.Signals[]);
  throw new TypeError(`Cannot ${action}: signals are ${quote(signals)}, required an array such as ["SIGTERM"]`);
}

/**
 * By signal, the listeners of all servers (`members`), and the one listener of the process (`dispatch`), which calls
 * them. If each server added a listener to the process, Node.js would warn of a leak at the eleventh.
 */
const dispatchers = new Map<NodeJS.Signals, { readonly members: Set<() => void>; readonly dispatch: () => void }>();

/** Calls `listener` when the process gets the signal. Returns a function that removes the listener. */
export function onSignal(name: NodeJS.Signals, listener: () => void): () => void {
  let dispatcher = dispatchers.get(name);
  if (dispatcher === undefined) {
    const members = new Set<() => void>();
    const dispatch = (): void => {
      // A copy, so that a member that is added during the loop gets only the next signal.
      for (const member of Array.from(members)) member();
    };
    dispatcher = { members, dispatch };
    dispatchers.set(name, dispatcher);
  }
  const { dispatch, members } = dispatcher;
  // The program may have removed all listeners of the signal.
  if (!process.listeners(name).includes(dispatch)) process.on(name, dispatch);
  // A new function, so that two registrations of one listener are two members of the set.
  const member = (): void => listener();
  members.add(member);
  return () => {
    if (!members.delete(member) || members.size > 0) return;
    dispatchers.delete(name);
    process.off(name, dispatch);
  };
}

/** A server that can be ended by signals of the process. */
export interface Endable {
  /** @param timeout ms; null for no limit */
  drain(timeout: number | null): Promise<void>;
  /** Closes the server at once. */
  end(): void;
}

/** The signals that end a server. */
export class ShutdownSignals {
  /** By signal, the function that removes its listener. */
  readonly #removers = new Map<NodeJS.Signals, () => void>();
  /** Whether a signal has come. */
  #signalled = false;

  /**
   * Drains the server at the first signal, and ends it at the second. If a name was passed to an earlier call, the new
   * listener replaces the old one, so that a signal does not count twice.
   */
  listen(server: Endable, signals: readonly NodeJS.Signals[], opts: DrainOptions): void {
    const action = "shut down on signals";
    const names = checkSignals(signals, action);
    const timeout = checkDrainTimeout(opts, action);
    const listener = (): void => {
      if (this.#signalled) return server.end();
      this.#signalled = true;
      // If the server drains already, the timeout of this call applies too.
      void server.drain(timeout);
    };
    for (const name of names) {
      this.#removers.get(name)?.();
      this.#removers.set(name, onSignal(name, listener));
    }
  }

  /** Removes the listeners. A signal without other listeners then has its default action again. */
  release(): void {
    for (const remove of this.#removers.values()) remove();
    this.#removers.clear();
  }
}
