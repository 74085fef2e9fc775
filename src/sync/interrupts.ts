// What a blocked thread hears of signals: that one has come for which the process has a listener.
//
// The listener is JavaScript and has to wait for the thread. A program that waits in accept() for ever would never run it, and
// since a listener for SIGINT takes away the default action, Ctrl-C would do nothing at all. So the call ends with EINTR, as a
// system call does whose signal is handled: signal(7). The listener runs as soon as the program gives way to the loop of
// events, or does not: then it ends with the error, as a program does that catches nothing.
//
// Which signal it was nobody can tell before the listener runs. Those that come in every program which starts children or has
// a terminal interrupt nothing by themselves.

import type { Calls } from "../sys/calls.js";

const ORDINARY: ReadonlySet<string | symbol> = new Set(["SIGCHLD", "SIGWINCH"]);

/** What had come when it was last asked. A signal interrupts one call, not every call until its listener has run. */
let seen = 0;

/**
 * To be called when a call begins: listeners that have run meanwhile have taken their signals off what is pending, and the next
 * one must not look like one of those.
 */
export function forgetHeard(calls: Calls): void {
  if (seen > 0) seen = Math.min(seen, calls.pendingSignals());
}

/** Whether a signal has come, since this was asked last, that the process has a listener for. */
export function interrupted(calls: Calls): boolean {
  const pending = calls.pendingSignals();
  const more = pending > seen;
  seen = pending;
  return more && process.eventNames().some(isSignal);
}

function isSignal(event: string | symbol): boolean {
  return typeof event === "string" && event.startsWith("SIG") && !ORDINARY.has(event);
}
