// The operation of buffered reads. One call makes any number of reads, until the consumer has enough bytes. The streams
// of awaitable and of blocking sockets use it.
//
// The consumer gets the bytes of each read at once, so a call that ends early (timeout, abort, close) loses no bytes.
// Each attempt gets its memory from the consumer, so a waiting call needs no memory.

import { EFAULT } from "../sys/errno.js";
import { progress, operation, type Operation } from "../reactor/operation.js";

/** Provides memory for the bytes, and decides when the call is complete. Same shape as `Consumer` in src/io.ts. */
export interface ReadConsumer {
  /** Returns memory, and sets `start` and `size`. */
  room(): Uint8Array;
  /** The range of that memory for the next read. */
  readonly start: number;
  readonly size: number;
  /** Called with the number of bytes read, 0 at the end of the stream. Returns whether the call is complete. */
  filled(count: number): boolean;
  /** Returns the value of the call. */
  result(): unknown;
}

export const READ_FOR: Operation<ReadConsumer, undefined, unknown> = operation<ReadConsumer, undefined, unknown>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, consumer) => {
    const memory = consumer.room();
    const { size, start } = consumer;
    // If the consumer has no room, its memory was detached. A read of 0 bytes would look like the end of the stream.
    if (size === 0) return EFAULT;
    const count = calls.recvAt(fd, memory, start, size);
    if (count < 0) return count;
    return consumer.filled(count) ? count : progress(count);
  },
  complete: (_count, consumer) => consumer.result(),
  requested: ({ size }) => size,
});
