// The flags of a queue, in one number. A field for each flag would take 8 bytes, and an idle connection has two queues.

import { TransferCounts } from "./transferCounts.js";

const READY = 1;
const DEFERRED = 2;
const SHORT_MEANS_EMPTY = 4;
const SHORT_MEANS_END = 8;
const NONBLOCKING = 16;

export abstract class QueueState extends TransferCounts {
  #bits = READY;

  #set(bit: number, value: boolean): void {
    this.#bits = value ? this.#bits | bit : this.#bits & ~bit;
  }

  /** False when the last attempt returned EAGAIN and no event has come since. */
  protected get ready(): boolean {
    return (this.#bits & READY) !== 0;
  }

  protected set ready(value: boolean) {
    this.#set(READY, value);
  }

  /** Whether the reactor's next turn will serve the queue. */
  protected get deferred(): boolean {
    return (this.#bits & DEFERRED) !== 0;
  }

  protected set deferred(value: boolean) {
    this.#set(DEFERRED, value);
  }

  /** Whether calls that must not wait (MSG_DONTWAIT) may be among the waiting ones. */
  protected get nonblocking(): boolean {
    return (this.#bits & NONBLOCKING) !== 0;
  }

  protected set nonblocking(value: boolean) {
    this.#set(NONBLOCKING, value);
  }

  /** Whether a short read means that the socket is empty; see waitQueue.ts. For reading on TCP only. */
  get shortMeansEmpty(): boolean {
    return (this.#bits & SHORT_MEANS_EMPTY) !== 0;
  }

  set shortMeansEmpty(value: boolean) {
    this.#set(SHORT_MEANS_EMPTY, value);
  }

  /** Whether a short read means the end of the stream, because the peer's FIN has arrived. For reading on TCP only. */
  get shortMeansEnd(): boolean {
    return (this.#bits & SHORT_MEANS_END) !== 0;
  }

  set shortMeansEnd(value: boolean) {
    this.#set(SHORT_MEANS_END, value);
  }
}
