// The counters of one direction of a socket. A wait queue has the two fields of TransferCounts, so the functions below
// also take a queue. TransferCounts is no base class of the queue: that would cost one more constructor for each queue.

import type { Operation } from "./operation.js";

export class TransferCounts {
  /** Bytes that the calls have moved. Batches are not included. */
  bytes: number = 0;
  /** Calls that have moved bytes and completed; in a batch each datagram counts. */
  transfers: number = 0;
}

/** Counts a completed call that has moved bytes. Returns how many bytes it takes from the budget of the turn. */
export function countCompleted<A, B, T>(
  counts: TransferCounts,
  operation: Operation<A, B, T>,
  result: number,
  a: A,
  b: B,
): number {
  const cost = operation.cost === undefined ? result : operation.cost(result, a, b);
  if (operation.batch === true) {
    counts.transfers += result;
  } else {
    counts.bytes += cost;
    counts.transfers++;
  }
  return cost;
}

/** Counts bytes of a call that is not complete yet. */
export function countPart<A, B, T>(counts: TransferCounts, operation: Operation<A, B, T>, count: number): void {
  if (operation.batch !== true) counts.bytes += count;
}
