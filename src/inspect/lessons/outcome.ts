// What a call returned, or its error, as a learner reads it.

import { SocketError } from "../../errors/index.js";

/** Errors of the kernel are a result of a lesson. All others end the run. */
export async function outcome<T>(call: Promise<T>, show: (value: T) => string): Promise<string> {
  try {
    return show(await call);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}
