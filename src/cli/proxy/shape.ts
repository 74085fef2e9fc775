// Forwards one direction of a connection with a delay for each byte and a maximum rate.

import type { Stream } from "berkeley";

export interface Shape {
  readonly latency: number;
  readonly rate: number | undefined;
  /** ms without a byte after which the connection has failed. */
  readonly idle: number | undefined;
  readonly signal: AbortSignal;
  /** Called with received data. */
  readonly onData: (data: Buffer) => void;
  /** Called after a write with its number of bytes. */
  readonly onWritten: (count: number) => void;
}

const BUFFER = 64 << 10;
/** Maximum number of delayed bytes. When it is reached, reading pauses. */
const MOST_KEPT = 16 << 20;
/** With a rate, a piece is the data of this many ms. */
const PIECE = 20;

/** Forwards all bytes, and then ends the destination. */
export async function carry(from: Stream, to: Stream, shape: Shape): Promise<void> {
  const pacer = new Pacer(shape);
  if (shape.latency === 0) {
    const buffer = Buffer.allocUnsafe(BUFFER);
    for (;;) {
      const length = await from.read(buffer, wait(shape));
      if (length === 0) break;
      shape.onData(buffer.subarray(0, length));
      await pacer.write(to, buffer.subarray(0, length));
    }
    return to.closeWrite();
  }
  const queue = new DelayQueue(shape.signal);
  const wake = (): void => queue.wake();
  shape.signal.addEventListener("abort", wake, { once: true });
  const reading = (async () => {
    const buffer = Buffer.allocUnsafe(BUFFER);
    for (;;) {
      const length = await from.read(buffer, wait(shape));
      if (length === 0) break;
      const data = Buffer.from(buffer.subarray(0, length));
      shape.onData(data);
      await queue.push(data, performance.now() + shape.latency);
    }
    await queue.push(null, performance.now() + shape.latency);
  })();
  const writing = (async () => {
    for (;;) {
      const { data, due } = await queue.shift();
      await sleepUntil(due, shape.signal);
      if (data === null) return to.closeWrite();
      await pacer.write(to, data);
    }
  })();
  writing.catch(() => undefined);
  await Promise.all([reading, writing]).finally(() => shape.signal.removeEventListener("abort", wake));
}

const wait = ({ idle, signal }: Shape): { timeout?: number; signal: AbortSignal } =>
  idle === undefined ? { signal } : { timeout: idle, signal };

/** Writes in pieces, so that the rate is not exceeded. */
class Pacer {
  readonly #shape: Shape;
  #free = 0;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  async write(to: Stream, data: Buffer): Promise<void> {
    const { rate, signal, onWritten } = this.#shape;
    const size = rate === undefined ? data.length : Math.max(1, Math.round((rate * PIECE) / 1000));
    for (let at = 0; at < data.length; at += size) {
      const piece = data.subarray(at, at + size);
      if (rate !== undefined) {
        await sleepUntil(this.#free, signal);
        this.#free = Math.max(this.#free, performance.now()) + (piece.length * 1000) / rate;
      }
      await to.write(piece, wait(this.#shape));
      onWritten(piece.length);
    }
  }
}

interface Delayed {
  /** Null for the end. */
  readonly data: Buffer | null;
  readonly due: number;
}

class DelayQueue {
  readonly #signal: AbortSignal;
  readonly #items: Delayed[] = [];
  #kept = 0;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async push(data: Buffer | null, due: number): Promise<void> {
    this.#items.push({ data, due });
    this.#kept += data?.length ?? 0;
    this.#wakeWriter?.();
    while (this.#kept > MOST_KEPT && !this.#signal.aborted) {
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  /** Ends the waits here. Called after an abort. */
  wake(): void {
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async shift(): Promise<Delayed> {
    for (;;) {
      this.#signal.throwIfAborted();
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#kept -= item.data?.length ?? 0;
        this.#wakeReader?.();
        return item;
      }
      await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    }
  }
}

/** Resolves at a time of the monotonic clock; rejects when the signal is aborted. */
export function sleepUntil(time: number, signal: AbortSignal): Promise<void> | void {
  const left = time - performance.now();
  if (left <= 0) return undefined;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, left);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
