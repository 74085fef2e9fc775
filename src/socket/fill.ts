// The operation that reads for a consumer until that has what it wants: one call, however many reads it takes.
//
// What has come is the consumer's from then on, so a call that is cut short loses nothing. The memory is asked for anew at each
// attempt and only there, which is why a call that waits holds none.

import type { Consumer } from "../io.js";
import { EFAULT } from "../sys/errno.js";
import { progress, operation, type Operation } from "../reactor/operation.js";

export const FILL: Operation<Consumer<unknown>, undefined, unknown> = operation<Consumer<unknown>, undefined, unknown>({
  syscall: "recv",
  movesBytes: true,
  attempt: (calls, fd, consumer) => {
    const memory = consumer.room();
    const { size, start } = consumer;
    // Memory that was detached: a read of nothing would look like the end.
    if (size === 0) return EFAULT;
    const count = calls.recvAt(fd, memory, start, size);
    if (count < 0) return count;
    return consumer.filled(count) ? count : progress(count);
  },
  complete: (_count, consumer) => consumer.result(),
  requested: ({ size }) => size,
});
