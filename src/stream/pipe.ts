// Moves bytes from a stream to a writer through the stream's buffer, with one write at a time.

import { OutboxFullError, SocketError } from "../errors/index.js";
import type { IoOptions, Writer } from "../io.js";
import { type AbortListener, adoptSignal, offAbort, onAbort } from "../wait/aborts.js";
import { optionsError } from "../wait/pendingCall.js";
import type { BufferedReader } from "./bufferedReader.js";

/**
 * The options of `pipeTo()`. `timeout` limits each read and each write, so it is an idle timeout. `signal` ends the
 * whole pipe.
 */
export interface PipeOptions extends IoOptions {
  /** Whether the destination stays open for writing at the end. Default false: the pipe calls `closeWrite()`. */
  readonly keepOpen?: boolean | undefined;
}

/** Optional callbacks of the caller of `pipe()`, and the reason of its abort. */
export interface PipeObserver {
  /** Called after each write with the number of written bytes. */
  onWritten?(count: number): void;
  /**
   * The reason with which the pipe's signal will be aborted. After the abort, `transferred` of the reason is the number
   * of bytes that the interrupted write has written. So no other call may use this object as a reason.
   */
  readonly stopReason?: { readonly transferred?: number };
  /** Returns whether the pipe ends if `whenBroken()` of the destination resolves with `error`. Default: always. */
  endsOn?(error: unknown): boolean;
}

/**
 * Ends the pending read of a pipe when the destination is broken. Without this class, the pipe would end only at its
 * next write, which may never come.
 */
class DestinationWatch implements AbortListener {
  readonly #controller = new AbortController();
  readonly #userSignal: AbortSignal | undefined;
  #ended = false;

  constructor(userSignal: AbortSignal | undefined) {
    this.#userSignal = userSignal;
    if (userSignal !== undefined) onAbort(userSignal, this);
    // This listener stays while the pipe runs. Without it, each read would add an event listener to the signal, and
    // remove the event listener again.
    onAbort(this.signal, NO_ACTION);
  }

  /** When `whenBroken()` of `destination` settles with an error, aborts `signal` with it if `endsOn` returns true. */
  start(destination: Writer, endsOn: (error: unknown) => boolean): void {
    const onBroken = (error: unknown): void => {
      if (!this.#ended && endsOn(error)) this.#controller.abort(error);
    };
    destination.whenBroken?.({ signal: this.signal }).then(onBroken, onBroken);
  }

  /** Aborted when the destination is broken, and when the user's signal is aborted. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Called when the user's signal is aborted. */
  onAborted(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Ends the watch, and releases the listeners. */
  end(): void {
    this.#ended = true;
    if (this.#userSignal !== undefined) offAbort(this.#userSignal, this);
    offAbort(this.signal, NO_ACTION);
    // Ends the pending whenBroken().
    this.#controller.abort();
  }
}

const NO_ACTION: AbortListener = { onAborted: () => undefined };

/**
 * Moves all bytes, then calls `closeWrite()` of `destination` unless `keepOpen` is true. Resolves with the number of
 * bytes.
 */
export async function pipe(
  reader: BufferedReader,
  destination: Writer,
  opts: PipeOptions | undefined,
  observer: PipeObserver = {},
): Promise<number> {
  const refused = optionsError(opts, "pipeTo", ["timeout", "signal", "keepOpen"]);
  if (refused !== undefined) throw refused.error;
  reader.lock();
  const { buffer } = reader;
  let written = 0;
  let watch: DestinationWatch | undefined;
  try {
    if (destination.whenBroken !== undefined) {
      watch = new DestinationWatch(adoptSignal(opts?.signal));
      watch.start(destination, (error) => observer.endsOn?.(error) ?? true);
    }
    const writeOptions = opts === undefined ? undefined : { timeout: opts.timeout, signal: opts.signal };
    const readOptions = watch === undefined ? writeOptions : { timeout: opts?.timeout, signal: watch.signal };
    while (buffer.length > 0 || (await reader.fill(readOptions))) {
      const bytes = buffer.unreadBytes();
      // After an error without a number, all bytes count as taken: a byte that was sent must not be sent again.
      let taken = bytes.length;
      try {
        await destination.write(bytes, writeOptions);
      } catch (error) {
        // If the number of bytes that the destination has taken is known, the rest stays unread.
        const { stopReason } = observer;
        if (stopReason !== undefined && error === stopReason) taken = stopReason.transferred ?? 0;
        else if (error instanceof OutboxFullError) taken = 0;
        else if (error instanceof SocketError && error.transferred !== undefined) taken = error.transferred;
        throw error;
      } finally {
        buffer.skip(taken);
      }
      written += bytes.length;
      observer.onWritten?.(bytes.length);
    }
    if (opts?.keepOpen !== true) await destination.closeWrite(writeOptions);
    return written;
  } finally {
    watch?.end();
    reader.unlock();
  }
}
