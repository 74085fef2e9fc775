// The worker's side of connectionChannel.ts: receives connections over a channel, or takes a listening socket of the
// server.

import type { AcceptHandler } from "../admission/index.js";
import type { Address } from "../addr/index.js";
import type { IoOptions, Listener } from "../io.js";
import {
  type AcceptedConnection,
  duplicate,
  peerOfConnection,
  type SocketKind,
  socketOf,
  takeOver,
  takeOverAsync,
} from "../socket/acceptedConnection.js";
import { PENDING, Socket, SocketConn } from "../socket/index.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import { calls } from "../sys/calls.js";
import { decodeAddress, encodeAddress } from "../sys/sockaddr.js";
import { localError, timeoutError } from "../wait/localError.js";
import { within } from "../wait/within.js";
import { TlsListener } from "../tls/index.js";
import { CHANNEL_KIND, DESCRIPTOR_PAUSE } from "./connectionChannel.js";
import type { HostAddress } from "./customResolver.js";
import { prepareListenerTls, type TlsListenOptions } from "./endpointTls.js";
import { hasManyLocalAddresses, type ListenAddress, SocketListener } from "./socketListener.js";
import { TlsSocketListener } from "./tlsSocketListener.js";

const ACTION = "serve in a worker";

/** A descriptor of the server that the worker can use. */
export interface ForeignDescriptor {
  readonly fd: number;
  /** Whether it belongs to another thread of this process. Otherwise this process has inherited it. */
  readonly shared: boolean;
}

/** Makes a Socket for a descriptor of the server. */
function socketFromServer({ fd, shared }: ForeignDescriptor, kind: SocketKind): Socket {
  return shared ? duplicate(kind, fd) : Socket.fromfd(fd);
}

/** The parts of a listener that a worker needs. They can be copied to another process. */
export interface ListenerCopy {
  readonly address: Uint8Array;
  readonly kind: SocketKind;
}

export function copyOfListener(socket: Socket, address: ListenAddress): ListenerCopy {
  const { family, type, protocol } = socket;
  return { address: encodeAddress(address), kind: { family, type, protocol } };
}

/** The worker's side of a channel: a listener whose connections come from the server. */
export class ChannelListener implements Listener<Stream<SocketConn>> {
  readonly address: Address;
  readonly #channel: Socket;
  readonly #kind: SocketKind;
  readonly #local: Address | undefined;
  readonly #limits: StreamOptions;
  readonly #onEnd: () => void;
  readonly #closing = new AbortController();

  /** @param onEnd called when no more connections come from the server */
  constructor(channel: ForeignDescriptor, copy: ListenerCopy, limits: StreamOptions, onEnd: () => void) {
    this.#channel = socketFromServer(channel, CHANNEL_KIND);
    this.#kind = copy.kind;
    this.address = decodeAddress(copy.address);
    this.#local = hasManyLocalAddresses(this.address as ListenAddress) ? undefined : this.address;
    this.#limits = limits;
    this.#onEnd = onEnd;
  }

  #streamOf(connection: AcceptedConnection): Stream<SocketConn> {
    const addresses = { local: this.#local, remote: peerOfConnection(connection) };
    let socket: Socket;
    try {
      socket = socketOf(this.#kind, connection.fd);
    } catch (error) {
      // The memory for a Socket was short, so no Socket closes the descriptor.
      calls.close(connection.fd);
      throw error;
    }
    return new Stream(new SocketConn(socket, addresses), this.#limits);
  }

  /** See `acceptStream()` in socketListener.ts. After the end of the channel, the handler is never called. */
  acceptStream(handler: AcceptHandler<Stream>): Stream | undefined {
    const completed = (connection: AcceptedConnection | undefined): void => {
      if (connection === undefined) queueMicrotask(this.#onEnd);
      else handler.onCompleted(this.#streamOf(connection));
    };
    const failed = (error: unknown): void => handler.onFailed(error);
    const connection = takeOver({ onCompleted: completed, onFailed: failed }, this.#channel);
    if (connection === PENDING) return undefined;
    if (connection !== undefined) return this.#streamOf(connection);
    queueMicrotask(this.#onEnd);
    return undefined;
  }

  async accept(opts?: IoOptions): Promise<Stream<SocketConn>> {
    for (;;) {
      try {
        const connection = await takeOverAsync(this.#channel, opts?.signal);
        if (connection !== undefined) return this.#streamOf(connection);
        this.#onEnd();
        return await this.#waitForClose(opts?.signal);
      } catch (error) {
        if ((error as { readonly code?: unknown }).code !== "EMFILE") throw error;
        // The connection stays in the channel.
        await new Promise((resolve) => setTimeout(resolve, DESCRIPTOR_PAUSE));
      }
    }
  }

  /** After the end of the channel, a call waits until it is aborted or the listener is closed. */
  #waitForClose(signal: AbortSignal | undefined): Promise<never> {
    const signals = signal === undefined ? [this.#closing.signal] : [this.#closing.signal, signal];
    return within(new Promise<never>(() => undefined), null, signals, () => timeoutError("accept"));
  }

  close(): Promise<void> {
    this.#channel.close();
    this.#closing.abort(localError("ECANCELED", "accept"));
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Stream<SocketConn>, undefined> {
    for (;;) yield await this.accept();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A listener that makes TLS handshakes on the connections of a channel. */
export function secureChannel(channel: ChannelListener, tls: TlsListenOptions, limits: StreamOptions): Listener {
  const secured = new TlsListener(channel, prepareListenerTls(tls, ACTION));
  const accept = secured.accept.bind(secured);
  return Object.assign(secured, { accept: async (opts?: IoOptions) => new Stream(await accept(opts), limits) });
}

/** Makes a listener of this worker on a listening socket of the server. The server keeps the socket and its queue. */
export function takeListener(
  descriptor: ForeignDescriptor,
  copy: ListenerCopy,
  limits: StreamOptions,
  tls: TlsListenOptions | undefined,
): SocketListener {
  const socket = socketFromServer(descriptor, copy.kind);
  const address = decodeAddress(copy.address) as ListenAddress;
  if (tls === undefined) return new SocketListener(socket, address, limits);
  return new TlsSocketListener(socket, address as HostAddress, limits, prepareListenerTls(tls, ACTION), {});
}
