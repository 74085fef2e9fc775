// Errors of calls that are refused: another call runs, other bytes must be read or sent first, or a limit is reached.

import { BerkeleyError } from "./berkeleyError.js";
import { mark } from "./mark.js";

/**
 * The call needs one direction of the connection for itself, and another call is using this direction. With two reads
 * at the same time it would be undefined which of them gets which bytes.
 *
 * @example
 * ```ts
 * import { BusyError } from "berkeley";
 *
 * const error = new BusyError("read");
 * console.log(error.code, error.operation); // prints: ERR_BUSY read
 * ```
 */
export class BusyError extends BerkeleyError {
  /** Always `"ERR_BUSY"`. */
  override readonly code: "ERR_BUSY";
  /** The refused operation: `"read"`, `"accept"`. */
  readonly operation: string;

  constructor(operation: string) {
    super(`${operation} needs the connection for itself, but another ${operation} is pending: await that one first`);
    this.code = "ERR_BUSY";
    this.operation = operation;
  }

  static {
    BusyError.prototype.name = "BusyError";
    mark(BusyError);
  }
}

/**
 * A read of the socket would skip bytes that its stream has read ahead. Read those bytes from the stream first, or use
 * a method that passes them on first: `pump`, `pipeTo`, `toNetSocket`. A write to the socket is refused while writes of
 * its stream wait: await those first.
 *
 * @example
 * ```ts
 * import { BufferedError, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * await left.sendAll("a line\nand more");
 * await right.stream().readLine();
 * const error = await right.recv(100).catch((error) => error);
 * console.log(error instanceof BufferedError && error.buffered); // prints: 8
 * left.close();
 * right.close();
 * ```
 */
export class BufferedError extends BerkeleyError {
  /** Always `"ERR_BUFFERED"`. */
  override readonly code: "ERR_BUFFERED";
  /** The number of bytes that were read ahead, or that wait to be sent. */
  readonly buffered: number;

  /** @param unsent true if the bytes wait to be sent, false if they were read ahead */
  constructor(action: string, buffered: number, unsent: boolean = false) {
    const bytesState = unsent
      ? "that wait to be sent, required 0: await its writes"
      : "that were read ahead, required 0: take them";
    super(`Cannot ${action}: its stream holds ${buffered} bytes ${bytesState} first`);
    this.code = "ERR_BUFFERED";
    this.buffered = buffered;
  }

  static {
    BufferedError.prototype.name = "BufferedError";
    mark(BufferedError);
  }
}

/**
 * The waiting writes of a stream have reached a limit, so another write was refused. No byte of it was written. The
 * connection works, and accepts new writes as soon as the peer reads. Await each write before the next one, or send
 * with `broadcast()`.
 *
 * @example
 * ```ts
 * import { OutboxFullError, Stream } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a] = memoryPair({ capacity: 10 });
 * const stream = new Stream(a, { maxOutbox: 100 });
 * void stream.write("x".repeat(80)); // the peer does not read: 70 bytes wait
 * const error = await stream.write("y".repeat(40)).catch((error) => error);
 * console.log(error instanceof OutboxFullError, error.code, error.limit, error.bytes);
 * // prints: true ERR_OUTBOX_FULL maxOutbox 70
 * ```
 */
export class OutboxFullError extends BerkeleyError {
  /** Always `"ERR_OUTBOX_FULL"`. */
  override readonly code: "ERR_OUTBOX_FULL";
  /** The name of the option that sets the limit: `"maxOutbox"` or `"maxOutboxWrites"`. */
  readonly limit: "maxOutbox" | "maxOutboxWrites";
  /** The value of the limit, in bytes or writes. */
  readonly max: number;
  /** The number of bytes that waited. */
  readonly bytes: number;
  /** The number of writes that waited. */
  readonly writes: number;

  /** @param size the number of bytes of the refused write */
  constructor(
    size: number,
    waiting: { readonly bytes: number; readonly writes: number },
    limit: "maxOutbox" | "maxOutboxWrites",
    max: number,
  ) {
    const { bytes, writes } = waiting;
    const outbox = `the outbox has ${bytes} bytes in ${writes} writes`;
    super(`Cannot write ${size} bytes: ${outbox}, required at most ${max} with these (${limit}): await earlier writes`);
    this.code = "ERR_OUTBOX_FULL";
    this.limit = limit;
    this.max = max;
    this.bytes = bytes;
    this.writes = writes;
  }

  static {
    OutboxFullError.prototype.name = "OutboxFullError";
    mark(OutboxFullError);
  }
}

/**
 * A peer sent a line, a frame or a header that is longer than a limit. The stream can't be read any more, because the
 * start of the next frame is unknown. Writes still work.
 *
 * @example
 * ```ts
 * import { LimitError } from "berkeley";
 *
 * const error = new LimitError("maxLine", 65536, 70000);
 * console.log(error.code, error.limit, error.max); // prints: ERR_LIMIT maxLine 65536
 * ```
 */
export class LimitError extends BerkeleyError {
  /** Always `"ERR_LIMIT"`. */
  override readonly code: "ERR_LIMIT";
  /** The name of the option that sets the limit, such as `"maxLine"`. */
  readonly limit: string;
  /** The value of the limit, in bytes unless the option has another unit. */
  readonly max: number;
  /** The announced size, or the number of bytes that had arrived when the limit was exceeded. */
  readonly found: number;

  /** @param unit the unit of `max` and `found`, for the message */
  constructor(limit: string, max: number, found: number, unit: string = "bytes") {
    super(`Cannot take ${found} ${unit}: ${limit} allows at most ${max}`);
    this.code = "ERR_LIMIT";
    this.limit = limit;
    this.max = max;
    this.found = found;
  }

  static {
    LimitError.prototype.name = "LimitError";
    mark(LimitError);
  }
}
