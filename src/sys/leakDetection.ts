// Leak detection: a socket that is collected without `close()` has its descriptor closed, with a warning.
//
// A FinalizationRegistry reports the collected sockets. To register a socket there and to unregister it costs more than
// all other JavaScript of a short connection, and a registered object survives the quick passes of the collector. So a
// new socket is only put into a list of bounded length, the pending ones. A timer registers the sockets that are still
// open when it fires. A socket that is closed before that is never registered. The list holds its sockets, so a pending
// socket that the program drops is collected after the timer has fired.
//
// A registry that is itself collected calls no callback. A process may evaluate the package several times, and a test
// runner drops an evaluation with the sockets that a test left open. So the exports of the addon, which all evaluations
// share, hold a registry for as long as a socket is registered in it.

import { addon } from "./addon.js";

/** The descriptor of a socket, to be closed when the socket is collected. It must not refer to the socket. */
export interface LeakableDescriptor {
  /** -1 once closed. */
  readonly fd: number;
  /** Index in the list of pending sockets, -1 outside of it. Only this file sets it after construction. */
  pendingIndex: number;
  close(): unknown;
}

/** Milliseconds from the first pending socket to the registration of all of them. */
const REGISTRATION_DELAY = 200;
/** Most pending sockets; further ones are registered at once. */
const MAX_PENDING = 1024;

/** The key, in the addon's exports, of the set that holds the registries. It is the same symbol in every evaluation. */
const REGISTRIES: unique symbol = Symbol.for("berkeley.leakDetection");
const heldRegistries = ((addon as { [REGISTRIES]?: Set<object> })[REGISTRIES] ??= new Set());
/** Sockets in the registry. It is held exactly while this is above 0. */
let registeredCount = 0;

const registry = new FinalizationRegistry<LeakableDescriptor>((descriptor) => {
  countUnregistered();
  const { fd } = descriptor;
  if (fd < 0) return;
  descriptor.close();
  process.emitWarning(
    `a Socket with descriptor ${fd} was collected while open, and has been closed: call close() or use "await using"`,
    "ResourceWarning",
  );
});

function register(socket: object, descriptor: LeakableDescriptor): void {
  registry.register(socket, descriptor, descriptor);
  if (registeredCount++ === 0) heldRegistries.add(registry);
}

function countUnregistered(): void {
  if (--registeredCount === 0) heldRegistries.delete(registry);
}

// The pending sockets, in no order. A socket and its descriptor have the same index.
const pendingSockets: object[] = [];
const pendingDescriptors: LeakableDescriptor[] = [];
let timerArmed = false;

/** Closes `descriptor` when `socket` is collected, unless {@link stopLeakDetection} is called first. */
export function closeWhenCollected(socket: object, descriptor: LeakableDescriptor): void {
  if (pendingSockets.length >= MAX_PENDING) {
    register(socket, descriptor);
    return;
  }
  descriptor.pendingIndex = pendingSockets.length;
  pendingSockets.push(socket);
  pendingDescriptors.push(descriptor);
  if (timerArmed) return;
  timerArmed = true;
  setTimeout(registerPending, REGISTRATION_DELAY).unref();
}

/** Ends the watch over a descriptor that was closed or detached. */
export function stopLeakDetection(descriptor: LeakableDescriptor): void {
  const index = descriptor.pendingIndex;
  if (index < 0) {
    if (registry.unregister(descriptor)) countUnregistered();
    return;
  }
  descriptor.pendingIndex = -1;
  // The last pending socket moves to the index that becomes free.
  const lastSocket = pendingSockets.pop()!;
  const lastDescriptor = pendingDescriptors.pop()!;
  if (lastDescriptor === descriptor) return;
  lastDescriptor.pendingIndex = index;
  pendingSockets[index] = lastSocket;
  pendingDescriptors[index] = lastDescriptor;
}

/** Registers all pending sockets. It pops them one by one, so the arrays keep their memory for later sockets. */
function registerPending(): void {
  timerArmed = false;
  while (pendingSockets.length > 0) {
    const descriptor = pendingDescriptors.pop()!;
    descriptor.pendingIndex = -1;
    register(pendingSockets.pop()!, descriptor);
  }
}
