// Abort signals of calls that wait. All calls with the same signal share one event listener.
//
// A server has one signal for hundreds of calls. With an event listener for each call, Node would print a warning from
// the eleventh on, and each call would pay for adding and removing it. The event listener is removed when the last call
// has settled: a signal that has one is kept alive by the signals that it depends on (AbortSignal.any,
// AbortSignal.timeout).

/**
 * An object whose method is called when its signal is aborted. The method must not throw. The caller of `onAbort()`
 * must call `offAbort()`, even after the abort.
 */
export interface AbortListener {
  aborted(reason: unknown): void;
}

/** The listeners of one signal; it is an `EventListenerObject`. */
class SignalListeners {
  readonly members = new Set<AbortListener>();
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  handleEvent(): void {
    const { reason } = this.signal as { reason: unknown };
    for (const member of this.members) member.aborted(reason);
  }
}

// The methods of the prototype: a signal may have own properties of these names, which are code of the user, and code
// of the user must not run while the reactor dispatches events.
const eventTarget = EventTarget.prototype;

const listenersOf = new WeakMap<AbortSignal, SignalListeners>();

/** Calls `listener.aborted()` when `signal` is aborted. The signal must not be aborted yet. */
export function onAbort(signal: AbortSignal, listener: AbortListener): void {
  let listeners = listenersOf.get(signal);
  if (listeners === undefined) listenersOf.set(signal, (listeners = new SignalListeners(signal)));
  if (listeners.members.size === 0) eventTarget.addEventListener.call(signal, "abort", listeners);
  listeners.members.add(listener);
}

/** Removes `listener`. Does nothing if it is not registered. */
export function offAbort(signal: AbortSignal, listener: AbortListener): void {
  const listeners = listenersOf.get(signal);
  if (listeners !== undefined && listeners.members.delete(listener) && listeners.members.size === 0) {
    eventTarget.removeEventListener.call(signal, "abort", listeners);
  }
}

/** From a foreign signal to the signal of this realm that follows it. */
const adoptedSignals = new WeakMap<object, AbortSignal>();

/**
 * `value` as an AbortSignal of this realm, or undefined if it is no AbortSignal. A signal of another realm or of a
 * library such as jsdom is recognised by its members. It gets one event listener, which aborts a signal of this realm;
 * that signal is returned.
 */
export function adoptSignal(value: unknown): AbortSignal | undefined {
  if (value instanceof AbortSignal) return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  if (typeof aborted !== "boolean") return undefined;
  if (typeof addEventListener !== "function" || typeof removeEventListener !== "function") return undefined;
  const foreign = value as AbortSignal;
  const adopted = adoptedSignals.get(foreign);
  if (adopted !== undefined && adopted.aborted === aborted) return adopted;
  const controller = new AbortController();
  // Old implementations have no reason: `abort(undefined)` makes an AbortError.
  const abort = (): void => controller.abort(foreign.reason);
  if (aborted) abort();
  else foreign.addEventListener("abort", abort, { once: true });
  adoptedSignals.set(foreign, controller.signal);
  return controller.signal;
}

/**
 * Sets `transferred` on the reason of an abort, if some bytes were moved before it. The call rejects with that reason,
 * so there is no error of this library that could have the property.
 */
export function setTransferred(reason: unknown, transferred: number): void {
  if (transferred <= 0 || typeof reason !== "object" || reason === null) return;
  try {
    Object.defineProperty(reason, "transferred", { value: transferred, configurable: true, writable: true });
  } catch {
    // The object is frozen, or its own `transferred` can't be changed. The call rejects with it unchanged.
  }
}
