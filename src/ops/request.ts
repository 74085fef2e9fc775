// What a call with checked arguments asks for: the operation and its operands. Both sockets make their calls of it; how
// they wait is their own.

import type { Address, HostPort } from "../addr/index.js";
import type { Operation } from "../reactor/operation.js";

export interface Request<T> {
  readonly operation: Operation<unknown, number, T>;
  readonly operand: unknown;
  /** MSG_ flags, the second operand. */
  readonly flags: number;
}

/** A request that is complete once the address is known, which may take the resolver. */
export interface Addressed<T> {
  readonly syscall: string;
  /** Undefined for the peer of the connection. */
  readonly target: Address | HostPort | undefined;
  at(address: Address | undefined): Request<T>;
}
