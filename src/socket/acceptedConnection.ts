// Accepted connections as descriptors, without a Socket: accept one, send it over a channel, receive it from the
// channel, and make a Socket of it. A channel is a pair of SOCK_SEQPACKET sockets; see ops/handOver.ts.

import type { Address } from "../addr/index.js";
import { type AcceptedConnection, ACCEPT_CONNECTION, HAND_OVER, TAKE_OVER } from "../ops/handOver.js";
import type { CompletionHandler, PENDING } from "../reactor/index.js";
import { calls } from "../sys/calls.js";
import { check } from "../sys/errno.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";
import { descriptorOf, runnerOf } from "./promiseRunner.js";
import { type Socket, socketOfDescriptor } from "./socket.js";

export { type AcceptedConnection } from "../ops/handOver.js";

/**
 * Accepts the next connection as `acceptFrom` (connecting.ts) does, but makes no Socket. The caller must close the
 * descriptor of the connection. Returns PENDING if the call waits; then `handler` gets the outcome.
 */
export function acceptConnection(
  handler: CompletionHandler<AcceptedConnection>,
  listener: Socket,
): AcceptedConnection | typeof PENDING {
  const runner = runnerOf(listener)!;
  const retryOnShortage = false;
  return runner.descriptor.reading.submit(handler, runner, ACCEPT_CONNECTION, runner, retryOnShortage, null);
}

/** Sends a connection over a channel. Returns false if the send buffer is full. The caller's descriptor stays open. */
export function tryHandOver(channel: Socket, connection: AcceptedConnection): boolean {
  return runnerOf(channel)!.trySend(HAND_OVER, connection, 0) !== undefined;
}

/** Receives a connection from a channel. Returns PENDING if the call waits, and undefined at the end of the channel. */
export function takeOver(
  handler: CompletionHandler<AcceptedConnection | undefined>,
  channel: Socket,
): AcceptedConnection | undefined | typeof PENDING {
  const runner = runnerOf(channel)!;
  return runner.descriptor.reading.submit(handler, runner, TAKE_OVER, undefined, undefined, null);
}

/** Like `takeOver`, but returns a promise. */
export function takeOverAsync(channel: Socket, signal?: AbortSignal): Promise<AcceptedConnection | undefined> {
  const runner = runnerOf(channel)!;
  return runner.descriptor.reading.run(runner, TAKE_OVER, undefined, undefined, null, signal);
}

/** The peer of a connection. */
export function peerOfConnection({ address }: AcceptedConnection): Address {
  return decodeAddressBuffer(address);
}

/** Closes the descriptor of a connection. */
export function closeConnection({ fd }: AcceptedConnection): void {
  // Linux releases the descriptor even if the call fails.
  calls.close(fd);
}

/** The arguments of socket(2). */
export interface SocketKind {
  readonly family: number;
  readonly type: number;
  readonly protocol: number;
}

/** Makes a Socket of a descriptor of this thread. From then on the Socket owns the descriptor. */
export function socketOf({ family, type, protocol }: SocketKind, fd: number): Socket {
  return socketOfDescriptor(family, type, protocol, fd);
}

/**
 * Duplicates `fd` and makes a Socket of the duplicate. Other code owns the original, and may keep it open longer than
 * the duplicate.
 */
export function duplicate(kind: SocketKind, fd: number): Socket {
  const socket = socketOf(kind, check(calls.dup(fd), "dup"));
  // With this flag close() removes the epoll entry. Otherwise the kernel would keep the entry until the original is
  // closed too.
  descriptorOf(socket).duplicated = true;
  return socket;
}
