// The replies of a UDP server: their maximum size, the address from which they leave, and the queue that sends them.
//
// The source address of a datagram may be forged: then the replies go to the owner of that address. If replies were
// larger than requests, the server would amplify an attack on this owner. So, by default, the replies are no larger
// than the request until the source is validated.

import { ValidatedSources } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { type BatchMemory, readReplySource } from "../batch/index.js";
import { clock } from "../builtins.js";
import { bytesToSend, totalLength } from "../check/index.js";
import type { Data } from "../io.js";
import { DatagramQueue, trySendFrom } from "../net/serverAccess.js";
import type { Socket } from "../socket/index.js";

/** Milliseconds that a validation lasts. */
const VALIDATION_TIME = 600_000;
/** The queue has space for this many replies, or for more if batches are large. */
const MIN_QUEUE_LENGTH = 256;
const MAX_DATAGRAM_SIZE = 0xffff;
/** The size of the longest result of `readReplySource()`, in 32-bit words. */
const SOURCE_WORDS = 6;
const NO_SOURCE = new Int32Array(0);

/** The limit of the replies to one datagram, and the address from which they leave. */
export interface ReplyAccount {
  /** Bytes that the replies may still have if the source is not validated. */
  bytesLeft: number;
  /** The address to which the datagram was sent, as `readReplySource()` writes it. The replies leave from it. */
  readonly source: Int32Array;
  /** The number of bytes of `source`. */
  readonly sourceSize: number;
}

export class UdpReplies {
  readonly #queue: DatagramQueue;
  readonly #validated = new ValidatedSources(VALIDATION_TIME);
  readonly #amplification: number;
  /** The result of `readReplySource()`, before it is copied. */
  readonly #scratch = new Int32Array(SOURCE_WORDS);
  readonly counts = { amplification: 0, repliesDropped: 0, bytesSent: 0 };
  #closed = false;
  /** Maximum number of replies in the queue. */
  readonly #maxQueueLength: number;

  /**
   * @param amplification maximum size of the replies to a datagram, as a multiple of its size
   * @param batchSize maximum number of datagrams that are handled between two calls of `mayOverflow()`
   */
  constructor(socket: Socket, amplification: number, batchSize: number) {
    // For the replies to two batches: the next batch can be handled while the replies to one batch still wait.
    this.#maxQueueLength = Math.max(MIN_QUEUE_LENGTH, 2 * batchSize);
    // The queue counts the errors of replies. An error may belong to an earlier datagram, so no caller gets it.
    this.#queue = new DatagramQueue(socket, { maxQueue: this.#maxQueueLength, size: MAX_DATAGRAM_SIZE });
    this.#amplification = amplification;
  }

  /** The account of the datagram at this place of a batch. `length` is its number of bytes. */
  replyAccountOf(memory: BatchMemory, place: number, length: number): ReplyAccount {
    const sourceSize = readReplySource(memory, place, this.#scratch);
    const source = sourceSize === 0 ? NO_SOURCE : this.#scratch.slice();
    // For an empty datagram, the product of Infinity and 0 would be NaN.
    const bytesLeft = this.#amplification === Infinity ? Infinity : this.#amplification * length;
    return { bytesLeft, source, sourceSize };
  }

  /** From now on, for ten minutes, replies to this address have no limit. */
  validate(source: Address): void {
    this.#validated.add(String(source), clock());
  }

  /** The number of bytes that the replies may still have; Infinity for a validated address. */
  allowance(to: Address, account: ReplyAccount): number {
    return this.#validated.has(String(to), clock()) ? Infinity : Math.max(0, Math.floor(account.bytesLeft));
  }

  /** See {@link Reply}. */
  send(data: Data, to: Address, account: ReplyAccount): boolean {
    const bytes = bytesToSend(data, "reply");
    const length = totalLength(bytes);
    // Most replies are small enough. Only for larger ones, allowance() searches the table of validated sources.
    if (length > account.bytesLeft && length > this.allowance(to, account)) {
      this.counts.amplification++;
      const allowed = Math.max(0, Math.floor(account.bytesLeft));
      const advice = "the source is not validated; see the option amplification";
      throw new RangeError(`Cannot reply: data has ${length} bytes, required at most ${allowed}, because ${advice}`);
    }
    if (this.#closed || !trySendFrom(this.#queue, bytes, to, account.source, account.sourceSize)) {
      this.counts.repliesDropped++;
      return false;
    }
    account.bytesLeft -= length;
    this.counts.bytesSent += length;
    return true;
  }

  /** The numbers of replies that the kernel has taken and that it has refused. */
  get sendCounts(): { readonly sent: number; readonly refused: number } {
    return this.#queue.stats();
  }

  /** Whether the queue would overflow if each of `count` further datagrams got one reply. */
  mayOverflow(count: number): boolean {
    return !this.#closed && this.#queue.length + count > this.#maxQueueLength;
  }

  /** Resolves when all replies are sent, or the queue is closed. */
  async flush(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#queue.flush();
    } catch {
      // The queue was closed. If the socket has failed, receiving reports that.
    }
  }

  /** Drops the waiting and all further replies. */
  close(): void {
    this.#closed = true;
    this.#queue.close();
  }
}
