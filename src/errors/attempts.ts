// An AggregateError of failed attempts. It is the `cause` of the error that a call rejects with.

/**
 * Makes the AggregateError. Node prints an uncaught error with its cause, and an AggregateError with the stack of each
 * of its errors, which would take dozens of lines. So `errors` is a getter, which util.inspect() does not call, and the
 * message contains the messages of the attempts.
 */
export function attemptsError(action: string, errors: readonly unknown[]): AggregateError {
  const failures = errors.map((error) => (error instanceof Error ? error.message : String(error)));
  const text = `${action}: no attempt of ${errors.length} succeeded: ${failures.join("; ")}`;
  const error = new AggregateError(errors, text);
  const allErrors: unknown = error.errors;
  Object.defineProperty(error, "errors", { get: () => allErrors, configurable: true });
  // Without frames: the error with which the call rejects has the frames of the program.
  error.stack = String(error);
  return error;
}
