// A Runner runs operations on a socket.
//
// Each call is written once, as a function in this folder, for both kinds of sockets. It checks its arguments and
// passes an operation to a Runner. The runner of the awaitable socket (src/socket/promiseRunner.ts) queues the
// operation and returns a promise. The runner of the blocking socket (src/sync/blockingRunner.ts) runs it and returns
// the value.

import type { Address, HostPort } from "../addr/index.js";
import type { Operation } from "../reactor/operation.js";
import type { Calls } from "../sys/calls.js";
import type { WaitOptions } from "../wait/waitOptions.js";

export type Mode = "promise" | "blocking";

/** The result of a call: a promise on the awaitable socket, the value on the blocking one. */
export type Outcome<M extends Mode, T> = M extends "promise" ? Promise<T> : T;

/** The part of a socket that calls without a wait use. */
export interface OpenSocket {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
  /** The table of system calls that this socket uses. */
  readonly calls: Calls;
  /** Returns the descriptor. Throws `EBADF` if the socket is closed. */
  checkOpen(syscall: string): number;
  /** Called after each option that was set. */
  onOptionSet?(level: number, name: number): void;
}

/**
 * The operand of an operation that needs an address. The runner fills `address` and `sockaddr` before the first
 * attempt.
 */
export interface AddressOperand {
  /** The destination; undefined for the peer of the connection. */
  readonly target: Address | HostPort | undefined;
  address: Address | undefined;
  sockaddr: Uint8Array | null;
}

export interface Runner<M extends Mode> extends OpenSocket {
  /** Never set. Only the compiler uses it, to infer `M`. */
  readonly mode?: M;
  /** Runs an operation that waits until the socket is readable. */
  read<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Runs an operation that waits until the socket is writable. */
  write<A, B, T>(operation: Operation<A, B, T>, a: A, b: B, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Runs an operation that receives. The flags choose between ordinary data, the error queue and urgent data. */
  receive<A, T>(operation: Operation<A, number, T>, a: A, flags: number, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Resolves the address of the operand, then runs the operation, which waits until the socket is writable. */
  sendTo<A extends AddressOperand, B, T>(
    operation: Operation<A, B, T>,
    a: A,
    b: B,
    opts: WaitOptions | undefined,
  ): Outcome<M, T>;
  /** Sends all of `data`. The same as SEND_ALL, and faster if the kernel takes all bytes at once. */
  sendWhole(data: Uint8Array): Outcome<M, void>;
  /** Makes one attempt of an operation that receives. Returns undefined if it would block. */
  tryReceive<A, T>(operation: Operation<A, number, T>, a: A, flags: number): T | undefined;
  /** Makes one attempt of an operation that sends. Returns undefined if it would block. */
  trySend<A>(operation: Operation<A, number, number>, a: A, flags: number): number | undefined;
  /** Resolves an address and calls `use` with it. */
  withAddress<T>(
    target: Address | HostPort,
    syscall: string,
    opts: WaitOptions | undefined,
    use: (address: Address) => T,
  ): Outcome<M, T>;
  /** Called before a call that sends `count` datagrams. For many, a socket may end its registration with epoll. */
  beforeDatagrams(count: number): void;
  /**
   * Ends a call that needs no system call. The outcome is `value`, or an error if the socket is closed or an option is
   * wrong.
   */
  finish<T>(value: T, syscall: string, opts: WaitOptions | undefined): Outcome<M, T>;
  /** Fails the call: returns a rejected promise, or throws. */
  fail<T>(error: unknown): Outcome<M, T>;
}
