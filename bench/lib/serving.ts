// What the servers of ours share.

/**
 * For the `catch` of a connection. A load generator closes with messages in flight, so errors of the connection are expected. A
 * version of the library that lacks a method, or that takes other arguments, must end the server instead.
 */
export function ignoreDisconnect(error: unknown): void {
  if (error instanceof TypeError || error instanceof RangeError) throw error;
}
