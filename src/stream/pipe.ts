// From the reading side of a stream to a writer, as fast as the writer takes it, through one buffer.

import { type Abortable, offAbort, onAbort } from "../wait/aborts.js";
import { SocketError } from "../errors/index.js";
import type { IoOptions, Writer } from "../io.js";
import type { Pull } from "./pull.js";
import { refusal, takeSignal } from "../wait/pendingCall.js";

/** How to pipe. `timeout` bounds each read and each write, so it is an idle timeout; `signal` ends the whole. */
export interface PipeOptions extends IoOptions {
  /** Leave the destination open for writing at the end; without it, the end is passed on by `closeWrite()`. */
  readonly keepOpen?: boolean | undefined;
}

/** How a pipe is looked after by who started it. */
export interface PipeWatch {
  /** Bytes have been written. */
  moved?(count: number): void;
  /** The reason of the pipe's signal, where it is an object of this pipe alone: a write that it cuts has counted on it. */
  readonly cut?: { readonly transferred?: number };
  /** Whether the pipe ends with this error of a destination that is gone, although nothing has come to be written. */
  ends?(error: unknown): boolean;
}

/**
 * Ends the reads of a pipe when its destination is gone: a source that is silent has nothing to write, so no write would
 * find out.
 */
class Guard implements Abortable {
  readonly #cut = new AbortController();
  readonly #outer: AbortSignal | undefined;
  #over = false;

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer !== undefined) onAbort(outer, this);
    // One member for as long as the pipe runs: each read would otherwise put a listener on and take it off.
    onAbort(this.signal, IDLE);
  }

  /** Ends the pipe when the destination is gone. */
  watch(to: Writer, ends: (error: unknown) => boolean): void {
    const gone = (error: unknown): void => {
      if (!this.#over && ends(error)) this.#cut.abort(error);
    };
    to.whenBroken?.({ signal: this.signal }).then(gone, gone);
  }

  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  aborted(reason: unknown): void {
    this.#cut.abort(reason);
  }

  end(): void {
    this.#over = true;
    if (this.#outer !== undefined) offAbort(this.#outer, this);
    offAbort(this.signal, IDLE);
    // Takes the wait for the destination's end away.
    this.#cut.abort();
  }
}

const IDLE: Abortable = { aborted: () => undefined };

/** Moves all bytes; returns how many once the end has been passed on. */
export async function pipe(
  pull: Pull,
  to: Writer,
  opts: PipeOptions | undefined,
  watch: PipeWatch = {},
): Promise<number> {
  const refused = refusal(opts);
  if (refused !== undefined) throw refused.error;
  pull.lock();
  const { buffer } = pull;
  let moved = 0;
  let guard: Guard | undefined;
  try {
    if (to.whenBroken !== undefined) {
      guard = new Guard(takeSignal(opts?.signal));
      guard.watch(to, (error) => watch.ends?.(error) ?? true);
    }
    const reads = guard === undefined ? opts : { timeout: opts?.timeout, signal: guard.signal };
    while (buffer.length > 0 || (await pull.fill(reads))) {
      const bytes = buffer.look();
      let taken = bytes.length;
      try {
        await to.write(bytes, opts);
      } catch (error) {
        // What the writer did not take stays unread, where that is known.
        if (watch.cut !== undefined && error === watch.cut) taken = watch.cut.transferred ?? 0;
        else if (error instanceof SocketError && error.transferred !== undefined) taken = error.transferred;
        throw error;
      } finally {
        buffer.skip(taken);
      }
      moved += bytes.length;
      watch.moved?.(bytes.length);
    }
    if (opts?.keepOpen !== true) await to.closeWrite(opts);
    return moved;
  } finally {
    guard?.end();
    pull.unlock();
  }
}
