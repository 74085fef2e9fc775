// Limits the time without data in a conversation. After the time of `--idle` without data, the conversation fails.
// After the time of `--linger`, it ends without an error. This second limit applies from the call of setLinger() on.

/** The functions that end the conversation. */
export interface IdleTimerCallbacks {
  readonly onIdle: () => void;
  readonly onLingered: () => void;
}

export class IdleTimer {
  readonly #callbacks: IdleTimerCallbacks;
  readonly #idleTimer: NodeJS.Timeout | undefined;
  /** Undefined until setLinger(). */
  #lingerTimer: NodeJS.Timeout | undefined;
  #runningWrites = 0;

  /** @param idle milliseconds; undefined for no limit */
  constructor(idle: number | undefined, callbacks: IdleTimerCallbacks) {
    this.#callbacks = callbacks;
    if (idle !== undefined) this.#idleTimer = setTimeout(() => callbacks.onIdle(), idle);
  }

  /**
   * From now on, the conversation ends without an error after this time without data. Both times start again.
   *
   * @param milliseconds Infinity for no limit
   */
  setLinger(milliseconds: number): void {
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    this.restart();
    if (milliseconds === Infinity) return;
    this.#lingerTimer = setTimeout(() => {
      // While a write waits for a slow peer, --linger does not end the conversation.
      if (this.#runningWrites > 0) this.#lingerTimer?.refresh();
      else this.#callbacks.onLingered();
    }, milliseconds);
  }

  /** Starts both times again. Called when data was sent or received. */
  restart(): void {
    this.#idleTimer?.refresh();
    this.#lingerTimer?.refresh();
  }

  /** Called before a write, which may wait for the peer. Returns a function that must be called after the write. */
  beginWrite(): () => void {
    this.#runningWrites++;
    this.restart();
    return () => {
      this.#runningWrites--;
      this.restart();
    };
  }

  end(): void {
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#lingerTimer);
  }
}
