// Leak detection: closes the descriptor of a socket that is collected without `close()`, and emits a warning.
//
// A FinalizationRegistry reports collected sockets. Registering and unregistering a socket costs more than all other
// JavaScript of a short connection. Also, the scavenger of V8 does not collect a registered object. So a new socket is
// pending at first: it is in a list of limited length. A timer registers all sockets that are still pending. A socket
// that is closed before that is never registered. The list references its sockets, so a pending socket cannot be
// collected before the timer has fired.
//
// A FinalizationRegistry that is itself collected calls no callbacks. This can happen: a process may evaluate the
// package several times, and a test runner drops an evaluation together with open sockets. So the exports of the addon,
// which all evaluations share, reference the registry of each evaluation while a socket is registered in it.

import { addon } from "./addon.js";

/**
 * The descriptor of a socket. It must not reference the socket: the registry references the descriptor, so the socket
 * would never be collected.
 */
export interface LeakableDescriptor {
  /** -1 after the descriptor was closed or released. */
  readonly fd: number;
  /** Index in the list of pending sockets; -1 for a socket that is not pending. Only this file changes it. */
  pendingIndex: number;
  close(): unknown;
}

/**
 * Milliseconds from the first pending socket to the registration of all pending ones. Most short connections have ended
 * then.
 */
const REGISTRATION_DELAY = 200;
/** Maximum number of pending sockets. Further sockets are registered at once. */
const MAX_PENDING = 1024;

/** The key of the set of registries in the addon's exports. It is the same symbol in every evaluation. */
const REGISTRIES: unique symbol = Symbol.for("berkeley.leakDetection");
/** The registries of all evaluations in which a socket is registered. */
const usedRegistries = ((addon as { [REGISTRIES]?: Set<object> })[REGISTRIES] ??= new Set());
/** Number of sockets in `registry`. `usedRegistries` contains `registry` exactly while this number is above 0. */
let registeredCount = 0;

/** The registry of this evaluation. */
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
  if (registeredCount++ === 0) usedRegistries.add(registry);
}

/** Called after a socket has left the registry. */
function countUnregistered(): void {
  if (--registeredCount === 0) usedRegistries.delete(registry);
}

// The list of pending sockets, in no order. A socket and its descriptor have the same index in the two arrays.
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

/** Ends leak detection for a descriptor that was closed or detached. */
export function stopLeakDetection(descriptor: LeakableDescriptor): void {
  const index = descriptor.pendingIndex;
  if (index < 0) {
    if (registry.unregister(descriptor)) countUnregistered();
    return;
  }
  descriptor.pendingIndex = -1;
  // The last pending socket moves to the index that is now free.
  const lastSocket = pendingSockets.pop()!;
  const lastDescriptor = pendingDescriptors.pop()!;
  if (lastDescriptor === descriptor) return;
  lastDescriptor.pendingIndex = index;
  pendingSockets[index] = lastSocket;
  pendingDescriptors[index] = lastDescriptor;
}

/** Registers all pending sockets. Removes them one by one, because the arrays then keep their memory. */
function registerPending(): void {
  timerArmed = false;
  while (pendingSockets.length > 0) {
    const descriptor = pendingDescriptors.pop()!;
    descriptor.pendingIndex = -1;
    register(pendingSockets.pop()!, descriptor);
  }
}
