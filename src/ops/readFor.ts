// The operation of buffered reads: it reads for a consumer until the consumer has enough. That is one call, with any
// number of reads. The streams of both sockets use it.
//
// The consumer gets the bytes of each read at once, so a call that ends early (timeout, abort, close) loses none. Each
// attempt gets its memory from the consumer, so a waiting call holds no memory.

import { EFAULT } from "../sys/errno.js";
import { progress, operation, type Operation } from "../reactor/operation.js";

/** Provides memory for the bytes, and decides when the read ends. It has the shape of `Consumer` in src/io.ts. */
export interface ReadConsumer {
  room(): Uint8Array;
  readonly start: number;
  readonly size: number;
  filled(count: number): boolean;
  result(): unknown;
}

export const READ_FOR: Operation<ReadConsumer, undefined, unknown> = operation<ReadConsumer, undefined, unknown>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, consumer) => {
    const memory = consumer.room();
    const { size, start } = consumer;
    // The memory was detached. A read of 0 bytes would look like the end of the stream.
    if (size === 0) return EFAULT;
    const count = calls.recvAt(fd, memory, start, size);
    if (count < 0) return count;
    return consumer.filled(count) ? count : progress(count);
  },
  complete: (_count, consumer) => consumer.result(),
  requested: ({ size }) => size,
});
