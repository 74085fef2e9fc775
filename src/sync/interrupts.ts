// What a blocked thread hears of signals: that one has come for which the process has a listener.
//
// The listener is JavaScript and has to wait for the thread. A program that waits in accept() for ever would never run it, and
// since a listener for SIGINT takes away the default action, Ctrl-C would do nothing at all. So the call ends with EINTR, as a
// system call does whose signal is handled: signal(7). The listener runs as soon as the program gives way to the loop of
// events, or does not: then it ends with the error, as a program does that catches nothing.
//
// A signal interrupts one call: the one that waits when it comes, or else the next one that has to wait, unless its listener has
// run in between. Native code counts signals from the moment their first listener is registered (native/signals.c). SIGCHLD and
// SIGWINCH come in every program that starts children or has a terminal, and interrupt nothing.
//
// A program that catches EINTR and waits again keeps its listeners from running. Its user presses Ctrl-C once more, and once more
// the call ends with EINTR. When the program then waits yet again, its listeners had two chances: it is ended by the default
// action of SIGINT, for nothing else could end it from a terminal.
//
// Only the main thread listens for signals. A worker that blocks is not interrupted.

import type { EventEmitter } from "node:events";
import { os, workerThreads } from "../builtins.js";
import { addon } from "../sys/addon.js";
import type { Calls } from "../sys/calls.js";
import { EPERM } from "../sys/errno.js";
import { runtime } from "../sys/runtime.js";

/** So many signals of Ctrl-C whose listeners have not run end a program that waits again. */
const ENOUGH = 2;

/** Without libuv a signal counts as heard when the loop has turned since. */
let turning = true;

function turned(): void {
  turning = false;
  addon.forgetSignals();
}

function untilTurn(): void {
  turning = true;
  // Signals of this turn have their listeners run in the next one at the latest.
  setImmediate(() => setImmediate(turned).unref()).unref();
}

function nothing(): void {}

/** Signals for which `nothing` listens. */
const held: string[] = [];

function letGo(): void {
  for (const name of held.splice(0)) process.off(name, nothing);
}

/**
 * Bun and Deno say that there will be a listener, and install their handler after that. So a listener that does nothing comes
 * first, for a moment: the handler is there then, and ours before it.
 */
function listened(name: string | symbol, listener: unknown): void {
  if (listener === nothing || typeof name !== "string" || !Object.hasOwn(os().constants.signals, name)) return;
  untilTurn();
  const events: EventEmitter = process;
  if (events.listenerCount(name) > 0) return;
  try {
    events.on(name, nothing);
  } catch {
    // No listener can be had for this one, as the caller is about to be told.
    return;
  }
  addon.signalListened(name);
  held.push(name);
  queueMicrotask(letGo);
}

const watching = addon.watchSignals();
/**
 * On Node.js by the addon: an import of node:worker_threads takes 2 MB on version 26. Elsewhere by that module: `deno test` runs
 * the main program on another thread than the first one of the process.
 */
const isMainThread = runtime.libuv ? watching !== EPERM : workerThreads().isMainThread;
/** Whether the loop says when listeners have run. */
const told = isMainThread && watch();

function watch(): boolean {
  const libuv = runtime.libuv && watching === 0;
  const events: EventEmitter = process;
  // Another evaluation of the package may have registered it.
  const { signalListened } = addon;
  if (!events.listeners("newListener").includes(signalListened)) events.on("newListener", signalListened);
  for (const name of process.eventNames()) addon.signalListened(name);
  if (!libuv) {
    events.on("newListener", listened);
    untilTurn();
  }
  return libuv;
}

/**
 * Whether a signal has come that has interrupted no call yet. To be asked before a call waits, and again each time it goes on
 * waiting.
 */
export function interrupted(calls: Calls): boolean {
  if (!isMainThread) return false;
  // No microtask runs while a call blocks, and with a listener a signal has no default action.
  if (held.length > 0) letGo();
  if (!told && !turning) {
    calls.forgetSignals();
    untilTurn();
  }
  // Before takeSignals(): a signal that comes between the two calls interrupts, and ends nothing yet.
  const unheard = calls.unheardSignals(os().constants.signals.SIGINT);
  if (calls.takeSignals() > 0) return true;
  if (unheard >= ENOUGH) endByDefault("SIGINT");
  return false;
}

/** Ends the process as the signal does when nobody listens for it. */
function endByDefault(signal: "SIGINT"): never {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Bun's handler stays.
  process.exit(128 + os().constants.signals[signal]);
}
