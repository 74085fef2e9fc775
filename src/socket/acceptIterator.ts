// The iterator of `for await (const [conn, address] of socket)`.

import type { Address } from "../addr/index.js";
import { isEndedByClose } from "../errors/index.js";
import type { AcceptOperations } from "../ops/accept.js";
import type { PromiseRunner } from "./promiseRunner.js";

/**
 * Iterates over the new connections of a listening socket until the socket is closed. `next()` waits while descriptors
 * or memory are short. `next` is not an async function, because that would cost each connection another promise and
 * another microtask.
 */
export function acceptIterator<S>(
  runner: PromiseRunner,
  { forIterator }: AcceptOperations<S>,
): AsyncIterableIterator<[S, Address], undefined> {
  const accept = (): Promise<IteratorResult<[S, Address], undefined>> => {
    const retryOnShortage = true;
    try {
      return runner.read(forIterator, runner, retryOnShortage, undefined);
    } catch (error) {
      return runner.fail(error);
    }
  };
  /**
   * Returns the end of the iteration if accept() rejects with EBADF, as it does on a closed socket. If the socket is
   * closed while accept() waits, the operation `forIterator` itself returns the end.
   */
  const acceptAfterClose = async (): Promise<IteratorResult<[S, Address], undefined>> => {
    try {
      return await accept();
    } catch (error) {
      if (isEndedByClose(error)) return { done: true, value: undefined };
      throw error;
    }
  };
  const iterator: AsyncIterableIterator<[S, Address], undefined> = {
    next: () => (runner.descriptor.fd < 0 ? acceptAfterClose() : accept()),
    return: () => Promise.resolve({ done: true, value: undefined }),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
