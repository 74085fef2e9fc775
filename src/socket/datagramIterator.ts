// for await (const [data, address] of socket.datagrams()), and the receive of whole datagrams for the layers above.

import type { Address } from "../addr/index.js";
import { checkNames, checkOptions } from "../check/index.js";
import { SocketError } from "../errors/index.js";
import { checkDatagrams, recvWhole } from "../ops/recvWhole.js";
import type { WaitOptions } from "../wait/waitOptions.js";
import { type PromiseRunner, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Receives the next datagram as a whole, of whatever size. */
export function receiveWhole(socket: Socket, opts: WaitOptions | undefined): Promise<[Buffer, Address]> {
  return recvWhole(runnerOf(socket)!, opts);
}

/** The datagrams of a socket until it is closed. The iterator receives only what `next()` returns. */
export function datagramIterator(
  runner: PromiseRunner,
  opts: WaitOptions | undefined,
): AsyncIterableIterator<[Buffer, Address]> {
  checkDatagrams(runner);
  checkOptions(opts, "read datagrams");
  if (opts !== undefined) checkNames(opts, ["timeout", "signal"], "read datagrams");
  const iterator: AsyncIterableIterator<[Buffer, Address]> = {
    next: async () => {
      try {
        return { done: false, value: await recvWhole(runner, opts) };
      } catch (error) {
        const closed = error instanceof SocketError && (error.code === "ECANCELED" || error.code === "EBADF");
        if (closed && runner.descriptor.fd < 0) return END;
        throw error;
      }
    },
    return: () => Promise.resolve(END),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
