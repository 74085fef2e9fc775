// The replies of a UDP server: how large they may be, from which address they leave, and the queue that sends them.
//
// The source of a datagram may be forged. A server whose replies are larger than requests then amplifies an attack on the
// owner of that address. So replies are no larger than the request until the source is validated.

import { ValidatedSources } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import { type BatchMemory, readSource } from "../batch/index.js";
import { clock } from "../builtins.js";
import { bytesToSend, totalLength } from "../check/index.js";
import type { Data } from "../io.js";
import { DatagramQueue, trySendFrom } from "../net/serverAccess.js";
import type { Socket } from "../socket/index.js";

/** Milliseconds that a validation lasts. */
const VALIDATED_FOR = 600_000;
/** The least number of replies that may wait to be sent. */
const QUEUE = 256;
const LONGEST_DATAGRAM = 0xffff;
/** Words of the longest source address. */
const SOURCE_WORDS = 6;
const NO_SOURCE = new Int32Array(0);

/** The replies to one datagram. */
export interface ReplyAccount {
  /** Bytes that they may still have if the source is not validated. */
  left: number;
  /** The address that the datagram was sent to, as of `readSource()`, and its size. */
  readonly source: Int32Array;
  readonly sourceSize: number;
}

export class UdpReplies {
  readonly #queue: DatagramQueue;
  readonly #validated = new ValidatedSources(VALIDATED_FOR);
  readonly #factor: number;
  readonly #found = new Int32Array(SOURCE_WORDS);
  readonly counts = { amplification: 0, repliesDropped: 0, bytesSent: 0 };
  #closed = false;

  /** The most replies that wait to be sent. */
  readonly #room: number;

  /**
   * @param factor how many times the bytes of a datagram its replies may have
   * @param batch the most datagrams that are handled before the queue is looked at again
   */
  constructor(socket: Socket, factor: number, batch: number) {
    this.#room = Math.max(QUEUE, 2 * batch);
    // Errors of single replies are counted by the queue. They may be those of earlier datagrams.
    this.#queue = new DatagramQueue(socket, { maxQueue: this.#room, size: LONGEST_DATAGRAM });
    this.#factor = factor;
  }

  /** The account of a received datagram. */
  open(memory: BatchMemory, index: number, length: number): ReplyAccount {
    const sourceSize = readSource(memory, index, this.#found);
    const source = sourceSize === 0 ? NO_SOURCE : this.#found.slice();
    // Infinity times 0 is no number.
    const left = this.#factor === Infinity ? Infinity : this.#factor * length;
    return { left, source, sourceSize };
  }

  validate(source: Address): void {
    this.#validated.add(String(source), clock());
  }

  allowance(to: Address, account: ReplyAccount): number {
    return this.#validated.has(String(to), clock()) ? Infinity : Math.max(0, Math.floor(account.left));
  }

  send(data: Data, to: Address, account: ReplyAccount): boolean {
    const bytes = bytesToSend(data, "reply");
    const length = totalLength(bytes);
    // Most replies fit, and need no look at the table.
    if (length > account.left && length > this.allowance(to, account)) {
      this.counts.amplification++;
      const most = Math.max(0, Math.floor(account.left));
      const advice = "the source is not validated; see the option amplification";
      throw new RangeError(`Cannot reply: data has ${length} bytes, required at most ${most}, because ${advice}`);
    }
    if (this.#closed || !trySendFrom(this.#queue, bytes, to, account.source, account.sourceSize)) {
      this.counts.repliesDropped++;
      return false;
    }
    account.left -= length;
    this.counts.bytesSent += length;
    return true;
  }

  /** Replies that the kernel has taken and refused. */
  get sent(): { readonly sent: number; readonly refused: number } {
    return this.#queue.stats();
  }

  /** Whether a reply to each of `count` datagrams may find no room. */
  isTight(count: number): boolean {
    return !this.#closed && this.#queue.length + count > this.#room;
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

  close(): void {
    this.#closed = true;
    this.#queue.close();
  }
}
