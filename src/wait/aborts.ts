// Abort signals of calls that wait. All calls with the same signal share one event listener.
//
// A server may use one signal for hundreds of calls. With an event listener for each call, Node would print a warning
// from the eleventh on, and each call would need time to add and remove its listener. When the last call has settled,
// the event listener is removed: Node does not collect a signal of AbortSignal.any() or AbortSignal.timeout() while it
// has an event listener.

/**
 * An object whose method is called when its signal is aborted. The method must not throw. The caller of `onAbort()`
 * must call `offAbort()`, even after the abort.
 */
export interface AbortListener {
  onAborted(reason: unknown): void;
}

/** The one event listener of a signal, which calls all AbortListeners. The signal calls its `handleEvent()`. */
class SignalListener {
  readonly abortListeners = new Set<AbortListener>();
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  handleEvent(): void {
    const { reason } = this.signal as { reason: unknown };
    for (const listener of this.abortListeners) listener.onAborted(reason);
  }
}

// This file calls the methods of the prototype, not those of the signal. A user may have replaced those of the signal,
// and code of users must not run while the reactor dispatches events.
const eventTarget = EventTarget.prototype;

const signalListeners = new WeakMap<AbortSignal, SignalListener>();

/** Calls `listener.onAborted()` when `signal` is aborted. The signal must not be aborted yet. */
export function onAbort(signal: AbortSignal, listener: AbortListener): void {
  let signalListener = signalListeners.get(signal);
  if (signalListener === undefined) signalListeners.set(signal, (signalListener = new SignalListener(signal)));
  const { abortListeners } = signalListener;
  if (abortListeners.size === 0) eventTarget.addEventListener.call(signal, "abort", signalListener);
  abortListeners.add(listener);
}

/** Removes `listener`. Does nothing if it is not registered. */
export function offAbort(signal: AbortSignal, listener: AbortListener): void {
  const signalListener = signalListeners.get(signal);
  if (signalListener === undefined) return;
  const { abortListeners } = signalListener;
  if (abortListeners.delete(listener) && abortListeners.size === 0) {
    eventTarget.removeEventListener.call(signal, "abort", signalListener);
  }
}

/** For a signal of another realm or library: the signal of this realm that is aborted together with it. */
const adoptedSignals = new WeakMap<object, AbortSignal>();

/**
 * Returns `value` as an AbortSignal of this realm, or undefined if it is no AbortSignal. A signal of another realm or
 * of a library such as jsdom is recognised by its members. For such a signal the function returns a signal of this
 * realm, which an event listener on `value` aborts.
 */
export function adoptSignal(value: unknown): AbortSignal | undefined {
  if (value instanceof AbortSignal) return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  if (typeof aborted !== "boolean") return undefined;
  if (typeof addEventListener !== "function" || typeof removeEventListener !== "function") return undefined;
  const foreign = value as AbortSignal;
  const adopted = adoptedSignals.get(foreign);
  // The two differ if the foreign signal is aborted and has not emitted its event yet.
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
 * Sets `transferred` on the reason of an abort, if bytes were moved before the abort. The call rejects with that reason
 * and not with an error of this library, which would have the property.
 */
export function setTransferred(reason: unknown, transferred: number): void {
  if (transferred <= 0 || typeof reason !== "object" || reason === null) return;
  try {
    Object.defineProperty(reason, "transferred", { value: transferred, configurable: true, writable: true });
  } catch {
    // The reason is frozen, or its own `transferred` can't be changed. Then the call rejects with the unchanged reason.
  }
}
