// Calls that the state of an object does not permit.

import { mark } from "./mark.js";

/**
 * Two calls wanted the same direction of one connection at a time, where only one can have it: a second `read` while
 * the first waits would make it a matter of luck which of them gets which bytes.
 *
 * @example
 * ```ts
 * import { BusyError } from "berkeley";
 *
 * const error = new BusyError("read");
 * console.log(error.code, error.operation); // prints: ERR_BUSY read
 * ```
 */
export class BusyError extends Error {
  /** Always `"ERR_BUSY"`. */
  readonly code: "ERR_BUSY";
  /** What was asked for: `"read"`, `"accept"`. */
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
 * A call would pass by bytes that a stream has read ahead from the connection and nobody has taken: they come before whatever the
 * kernel still has. Take them from the stream, or use the stream (`pump`, `pipeTo`, `toNetSocket`), which sends them first.
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
export class BufferedError extends Error {
  /** Always `"ERR_BUFFERED"`. */
  readonly code: "ERR_BUFFERED";
  /** How many bytes are in the way. */
  readonly buffered: number;

  constructor(action: string, buffered: number) {
    super(`Cannot ${action}: its stream holds ${buffered} bytes that were read ahead, required 0: take them first`);
    this.code = "ERR_BUFFERED";
    this.buffered = buffered;
  }

  static {
    BufferedError.prototype.name = "BufferedError";
  }
}

/**
 * A peer sent more than a named limit allows: a line, a frame or a header that is too long. The stream it came from
 * stays closed for reading, because what follows can't be told apart any more; it can still be written to.
 *
 * @example
 * ```ts
 * import { LimitError } from "berkeley";
 *
 * const error = new LimitError("maxLine", 65536, 70000);
 * console.log(error.code, error.limit, error.max); // prints: ERR_LIMIT maxLine 65536
 * ```
 */
export class LimitError extends Error {
  /** Always `"ERR_LIMIT"`. */
  readonly code: "ERR_LIMIT";
  /** Name of the option that sets the limit, such as `"maxLine"`. */
  readonly limit: string;
  /** The limit's value, bytes unless the option says otherwise. */
  readonly max: number;
  /** What was found: the size announced, or how much had come when the limit was passed. */
  readonly found: number;

  constructor(limit: string, max: number, found: number) {
    super(`Cannot take ${found} bytes: ${limit} allows at most ${max}`);
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
