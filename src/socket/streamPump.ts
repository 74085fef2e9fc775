// pump() if one of the streams has no socket: two calls of pipe(), through the buffers of the streams.
//
// Bytes that were read and not written stay in the buffer of their stream, so `undelivered` of an error is empty.

import { MAX_TIMER_DELAY } from "../wait/waitOptions.js";
import { type AbortListener, offAbort, onAbort } from "../wait/aborts.js";
import type { Writer } from "../io.js";
import { BufferedReader } from "../stream/bufferedReader.js";
import { pipe, type PipeObserver } from "../stream/pipe.js";
import { readerOf } from "../stream/stream.js";
import { timeoutError } from "../wait/localError.js";
import { addProgress, type PumpLimits, type PumpCounts, type SpliceProgress } from "../ops/spliceOptions.js";
import { runnerOf } from "./promiseRunner.js";
import type { SpliceEnd } from "./spliceEnd.js";
import { SocketConn } from "./socketConn.js";

/** One direction of the pump. */
class PipeDirection implements PipeObserver {
  /** The number of bytes of the finished writes. */
  sent = 0;
  /**
   * The reason with which `stop()` aborts the pipe. If the abort interrupts a write, the write sets `transferred` to
   * the number of bytes that were sent.
   */
  readonly stopReason: { transferred?: number } = {};
  readonly #stop = new AbortController();
  readonly #onMoved: () => void;

  constructor(onMoved: () => void) {
    this.#onMoved = onMoved;
  }

  onWritten(count: number): void {
    this.sent += count;
    this.#onMoved();
  }

  /**
   * Whether an error of the destination ends the pipe at once. EPIPE does not: the peer has closed the connection in
   * order, and its last bytes may still be unread.
   */
  endsOn(error: unknown): boolean {
    return (error as NodeJS.ErrnoException | null)?.code !== "EPIPE";
  }

  run(from: BufferedReader, to: Writer): Promise<number> {
    return pipe(from, to, { signal: this.#stop.signal }, this);
  }

  stop(): void {
    this.#stop.abort(this.stopReason);
  }

  progress(): SpliceProgress {
    return { transferred: this.sent + (this.stopReason.transferred ?? 0), undelivered: Buffer.alloc(0) };
  }
}

/** The reader of a stream, or of the stream on a socket. */
function readerForSource({ socket, stream }: SpliceEnd): BufferedReader {
  if (stream !== undefined) return readerOf(stream);
  const ahead = runnerOf(socket)!.readAhead;
  return ahead instanceof BufferedReader ? ahead : readerOf(socket!.stream());
}

/** `pump()` for two ends of which at least one has no socket. */
export async function pumpStreams(a: SpliceEnd, b: SpliceEnd, limits: PumpLimits): Promise<PumpCounts> {
  const { idleTimeout, signal, timeout } = limits;
  const [fromA, fromB] = [readerForSource(a), readerForSource(b)];
  let lastMoved = performance.now();
  const onMoved = (): void => {
    lastMoved = performance.now();
  };
  const aToB = new PipeDirection(onMoved);
  const bToA = new PipeDirection(onMoved);
  let failure: { readonly error: unknown } | undefined;
  const stop = (error: unknown): void => {
    if (failure !== undefined) return;
    failure = { error };
    aToB.stop();
    bToA.stop();
  };
  const abortListener: AbortListener = { onAborted: stop };
  const timers = new Set<NodeJS.Timeout>();
  /** Stops the pump when `dueTime()` is reached. That time may become later while the timer runs. */
  const stopAt = (dueTime: () => number): void => {
    const remaining = dueTime() - performance.now();
    if (remaining <= 0) return stop(timeoutError("splice", { transferred: aToB.sent }));
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        stopAt(dueTime);
      },
      Math.min(Math.ceil(remaining), MAX_TIMER_DELAY),
    ).unref();
    timers.add(timer);
  };
  if (timeout !== null) {
    const deadline = performance.now() + timeout;
    stopAt(() => deadline);
  }
  if (idleTimeout !== null) stopAt(() => lastMoved + idleTimeout);
  if (signal !== undefined) onAbort(signal, abortListener);
  try {
    await Promise.all([
      aToB.run(fromA, b.stream ?? new SocketConn(b.socket!)).catch(stop),
      bToA.run(fromB, a.stream ?? new SocketConn(a.socket!)).catch(stop),
    ]);
  } finally {
    if (signal !== undefined) offAbort(signal, abortListener);
    for (const timer of timers) clearTimeout(timer);
  }
  if (failure !== undefined) throw addProgress(failure.error, { aToB: aToB.progress(), bToA: bToA.progress() });
  return { aToB: aToB.sent, bToA: bToA.sent };
}
