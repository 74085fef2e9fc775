// The iterator of `for await (const [data, address] of socket.datagrams())`, and receiveWholeDatagram(), with which
// src/net receives one datagram.

import type { Address } from "../addr/index.js";
import { checkOptions } from "../check/index.js";
import { isEndedByClose } from "../errors/index.js";
import { checkDatagrams, recvWhole } from "../ops/recvWhole.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import { type PromiseRunner, runnerOf } from "./promiseRunner.js";
import type { Socket } from "./socket.js";

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Receives the next datagram without truncation. */
export function receiveWholeDatagram(socket: Socket, opts: WaitOptions | undefined): Promise<[Buffer, Address]> {
  return recvWhole(runnerOf(socket)!, opts);
}

/** The datagrams of a socket until it is closed. The iterator receives a datagram only in `next()`. */
export function datagramIterator(
  runner: PromiseRunner,
  opts: WaitOptions | undefined,
): AsyncIterableIterator<[Buffer, Address]> {
  checkDatagrams(runner);
  checkOptions(opts, "read datagrams", WAIT_NAMES);
  const iterator: AsyncIterableIterator<[Buffer, Address]> = {
    next: async () => {
      try {
        return { done: false, value: await recvWhole(runner, opts) };
      } catch (error) {
        // The reason of an abort can be any error, also one that looks like the error of close().
        const isAbortReason = error === opts?.signal?.reason;
        if (runner.descriptor.fd < 0 && isEndedByClose(error) && !isAbortReason) return END;
        throw error;
      }
    },
    return: () => Promise.resolve(END),
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}
