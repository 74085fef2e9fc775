// Signals end blocking calls with EINTR, if the process has a listener for them.
//
// A listener is JavaScript, so it can't run while the thread is blocked. A program that waits in accept() without a
// timeout would never run it. A listener for SIGINT also disables the default action, so Ctrl-C would have no effect.
// Therefore the call ends with EINTR, like a system call that a signal with a handler interrupts: signal(7).
// The listener runs when the program returns to the event loop. If the program does not catch the error, the program
// ends.
//
// A signal interrupts one call: the call that waits when the signal arrives, otherwise the next call that has to wait,
// unless the listener has run before. Native code counts signals from the registration of their first listener
// (native/signals.c). SIGCHLD and SIGWINCH are frequent in programs with children or a terminal, and interrupt no call.
//
// If a program catches EINTR and blocks again, its listeners do not run. A second Ctrl-C also ends the call with EINTR.
// If the program then blocks again, the default action of SIGINT ends the process. Otherwise a user could not end it
// from a terminal.
//
// Only the main thread gets signals. A blocked worker is not interrupted.

import type { EventEmitter } from "node:events";
import { os, workerThreads } from "../builtins.js";
import { addon } from "../sys/addon.js";
import type { Calls } from "../sys/calls.js";
import { EPERM } from "../sys/errno.js";
import { runtime } from "../sys/runtime.js";

/** When this number of SIGINT have arrived and their listeners have not run, the next wait ends the process. */
const MAX_UNHANDLED = 2;

/** Used only without libuv. False when the loop has turned since `scheduleTurn()`, so that the listeners have run. */
let turnPending = true;

function endTurn(): void {
  turnPending = false;
  addon.markSignalsHandled();
}

function scheduleTurn(): void {
  turnPending = true;
  // The listeners for signals of this turn run in the next turn at the latest. The immediates stay referenced: Deno
  // runs unreferenced ones only when something else wakes the loop.
  setImmediate(() => setImmediate(endTurn));
}

function noop(): void {}

/** Signals with the listener `noop`. */
const noopSignals: string[] = [];

function removeNoopListeners(): void {
  for (const name of noopSignals.splice(0)) process.off(name, noop);
}

/**
 * Bun and Deno emit "newListener" before they install their signal handler. So an empty listener is added for a moment:
 * it makes the runtime install its handler, and the native handler is installed after that.
 */
function onNewListener(name: string | symbol, listener: unknown): void {
  if (listener === noop || typeof name !== "string" || !Object.hasOwn(os().constants.signals, name)) return;
  scheduleTurn();
  const events: EventEmitter = process;
  if (events.listenerCount(name) > 0) return;
  try {
    events.on(name, noop);
  } catch {
    // The runtime does not support this signal, so the user's call of `on()` fails too.
    return;
  }
  addon.countSignal(name);
  noopSignals.push(name);
  queueMicrotask(removeNoopListeners);
}

/** 0, or -errno: -EPERM on a worker, -ENOTSUP without libuv. */
const watchStatus = addon.watchSignals();
/**
 * On Node.js the addon detects the main thread, because an import of node:worker_threads takes 2 MB on version 26. In
 * other runtimes that module is used, because `deno test` runs the main program on a thread that is not the first one
 * of the process.
 */
const isMainThread = runtime.libuv ? watchStatus !== EPERM : workerThreads().isMainThread;
/** Whether libuv reports to native code that listeners have run. */
const loopReportsTurns = runtime.libuv && watchStatus === 0;
if (isMainThread) countListenedSignals();

/** Makes native code count each signal that has a listener or gets one later. */
function countListenedSignals(): void {
  const events: EventEmitter = process;
  const { countSignal } = addon;
  // If the package is evaluated twice, the first evaluation has added this listener.
  if (!events.listeners("newListener").includes(countSignal)) events.on("newListener", countSignal);
  for (const name of process.eventNames()) addon.countSignal(name);
  if (!loopReportsTurns) {
    events.on("newListener", onNewListener);
    scheduleTurn();
  }
}

/**
 * Takes the signals that have arrived and have interrupted no call yet. Returns whether there was one; the caller must
 * then end its call with EINTR. If there was none, and the listeners of `MAX_UNHANDLED` SIGINT have not run, ends
 * the process by SIGINT. Called each time before a blocking call waits.
 */
export function takeInterrupt(calls: Calls): boolean {
  if (!isMainThread) return false;
  // No microtask can remove the `noop` listeners during the call, and they would disable the default action.
  if (noopSignals.length > 0) removeNoopListeners();
  if (!loopReportsTurns && !turnPending) {
    calls.markSignalsHandled();
    scheduleTurn();
  }
  // Called before takeSignals(). So a SIGINT between the two calls interrupts the wait, and does not end the process.
  const pending = calls.pendingSignals(os().constants.signals.SIGINT);
  if (calls.takeSignals() > 0) return true;
  if (pending >= MAX_UNHANDLED) endProcess("SIGINT");
  return false;
}

/** Ends the process by the default action of the signal. */
function endProcess(signal: "SIGINT"): never {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Deno ends the process on another thread, a moment later. This thread waits for that.
  if (runtime.name === "Deno") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  // In Bun the handler stays installed after its listeners are removed, so the signal does not end the process. The
  // exit status is the one that a shell reports after the signal.
  process.exit(128 + os().constants.signals[signal]);
}
