// Reads the header of the PROXY protocol of a connection that a worker will get, and leaves the header in the kernel's
// receive buffer (MSG_PEEK).
//
// The server needs the address of the client to accept or refuse the connection. The worker reads the same header
// again, so the server passes only the descriptor to the worker.

import type { IoOptions } from "../io.js";
import { hasEnded } from "../ops/recvAll.js";
import { calls } from "../sys/calls.js";
import { MSG_DONTWAIT, MSG_PEEK } from "../sys/constants.js";
import { clock } from "../builtins.js";
import { decodeProxyHeader, type HeaderSource, type ProxyHeader } from "../proxyProtocol/index.js";
import { type AcceptedConnection, duplicate, type SocketKind } from "../socket/acceptedConnection.js";
import type { Socket } from "../socket/index.js";
import { timeoutError } from "../wait/localError.js";

/**
 * The first and the longest pause in ms between two reads of a header that is not complete. readable() can't replace
 * the pauses: it would return at once, because the first part of the header stays in the receive buffer. Pauses are
 * rare, because a proxy mostly sends its header in one piece.
 */
const FIRST_PAUSE = 1;
const MAX_PAUSE = 50;

/** The bytes at the start of a connection, which stay in the receive buffer. */
class PeekedHeader implements HeaderSource {
  readonly #socket: Socket;
  readonly #maxBytes: number;
  /** The number of bytes that the latest read returned. */
  #available = 0;

  constructor(socket: Socket, maxBytes: number) {
    this.#socket = socket;
    this.#maxBytes = maxBytes;
  }

  get buffered(): number {
    return this.#available;
  }

  async peek(size: number, opts: IoOptions = {}): Promise<Buffer | null> {
    const { signal, timeout } = opts;
    const deadline = typeof timeout === "number" ? clock() + timeout : Infinity;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, MAX_PAUSE)) {
      // Undefined if nothing has arrived, and empty at the end of the connection.
      const bytes = this.#socket.tryRecv(this.#maxBytes, { flags: MSG_PEEK });
      this.#available = bytes?.length ?? 0;
      if (bytes?.length === 0) return null;
      if (bytes !== undefined && bytes.length >= size) return bytes.subarray(0, size);
      if (bytes !== undefined && hasEnded(calls, this.#socket.fileno())) return this.#lastBytes(size);
      if (bytes === undefined) await this.#socket.readable(opts);
      else await new Promise((resolve) => setTimeout(resolve, pause));
      signal?.throwIfAborted();
      if (clock() >= deadline) throw timeoutError("proxy_header");
    }
  }

  /** Reads once more after the peer's end, because bytes may have arrived since the last read. */
  #lastBytes(size: number): Buffer | null {
    const bytes = this.#socket.tryRecv(this.#maxBytes, { flags: MSG_PEEK }) ?? Buffer.alloc(0);
    this.#available = bytes.length;
    return bytes.length === 0 ? null : bytes.subarray(0, size);
  }

  /** Takes no bytes, because the worker reads them again. */
  readExactly(): Promise<Buffer> {
    return Promise.resolve(Buffer.alloc(0));
  }
}

/** Reads the headers of many connections. */
export class HeaderPeeker {
  readonly #kind: SocketKind;
  readonly #maxBytes: number;
  /** A duplicate of each descriptor, because the descriptor itself belongs to other code. */
  readonly #sockets = new Map<AcceptedConnection, Socket>();

  /** @param maxBytes maximum length of a header */
  constructor(kind: SocketKind, maxBytes: number) {
    this.#kind = kind;
    this.#maxBytes = maxBytes;
  }

  /**
   * Duplicates the descriptor, and returns the source from which readHeader() reads. Call `release()` after the read of
   * the header.
   */
  sourceOf(connection: AcceptedConnection): HeaderSource {
    try {
      const socket = duplicate(this.#kind, connection.fd);
      this.#sockets.set(connection, socket);
      return new PeekedHeader(socket, this.#maxBytes);
    } catch (error) {
      // No descriptor is free. The read of the header then fails with this error.
      const fail = (): Promise<never> => Promise.reject(error);
      return { buffered: 0, peek: fail, readExactly: fail };
    }
  }

  /** Closes the duplicate of a connection. */
  release(connection: AcceptedConnection): void {
    const socket = this.#sockets.get(connection);
    if (socket === undefined) return;
    this.#sockets.delete(connection);
    socket.close();
  }

  /** Reads the header of a connection again. The call needs no duplicate, and so no free descriptor. */
  headerOf({ fd }: AcceptedConnection): ProxyHeader | undefined {
    const buffer = Buffer.allocUnsafe(this.#maxBytes);
    const count = calls.recv(fd, buffer, buffer.length, MSG_PEEK | MSG_DONTWAIT);
    try {
      return decodeProxyHeader(buffer.subarray(0, Math.max(count, 0)))?.header;
    } catch {
      // There is no complete header any more, because the peer has reset the connection.
      return undefined;
    }
  }
}
