// A socket of another evaluation of the package: two copies in node_modules, or modules that a test runner has reset. Calls that
// need no more than the number of its descriptor take it. The others work on the queues of the socket, which are private to the
// evaluation that made it, and refuse it; the message says so, because the value looks as it should.

/** What is required in the place of `value`, which is no Socket of this evaluation; for the message of an error. */
export function requiredSocket(value: unknown): string {
  const looksRight =
    typeof value === "object" &&
    value !== null &&
    typeof (value as { fileno?: unknown }).fileno === "function" &&
    typeof (value as { detach?: unknown }).detach === "function";
  if (!looksRight) return "a Socket";
  return "a Socket of this copy of berkeley, as Socket.fromfd(socket.detach()) makes of one of another copy";
}
