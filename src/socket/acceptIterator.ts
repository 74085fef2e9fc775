// for await (const [conn, address] of socket).

import type { Address } from "../addr/index.js";
import { endedByClose } from "../errors/index.js";
import type { AcceptOperations } from "../ops/accept.js";
import type { PromiseRunner } from "./promiseRunner.js";

/**
 * Returns the connections of a listening socket until it is closed. `next()` waits while descriptors or memory are
 * short.
 */
export function acceptIterator<S>(
  runner: PromiseRunner,
  { withAddress }: AcceptOperations<S>,
): AsyncIterableIterator<[S, Address]> {
  const iterator: AsyncIterableIterator<[S, Address]> = {
    next: async () => {
      try {
        return { done: false, value: await runner.read(withAddress, runner, true, undefined) };
      } catch (error) {
        if (runner.descriptor.fd < 0 && endedByClose(error)) return { done: true, value: undefined };
        throw error;
      }
    },
    return: () => Promise.resolve({ done: true, value: undefined }),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
