// The channel over which a server passes accepted connections to a worker, which is a thread or another process.
//
// The server also keeps the worker's end of the channel open. If the worker ends, the server reads the remaining
// connections from that end.

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
} from "../socket/acceptedConnection.js";
import { PENDING, resetOnClose, type Socket, socketpair } from "../socket/index.js";
import { SHUT_WR, SOCK_SEQPACKET } from "../sys/constants.js";

export {
  type AcceptedConnection,
  closeConnection,
  peerOfConnection,
  type SocketKind,
} from "../socket/acceptedConnection.js";

/**
 * The size of the send buffer of a channel, which holds some dozen connections. When it is full, the server sends
 * further connections to other workers, or leaves them in the accept queue.
 */
const SEND_BUFFER_BYTES = 32_768;
/** Milliseconds until a failed call is repeated while there is no free descriptor. */
export const DESCRIPTOR_PAUSE = 50;

/** The kind of the sockets of a channel. */
export const CHANNEL_KIND: SocketKind = { family: AF_UNIX, type: SOCK_SEQPACKET, protocol: 0 };

/**
 * Accepts a connection, but makes no Socket and no stream. Returns undefined if the call waits; then `handler` gets the
 * result.
 */
export function acceptRaw(
  { socket }: { readonly socket: Socket },
  handler: AcceptHandler<AcceptedConnection>,
): AcceptedConnection | undefined {
  const onCompleted = (connection: AcceptedConnection): void => handler.onCompleted(connection);
  const onFailed = (error: unknown): void => handler.onFailed(error);
  const connection = acceptConnection({ onCompleted, onFailed }, socket);
  return connection === PENDING ? undefined : connection;
}

/** Resets a connection: its client gets RST. */
export function resetConnection(kind: SocketKind, { fd }: AcceptedConnection): void {
  const socket = socketOf(kind, fd);
  resetOnClose(socket);
  socket.close();
}

/** The server's side of a channel. */
export class ConnectionChannel {
  readonly #serverEnd: Socket;
  readonly #workerEnd: Socket;

  constructor() {
    [this.#serverEnd, this.#workerEnd] = socketpair(CHANNEL_KIND.family, CHANNEL_KIND.type);
    this.#serverEnd.setsockopt(SO_SNDBUF, SEND_BUFFER_BYTES);
  }

  /** The descriptor of the worker's end. Another thread duplicates it, another process inherits it. */
  get descriptor(): number {
    return this.#workerEnd.fileno();
  }

  /**
   * Sends a connection to the worker, and closes the server's descriptor of it. Returns false, and closes nothing, if
   * the send buffer is full.
   *
   * @throws SocketError `ETOOMANYREFS`, `ENOBUFS`, `ENOMEM`
   */
  send(connection: AcceptedConnection): boolean {
    if (!tryHandOver(this.#serverEnd, connection)) return false;
    closeConnection(connection);
    return true;
  }

  /** Waits until the send buffer has space. */
  async whenWritable(): Promise<void> {
    await this.#serverEnd.writable();
  }

  /** Ends writing. The worker then reads the end of the channel. */
  finish(): void {
    if (!this.#serverEnd.closed) this.#serverEnd.shutdown(SHUT_WR);
  }

  /** Reads the connections that the worker has not taken. Call it only when the worker has ended. */
  async takeBack(): Promise<AcceptedConnection[]> {
    this.finish();
    const untaken: AcceptedConnection[] = [];
    for (;;) {
      try {
        const connection = await takeOverAsync(this.#workerEnd);
        if (connection === undefined) return untaken;
        untaken.push(connection);
      } catch {
        // No descriptor is free. The connection stays in the channel.
        await new Promise((resolve) => setTimeout(resolve, DESCRIPTOR_PAUSE));
      }
    }
  }

  unref(): void {
    this.#serverEnd.unref();
  }

  ref(): void {
    this.#serverEnd.ref();
  }

  close(): void {
    this.#serverEnd.close();
    this.#workerEnd.close();
  }
}
