// ref() and unref() of a connection whose calls wait in JavaScript. They apply to all timers of these calls.

/** The methods of Node's timers that are used here. Timers of another clock may lack them. */
interface Timer {
  ref?(): unknown;
  unref?(): unknown;
}

function setRef(timer: unknown, keepAlive: boolean): void {
  if (keepAlive) (timer as Timer).ref?.();
  else (timer as Timer).unref?.();
}

/** The timers of the calls that wait on one object. Either all of them keep the process alive, or none does. */
export class TimerRefs {
  #keepAlive = true;
  /** The pending timers. Made for the first one. */
  #timers: Set<unknown> | undefined;

  /** Whether the timers keep the process alive. */
  get keepsAlive(): boolean {
    return this.#keepAlive;
  }

  set keepsAlive(value: boolean) {
    if (this.#keepAlive === value) return;
    this.#keepAlive = value;
    for (const timer of this.#timers ?? []) setRef(timer, value);
  }

  /** Adds a new timer. */
  add(timer: unknown): void {
    if (typeof timer !== "object" || timer === null) return;
    (this.#timers ??= new Set()).add(timer);
    if (!this.#keepAlive) setRef(timer, false);
  }

  /** Removes a timer that has run or was cleared. */
  delete(timer: unknown): void {
    this.#timers?.delete(timer);
  }
}
