// The end of sockets that nobody closed: their descriptor is closed when they are collected, with a warning.

/** What is left to close. It must not refer to the object whose end it outlives. */
export interface Closable {
  /** -1 once closed. */
  readonly fd: number;
  close(): unknown;
}

const collected = new FinalizationRegistry<Closable>((descriptor) => {
  const { fd } = descriptor;
  if (fd < 0) return;
  descriptor.close();
  process.emitWarning(
    `a Socket with descriptor ${fd} was collected while open, and has been closed: call close() or use "await using"`,
    "ResourceWarning",
  );
});

/** Closes `descriptor` when `socket` is collected. */
export function closeWhenCollected(socket: object, descriptor: Closable): void {
  collected.register(socket, descriptor, descriptor);
}

/** The descriptor has been closed, or given away. */
export function forgetCollected(descriptor: Closable): void {
  collected.unregister(descriptor);
}
