// Reads the header of the PROXY protocol of a connection that a worker will get, and leaves it in the receive buffer.
//
// So the server decides by the address of the client, and the worker reads the same header again from the connection.
// No bytes have to be passed beside the descriptor.

import type { IoOptions } from "../io.js";
import { canGetNoMore } from "../ops/recvAll.js";
import { calls } from "../sys/calls.js";
import { MSG_DONTWAIT, MSG_PEEK } from "../sys/constants.js";
import { clock } from "../builtins.js";
import { decodeProxyHeader, type HeaderSource, type ProxyHeader } from "../proxyProtocol/index.js";
import { type AcceptedConnection, duplicate, type SocketKind } from "../socket/handedOver.js";
import type { Socket } from "../socket/index.js";
import { timeoutError } from "../wait/localError.js";

/**
 * Milliseconds between two looks at a header that is not complete: the first and the longest pause. The kernel reports the
 * first part as readable all the time. A proxy sends its header at once, and only proxies are read.
 */
const FIRST_PAUSE = 1;
const LONGEST_PAUSE = 50;

class Peek implements HeaderSource {
  readonly #socket: Socket;
  readonly #most: number;
  #seen = 0;

  constructor(socket: Socket, most: number) {
    this.#socket = socket;
    this.#most = most;
  }

  get buffered(): number {
    return this.#seen;
  }

  async peek(size: number, opts: IoOptions = {}): Promise<Buffer | null> {
    const { signal, timeout } = opts;
    const end = typeof timeout === "number" ? clock() + timeout : Infinity;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const bytes = this.#socket.tryRecv(this.#most, { flags: MSG_PEEK });
      this.#seen = bytes?.length ?? 0;
      if (bytes?.length === 0) return null;
      if (bytes !== undefined && bytes.length >= size) return bytes.subarray(0, size);
      if (bytes !== undefined && canGetNoMore(calls, this.#socket.fileno())) return this.#rest(size);
      if (bytes === undefined) await this.#socket.readable(opts);
      else await new Promise((resolve) => setTimeout(resolve, pause));
      signal?.throwIfAborted();
      if (clock() >= end) throw timeoutError("proxy_header");
    }
  }

  /** The peer has ended the connection. What arrived before its end may be more than the last look has found. */
  #rest(size: number): Buffer | null {
    const bytes = this.#socket.tryRecv(this.#most, { flags: MSG_PEEK }) ?? Buffer.alloc(0);
    this.#seen = bytes.length;
    return bytes.length === 0 ? null : bytes.subarray(0, size);
  }

  /** The bytes stay in the receive buffer. */
  readExactly(): Promise<Buffer> {
    return Promise.resolve(Buffer.alloc(0));
  }
}

/** The connections whose header is being read. */
export class HeaderPeeks {
  readonly #kind: SocketKind;
  readonly #most: number;
  /** Duplicates, because a descriptor that a Socket has given away belongs to other code. */
  readonly #sockets = new Map<AcceptedConnection, Socket>();

  /** @param most maximum length of a header */
  constructor(kind: SocketKind, most: number) {
    this.#kind = kind;
    this.#most = most;
  }

  sourceOf(connection: AcceptedConnection): HeaderSource {
    try {
      const socket = duplicate(this.#kind, connection.fd);
      this.#sockets.set(connection, socket);
      return new Peek(socket, this.#most);
    } catch (error) {
      // There is no descriptor left, and the reserve of the server was not enough.
      const fail = (): Promise<never> => Promise.reject(error);
      return { buffered: 0, peek: fail, readExactly: fail };
    }
  }

  /** The header was read, or the attempt has failed. */
  release(connection: AcceptedConnection): void {
    const socket = this.#sockets.get(connection);
    if (socket === undefined) return;
    this.#sockets.delete(connection);
    socket.close();
  }

  /** Reads the header of a connection again. The call needs no duplicate, so it succeeds without a free descriptor. */
  headerOf({ fd }: AcceptedConnection): ProxyHeader | undefined {
    const buffer = Buffer.allocUnsafe(this.#most);
    const count = calls.recv(fd, buffer, buffer.length, MSG_PEEK | MSG_DONTWAIT);
    try {
      return decodeProxyHeader(buffer.subarray(0, Math.max(count, 0)))?.header;
    } catch {
      // The bytes are no header any more: the client has reset the connection.
      return undefined;
    }
  }
}
