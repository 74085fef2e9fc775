// The listeners of a worker. Either the worker receives accepted connections over a channel (connectionChannel.ts), or
// it accepts connections on a listening socket of the server.

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
import type { HostAddress } from "./resolveHost.js";
import { prepareListenerTls, type TlsListenOptions } from "./endpointTls.js";
import { hasManyLocalAddresses, type ListenAddress, SocketListener } from "./socketListener.js";
import { TlsSocketListener } from "./tlsSocketListener.js";

/** For error messages. */
const ACTION = "serve in a worker";

/** A descriptor of the server that the worker can use. */
export interface ForeignDescriptor {
  readonly fd: number;
  /**
   * Whether the worker is a thread of the server's process, so that the server uses this descriptor too. Otherwise this
   * process has inherited the descriptor, and owns it.
   */
  readonly shared: boolean;
}

/** Makes a Socket for a descriptor of the server. */
function socketFromServer({ fd, shared }: ForeignDescriptor, kind: SocketKind): Socket {
  return shared ? duplicate(kind, fd) : Socket.fromfd(fd);
}

/** The address and the socket of a listener, in a form that can be copied to another process. */
export interface ListenerCopy {
  /** The bytes of a `sockaddr`. */
  readonly address: Uint8Array;
  readonly kind: SocketKind;
}

/** Makes the copy for a worker. */
export function copyOfListener(socket: Socket, address: ListenAddress): ListenerCopy {
  const { family, type, protocol } = socket;
  return { address: encodeAddress(address), kind: { family, type, protocol } };
}

/** The worker's side of a channel: a listener whose connections come from the server. */
export class ChannelListener implements Listener<Stream<SocketConn>> {
  readonly address: Address;
  readonly #channel: Socket;
  readonly #kind: SocketKind;
  /** The local address of all connections; undefined if they can have different ones. */
  readonly #commonLocal: Address | undefined;
  readonly #limits: StreamOptions;
  readonly #onChannelEnd: () => void;
  readonly #closeAborter = new AbortController();

  /** @param onChannelEnd called when no more connections come from the server */
  constructor(channel: ForeignDescriptor, copy: ListenerCopy, limits: StreamOptions, onChannelEnd: () => void) {
    this.#channel = socketFromServer(channel, CHANNEL_KIND);
    this.#kind = copy.kind;
    this.address = decodeAddress(copy.address);
    this.#commonLocal = hasManyLocalAddresses(this.address as ListenAddress) ? undefined : this.address;
    this.#limits = limits;
    this.#onChannelEnd = onChannelEnd;
  }

  /** Makes the stream of an accepted connection. */
  #streamOf(connection: AcceptedConnection): Stream<SocketConn> {
    const addresses = { local: this.#commonLocal, remote: peerOfConnection(connection) };
    let socket: Socket;
    try {
      socket = socketOf(this.#kind, connection.fd);
    } catch (error) {
      // There was no memory for a Socket, and no other code closes the descriptor.
      calls.close(connection.fd);
      throw error;
    }
    return new Stream(new SocketConn(socket, addresses), this.#limits);
  }

  /**
   * Accepts a connection without a promise. Returns undefined if the call waits; then `handler` gets the result. After
   * the end of the channel, the call never calls the handler.
   */
  acceptStream(handler: AcceptHandler<Stream>): Stream | undefined {
    const onCompleted = (connection: AcceptedConnection | undefined): void => {
      if (connection === undefined) queueMicrotask(this.#onChannelEnd);
      else handler.onCompleted(this.#streamOf(connection));
    };
    const onFailed = (error: unknown): void => handler.onFailed(error);
    const connection = takeOver({ onCompleted, onFailed }, this.#channel);
    if (connection === PENDING) return undefined;
    if (connection !== undefined) return this.#streamOf(connection);
    // Undefined is the end of the channel.
    queueMicrotask(this.#onChannelEnd);
    return undefined;
  }

  async accept(opts?: IoOptions): Promise<Stream<SocketConn>> {
    for (;;) {
      try {
        const connection = await takeOverAsync(this.#channel, opts?.signal);
        if (connection !== undefined) return this.#streamOf(connection);
        this.#onChannelEnd();
        return await this.#waitForClose(opts?.signal);
      } catch (error) {
        if ((error as { readonly code?: unknown }).code !== "EMFILE") throw error;
        // No descriptor is free. The connection stays in the channel until the next try.
        await new Promise((resolve) => setTimeout(resolve, DESCRIPTOR_PAUSE));
      }
    }
  }

  /** After the end of the channel, a call waits until it is aborted or the listener is closed. */
  #waitForClose(signal: AbortSignal | undefined): Promise<never> {
    const signals = signal === undefined ? [this.#closeAborter.signal] : [this.#closeAborter.signal, signal];
    const never = new Promise<never>(() => undefined);
    return within(never, null, signals, () => timeoutError("accept"));
  }

  close(): Promise<void> {
    this.#channel.close();
    this.#closeAborter.abort(localError("ECANCELED", "accept"));
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

/** Makes a listener of this worker on a listening socket of the server. Worker and server share its accept queue. */
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
