// Limits the time without data in a conversation. After the time of `--idle` without data, the conversation fails.
// After the time of `--linger`, it ends without an error. This second limit applies from the call of setLinger() on.

/** The functions that end the conversation. */
export interface IdleTimerCallbacks {
  readonly onIdle: () => void;
  readonly onLingered: () => void;
}

export class IdleTimer {
  readonly #idle: number | undefined;
  readonly #callbacks: IdleTimerCallbacks;
  /** Milliseconds; undefined until setLinger(). */
  #linger: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #runningWrites = 0;

  /** @param idle milliseconds; undefined for no limit */
  constructor(idle: number | undefined, callbacks: IdleTimerCallbacks) {
    this.#idle = idle;
    this.#callbacks = callbacks;
    this.#arm();
  }

  /** From now on, the conversation ends without an error after this time without data. */
  setLinger(milliseconds: number): void {
    this.#linger = milliseconds;
    this.#arm();
  }

  /** Starts the time again. Called when data was sent or received. */
  restart(): void {
    this.#timer?.refresh();
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
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    this.end();
    const linger = this.#linger ?? Infinity;
    const idle = this.#idle ?? Infinity;
    const time = Math.min(linger, idle);
    if (time === Infinity) return;
    this.#timer = setTimeout(() => {
      if (idle <= linger) this.#callbacks.onIdle();
      // While a write waits for a slow peer, --linger does not end the conversation.
      else if (this.#runningWrites > 0) this.#arm();
      else this.#callbacks.onLingered();
    }, time);
  }
}
