// Datagrams for recvmmsg and sendmmsg: one slab for the bytes, a table of lengths and addresses, all made once.

import { isUint8Array } from "node:util/types";
import { type Address, type AddressLike } from "../addr/index.js";
import { brand, bytesToSend, integer, quote, quoteOther, type Sendable, totalLength } from "../check/index.js";
import type { SocketError } from "../errors/index.js";
import { calls } from "../sys/calls.js";
import { MSG_TRUNC } from "../sys/constants.js";
import { type ControlMessage, decodeControl } from "../cmsg/index.js";
import { socketError } from "../sys/errno.js";
import { AddressCache, sharedAddresses, sockaddrOf } from "./addressCache.js";
import { segments, segmentSize } from "./segments.js";
import {
  batchMemory,
  type BatchMemory,
  CONTROL_LENGTH,
  ENTRY_WORDS,
  ERROR,
  FLAGS,
  LENGTH,
  NAME,
  NAME_LENGTH,
  SEGMENT,
  WHOLE_LENGTH,
} from "./table.js";

/** Sizes of a {@link DatagramBatch}. */
export interface DatagramBatchOptions {
  /** Datagrams that it holds; 64 if not given. One call moves at most 1024. */
  readonly capacity?: number | undefined;
  /** Bytes that each may have; 2048 if not given. With `UDP_GRO` on it takes 65536. */
  readonly size?: number | undefined;
  /** Bytes for the control data that come with each, a multiple of 8; 128 if not given. */
  readonly control?: number | undefined;
  /** Where addresses are remembered; a cache that all batches of the thread share if not given. */
  readonly addresses?: AddressCache | undefined;
}

/** What a datagram that is added may have besides bytes and address. */
export interface AddOptions {
  /** The kernel cuts the bytes into datagrams of this size (`UDP_SEGMENT`); the last may be shorter. */
  readonly segmentSize?: number | undefined;
}

/** Largest slab, in bytes. */
const MAX_SLAB = 1 << 30;

/** The memory of a batch, for those who make the calls. */
export let memoryOf: (batch: DatagramBatch) => BatchMemory;

/**
 * A set of datagrams with the memory for them: what `recvmmsg` fills and `sendmmsg` sends. It is made once and used again and
 * again; receiving and sending allocate nothing per datagram.
 *
 * Datagram `i` has its bytes at `i * size` of `buffer`. Addresses stay in the kernel's own form until they are asked for, so
 * what was received can be sent back as it is. A batch belongs to a call from its start until its promise settles.
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
 * // An echo server: what was received goes back to where it came from.
 * const batch = new DatagramBatch();
 * for (let echoed = 0; echoed < 2; ) {
 *   echoed += await server.recvmmsg(batch);
 *   await server.sendmmsg(batch);
 * }
 * console.log((await client.recv(100)).toString()); // prints: one
 * console.log((await client.recv(100)).toString()); // prints: two
 * ```
 */
export class DatagramBatch {
  readonly #memory: BatchMemory;
  readonly #addresses: AddressCache;

  /** @throws TypeError or RangeError for sizes that make no sense */
  constructor(options: DatagramBatchOptions = {}) {
    const action = "make a DatagramBatch";
    if (typeof options !== "object" || options === null) {
      throw new TypeError(
        `Cannot ${action}: options are ${quote(options)}, required an object such as { capacity, size }`,
      );
    }
    const capacity = integer(options.capacity ?? 64, action, "capacity", 1, 1 << 16);
    const slot = integer(options.size ?? 2048, action, "size", 1, 1 << 16);
    const room = integer(options.control ?? 128, action, "control", 0, 1 << 16);
    if (room % 8 !== 0) throw new RangeError(`Cannot ${action}: control is ${room}, required a multiple of 8`);
    if (capacity * slot > MAX_SLAB) {
      throw new RangeError(`Cannot ${action}: ${capacity} datagrams of ${slot} bytes are more than ${MAX_SLAB} bytes`);
    }
    const addresses: unknown = options.addresses ?? sharedAddresses;
    if (!(addresses instanceof AddressCache)) {
      throw new TypeError(
        `Cannot ${action}: addresses is ${quoteOther(addresses, "AddressCache")}, required an AddressCache`,
      );
    }
    this.#memory = batchMemory(capacity, slot, room);
    this.#addresses = addresses;
  }

  static {
    brand(DatagramBatch.prototype, "DatagramBatch");
    memoryOf = (batch) => batch.#memory;
  }

  /** Datagrams that there is room for. */
  get capacity(): number {
    return this.#memory.capacity;
  }

  /** Bytes that there is room for in each. */
  get size(): number {
    return this.#memory.slot;
  }

  /** Datagrams that are in it: those of the last `recvmmsg`, or those that were added. */
  get count(): number {
    return this.#memory.count;
  }

  /** The bytes of all datagrams: number `i` starts at `i * size`. */
  get buffer(): Buffer {
    return this.#memory.slab;
  }

  /** Empties it. */
  clear(): void {
    this.#memory.count = 0;
  }

  /**
   * Adds a datagram behind the others; its bytes are copied.
   *
   * @param to where it goes, without a host name; left out on a connected socket
   * @returns false if there is no room for one more
   * @throws RangeError if it is longer than `size`; TypeError for what is not bytes or not an address
   */
  add(data: Sendable, to?: AddressLike, options?: AddOptions): boolean {
    const memory = this.#memory;
    if (memory.count === memory.capacity) return false;
    putDatagram(memory, memory.count, data, to, options);
    memory.count++;
    return true;
  }

  #at(index: number, action: string): number {
    const { count } = this.#memory;
    // The common case without a subject: it runs once per datagram.
    if (Number.isInteger(index) && index >= 0 && index < count) return index * ENTRY_WORDS;
    if (count === 0 && Number.isInteger(index)) {
      throw new RangeError(`Cannot ${action}: index is ${index}, but there is no datagram in the batch`);
    }
    return integer(index, action, "index", 0, count - 1) * ENTRY_WORDS;
  }

  /** Bytes of datagram `index`. */
  length(index: number): number {
    return this.#memory.words[this.#at(index, "read a length") + LENGTH]!;
  }

  /** Bytes that datagram `index` had on its way, if `recvmmsg` was called with `MSG_TRUNC`; otherwise as `length`. */
  wholeLength(index: number): number {
    return this.#memory.words[this.#at(index, "read a length") + WHOLE_LENGTH]!;
  }

  /** Sets the length of datagram `index` after its bytes were written into `buffer` in place. */
  resize(index: number, length: number): void {
    const at = this.#at(index, "resize a datagram");
    const { slot, words } = this.#memory;
    words[at + LENGTH] = words[at + WHOLE_LENGTH] = integer(length, "resize a datagram", "length", 0, slot);
  }

  /** The bytes of datagram `index`: a view into `buffer`, good until the batch is used again. */
  data(index: number): Buffer {
    const at = this.#at(index, "read a datagram");
    const { slab, slot, words } = this.#memory;
    return slab.subarray(index * slot, index * slot + words[at + LENGTH]!);
  }

  /**
   * Where datagram `index` came from, or goes to; undefined if it has no address. A peer that was seen before gives the same
   * object.
   */
  address(index: number): Address | undefined {
    const at = this.#at(index, "read an address");
    const { words } = this.#memory;
    const length = words[at + NAME_LENGTH]!;
    return length === 0 ? undefined : this.#addresses.lookup(words, at + NAME, length);
  }

  /** `MSG_` flags that datagram `index` was received with. */
  flags(index: number): number {
    return this.#memory.words[this.#at(index, "read flags") + FLAGS]!;
  }

  /** Whether datagram `index` was longer than `size`, so that the rest of it is lost. */
  truncated(index: number): boolean {
    return (this.flags(index) & MSG_TRUNC) !== 0;
  }

  /**
   * Control data that came with datagram `index`. Where the room was too small for them, `flags` has `MSG_CTRUNC`. Descriptors are
   * closed already.
   */
  control(index: number): ControlMessage[] {
    const at = this.#at(index, "read control data");
    const { control, room, words } = this.#memory;
    const length = words[at + CONTROL_LENGTH]!;
    return length === 0 ? [] : decodeControl(control.subarray(index * room, (index + 1) * room), length, calls);
  }

  /**
   * The size of the datagrams of which number `index` is made: joined by `UDP_GRO`, or to be cut apart by `UDP_SEGMENT`. 0 if
   * it is a single one.
   */
  segmentSize(index: number): number {
    return this.#memory.words[this.#at(index, "read a segment size") + SEGMENT]!;
  }

  /** The datagrams of which number `index` is made, as views into `buffer`: one, unless it has a `segmentSize`. */
  segments(index: number): Iterable<Buffer> {
    return segments(this.data(index), this.segmentSize(index));
  }

  /** Why datagram `index` was refused by a `sendmmsg` with `skipRefused`; undefined if it went out. */
  error(index: number): SocketError | undefined {
    const errno = this.#memory.words[this.#at(index, "read an error") + ERROR]!;
    return errno === 0 ? undefined : socketError(errno, "sendmmsg");
  }

  /** The datagrams and their addresses. */
  *[Symbol.iterator](): IterableIterator<[data: Buffer, address: Address | undefined]> {
    for (let i = 0; i < this.#memory.count; i++) yield [this.data(i), this.address(i)];
  }
}

/** Puts a datagram into place `index`. */
export function putDatagram(
  memory: BatchMemory,
  index: number,
  data: Sendable,
  to: AddressLike | undefined,
  options: AddOptions | undefined,
): void {
  const action = "add a datagram";
  const { slab, slot, words } = memory;
  const at = index * ENTRY_WORDS;
  const start = index * slot;
  // Everything is checked before anything is changed.
  const bytes = bytesToSend(data, action);
  const length = totalLength(bytes);
  if (length > slot) throw new RangeError(`Cannot ${action}: it has ${length} bytes, required at most ${slot}`);
  if (slab.length === 0) throw new TypeError(`Cannot ${action}: the memory of the batch was transferred away`);
  const name = to === undefined ? undefined : sockaddrOf(to, action);
  let segment = 0;
  if (options !== undefined) {
    if (typeof options !== "object" || options === null) {
      throw new TypeError(
        `Cannot ${action}: options are ${quote(options)}, required an object such as { segmentSize }`,
      );
    }
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
  if (name !== undefined) putName(memory, at, name);
  words[at + NAME_LENGTH] = name === undefined ? 0 : name.length;
  words[at + LENGTH] = words[at + WHOLE_LENGTH] = length;
  words[at + SEGMENT] = segment;
  words[at + FLAGS] = words[at + CONTROL_LENGTH] = words[at + ERROR] = 0;
}

/** The last word is filled up with zeros, for the cache of addresses. */
function putName(memory: BatchMemory, at: number, name: Uint8Array): void {
  memory.words[at + NAME + ((name.length - 1) >> 2)] = 0;
  memory.table.set(name, (at + NAME) * 4);
}
