// The iterators of listeners and of datagram sockets.

import { isEndedByClose } from "../errors/index.js";
import type { Socket } from "../socket/index.js";

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };
const yieldResult = <T>(value: T): IteratorYieldResult<T> => ({ done: false, value });

/** Iterates over the results of `receive` until `socket` is closed. Leaving the loop does not close the socket. */
export function iterateUntilClosed<T>(socket: Socket, receive: () => Promise<T>): AsyncIterableIterator<T> {
  const endOrThrow = (error: unknown): IteratorReturnResult<undefined> => {
    if (socket.closed && isEndedByClose(error)) return END;
    throw error;
  };
  const iterator: AsyncIterableIterator<T> = {
    next: () => receive().then(yieldResult, endOrThrow),
    return: () => Promise.resolve(END),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
