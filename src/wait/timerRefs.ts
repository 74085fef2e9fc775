// For ref() and unref() of a connection whose calls wait in JavaScript: applies them to the timers of these calls.

/** The methods of Node's timers that are used here. Timers of another clock may lack them. */
interface Timer {
  ref?(): unknown;
  unref?(): unknown;
}

function setRef(timer: unknown, keepsAlive: boolean): void {
  if (keepsAlive) (timer as Timer).ref?.();
  else (timer as Timer).unref?.();
}

/** The timers of the calls that wait on one object. Either all of them keep the process alive, or none does. */
export class TimerRefs {
  #keepsAlive = true;
  /** The pending timers. Made for the first one. */
  #timers: Set<unknown> | undefined;

  /** Whether the timers keep the process alive. */
  get keepsAlive(): boolean {
    return this.#keepsAlive;
  }

  set keepsAlive(value: boolean) {
    if (this.#keepsAlive === value) return;
    this.#keepsAlive = value;
    for (const timer of this.#timers ?? []) setRef(timer, value);
  }

  /** Adds a new timer. A clock may use numbers as timers, which have no ref(). */
  add(timer: unknown): void {
    if (typeof timer !== "object" || timer === null) return;
    (this.#timers ??= new Set()).add(timer);
    if (!this.#keepsAlive) (timer as Timer).unref?.();
  }

  /** Removes a timer that has run or was cleared. */
  delete(timer: unknown): void {
    this.#timers?.delete(timer);
  }
}
