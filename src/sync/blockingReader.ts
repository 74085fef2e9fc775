// The reading side of a blocking stream: a buffer, and the call that receives until a read rule has its result.
//
// Buffer and rules are those of the awaitable stream (src/reading/). One call of the blocking runner makes all receives
// of a read, so one deadline covers the whole read. When a call ends early, the bytes that have arrived stay in the
// buffer.
//
// Between `room()` and `filled()` no other code runs, so small reads can share one block of memory per thread.

import { isUint8Array } from "node:util/types";
import { BufferedError, IncompleteReadError } from "../errors/index.js";
import type { ReadAhead } from "../io.js";
import { READ_FOR, type ReadConsumer } from "../ops/readFor.js";
import { RECV_INTO } from "../ops/recv.js";
import { ReadBuffer } from "../reading/readBuffer.js";
import { HAS_BYTES_RULE, type ReadRule } from "../reading/readRules.js";
import { targetError } from "../reading/readTarget.js";
import { POLLIN } from "../sys/constants.js";
import { closedError } from "../sys/errno.js";
import type { BlockingRunner } from "./blockingRunner.js";
import { blockingTimeoutOf, type WaitOptions } from "./syncOptions.js";

export class BlockingReader implements ReadConsumer, ReadAhead {
  readonly buffer: ReadBuffer;
  readonly #runner: BlockingRunner;
  #ended = false;
  /** Set by an error after which no read is possible. */
  #failure: { readonly error: unknown } | undefined;
  /** The rule of the running `read()`. While no `read()` runs, no code uses the value. */
  #rule: ReadRule<unknown> = HAS_BYTES_RULE;
  /** The result of the rule, from `filled()` to `result()`. */
  #result: unknown;
  /** Set by `room()`; see ReadConsumer. */
  start = 0;
  size = 0;

  constructor(runner: BlockingRunner, readSize: number) {
    this.#runner = runner;
    this.buffer = new ReadBuffer(readSize);
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.#runner.descriptor.fd < 0;
  }

  get unread(): number {
    return this.closed ? 0 : this.buffer.length;
  }

  takeUnread(max: number): Uint8Array {
    return this.buffer.take(max);
  }

  /** Drops the bytes in the buffer and returns their number. */
  discard(): number {
    const { length } = this.buffer;
    this.buffer.clear();
    return length;
  }

  /** Receives until `rule` has its result, and returns it. */
  read<T>(rule: ReadRule<T>, opts: WaitOptions | undefined): T {
    const timeout = blockingTimeoutOf(opts, this.#runner.timeout, "read");
    this.#checkReadable();
    if (this.buffer.length > 0 || this.#ended) {
      const result = this.#apply(rule);
      if (result !== undefined) return result;
    }
    this.#rule = rule;
    return this.#runner.run(READ_FOR, this, undefined, POLLIN, timeout) as T;
  }

  /** Reads into `target`. If the buffer is empty, the kernel fills `target` without a copy. */
  readInto(target: Uint8Array, opts: WaitOptions | undefined): number {
    const timeout = blockingTimeoutOf(opts, this.#runner.timeout, "read");
    const error = targetError(target);
    if (error !== undefined) throw error;
    this.#checkReadable();
    if (this.buffer.length > 0) return this.buffer.copyInto(target);
    if (this.#ended) return 0;
    const count = this.#runner.run(RECV_INTO, target, 0, POLLIN, timeout);
    if (count === 0) this.#ended = true;
    return count;
  }

  // The methods of `ReadConsumer`, in the order of the calls.

  room(): Uint8Array {
    const memory = this.buffer.prepareSharedSlab();
    this.start = this.buffer.freeStart;
    this.size = this.buffer.freeSize;
    return memory;
  }

  filled(count: number): boolean {
    if (count === 0) this.#ended = true;
    else this.buffer.commit(count);
    this.#result = this.#apply(this.#rule);
    return this.#result !== undefined;
  }

  result(): unknown {
    const result = this.#result;
    this.#result = undefined;
    this.#rule = HAS_BYTES_RULE;
    return result;
  }

  #checkReadable(): void {
    if (this.closed) throw closedError("read");
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #apply<T>(rule: ReadRule<T>): T | undefined {
    try {
      return rule.apply(this.buffer, this.#ended);
    } catch (error) {
      // IncompleteReadError: the stream has ended too early, and another rule may still read the bytes. Any other error
      // is final.
      if (!(error instanceof IncompleteReadError)) {
        this.#failure = { error };
        this.buffer.clear();
      }
      throw error;
    }
  }
}

/** Whether an argument is a buffer to fill, and not a size or options. */
export function isReadTarget(value: unknown): value is Uint8Array {
  return isUint8Array(value);
}

/** Throws if the stream has read bytes ahead: a receive on the socket would return the bytes that follow them. */
export function checkNothingUnread(reader: BlockingReader | undefined, action: string): void {
  const unread = reader === undefined ? 0 : reader.unread;
  if (unread > 0) throw new BufferedError(action, unread);
}
