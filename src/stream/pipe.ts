// From the reading side of a stream to a writer, as fast as the writer takes it, through one buffer.

import { SocketError } from "../errors.js";
import type { IoOptions, Writer } from "../io.js";
import type { Pull } from "./pull.js";

/** How to pipe. `timeout` bounds each read and each write, so it is an idle timeout; `signal` ends the whole. */
export interface PipeOptions extends IoOptions {
  /** Leave the destination open for writing at the end; without it, the end is passed on by `closeWrite()`. */
  readonly keepOpen?: boolean | undefined;
}

/** Moves all bytes; returns how many once the end has been passed on. */
export async function pipe(pull: Pull, to: Writer, opts: PipeOptions | undefined): Promise<number> {
  pull.lock();
  const { buffer } = pull;
  let moved = 0;
  try {
    while (buffer.length > 0 || (await pull.fill(opts))) {
      const bytes = buffer.look();
      let taken = bytes.length;
      try {
        await to.write(bytes, opts);
      } catch (error) {
        // What the writer did not take stays unread, where that is known.
        if (error instanceof SocketError && error.transferred !== undefined) taken = error.transferred;
        throw error;
      } finally {
        buffer.skip(taken);
      }
      moved += bytes.length;
    }
    if (opts?.keepOpen !== true) await to.closeWrite(opts);
    return moved;
  } finally {
    pull.unlock();
  }
}
