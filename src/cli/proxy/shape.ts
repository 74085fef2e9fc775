// Copies one direction of a connection, with a delay for each byte and a maximum rate (traffic shaping).

import type { Stream } from "berkeley";

/** The delay and the rate of a direction, and its callbacks. */
export interface ShapingOptions {
  /** Milliseconds from the read of a byte to its write. */
  readonly latency: number;
  /** Maximum number of bytes per second. */
  readonly rate: number | undefined;
  readonly signal: AbortSignal;
  /** Called with the data of each read. */
  readonly onData: (data: Buffer) => void;
  /** Called after each write with its number of bytes. */
  readonly onWritten: (count: number) => void;
}

/** Bytes of a read. */
const BUFFER_SIZE = 64 << 10;
/** Maximum number of delayed bytes. Above it, reading pauses. */
const MAX_DELAYED_BYTES = 16 << 20;
/** With a rate, each write has at most the bytes that the rate allows in this many ms. */
const WRITE_TIME = 20;

/** Copies bytes until the source ends, and then half-closes the destination. */
export async function copyShaped(from: Stream, to: Stream, options: ShapingOptions): Promise<void> {
  const writer = new RateLimitedWriter(to, options);
  await (options.latency === 0 ? copy(from, writer, options) : copyDelayed(from, writer, options));
  await to.closeWrite({ signal: options.signal });
}

async function copy(from: Stream, writer: RateLimitedWriter, options: ShapingOptions): Promise<void> {
  const { signal } = options;
  const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
  for (;;) {
    const length = await from.read(buffer, { signal });
    if (length === 0) return;
    const data = buffer.subarray(0, length);
    options.onData(data);
    await writer.write(data);
  }
}

/** Reads into a queue, and at the same time writes from the queue after the delay. */
async function copyDelayed(from: Stream, writer: RateLimitedWriter, options: ShapingOptions): Promise<void> {
  const { latency, onData, signal } = options;
  const queue = new DelayQueue(signal);
  const onAbort = (): void => queue.resumeWaits();
  signal.addEventListener("abort", onAbort, { once: true });
  const read = async (): Promise<void> => {
    const buffer = Buffer.allocUnsafe(BUFFER_SIZE);
    for (;;) {
      const length = await from.read(buffer, { signal });
      if (length === 0) break;
      // Copied, because the next read overwrites the buffer.
      const data = Buffer.from(buffer.subarray(0, length));
      onData(data);
      await queue.push(data, performance.now() + latency);
    }
    await queue.push(null, performance.now() + latency);
  };
  const write = async (): Promise<void> => {
    for (;;) {
      const { data, due } = await queue.shift();
      await sleepUntil(due, signal);
      if (data === null) return;
      await writer.write(data);
    }
  };
  await Promise.all([read(), write()]).finally(() => signal.removeEventListener("abort", onAbort));
}

/** Writes in pieces, so that the rate is not exceeded. Without a rate, writes all data at once. */
class RateLimitedWriter {
  readonly #to: Stream;
  readonly #options: ShapingOptions;
  /** The time from which the next piece may be written. */
  #freeAt = 0;

  constructor(to: Stream, options: ShapingOptions) {
    this.#to = to;
    this.#options = options;
  }

  async write(data: Buffer): Promise<void> {
    const { rate, signal, onWritten } = this.#options;
    const pieceSize = rate === undefined ? data.length : Math.max(1, Math.round((rate * WRITE_TIME) / 1000));
    for (let at = 0; at < data.length; at += pieceSize) {
      const piece = data.subarray(at, at + pieceSize);
      if (rate !== undefined) {
        await sleepUntil(this.#freeAt, signal);
        this.#freeAt = Math.max(this.#freeAt, performance.now()) + (piece.length * 1000) / rate;
      }
      await this.#to.write(piece, { signal });
      onWritten(piece.length);
    }
  }
}

interface DelayedData {
  /** Null for the end of the source. */
  readonly data: Buffer | null;
  /** The time at which the data is to be written, as of `performance.now()`. */
  readonly due: number;
}

/** A queue of data that is written after a delay. */
class DelayQueue {
  readonly #signal: AbortSignal;
  readonly #items: DelayedData[] = [];
  /** The number of bytes in the queue. */
  #bytes = 0;
  /** Resumes a waiting push(). */
  #resumePush: (() => void) | undefined;
  /** Resumes a waiting shift(). */
  #resumeShift: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Adds data, or null for the end. Then waits while the queue has more than MAX_DELAYED_BYTES. */
  async push(data: Buffer | null, due: number): Promise<void> {
    this.#items.push({ data, due });
    this.#bytes += data?.length ?? 0;
    this.#resumeShift?.();
    while (this.#bytes > MAX_DELAYED_BYTES && !this.#signal.aborted) {
      await new Promise<void>((resolve) => (this.#resumePush = resolve));
    }
  }

  /** Removes the oldest data. Waits for data, and rejects after an abort. */
  async shift(): Promise<DelayedData> {
    for (;;) {
      this.#signal.throwIfAborted();
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#bytes -= item.data?.length ?? 0;
        this.#resumePush?.();
        return item;
      }
      await new Promise<void>((resolve) => (this.#resumeShift = resolve));
    }
  }

  /** Called after an abort: push() and shift() wait no longer. */
  resumeWaits(): void {
    this.#resumePush?.();
    this.#resumeShift?.();
  }
}

/**
 * Waits until `time`, as of `performance.now()`. Returns undefined if the time has passed already. Rejects with the
 * reason of the signal after an abort.
 */
export function sleepUntil(time: number, signal: AbortSignal): Promise<void> | void {
  const timeLeft = time - performance.now();
  if (timeLeft <= 0) return undefined;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, timeLeft);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
