// What the servers in bench/servers/ share.

/**
 * The size of the receive buffer of a connection, the same as in C. Node.js cuts buffers of less than 4 KiB out of a
 * common block. Each larger one would be memory of its own, which the garbage collector has to track.
 */
export const BUFFER_SIZE = 1024;

/**
 * For the `catch` of a connection. A load generator closes connections while messages are in flight, so errors of the
 * connection are ignored. Errors of a version of the library that lacks a method, or requires other arguments, are
 * thrown, and end the server.
 */
export function ignoreDisconnect(error: unknown): void {
  if (error instanceof TypeError || error instanceof RangeError) throw error;
}

/** Runs a garbage collection for each line on standard input, if Node was started with --expose-gc. */
export function collectOnInput(): void {
  const { gc } = globalThis;
  if (gc === undefined) return;
  process.stdin.on("data", () => {
    gc();
    console.log('{"collected":true}');
  });
}
