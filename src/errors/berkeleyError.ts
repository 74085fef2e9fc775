// The base class of the errors of this package.

import { mark } from "./mark.js";
import { recordTrace, setStackLimit } from "./trace.js";

/**
 * The base class of all errors that this package makes, for a `catch` that handles them apart from others. Each of them
 * has a `code`. docs/errors.md says what to do about each class and code.
 *
 * A wrong argument is a mistake in the program and no event of the network: it is a `TypeError` or a `RangeError`, as
 * in JavaScript itself, and not a BerkeleyError. Neither is the reason of an abort, nor what a function of the program
 * has thrown.
 *
 * @example
 * ```ts
 * import { BerkeleyError, connect } from "berkeley";
 *
 * try {
 *   await connect("unix:/nowhere");
 * } catch (error) {
 *   if (!(error instanceof BerkeleyError)) throw error;
 *   console.log(error.code); // prints: ENOENT
 * }
 * ```
 */
export class BerkeleyError extends Error {
  /** Stable name of the error, for programs. */
  declare readonly code: string;

  constructor(message: string, options?: { cause?: unknown }) {
    // Without a stack of V8: recordTrace() captures another one, and one is enough.
    const limit = setStackLimit(0);
    super(message, options);
    setStackLimit(limit);
    recordTrace(this);
  }

  static {
    BerkeleyError.prototype.name = "BerkeleyError";
    mark(BerkeleyError);
  }
}
