// The check of a list of signals.

import { quote } from "../check/index.js";

export function checkSignals(signals: unknown, action: string): void {
  const named = (name: unknown): boolean => typeof name === "string" && /^SIG[A-Z\d]+$/.test(name);
  if (Array.isArray(signals) && signals.every(named)) return;
  throw new TypeError(`Cannot ${action}: signals are ${quote(signals)}, required an array such as ["SIGTERM"]`);
}
