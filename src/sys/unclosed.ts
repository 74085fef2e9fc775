// The end of sockets that nobody closed: their descriptor is closed when they are collected, with a warning.
//
// A FinalizationRegistry is what tells. To register a socket there and to take it out again costs more than all else that is
// done in JavaScript for a short connection, and what has been in it outlives the collector's quick passes. So a socket is
// young first: held by a list, of a bounded length, and registered only when it is still open some time later. One that is
// closed before that has never met the registry. One that is dropped while young is found that much later, no more.
//
// A registry that is collected itself tells nothing any more. The package may be evaluated several times in a process, and a
// test runner drops an evaluation with the sockets that a test left open. So the addon's exports, which all evaluations share,
// hold a registry for as long as a socket is registered there.

import { addon } from "./addon.js";

/** What is left to close. It must not refer to the object whose end it outlives. */
export interface Closable {
  /** -1 once closed. */
  readonly fd: number;
  /** Its place in the list of the young, -1 outside; nobody else's business. */
  young: number;
  close(): unknown;
}

/** For how long a socket is young, in ms: at most, for they all come of age together. */
const YOUTH = 200;
/** Most that are young at a time; further ones are registered at once. */
const MOST_YOUNG = 1024;

const HELD: unique symbol = Symbol.for("berkeley.collected");
const held = ((addon as { [HELD]?: Set<object> })[HELD] ??= new Set());
/** Sockets that are registered. */
let registered = 0;

const collected = new FinalizationRegistry<Closable>((descriptor) => {
  left();
  const { fd } = descriptor;
  if (fd < 0) return;
  descriptor.close();
  process.emitWarning(
    `a Socket with descriptor ${fd} was collected while open, and has been closed: call close() or use "await using"`,
    "ResourceWarning",
  );
});

function register(socket: object, descriptor: Closable): void {
  collected.register(socket, descriptor, descriptor);
  if (registered++ === 0) held.add(collected);
}

function left(): void {
  if (--registered === 0) held.delete(collected);
}

// The young, in no order: a socket and its descriptor have the same place.
const sockets: object[] = [];
const closables: Closable[] = [];
let armed = false;

/** Closes `descriptor` when `socket` is collected. */
export function closeWhenCollected(socket: object, descriptor: Closable): void {
  if (sockets.length >= MOST_YOUNG) {
    register(socket, descriptor);
    return;
  }
  descriptor.young = sockets.length;
  sockets.push(socket);
  closables.push(descriptor);
  if (armed) return;
  armed = true;
  setTimeout(comeOfAge, YOUTH).unref();
}

/** The descriptor has been closed, or given away. */
export function forgetCollected(descriptor: Closable): void {
  const place = descriptor.young;
  if (place < 0) {
    if (collected.unregister(descriptor)) left();
    return;
  }
  descriptor.young = -1;
  // The last one takes the place of the one that leaves.
  const socket = sockets.pop()!;
  const last = closables.pop()!;
  if (last === descriptor) return;
  last.young = place;
  sockets[place] = socket;
  closables[place] = last;
}

/** Registers the young. The list's memory stays for the next ones. */
function comeOfAge(): void {
  armed = false;
  while (sockets.length > 0) {
    const descriptor = closables.pop()!;
    descriptor.young = -1;
    register(sockets.pop()!, descriptor);
  }
}
