// The result of a call, or its error, as text of a lesson.

import { SocketError } from "../../errors/index.js";

/** Returns the text of the result, or of an error of the kernel. Other errors are thrown, so they end the run. */
export async function describeOutcome<T>(call: Promise<T>, show: (value: T) => string): Promise<string> {
  try {
    return show(await call);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}
