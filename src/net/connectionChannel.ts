// The channel over which a server hands accepted connections to a worker: a thread or another process.
//
// The server keeps both ends of the channel open. If the worker ends, the server reads the remaining connections from
// the worker's end.

import type { AcceptHandler } from "../admission/index.js";
import { AF_UNIX } from "../addr/index.js";
import { SO_SNDBUF } from "../options/index.js";
import {
  type AcceptedConnection,
  acceptConnection,
  closeConnection,
  type SocketKind,
  socketOf,
  takeOverAsync,
  tryHandOver,
} from "../socket/handedOver.js";
import { PENDING, resetOnClose, type Socket, socketpair } from "../socket/index.js";
import { SHUT_WR, SOCK_SEQPACKET } from "../sys/constants.js";

export { type AcceptedConnection, closeConnection, peerOfConnection, type SocketKind } from "../socket/handedOver.js";

/**
 * The send buffer of a channel: room for some dozen connections. Further ones are sent to other workers, or wait in the
 * accept queue.
 */
const CHANNEL_BYTES = 32_768;
/** Milliseconds before another attempt while there is no free descriptor. */
export const DESCRIPTOR_PAUSE = 50;

/** The kind of the sockets of a channel. */
export const CHANNEL: SocketKind = { family: AF_UNIX, type: SOCK_SEQPACKET, protocol: 0 };

/** As `acceptStream`, but makes no stream: the result is the descriptor. */
export function acceptRaw(
  { socket }: { readonly socket: Socket },
  handler: AcceptHandler<AcceptedConnection>,
): AcceptedConnection | undefined {
  const completed = (connection: AcceptedConnection): void => handler.completed(connection);
  const failed = (error: unknown): void => handler.failed(error);
  const connection = acceptConnection({ completed, failed }, socket);
  return connection === PENDING ? undefined : connection;
}

/** Resets a connection. */
export function resetConnection(kind: SocketKind, { fd }: AcceptedConnection): void {
  const socket = socketOf(kind, fd);
  resetOnClose(socket);
  socket.close();
}

/** The server's side of a channel. */
export class ConnectionChannel {
  readonly #ours: Socket;
  readonly #theirs: Socket;

  constructor() {
    [this.#ours, this.#theirs] = socketpair(CHANNEL.family, CHANNEL.type);
    this.#ours.setsockopt(SO_SNDBUF, CHANNEL_BYTES);
  }

  /** The worker's end: another thread duplicates it, another process inherits it. */
  get descriptor(): number {
    return this.#theirs.fileno();
  }

  /**
   * Hands a connection over and closes its descriptor here. Returns false if there is no room.
   *
   * @throws SocketError `ETOOMANYREFS`, `ENOBUFS`, `ENOMEM`
   */
  send(connection: AcceptedConnection): boolean {
    if (!tryHandOver(this.#ours, connection)) return false;
    closeConnection(connection);
    return true;
  }

  /** Waits until there is room. */
  async room(): Promise<void> {
    await this.#ours.writable();
  }

  /** Shuts down writing: the worker reads the end of the channel. */
  finish(): void {
    if (!this.#ours.closed) this.#ours.shutdown(SHUT_WR);
  }

  /** The connections that were not taken. Only for a worker that has ended. */
  async takeBack(): Promise<AcceptedConnection[]> {
    this.finish();
    const left: AcceptedConnection[] = [];
    for (;;) {
      try {
        const connection = await takeOverAsync(this.#theirs);
        if (connection === undefined) return left;
        left.push(connection);
      } catch {
        // There is no free descriptor, and the connection stays in the channel.
        await new Promise((resolve) => setTimeout(resolve, DESCRIPTOR_PAUSE));
      }
    }
  }

  unref(): void {
    this.#ours.unref();
  }

  ref(): void {
    this.#ours.ref();
  }

  close(): void {
    this.#ours.close();
    this.#theirs.close();
  }
}
