// The base class of the errors of this package.

import { mark } from "./mark.js";
import { addFrames, newTrace, setStackLimit, stackText, canAddFrames, type Trace } from "./trace.js";

/**
 * The property `stack` of all errors. All errors share one getter and one setter: with functions of its own, an error
 * would take twice as long to make.
 */
let stackAccessor: PropertyDescriptor & ThisType<object>;

// The class assigns the next two functions, because only code of the class can read `#trace`.

/** Whether `recordCaller` can add frames to an error. False for an error of another copy of the package. */
export let canRecordCaller: (error: unknown) => boolean;

/** Adds the current stack frames to the `stack` of an error. */
export let recordCaller: (error: unknown) => void;

/**
 * The base class of all errors that this package makes, for a `catch` that handles only these. Each of them has a
 * `code`. docs/errors.md has advice for each class and code.
 *
 * The error for a wrong argument is a `TypeError` or a `RangeError`, as in JavaScript itself, and not a BerkeleyError.
 * The reason of an abort signal, and an error that a function of the program has thrown, are passed on unchanged.
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
  /** The stable name of the error, for programs. */
  declare readonly code: string;

  readonly #trace: Trace;

  constructor(message: string, options?: { cause?: unknown }) {
    // The constructor of Error captures no stack, because newTrace() captures one.
    const limit = setStackLimit(0);
    super(message, options);
    setStackLimit(limit);
    this.#trace = newTrace();
    Object.defineProperty(this, "stack", stackAccessor);
  }

  static {
    BerkeleyError.prototype.name = "BerkeleyError";
    mark(BerkeleyError);
    // Replaces the accessor of an error by a plain property.
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
    canRecordCaller = (error) =>
      typeof error === "object" && error !== null && #trace in error && canAddFrames(error.#trace);
    recordCaller = (error) => {
      if (typeof error === "object" && error !== null && #trace in error) addFrames(error.#trace);
    };
  }
}
