// DatagramBatch: the datagrams of recvmmsg and sendmmsg. Their bytes are in one block of memory, the slab, and their
// lengths and addresses in a table. Both are allocated once.

import { isUint8Array } from "node:util/types";
import { type Address, type AddressLike } from "../addr/index.js";
import {
  brand,
  bytesToSend,
  checkOptions,
  integer,
  quoteNonInstance,
  type Sendable,
  totalLength,
} from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import { calls } from "../sys/calls.js";
import { MSG_TRUNC } from "../sys/constants.js";
import { type ControlMessage, decodeControl } from "../cmsg/index.js";
import { makeDescribable, type Description, Inspectable } from "../registry/index.js";
import { socketError } from "../sys/errno.js";
import { AddressCache, sharedAddresses, sockaddrOf } from "./addressCache.js";
import { segments, segmentSize } from "./segments.js";
import {
  allocateBatch,
  type BatchMemory,
  CONTROL_LENGTH,
  ENTRY_WORDS,
  ERROR,
  FLAGS,
  LENGTH,
  NAME,
  NAME_LENGTH,
  SEGMENT,
  SOURCE_LENGTH,
  WHOLE_LENGTH,
} from "./table.js";

/** Sizes of a {@link DatagramBatch}. */
export interface DatagramBatchOptions {
  /** Maximum number of datagrams in the batch; default 64. One call transfers at most 1024. */
  readonly capacity?: number | undefined;
  /** Maximum number of bytes of a datagram; default 2048. With `UDP_GRO` 65536 is necessary. */
  readonly size?: number | undefined;
  /** Bytes for the control data of each datagram, a multiple of 8; default 128. */
  readonly control?: number | undefined;
  /** The cache for addresses; by default one that all batches of the thread share. */
  readonly addresses?: AddressCache | undefined;
}

/** Options of a datagram that is added. */
export interface AddOptions {
  /** The size of the datagrams into which the kernel splits the bytes (`UDP_SEGMENT`); the last may be shorter. */
  readonly segmentSize?: number | undefined;
}

/** The fields of a {@link DatagramBatch} in JSON. */
export interface BatchDescription extends Description {
  readonly kind: "DatagramBatch";
  /** Datagrams in the batch. */
  readonly count: number;
  readonly capacity: number;
  /** Maximum number of bytes of a datagram. */
  readonly size: number;
}

/** The maximum size of the slab, in bytes. */
const MAX_SLAB = 1 << 30;

/**
 * Returns the memory of a batch, for the calls that read or fill it. Set by the class, because the field is private.
 */
export let memoryOf: (batch: DatagramBatch) => BatchMemory;

/**
 * Memory for a number of datagrams, which `recvmmsg` fills and `sendmmsg` sends. A batch is used for many calls, and
 * they allocate nothing per datagram.
 *
 * The bytes of datagram `i` begin at `i * size` of `buffer`. The batch keeps the addresses in the kernel's form, so a
 * received batch can be sent back unchanged. `address()` decodes an address. From the start of a call until its promise
 * settles, only that call may use the batch.
 *
 * @see recvmmsg(2), sendmmsg(2)
 * @example
 * ```ts
 * import { AF_INET, DatagramBatch, SOCK_DGRAM, Socket } from "berkeley";
 *
 * await using server = new Socket(AF_INET, SOCK_DGRAM);
 * await server.bind("127.0.0.1:0");
 * await using client = new Socket(AF_INET, SOCK_DGRAM);
 *
 * const questions = new DatagramBatch({ capacity: 2, size: 100 });
 * questions.add("one", server.getsockname());
 * questions.add("two", server.getsockname());
 * console.log(await client.sendmmsg(questions)); // prints: 2
 *
 * // An echo server: each datagram is sent back to its sender.
 * const batch = new DatagramBatch();
 * for (let echoed = 0; echoed < 2; ) {
 *   echoed += await server.recvmmsg(batch);
 *   await server.sendmmsg(batch);
 * }
 * console.log((await client.recv(100)).toString()); // prints: one
 * console.log((await client.recv(100)).toString()); // prints: two
 * ```
 */
export class DatagramBatch extends Inspectable<BatchDescription> {
  readonly #memory: BatchMemory;
  readonly #addresses: AddressCache;

  /** @throws TypeError or RangeError for sizes out of range */
  constructor(options: DatagramBatchOptions = {}) {
    super();
    const action = "make a DatagramBatch";
    checkOptions(options, action, ["capacity", "size", "control", "addresses"]);
    const capacity = integer(options.capacity ?? 64, action, "capacity", 1, 1 << 16);
    const slotSize = integer(options.size ?? 2048, action, "size", 1, 1 << 16);
    const controlSize = integer(options.control ?? 128, action, "control", 0, 1 << 16);
    if (controlSize % 8 !== 0) {
      throw new RangeError(`Cannot ${action}: control is ${controlSize}, required a multiple of 8`);
    }
    if (capacity * slotSize > MAX_SLAB) {
      throw new RangeError(
        `Cannot ${action}: capacity times size is ${capacity * slotSize}, required at most ${MAX_SLAB} bytes`,
      );
    }
    const addresses: unknown = options.addresses ?? sharedAddresses;
    if (!(addresses instanceof AddressCache)) {
      throw new TypeError(
        `Cannot ${action}: addresses is ${quoteNonInstance(addresses, "AddressCache")}, required an AddressCache`,
      );
    }
    this.#memory = allocateBatch(capacity, slotSize, controlSize);
    this.#addresses = addresses;
  }

  static {
    brand(DatagramBatch.prototype, "DatagramBatch");
    makeDescribable<DatagramBatch, BatchDescription>(DatagramBatch.prototype, "DatagramBatch", (batch) => {
      const { capacity, count, slotSize } = batch.#memory;
      return { count, capacity, size: slotSize };
    });
    memoryOf = (batch) => batch.#memory;
  }

  /** Maximum number of datagrams in the batch. */
  get capacity(): number {
    return this.#memory.capacity;
  }

  /** Maximum number of bytes of a datagram. */
  get size(): number {
    return this.#memory.slotSize;
  }

  /** Datagrams in the batch: those of the latest `recvmmsg`, or those that were added. */
  get count(): number {
    return this.#memory.count;
  }

  /** The bytes of all datagrams: datagram `i` begins at `i * size`. */
  get buffer(): Buffer {
    return this.#memory.slab;
  }

  /** Removes all datagrams. */
  clear(): void {
    this.#memory.count = 0;
  }

  /**
   * Adds a datagram after the others; its bytes are copied.
   *
   * @param to the destination, not a host name; left out on a connected socket
   * @returns false if the batch is full
   * @throws RangeError if `data` is longer than `size`; TypeError if `data` is not bytes, or `to` is not an address
   */
  add(data: Sendable, to?: AddressLike, options?: AddOptions): boolean {
    const memory = this.#memory;
    if (memory.count === memory.capacity) return false;
    putDatagram(memory, memory.count, data, to, options);
    memory.count++;
    return true;
  }

  /** Checks `index`. Returns the index of the first word of its entry in the table. */
  #entryStart(index: number, action: string): number {
    const { count } = this.#memory;
    // In the usual case this method does not call integer(), because it runs for each datagram.
    if (Number.isInteger(index) && index >= 0 && index < count) return index * ENTRY_WORDS;
    if (count === 0 && Number.isInteger(index)) {
      throw new RangeError(
        `Cannot ${action}: index is ${index}, required the index of a datagram, and the batch is empty`,
      );
    }
    return integer(index, action, "index", 0, count - 1) * ENTRY_WORDS;
  }

  /** The number of bytes of datagram `index`. */
  length(index: number): number {
    return this.#memory.words[this.#entryStart(index, "read a length") + LENGTH]!;
  }

  /**
   * The length of datagram `index` before truncation, if `recvmmsg` had `MSG_TRUNC`; otherwise the same as `length`.
   */
  wholeLength(index: number): number {
    return this.#memory.words[this.#entryStart(index, "read a length") + WHOLE_LENGTH]!;
  }

  /** Sets the length of datagram `index` after the caller has written its bytes to `buffer`. */
  resize(index: number, length: number): void {
    const at = this.#entryStart(index, "resize a datagram");
    const { slotSize, words } = this.#memory;
    words[at + LENGTH] = words[at + WHOLE_LENGTH] = integer(length, "resize a datagram", "length", 0, slotSize);
  }

  /** The bytes of datagram `index`: a view of `buffer`, valid until the batch is used again. */
  data(index: number): Buffer {
    const at = this.#entryStart(index, "read a datagram");
    const { slab, slotSize, words } = this.#memory;
    return slab.subarray(index * slotSize, index * slotSize + words[at + LENGTH]!);
  }

  /**
   * The sender or the destination of datagram `index`; undefined if it has no address. While an address is in the
   * cache, it is the same object each time.
   */
  address(index: number): Address | undefined {
    const at = this.#entryStart(index, "read an address");
    const { words } = this.#memory;
    const length = words[at + NAME_LENGTH]!;
    return length === 0 ? undefined : this.#addresses.lookup(words, at + NAME, length);
  }

  /** `MSG_` flags that datagram `index` was received with. */
  flags(index: number): number {
    return this.#memory.words[this.#entryStart(index, "read flags") + FLAGS]!;
  }

  /** Whether datagram `index` was longer than `size`, and the rest of it is lost. */
  truncated(index: number): boolean {
    return (this.flags(index) & MSG_TRUNC) !== 0;
  }

  /**
   * The control data of datagram `index`. `flags` has `MSG_CTRUNC` if the option `control` was too small for the data.
   * Received descriptors are closed, not returned.
   */
  control(index: number): ControlMessage[] {
    const at = this.#entryStart(index, "read control data");
    const { control, controlSize, words } = this.#memory;
    const length = words[at + CONTROL_LENGTH]!;
    return length === 0
      ? []
      : decodeControl(control.subarray(index * controlSize, (index + 1) * controlSize), length, calls);
  }

  /**
   * The size of the datagrams that `UDP_GRO` has joined into datagram `index`, or into which `UDP_SEGMENT` splits it.
   * 0 for a single datagram.
   */
  segmentSize(index: number): number {
    return this.#memory.words[this.#entryStart(index, "read a segment size") + SEGMENT]!;
  }

  /** The datagrams of which datagram `index` consists, as views of `buffer`: one if `segmentSize(index)` is 0. */
  segments(index: number): Iterable<Buffer> {
    return segments(this.data(index), this.segmentSize(index));
  }

  /** The error of datagram `index` in a `sendmmsg` with `skipRefused`; undefined if it was sent. */
  error(index: number): SocketError | undefined {
    const errno = this.#memory.words[this.#entryStart(index, "read an error") + ERROR]!;
    return errno === 0 ? undefined : socketError(errno, "sendmmsg");
  }

  /** Iterates over the datagrams and their addresses. */
  *[Symbol.iterator](): IterableIterator<[data: Buffer, address: Address | undefined]> {
    for (let i = 0; i < this.#memory.count; i++) yield [this.data(i), this.address(i)];
  }
}

/** Writes a datagram to slot `index` of a batch. Throws before it changes anything. */
export function putDatagram(
  memory: BatchMemory,
  index: number,
  data: Sendable,
  to: AddressLike | undefined,
  options: AddOptions | undefined,
): void {
  const action = "add a datagram";
  const { slab, slotSize, words } = memory;
  const at = index * ENTRY_WORDS;
  const start = index * slotSize;
  const bytes = bytesToSend(data, action);
  const length = totalLength(bytes);
  if (length > slotSize)
    throw new RangeError(`Cannot ${action}: data has ${length} bytes, required at most ${slotSize}`);
  if (slab.length === 0)
    throw new TypeError(`Cannot ${action}: buffer has length 0, required a buffer that was not transferred`);
  const sockaddr = to === undefined ? undefined : sockaddrOf(to, action);
  let segment = 0;
  if (options !== undefined) {
    checkOptions(options, action, ["segmentSize"]);
    if (options.segmentSize !== undefined) segment = segmentSize(options.segmentSize, action);
  }
  if (isUint8Array(bytes)) slab.set(bytes, start);
  else {
    let end = start;
    for (const part of bytes) {
      slab.set(part, end);
      end += part.length;
    }
  }
  if (sockaddr !== undefined) putSockaddr(memory, at, sockaddr);
  words[at + NAME_LENGTH] = sockaddr === undefined ? 0 : sockaddr.length;
  words[at + LENGTH] = words[at + WHOLE_LENGTH] = length;
  words[at + SEGMENT] = segment;
  words[at + FLAGS] = words[at + CONTROL_LENGTH] = words[at + ERROR] = words[at + SOURCE_LENGTH] = 0;
}

/** Writes a sockaddr. The unused bytes of its last word become 0, because the address cache compares words. */
function putSockaddr(memory: BatchMemory, at: number, sockaddr: Uint8Array): void {
  memory.words[at + NAME + ((sockaddr.length - 1) >> 2)] = 0;
  memory.table.set(sockaddr, (at + NAME) * 4);
}
