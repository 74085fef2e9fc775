// The error of several attempts, as the cause of the error that a call rejects with.

/**
 * An AggregateError of attempts. An uncaught error is printed with its causes, and an AggregateError with the stack and
 * the properties of each of its errors, on dozens of lines. So the message names the attempts, and `errors` is a getter,
 * which util.inspect() does not call.
 */
export function attemptsError(action: string, errors: readonly unknown[]): AggregateError {
  const failures = errors.map((error) => (error instanceof Error ? error.message : String(error)));
  const text = `${action}: no attempt of ${errors.length} succeeded: ${failures.join("; ")}`;
  const error = new AggregateError(errors, text);
  const all: unknown = error.errors;
  Object.defineProperty(error, "errors", { get: () => all, configurable: true });
  // The stack of the error whose cause this is leads to the program.
  error.stack = String(error);
  return error;
}
