// SocketListener: the result of listen() for endpoints without TLS.

import { type Address, Inet6Address, InetAddress, UnixAddress, type VsockAddress } from "../addr/index.js";
import type { Conn, IoOptions, Listener } from "../io.js";
import type { AcceptHandler } from "../admission/index.js";
import {
  acceptFrom,
  type AcceptOptions,
  dropDefaultTimeout,
  PENDING,
  type Socket,
  SocketConn,
} from "../socket/index.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import { acceptQueueOf, describeListener, type ListenerDescription, type ListenerStats } from "./listenerStats.js";
import { AcceptGate } from "./acceptGate.js";
import { ClosingSignal } from "./closingSignal.js";
import { iterateUntilClosed } from "./iterateUntilClosed.js";
import { checkOptions, flag } from "../check/index.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";
import { decodeAddressBuffer } from "../sys/sockaddr.js";

/**
 * Accepts a connection for a server, without a promise. Returns undefined if the call waits; then `handler` gets the
 * result. The call fails while descriptors or memory are short. Call it only when the gate is open; see `gateOf`.
 */
export let acceptStream: (listener: SocketListener, handler: AcceptHandler<Stream>) => Stream | undefined;

/**
 * Returns a promise that resolves when the listener may accept; undefined if it may accept now. A listener waits during
 * an upgrade; see inheritance.ts.
 */
export let gateOf: (listener: SocketListener) => Promise<void> | undefined;

/** The address of a listening stream socket. `connect()` takes it as an endpoint. */
export type ListenAddress = InetAddress | Inet6Address | UnixAddress | VsockAddress;

/** Options of {@link SocketListener.close}. */
export interface CloseListenerOptions {
  /**
   * Removes the file of a UNIX socket, if the file is still that of the listener. Use false if another process has the
   * socket too. Default: the `unlink` of `listen()`, which is true by default.
   */
  readonly unlink?: boolean | undefined;
}

/** Internal options of a listener. */
export interface ListenerSetup {
  /** Removes the file of a UNIX socket. */
  readonly removeFile?: (() => void) | undefined;
  /** Whether `close()` removes the file by default. */
  readonly unlink?: boolean | undefined;
  /** An abort closes the listener. */
  readonly signal?: AbortSignal | undefined;
  /** Nothing is accepted before this promise resolves. */
  readonly gate?: Promise<void> | undefined;
}

/** Reads the address of a listening socket. If getsockname(2) fails, closes the socket and removes its file. */
export function addressOrClose(socket: Socket, removeFile?: () => void): ListenAddress {
  try {
    return socket.getsockname() as ListenAddress;
  } catch (error) {
    removeFile?.();
    socket.close();
    throw error;
  }
}

/**
 * The result of `listen()`: accepts the connections to an endpoint, as streams.
 *
 * The only queue is the accept queue of the kernel, limited by the `backlog`. While descriptors or memory are short
 * (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), `accept()` waits. New connections stay in the queue, and accepted ones
 * stay open.
 *
 * @example
 * ```ts
 * import { connect, listen } from "berkeley";
 *
 * await using listener = await listen("unix:@greeter");
 * await using client = await connect("unix:@greeter");
 * for await (const stream of listener) {
 *   await stream.write("welcome\n");
 *   await stream.close();
 *   break;
 * }
 * console.log(await client.readLine()); // prints: welcome
 * ```
 */
export class SocketListener<C extends Conn = Conn, A extends ListenAddress = ListenAddress>
  extends Inspectable<ListenerDescription>
  implements Listener<Stream<C>>
{
  static {
    makeDescribable<SocketListener, ListenerDescription>(SocketListener.prototype, "SocketListener", (listener) =>
      describeListener(listener.#socket, listener.#address, listener.stats()),
    );
    gateOf = (listener) => listener.#gate?.opened;
    acceptStream = (listener, handler) => {
      // accept4(2) has stored the address of the peer in the address buffer.
      const streamOf = (socket: Socket): Stream => listener.#toStream([socket, decodeAddressBuffer()]);
      const onCompleted = (socket: Socket): void => handler.onCompleted(streamOf(socket));
      const onFailed = (error: unknown): void => handler.onFailed(error);
      const socket = acceptFrom({ onCompleted, onFailed }, listener.#socket);
      return socket === PENDING ? undefined : streamOf(socket);
    };
  }

  readonly #socket: Socket;
  readonly #address: A;
  readonly #streamOptions: StreamOptions;
  /** The local address of all connections; undefined if they can have different ones. */
  readonly #commonLocal: ListenAddress | undefined;
  readonly #setup: ListenerSetup;
  readonly #closingSignal: ClosingSignal | undefined;
  /** Makes accept() wait during an upgrade. Undefined when it is open, and if the socket is not from an old program. */
  #gate: AcceptGate | undefined;
  #accepted = 0;

  /** @internal */
  constructor(socket: Socket, address: A, streamOptions: StreamOptions, setup: ListenerSetup = {}) {
    super();
    this.#socket = socket;
    dropDefaultTimeout(socket);
    this.#address = address;
    this.#streamOptions = streamOptions;
    this.#commonLocal = hasManyLocalAddresses(address) ? undefined : address;
    this.#setup = setup;
    if (setup.gate !== undefined) this.#gate = new AcceptGate(setup.gate, () => (this.#gate = undefined));
    if (setup.signal !== undefined) this.#closingSignal = new ClosingSignal(setup.signal, () => void this.close());
  }

  /** The address, with the port that the kernel chose if 0 was requested. It stays readable after `close()`. */
  get address(): A {
    return this.#address;
  }

  /** The listening socket, for its options and its descriptor. */
  get socket(): Socket {
    return this.#socket;
  }

  /**
   * Waits for the next connection. Several calls may wait; they get connections in the order of the calls.
   *
   * @throws SocketError `ETIMEDOUT`, `ECANCELED` if the listener is closed during the call, `EBADF` if it was closed
   *   before
   * @throws the reason of `signal`
   * @see accept(2)
   */
  accept(opts?: IoOptions): Promise<Stream<C>> {
    if (this.#gate !== undefined) return this.#gate.pass(opts, (remainingOpts) => this.accept(remainingOpts));
    try {
      return this.#socket
        .accept(opts === undefined ? RETRY_ON_SHORTAGE : withRetryOnShortage(opts))
        .then(this.#toStream);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  // Called only if `C` is SocketConn: TlsSocketListener, whose `C` is another class, overrides accept().
  readonly #toStream = ([socket, remote]: [Socket, Address]): Stream<C> => {
    this.#accepted++;
    return new Stream(new SocketConn(socket, { local: this.#commonLocal, remote }) as Conn as C, this.#streamOptions);
  };

  /** The counters of the listener, also after `close()`. */
  stats(): ListenerStats {
    const { queued, backlog } = acceptQueueOf(this.#socket);
    return { accepted: this.#accepted, queued, backlog };
  }

  /**
   * Lets the process end although calls wait here. From now on, neither waiting calls nor later ones keep it alive, nor
   * do their timeouts.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive again. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /**
   * Closes the listening socket. The kernel resets the connections in the accept queue; accepted connections stay open.
   * `close()` removes the file of a UNIX socket that `listen()` made, even after a change of the current directory; see
   * `unlink`.
   *
   * @throws TypeError (by rejecting) for an option that is wrong
   */
  close(opts?: CloseListenerOptions): Promise<void> {
    let { unlink = true } = this.#setup;
    if (opts !== undefined) {
      try {
        checkOptions(opts, "close", ["unlink"]);
        unlink = flag(opts.unlink, unlink, "close", "unlink");
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#closingSignal?.release();
    this.#gate?.close();
    this.#gate = undefined;
    if (!this.#socket.closed) {
      if (unlink) this.#setup.removeFile?.();
      try {
        this.#socket.close();
      } catch {
        // The descriptor is closed even if close(2) fails.
      }
    }
    return Promise.resolve();
  }

  /** The connections, one by one, until the listener is closed. Leaving the loop does not close the listener. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Stream<C>> {
    return iterateUntilClosed(this.#socket, () => this.accept());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The options of an accept that waits, instead of failing, while descriptors or memory are short. */
function withRetryOnShortage(opts: IoOptions): AcceptOptions {
  checkOptions(opts, "accept", WAIT_NAMES);
  return { timeout: opts.timeout, signal: opts.signal, retryOnShortage: true };
}

const RETRY_ON_SHORTAGE = { retryOnShortage: true } as const;

/** Whether connections to this address can have different local addresses, as at a wildcard. */
export function hasManyLocalAddresses(address: ListenAddress): boolean {
  if (address instanceof InetAddress) return address.host === "0.0.0.0";
  if (address instanceof Inet6Address) return address.host === "::" || address.scopeid !== 0;
  // On vsock, the local address of a connection has the context id to which the peer connected.
  return !(address instanceof UnixAddress);
}
