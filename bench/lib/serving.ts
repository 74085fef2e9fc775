// Functions of the servers on berkeley.

/**
 * For the `catch` of a connection. A load generator closes with messages in flight, so errors of the connection are expected. A
 * version of the library that lacks a method, or that takes other arguments, must end the server instead.
 */
export function ignoreDisconnect(error: unknown): void {
  if (error instanceof TypeError || error instanceof RangeError) throw error;
}

/** For measurements of memory: a Node that was started with --expose-gc collects garbage for each line on its standard input. */
export function collectWhenTold(): void {
  const { gc } = globalThis;
  if (gc === undefined) return;
  process.stdin.on("data", () => {
    gc();
    console.log('{"collected":true}');
  });
}
