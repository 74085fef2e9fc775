// The operation of Conn.readFor: it reads for a consumer until the consumer has enough. That is one call, with any
// number of reads.
//
// The consumer gets the bytes of each read at once, so a call that is cut short loses none. Each attempt gets its
// memory from the consumer, so a waiting call holds no memory.

import type { Consumer } from "../io.js";
import { EFAULT } from "../sys/errno.js";
import { progress, operation, type Operation } from "../reactor/operation.js";

export const READ_FOR: Operation<Consumer<unknown>, undefined, unknown> = operation<
  Consumer<unknown>,
  undefined,
  unknown
>({
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
