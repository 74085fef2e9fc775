// Channel: one interface for streams and for message sockets.

import {
  type Address,
  type IoOptions,
  SHUT_WR,
  type Socket,
  type SocketConn,
  SocketError,
  type Stream,
  type UdpSocket,
} from "berkeley";

export interface Channel {
  /** The name of the peer. With several peers, the name of the latest sender. */
  readonly name: string;
  /** Whether each send() sends one message. False for a stream of bytes. */
  readonly isMessageBased: boolean;
  /** Whether receive() can return null. With datagrams, a peer can't report its end. */
  readonly hasEnd: boolean;
  /** Receives the next message, or the next bytes of a stream; null at the end. The next call may overwrite them. */
  receive(opts: IoOptions): Promise<Buffer | null>;
  send(data: Buffer, opts: IoOptions): Promise<void>;
  /** Ends the sending direction. */
  finish(): Promise<void>;
  close(): Promise<void>;
  /** Closes the channel at once, over TCP with a reset. */
  abort(): void;
  /** Sends a file by sendfile(2). Absent if the channel does not support it. */
  readonly sendFile?: (fd: number, offset: number, opts: SendFileOptions) => Promise<number>;
}

export interface SendFileOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (sent: number) => void;
}

/** Bytes of a read from a stream. */
const BUFFER_SIZE = 256 << 10;
/** Maximum number of bytes of a received message of a UNIX socket. */
const MAX_MESSAGE = 256 << 10;

export class StreamChannel implements Channel {
  readonly name: string;
  readonly isMessageBased = false;
  readonly hasEnd = true;
  readonly stream: Stream;
  readonly sendFile?: NonNullable<Channel["sendFile"]>;
  #buffer: Buffer | undefined;

  constructor(stream: Stream, name: string) {
    this.stream = stream;
    this.name = name;
    const conn = stream.conn as Partial<SocketConn>;
    const isSocketWithoutTls = stream.secured === undefined && "sendfile" in (conn.socket ?? {});
    if (isSocketWithoutTls) {
      this.sendFile = (fd, offset, opts) => (conn.socket as Socket).sendfile(fd, { offset, ...opts });
    }
  }

  async receive(opts: IoOptions): Promise<Buffer | null> {
    this.#buffer ??= Buffer.allocUnsafe(BUFFER_SIZE);
    const length = await this.stream.read(this.#buffer, opts);
    return length === 0 ? null : this.#buffer.subarray(0, length);
  }

  send(data: Buffer, opts: IoOptions): Promise<void> {
    return this.stream.write(data, opts);
  }

  finish(): Promise<void> {
    return this.stream.closeWrite();
  }

  close(): Promise<void> {
    return this.stream.close();
  }

  abort(): void {
    this.stream.abort();
  }
}

/** The type of a UNIX message socket: SOCK_DGRAM or SOCK_SEQPACKET. */
export type MessageType = "datagram" | "seqpacket";

/** A connected UNIX message socket. */
export class MessageChannel implements Channel {
  readonly name: string;
  readonly isMessageBased = true;
  readonly hasEnd: boolean;
  readonly #socket: Socket;

  /** @param type `seqpacket` has connections: receiving an empty message means that the peer has finished */
  constructor(socket: Socket, name: string, type: MessageType) {
    this.#socket = socket;
    this.name = name;
    this.hasEnd = type === "seqpacket";
  }

  async receive(opts: IoOptions): Promise<Buffer | null> {
    const data = await this.#socket.recv(MAX_MESSAGE, opts);
    return data.length === 0 && this.hasEnd ? null : data;
  }

  async send(data: Buffer, opts: IoOptions): Promise<void> {
    await this.#socket.send(data, opts);
  }

  async finish(): Promise<void> {
    if (this.hasEnd) this.#socket.shutdown(SHUT_WR);
  }

  async close(): Promise<void> {
    this.#socket.close();
  }

  abort(): void {
    this.#socket.close();
  }
}

/** A UDP socket that is connected to its peer. */
export class UdpChannel implements Channel {
  readonly name: string;
  readonly isMessageBased = true;
  readonly hasEnd = false;
  readonly #socket: UdpSocket;

  constructor(socket: UdpSocket) {
    this.#socket = socket;
    this.name = String(socket.remoteAddress);
  }

  async receive(opts: IoOptions): Promise<Buffer | null> {
    return (await this.#socket.receive(opts)).data;
  }

  send(data: Buffer, opts: IoOptions): Promise<void> {
    return this.#socket.send(data, undefined, opts);
  }

  async finish(): Promise<void> {}

  close(): Promise<void> {
    return this.#socket.close();
  }

  abort(): void {
    this.#socket.socket.close();
  }
}

/** The calls of a bound datagram socket, UDP or UNIX. */
export interface BoundSocket {
  receive(opts: IoOptions): Promise<readonly [data: Buffer, from: Address | undefined]>;
  send(data: Buffer, to: Address, opts: IoOptions): Promise<unknown>;
  close(): void | Promise<void>;
}

/** A bound datagram socket. Its peers are the first `maxPeers` senders. `send()` sends to all of them. */
export class BoundChannel implements Channel {
  name = "";
  readonly isMessageBased = true;
  readonly hasEnd = false;
  readonly #bound: BoundSocket;
  readonly #maxPeers: number;
  readonly #peers = new Map<string, Address | undefined>();
  readonly #onPeer: (name: string) => void;
  #resolveFirstPeer!: () => void;
  /** Resolves when the first datagram was received. */
  readonly #whenFirstPeer: Promise<void> = new Promise((resolve) => (this.#resolveFirstPeer = resolve));

  /**
   * @param maxPeers maximum number of peers; datagrams of further senders are dropped
   * @param onPeer called with the name of each new peer
   */
  constructor(bound: BoundSocket, maxPeers: number, onPeer: (name: string) => void) {
    this.#bound = bound;
    this.#maxPeers = maxPeers;
    this.#onPeer = onPeer;
  }

  async receive(opts: IoOptions): Promise<Buffer | null> {
    for (;;) {
      const [data, from] = await this.#bound.receive(opts);
      // All senders without an address count as one peer.
      const name = from === undefined ? "" : String(from);
      if (!this.#peers.has(name)) {
        if (this.#peers.size >= this.#maxPeers) continue;
        this.#peers.set(name, from);
        this.#onPeer(name);
        this.#resolveFirstPeer();
      }
      this.name = name;
      return data;
    }
  }

  /** Waits for a peer, then sends to all peers. Removes a peer if the send to it fails; rejects if none is left. */
  async send(data: Buffer, opts: IoOptions): Promise<void> {
    if (this.#peers.size === 0) await Promise.race([this.#whenFirstPeer, rejectOnAbort(opts.signal)]);
    let sendError: SocketError | undefined;
    for (const [name, address] of this.#peers) {
      // This peer is a UNIX socket without an address. No socket can send to it.
      if (address === undefined) continue;
      try {
        await this.#bound.send(data, address, opts);
      } catch (error) {
        if (!(error instanceof SocketError)) throw error;
        this.#peers.delete(name);
        sendError = error;
      }
    }
    if (sendError !== undefined && this.#peers.size === 0) throw sendError;
  }

  async finish(): Promise<void> {}

  async close(): Promise<void> {
    await this.#bound.close();
  }

  abort(): void {
    void this.#bound.close();
  }
}

/** Rejects with the reason of the signal when it is aborted. */
function rejectOnAbort(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted === true) reject(signal.reason);
    else signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
