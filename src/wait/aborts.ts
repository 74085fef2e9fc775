// Who hears of an abort: one listener per signal for all the calls that wait under it, whatever they wait for. A leaf.
//
// A server has one signal for hundreds of calls. With a listener each, Node warns of a leak from the eleventh on, and every
// call pays for the bookkeeping of an event target. The listener goes when the last call has settled, because a signal that
// has listeners is kept alive by those it was made of (AbortSignal.any, AbortSignal.timeout).

/** What is told when its signal is aborted. It does not throw. Who put it on takes it off, also when it has been told. */
export interface Abortable {
  aborted(reason: unknown): void;
}

class Group {
  readonly members = new Set<Abortable>();
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  handleEvent(): void {
    const { reason } = this.signal as { reason: unknown };
    for (const member of this.members) member.aborted(reason);
  }
}

// Taken from where they are defined: what a signal has of its own under these names is code of users, which must not run while
// events are dispatched.
const target = EventTarget.prototype;

const groups = new WeakMap<AbortSignal, Group>();

/** Has `member` told when `signal`, which is not aborted yet, is. */
export function onAbort(signal: AbortSignal, member: Abortable): void {
  let group = groups.get(signal);
  if (group === undefined) groups.set(signal, (group = new Group(signal)));
  if (group.members.size === 0) target.addEventListener.call(signal, "abort", group);
  group.members.add(member);
}

/** Takes `member` off; nothing if it is not on. */
export function offAbort(signal: AbortSignal, member: Abortable): void {
  const group = groups.get(signal);
  if (group !== undefined && group.members.delete(member) && group.members.size === 0) {
    target.removeEventListener.call(signal, "abort", group);
  }
}

/** The signals of this realm that stand for others, by these. */
const adopted = new WeakMap<object, AbortSignal>();

/**
 * A value as an AbortSignal of this realm; undefined if it is none. One that was made elsewhere (in another realm, by a library such as
 * jsdom) is known by its shape, and has one listener of ours from then on, which aborts the signal that stands for it.
 */
export function adoptSignal(value: unknown): AbortSignal | undefined {
  if (value instanceof AbortSignal) return value;
  if (typeof value !== "object" || value === null) return undefined;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  if (typeof aborted !== "boolean") return undefined;
  if (typeof addEventListener !== "function" || typeof removeEventListener !== "function") return undefined;
  const signal = value as AbortSignal;
  const known = adopted.get(signal);
  if (known !== undefined && known.aborted === aborted) return known;
  const controller = new AbortController();
  // A signal of old has no reason: then it is the AbortError of this realm.
  const abort = (): void => controller.abort(signal.reason);
  if (aborted) abort();
  else signal.addEventListener("abort", abort, { once: true });
  adopted.set(signal, controller.signal);
  return controller.signal;
}

/** Puts on the reason of an abort how much had gone out: there is no error of ours to put it on. */
export function countOn(reason: unknown, transferred: number): void {
  if (transferred <= 0 || typeof reason !== "object" || reason === null) return;
  try {
    Object.defineProperty(reason, "transferred", { value: transferred, configurable: true, writable: true });
  } catch {
    // It takes no property, or has one of its own by that name; it is the reason all the same.
  }
}
