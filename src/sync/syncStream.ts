// The buffered stream over a blocking socket: lines, exact numbers of bytes, and chunks.

import { brand, checkNames, checkOptions, quoteNonInstance } from "../check/index.js";
import type { Data, EndResult } from "../io.js";
import { lineFinder, type LineOptions as AwaitableLine, lineRule } from "../reading/lines.js";
import { delimiterBytes, checkSize, type UntilOptions as AwaitableUntil } from "../reading/readArguments.js";
import {
  ANY_CHUNK_RULE,
  ChunkRule,
  ExactRule,
  findChunk,
  type FindItem,
  PeekRule,
  type ReadRule,
  UntilRule,
} from "../reading/readRules.js";
import { SHUT_WR, SOCK_STREAM } from "../sys/constants.js";
import { BlockingReader, isReadTarget } from "./blockingReader.js";
import { blockingRunnerOf } from "./blockingRunner.js";
import type { EndOptions } from "./syncEnding.js";
import { blockingTimeoutOf, type WaitOptions } from "./syncOptions.js";
import type { Socket } from "./syncSocket.js";

/** The limits of a {@link Stream}. */
export interface StreamOptions {
  /**
   * Maximum number of bytes of one receive. The stream reads at most this many bytes more than a call needs. Default 64
   * KiB.
   */
  readonly readSize?: number | undefined;
  /** Maximum number of bytes of a line or of a result of `readUntil`, if the call has no `max`. Default 64 KiB. */
  readonly maxLine?: number | undefined;
}

/** Options of `readLine` and `lines`: `timeout`, `max`, `encoding`. */
export type LineOptions = Omit<AwaitableLine, "signal">;
/** Options of `readUntil`: `timeout`, `max`. */
export type UntilOptions = Omit<AwaitableUntil, "signal">;

/** Names that each call accepts. `signal` is one of them, because blockingTimeoutOf() refuses it with the reason. */
const COMMON_NAMES = ["timeout", "signal"];

/**
 * A blocking connection with a buffer for reading. Its methods, limits and errors have the names that they have in the
 * `Stream` of "berkeley". `socket.stream()` makes it.
 *
 * A call without a `timeout` uses the one of the socket. The timeout covers the whole call. When a call ends early, by
 * its deadline (`ETIMEDOUT`) or a signal of the system (`EINTR`), the bytes that have arrived stay in the buffer for
 * the next call. The stream receives only during a call, and at most `readSize` bytes more than the call needs.
 *
 * The bytes in the buffer come before the bytes in the kernel. While the buffer has bytes, `recv` and the other
 * receiving calls of the socket throw a {@link BufferedError}, and so do `detach()` and the passing of the socket.
 * `splice` and `pump` send the bytes of the buffer first.
 *
 * A {@link LimitError} ends the reading: all later reads throw the same error. If the stream ends too early, the call
 * throws an {@link IncompleteReadError}, which has the bytes that have arrived.
 *
 * @see recv(2)
 * @example
 * ```ts
 * import { socketpair } from "berkeley/sync";
 *
 * const [left, right] = socketpair();
 * using stream = right.stream();
 * left.sendAll("GET key\r\n\0\x02ok");
 * console.log(stream.readLine()); // prints: GET key
 * const size = stream.readExactly(2).readUInt16BE();
 * console.log(stream.readExactly(size).toString()); // prints: ok
 * left.close();
 * console.log(stream.readLine()); // prints: null
 * ```
 */
export class Stream implements Iterable<Buffer> {
  readonly #socket: Socket;
  readonly #reader: BlockingReader;
  readonly #maxLine: number;

  static {
    brand(Stream.prototype, "Stream of berkeley/sync");
  }

  /**
   * Puts a buffer on a socket; `socket.stream()` is the usual way.
   *
   * @throws TypeError if the socket is no stream socket of "berkeley/sync", or has a stream already; TypeError or
   *   RangeError for an option that is wrong
   */
  constructor(socket: Socket, opts: StreamOptions = {}) {
    const action = "make a stream";
    const runner = blockingRunnerOf(socket);
    if (runner === undefined) {
      throw new TypeError(
        `Cannot ${action}: socket is ${quoteNonInstance(socket, "Socket")}, required a Socket of berkeley/sync`,
      );
    }
    if (socket.type !== SOCK_STREAM) {
      throw new TypeError(`Cannot ${action}: the socket is of type ${socket.type}, required SOCK_STREAM`);
    }
    if (runner.reader !== undefined) {
      throw new TypeError(`Cannot ${action}: the socket has a stream, required socket.stream() to get it`);
    }
    checkOptions(opts, action);
    checkNames(opts, ["readSize", "maxLine"], action);
    this.#socket = socket;
    this.#maxLine = checkSize(opts.maxLine ?? 65_536, action, "maxLine", 1);
    this.#reader = new BlockingReader(runner, checkSize(opts.readSize ?? 65_536, action, "readSize", 1));
    runner.reader = this.#reader;
    runner.stream = this;
  }

  /** The socket below, for its options, addresses and timeout. */
  get socket(): Socket {
    return this.#socket;
  }

  /** The number of bytes in the buffer: read from the kernel, and not returned by a call yet. */
  get buffered(): number {
    return this.#reader.unread;
  }

  /**
   * Reads the next bytes: as many as there are, at most `max`. Blocks only if there are none. Returns null at the end.
   * The Buffer belongs to the caller.
   *
   * @throws SocketError `ECONNRESET`, `ETIMEDOUT`, `EINTR`; `EBADF` after `close()`
   * @throws TypeError or RangeError for a `max` that is no whole number from 1
   */
  read(max?: number, opts?: WaitOptions): Buffer | null;
  read(opts: WaitOptions): Buffer | null;
  /** Reads into `buffer`. If the stream has no bytes, the kernel fills `buffer` itself. Returns 0 at the end. */
  read(buffer: Uint8Array, opts?: WaitOptions): number;
  read(first?: number | WaitOptions | Uint8Array, opts?: WaitOptions): Buffer | null | number {
    if (isReadTarget(first)) return this.#reader.readInto(first, checkedOptions(opts, "read"));
    if (first === undefined) return this.#reader.read(ANY_CHUNK_RULE, checkedOptions(opts, "read"));
    if (typeof first === "object") return this.#reader.read(ANY_CHUNK_RULE, checkedOptions(first, "read"));
    return this.#reader.read(new ChunkRule(checkSize(first, "read", "max", 1)), checkedOptions(opts, "read"));
  }

  /**
   * Reads exactly `size` bytes. `maxLine` does not limit `size`, so check a `size` that a peer has sent. Memory is
   * allocated as bytes arrive.
   *
   * @throws IncompleteReadError if the stream ends earlier; SocketError as `read`
   * @throws TypeError or RangeError for a `size` that is no whole number from 0
   */
  readExactly(size: number, opts?: WaitOptions): Buffer {
    const rule = new ExactRule(checkSize(size, "readExactly", "size", 0));
    if (size > 0) return this.#reader.read(rule, checkedOptions(opts, "readExactly"));
    // Called only for the errors of wrong options.
    blockingTimeoutOf(checkedOptions(opts, "readExactly"), null, "readExactly");
    return Buffer.alloc(0);
  }

  /**
   * Reads up to and including `delimiter`. Returns null at the end.
   *
   * @throws IncompleteReadError if the end comes after some bytes without a delimiter; LimitError if the delimiter is
   *   not within `max` bytes; SocketError as `read`
   * @throws TypeError or RangeError for an empty `delimiter` or a wrong `max`
   */
  readUntil(delimiter: string | Uint8Array, opts?: UntilOptions): Buffer | null {
    const action = "readUntil";
    const bytes = delimiterBytes(delimiter, action);
    const max = checkedOptions(opts, action, ["max"])?.max;
    const rule =
      max === undefined
        ? new UntilRule(bytes, this.#maxLine, "maxLine")
        : new UntilRule(bytes, checkSize(max, action, "max", 1), "max");
    return this.#reader.read(rule, opts);
  }

  /**
   * Reads the next line, without its end: LF or CR LF. Returns null at the end. The last line may lack its end. A
   * character whose bytes arrive in several pieces is returned whole.
   *
   * @throws LimitError if the line has more than `max` bytes; SocketError as `read`
   * @throws TypeError or RangeError for a wrong `max` or `encoding`
   */
  readLine(opts?: LineOptions): string | null {
    return this.#reader.read(this.#lineRule(opts, "readLine"), opts);
  }

  #lineRule(opts: LineOptions | undefined, action: string): ReturnType<typeof lineRule> {
    return lineRule(checkedOptions(opts, action, ["max", "encoding"]), this.#maxLine, action);
  }

  /**
   * The lines, each as `readLine` reads it. `timeout` applies to each line. A loop that ends early leaves the rest
   * unread in the stream. After `close()` the loop ends.
   * @example
   * ```ts
   * import { socketpair } from "berkeley/sync";
   *
   * const [left, right] = socketpair();
   * left.sendAll(["one\ntw", "o\n"]);
   * left.close();
   * using stream = right.stream();
   * for (const line of stream.lines()) console.log(line);
   * // prints: one
   * // prints: two
   * ```
   */
  lines(opts?: LineOptions): IterableIterator<string> {
    return new Items(this.#reader, lineFinder(this.#lineRule(opts, "read lines")), opts);
  }

  /** The chunks as `read` returns them, until the end. The stream stays open when a loop ends early. */
  [Symbol.iterator](): IterableIterator<Buffer> {
    return new Items(this.#reader, findChunk, undefined);
  }

  /**
   * Reads the next `size` bytes and leaves them unread. Returns fewer if the stream ends earlier, and null if there
   * are none.
   *
   * @throws SocketError as `read`; TypeError or RangeError for a `size` that is no whole number from 1
   */
  peek(size: number, opts?: WaitOptions): Buffer | null {
    return this.#reader.read(new PeekRule(checkSize(size, "peek", "size", 1)), checkedOptions(opts, "peek"));
  }

  /**
   * Writes all of `data`: the `sendAll` of the socket. There is no buffer for writing.
   *
   * @throws SocketError as `sendAll`, with `transferred`
   * @see send(2)
   */
  write(data: Data, opts?: WaitOptions): void {
    this.#socket.sendAll(data, checkedOptions(opts, "write"));
  }

  /**
   * Ends the writing side; reading stays possible: shutdown(2) with `SHUT_WR`.
   *
   * @throws SocketError `ENOTCONN`, `EBADF` after `close()`
   */
  closeWrite(): void {
    this.#socket.shutdown(SHUT_WR);
  }

  /** Ends the connection so that the peer receives the last bytes; see {@link Socket.end}. */
  end(opts?: EndOptions): EndResult {
    return this.#socket.end(opts);
  }

  /** Closes the socket. The bytes in the buffer are dropped. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Checks the names of the options, and returns the options. */
function checkedOptions<T extends object>(
  opts: T | undefined,
  action: string,
  names: readonly string[] = [],
): T | undefined {
  checkOptions(opts, action);
  if (opts !== undefined) checkNames(opts, [...names, ...COMMON_NAMES], action);
  return opts;
}

/** An iterator over the items of a stream. It keeps no bytes, so the next call continues where a loop has ended. */
class Items<T> implements IterableIterator<T> {
  readonly #reader: BlockingReader;
  readonly #opts: WaitOptions | undefined;
  readonly #rule: ReadRule<IteratorResult<T, undefined>>;

  constructor(reader: BlockingReader, find: FindItem<T>, opts: WaitOptions | undefined) {
    this.#reader = reader;
    this.#opts = opts;
    this.#rule = {
      apply(buffer, ended) {
        const found = find(buffer, ended);
        // undefined: more bytes are necessary; null: the end.
        if (found === undefined) return undefined;
        return found === null ? DONE : { done: false, value: found.value };
      },
    };
  }

  next(): IteratorResult<T, undefined> {
    // If the body of the loop has closed the stream, the loop ends without an error.
    return this.#reader.closed ? DONE : this.#reader.read(this.#rule, this.#opts);
  }

  return(): IteratorResult<T, undefined> {
    return DONE;
  }

  [Symbol.iterator](): this {
    return this;
  }
}

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined };
