// The timers of the calls that wait on one object, which keep the process alive or not, all alike: what ref() and unref() of
// a connection that is written in JavaScript come to.

/** What is used of Node's timers; those of another clock may lack it. */
interface Timer {
  ref?(): unknown;
  unref?(): unknown;
}

function apply(timer: unknown, held: boolean): void {
  if (held) (timer as Timer).ref?.();
  else (timer as Timer).unref?.();
}

export class TimerRefs {
  #held = true;
  /** Those that are pending. Made when there is one. */
  #timers: Set<unknown> | undefined;

  /** Whether waiting calls keep the process alive. */
  get held(): boolean {
    return this.#held;
  }

  set held(value: boolean) {
    if (this.#held === value) return;
    this.#held = value;
    for (const timer of this.#timers ?? []) apply(timer, value);
  }

  /** A timer of this object was made. */
  add(timer: unknown): void {
    if (typeof timer !== "object" || timer === null) return;
    (this.#timers ??= new Set()).add(timer);
    if (!this.#held) apply(timer, false);
  }

  /** It has run, or was cleared. */
  delete(timer: unknown): void {
    this.#timers?.delete(timer);
  }
}
