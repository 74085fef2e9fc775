// The part of a socket that its calls run on.
//
// Each call is written once, as a function of this folder: it checks its arguments and passes an operation to a Runner.
// The awaitable socket (src/socket/promiseRunner.ts) queues the operation and returns a promise. The blocking socket
// (src/sync/blockingRunner.ts) runs it in the thread and returns the result.

import type { Address, HostPort } from "../addr/index.js";
import type { Operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import type { WaitOptions } from "../wait/waitOptions.js";

export type Mode = "promise" | "blocking";

/** The result of a call: a promise on the awaitable socket, the value on the blocking one. */
export type Outcome<M extends Mode, T> = M extends "promise" ? Promise<T> : T;

/** A descriptor for calls that never wait. */
export interface OpenSocket {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  /** The table of system calls that this socket uses. */
  readonly calls: Calls;
  /** The descriptor. Throws `EBADF` once the socket is closed. */
  checkOpen(syscall: string): number;
  /** Called after each option that was set. */
  optionSet?(level: number, name: number): void;
}

/**
 * The operand of an operation that needs an address. The runner fills `address` and `sockaddr` before the first
 * attempt.
 */
export interface Destination {
  /** Undefined for the peer of the connection. */
  readonly target: Address | HostPort | undefined;
  address: Address | undefined;
  sockaddr: Uint8Array | null;
}

export interface Runner<M extends Mode> extends OpenSocket {
  /** For the compiler only, which derives `M` from it. */
  readonly mode?: M;
  /** Runs an operation that waits for something to read. */
  read<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Runs an operation that waits for room to write. */
  write<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Runs an operation that receives. The flags choose the queue: ordinary data, errors or urgent data. */
  receive<A, T>(operation: Operation<A, number, T>, a: A, flags: number, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Resolves the address of the operand, then runs the operation, which waits for room to write. */
  sendTo<A extends Destination, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    opts: WaitOptions | undefined,
  ): Outcome<M, T>;
  /** Sends all of `data`. It has a fast path, because the kernel usually takes all bytes in one call. */
  sendWhole(data: Uint8Array): Outcome<M, void>;
  /** Tries an operation that receives once, without waiting. Undefined if it would block. */
  tryReceive<A, T>(operation: Operation<A, number, T>, a: A, flags: number): T | undefined;
  /** Tries an operation that sends once, without waiting. Undefined if it would block. */
  trySend<A>(operation: Operation<A, number, number>, a: A, flags: number): number | undefined;
  /** Resolves an address and calls `use` with it. */
  withAddress<T>(
    target: Address | HostPort,
    syscall: string,
    opts: WaitOptions | undefined,
    use: (address: Address) => T,
  ): Outcome<M, T>;
  /** Called before a call that sends `count` datagrams. */
  beforeDatagrams(count: number): void;
  /** Ends a call that needs no system call: checks that the socket is open and the options are right. */
  done<T>(value: T, syscall: string, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Fails the call: a rejected promise, or the error thrown. */
  fail<T>(error: unknown): Outcome<M, T>;
}
