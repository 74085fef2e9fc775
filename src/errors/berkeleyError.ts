// The base class of the errors of this package.

import { mark } from "./mark.js";
import { addFrames, newTrace, setStackLimit, stackText, takesFrames, type Trace } from "./trace.js";

/** One for all errors: with functions of its own for each, an error would cost twice as much. */
let stackAccessor: PropertyDescriptor & ThisType<object>;

/** Whether an error can get the stack of a call that rejects with it: it is of this copy of the package. */
export let takesCaller: (error: unknown) => boolean;

/** Adds the frames that have led here to the `stack` of an error. */
export let recordCaller: (error: unknown) => void;

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

  readonly #trace: Trace;

  constructor(message: string, options?: { cause?: unknown }) {
    // Without a stack of V8: newTrace() captures another one, and one is enough.
    const limit = setStackLimit(0);
    super(message, options);
    setStackLimit(limit);
    this.#trace = newTrace();
    Object.defineProperty(this, "stack", stackAccessor);
  }

  static {
    BerkeleyError.prototype.name = "BerkeleyError";
    mark(BerkeleyError);
    const setStack = (error: object, value: unknown): void => {
      Object.defineProperty(error, "stack", { value, writable: true, configurable: true });
    };
    stackAccessor = {
      get(this: BerkeleyError) {
        const text = stackText(this, this.#trace);
        setStack(this, text);
        return text;
      },
      set(this: object, value: unknown) {
        setStack(this, value);
      },
      configurable: true,
    };
    takesCaller = (error) =>
      typeof error === "object" && error !== null && #trace in error && takesFrames(error.#trace);
    recordCaller = (error) => {
      if (typeof error === "object" && error !== null && #trace in error) addFrames(error.#trace);
    };
  }
}
