// A batch of datagrams, for a handler that takes many at a time.

import type { BatchMemory, DatagramBatch } from "../batch/index.js";
import { integer } from "../check/index.js";
import type { Data } from "../io.js";
import type { HostAddress } from "../net/index.js";
import { Work, type WorkOwner } from "./servedDatagram.js";
import type { ReplyAccount } from "./udpReplies.js";

/** Handles the datagrams of a batch. */
export type BatchHandler = (batch: ServedBatch) => unknown;

/**
 * The datagrams that one system call has received, without those that the server has refused. They are numbered from 0.
 *
 * The server receives no further datagrams until the handler has returned, or its promise is settled. Until then the
 * bytes are valid. After `handlerTimeout` the server gives up on the handler, and uses other memory for later batches.
 */
export class ServedBatch extends Work {
  readonly #batch: DatagramBatch;
  readonly #memory: BatchMemory;
  /** `#places[index]` is the place of datagram `index` in the batch, which has the refused datagrams too. */
  readonly #places: Int32Array;
  /** The account of each datagram. An account is made when it is first used. */
  readonly #accounts: (ReplyAccount | undefined)[] = [];
  /** The number of datagrams. */
  readonly count: number;

  /** @internal */
  constructor(owner: WorkOwner, batch: DatagramBatch, memory: BatchMemory, places: Int32Array, count: number) {
    super(owner);
    this.#batch = batch;
    this.#memory = memory;
    this.#places = places;
    this.count = count;
  }

  #placeOf(index: number): number {
    return this.#places[integer(index, "read a datagram", "index", 0, this.count - 1)]!;
  }

  /** The bytes of datagram `index`: a view, valid until the handler has finished. */
  data(index: number): Buffer {
    return this.#batch.data(this.#placeOf(index));
  }

  /** The address of the sender of datagram `index`. Without validation, it may be forged. */
  address(index: number): HostAddress {
    return this.#batch.address(this.#placeOf(index)) as HostAddress;
  }

  #accountOf(index: number): ReplyAccount {
    const place = this.#placeOf(index);
    return (this.#accounts[index] ??= this.owner.replies.replyAccountOf(
      this.#memory,
      place,
      this.#batch.length(place),
    ));
  }

  /** The number of bytes that replies to datagram `index` may still have; see {@link ServedDatagram.maxReply}. */
  maxReply(index: number): number {
    return this.owner.replies.allowance(this.address(index), this.#accountOf(index));
  }

  /** Replies to the sender of datagram `index`. The bytes are copied. See {@link Reply}. */
  reply(index: number, data: Data): boolean {
    const account = this.#accountOf(index);
    return this.isAborted ? false : this.owner.replies.send(data, this.address(index), account);
  }

  /** See {@link ServedDatagram.validate}. */
  validate(index: number): void {
    this.owner.replies.validate(this.address(index));
  }
}
