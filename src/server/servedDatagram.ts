// A datagram for a handler, its replies, and the end of the handler.

import type { DeadlineMember } from "../admission/index.js";
import { clock } from "../builtins.js";
import type { Data } from "../io.js";
import type { HostAddress } from "../net/index.js";
import { localError } from "../wait/localError.js";
import type { ReplyAccount, UdpReplies } from "./udpReplies.js";

/** A datagram, for a handler of {@link serveUdp}. */
export interface ServedDatagram {
  /** All bytes of the datagram: a copy, which belongs to the handler. */
  readonly data: Buffer;
  /** The address of the sender. Without validation, it may be forged. */
  readonly address: HostAddress;
  /** The number of bytes that the replies may still have; Infinity if the source is validated or there is no limit. */
  readonly maxReply: number;
  /** Aborted when the server gives up on the handler: `handlerTimeout`, the timeout of `drain()`, or `close()`. */
  readonly signal: AbortSignal;
  /** Aborted when the server begins to drain. All handlers share it. */
  readonly draining: AbortSignal;
  /**
   * Call this when the sender has returned data that only the owner of this address can have received. Replies to this
   * address and port may then be larger than requests, for ten minutes.
   */
  validate(): void;
}

/**
 * Sends a reply to the sender of a datagram, in a batch with other replies. Returns true if the reply is queued, and
 * false if it is dropped: the queue is full, or the server has given up on the handler.
 *
 * @throws RangeError if the replies to the datagram are larger than `amplification` allows and its source is not
 *   validated; nothing is sent
 * @throws TypeError or RangeError for data that can't be sent
 */
export type Reply = (data: Data) => boolean;

/** Handles a datagram. */
export type DatagramHandler = (datagram: ServedDatagram, reply: Reply) => unknown;

/** The part of the server that a running handler uses. */
export interface WorkOwner {
  /** Milliseconds; Infinity for no limit. */
  readonly handlerTimeout: number;
  readonly draining: AbortSignal;
  readonly replies: UdpReplies;
  /** The handler has finished, or has failed with this error. */
  onWorkFinished(work: Work, failure: { readonly error: unknown } | undefined): void;
  /** The server has given up on the handler: because of `handlerTimeout`, or in `drain()` or `close()` ("aborted"). */
  onWorkAborted(work: Work, reason: "handlerTimeout" | "aborted"): void;
}

/** One call of a handler, for a datagram or for a batch. The server aborts the call to give up on the handler. */
export abstract class Work implements DeadlineMember {
  place: number = -1;
  protected readonly owner: WorkOwner;
  readonly #deadline: number;
  /** Made when it is first used. */
  #controller: AbortController | undefined;
  /** Set when the server has given up on the handler. `reason` is that of `signal`. */
  #abortedWith: { readonly reason: unknown } | undefined;
  #hasEnded = false;

  constructor(owner: WorkOwner) {
    this.owner = owner;
    this.#deadline = clock() + owner.handlerTimeout;
  }

  /** Whether the server has given up on the handler. @internal */
  get isAborted(): boolean {
    return this.#abortedWith !== undefined;
  }

  get draining(): AbortSignal {
    return this.owner.draining;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith.reason);
    }
    return this.#controller.signal;
  }

  /**
   * Waits until the promise of the handler is settled. Then reports the end of the handler to the server, unless the
   * server has given up on the handler.
   */
  follow(result: PromiseLike<unknown>): void {
    Promise.resolve(result).then(
      () => this.#finish(undefined),
      (error: unknown) => this.#finish({ error }),
    );
  }

  #finish(failure: { readonly error: unknown } | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.owner.onWorkFinished(this, failure);
  }

  dueAt(): number {
    return this.#deadline;
  }

  expire(): void {
    const cause = new Error(`handlerTimeout of the server is ${this.owner.handlerTimeout} ms`);
    this.#abort(localError("ETIMEDOUT", "serveUdp", { cause }), "handlerTimeout");
  }

  abort(error: unknown): void {
    this.#abort(error, "aborted");
  }

  #abort(error: unknown, reason: "handlerTimeout" | "aborted"): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#abortedWith = { reason: error };
    // The server removes this call first, because listeners of the signal are code of the user.
    this.owner.onWorkAborted(this, reason);
    this.#controller?.abort(error);
  }
}

/** The call of a handler for one datagram. */
export class DatagramWork extends Work implements ServedDatagram {
  readonly data: Buffer;
  readonly address: HostAddress;
  readonly #account: ReplyAccount;

  constructor(owner: WorkOwner, data: Buffer, address: HostAddress, account: ReplyAccount) {
    super(owner);
    this.data = data;
    this.address = address;
    this.#account = account;
  }

  get maxReply(): number {
    return this.owner.replies.allowance(this.address, this.#account);
  }

  validate(): void {
    this.owner.replies.validate(this.address);
  }

  /** A property and not a method, because the handler calls it without the object. */
  readonly reply: Reply = (data) =>
    this.isAborted ? false : this.owner.replies.send(data, this.address, this.#account);
}
