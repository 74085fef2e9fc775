// accept() handles three kinds of errors in different ways:
//
// - Errors of a connection that the program has never seen: ECONNABORTED if the peer has reset it, or a pending network
//   error (accept(2), "Error handling"). The call skips the connection. After many such errors in a row it pauses,
//   because the cause may last.
// - EPERM: a firewall refuses the connection. With `retryOnShortage` the call skips the connection, otherwise it fails.
// - EMFILE, ENFILE, ENOBUFS and ENOMEM. The connection stays in the accept queue, and a later accept() gets it. With
//   `retryOnShortage` the call pauses and tries again, otherwise it fails.
//
// Loops over connections set `retryOnShortage`, because an error would end the loop.
//
// After each accept, another attempt would find out whether the accept queue is empty. Most often it is. So the call of
// the first connection after an event also polls the listener. If the accept queue is empty, the next call waits for an
// event without an attempt. If it is not empty, the following calls do not poll: most of their polls would find a
// connection.

import type { Address } from "../addr/index.js";
import { checkOptions, flag } from "../check/index.js";
import { type Operation, operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import {
  EAGAIN,
  ECONNABORTED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENONET,
  ENOPROTOOPT,
  EPERM,
  EPROTO,
} from "../sys/errno.js";
import { decodeAddressBuffer, addressBuffer, QUEUE_EMPTY_AT } from "../sys/sockaddr.js";
import { WAIT_NAMES, type WaitOptions } from "../wait/waitOptions.js";
import type { Mode, Outcome, Runner } from "./runner.js";

/** Options of `accept`. */
export interface AcceptOptions extends WaitOptions {
  /**
   * Waits while descriptors or memory are short (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`) instead of failing: the
   * connection stays in the kernel's queue. Skips a connection that a firewall refused (`EPERM`).
   */
  readonly retryOnShortage?: boolean | undefined;
}

const ACCEPT_NAMES: readonly string[] = [...WAIT_NAMES, "retryOnShortage"];

/** Errors of a connection that the program has never seen. */
const LOST_CONNECTION: ReadonlySet<number> = new Set([
  ECONNABORTED,
  ENETDOWN,
  EPROTO,
  ENOPROTOOPT,
  EHOSTDOWN,
  ENONET,
  EHOSTUNREACH,
  ENETUNREACH,
]);
/** Errors that last until descriptors or memory are free again. */
const SHORTAGE: ReadonlySet<number> = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM]);

/** The maximum number of calls of accept(2) in one attempt. It limits the time for which errors hold up other calls. */
const MAX_TRIES = 16;

function isSkipped(errno: number, retryOnShortage: boolean): boolean {
  return LOST_CONNECTION.has(errno) || (retryOnShortage && errno === EPERM);
}

/** The part of a listening socket that accept() uses. Accepted sockets have its family, type and protocol. */
export interface ListeningSocket {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  readonly calls: Calls;
}

/** A listening socket whose connections a loop accepts. `fd` is -1 once it is closed. */
export interface IteratedListeningSocket extends ListeningSocket {
  readonly descriptor: { readonly fd: number };
}

/** accept(2) for a class `S` of sockets. The second operand is `retryOnShortage` of AcceptOptions. */
export interface AcceptOperations<S> {
  /** The value is the socket and the address of its peer. */
  readonly withAddress: Operation<ListeningSocket, boolean, [S, Address]>;
  /** The value is what `next()` of an iterator returns: `done` is true once the listening socket is closed. */
  readonly forIterator: Operation<IteratedListeningSocket, boolean, IteratorResult<[S, Address], undefined>>;
  /** The value is the socket. The address of its peer stays in `addressBuffer` of sys/sockaddr.ts. */
  readonly socketOnly: Operation<ListeningSocket, boolean, S>;
}

/** The descriptor of the listener whose poll found a further connection, or -1. Reset when an accept finds none. */
let crowdedListener = -1;

function acceptOnce(calls: Calls, fd: number, polls: boolean): number {
  addressBuffer[QUEUE_EMPTY_AT] = 0;
  if (!polls || fd === crowdedListener) {
    const result = calls.accept(fd, addressBuffer);
    if (result === EAGAIN) crowdedListener = -1;
    return result;
  }
  const pollListener = 1;
  const result = calls.accept(fd, addressBuffer, pollListener);
  if (result >= 0 && addressBuffer[QUEUE_EMPTY_AT] === 0) crowdedListener = fd;
  return result;
}

/**
 * The operations of accept(2) for a class of sockets.
 *
 * @param make makes a socket from a new descriptor
 * @param polls whether the call of the first connection also polls the listener; false for a blocking socket, which has
 *   no queue of calls
 */
export function acceptOperations<S>(
  make: (family: number, type: number, protocol: number, fd: number) => S,
  polls: boolean = true,
): AcceptOperations<S> {
  const parts: Omit<Operation<ListeningSocket, boolean, never>, "complete"> = {
    syscall: "accept",
    movesBytes: false,
    attempt: (calls, fd, _listener, retryOnShortage) => {
      let result = acceptOnce(calls, fd, polls);
      if (result >= 0 || result === EAGAIN) return result;
      for (let tries = 1; result < 0 && tries < MAX_TRIES && isSkipped(result, retryOnShortage); tries++) {
        result = acceptOnce(calls, fd, polls);
      }
      return result;
    },
    drained: () => addressBuffer[QUEUE_EMPTY_AT] === 1,
    isTransient: (errno, _listener, retryOnShortage) =>
      isSkipped(errno, retryOnShortage) || (retryOnShortage && SHORTAGE.has(errno)),
  };
  const socketOf = (fd: number, listener: ListeningSocket): S => {
    try {
      return make(listener.family, listener.type, listener.protocol, fd);
    } catch (error) {
      // make() throws if there is no memory for the objects. Nothing else would close the descriptor then.
      listener.calls.close(fd);
      throw error;
    }
  };
  const socketAndAddress = (fd: number, listener: ListeningSocket): [S, Address] => {
    const address = decodeAddressBuffer();
    return [socketOf(fd, listener), address];
  };
  return {
    socketOnly: operation<ListeningSocket, boolean, S>({ ...parts, complete: socketOf }),
    withAddress: operation<ListeningSocket, boolean, [S, Address]>({ ...parts, complete: socketAndAddress }),
    forIterator: operation<IteratedListeningSocket, boolean, IteratorResult<[S, Address], undefined>>({
      ...parts,
      complete: (fd, listener) => ({ done: false, value: socketAndAddress(fd, listener) }),
      // If close() ends a waiting accept(), the call resolves with the end of the iteration.
      received: ({ descriptor }) => (descriptor.fd < 0 ? { done: true, value: undefined } : undefined),
    }),
  };
}

export function accept<M extends Mode, S>(
  socket: Runner<M>,
  { withAddress }: AcceptOperations<S>,
  opts: AcceptOptions | undefined,
): Outcome<M, [S, Address]> {
  try {
    checkOptions(opts, "accept", ACCEPT_NAMES);
    const retryOnShortage = flag(opts?.retryOnShortage, false, "accept", "retryOnShortage");
    return socket.read(withAddress, socket, retryOnShortage, opts);
  } catch (error) {
    return socket.fail(error);
  }
}
