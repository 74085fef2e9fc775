// A Listener over a listening socket.

import { type Address, Inet6Address, InetAddress, UnixAddress, type VsockAddress } from "../addr/index.js";
import type { IoOptions, Listener } from "../io.js";
import { type AcceptOptions, type Socket, SocketConn, withoutDefaultTimeout } from "../socket/index.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import { ClosingSignal } from "./closingSignal.js";
import { checkOptions, flag } from "../check/index.js";

/** An address that streams can be listened for at. It can be passed to `connect()`. */
export type ListenAddress = InetAddress | Inet6Address | UnixAddress | VsockAddress;

/** How to close a listener. */
export interface CloseListenerOptions {
  /**
   * Removes the file of a UNIX socket, if it is still the listener's. False where the socket lives on elsewhere: in a process that
   * it was passed to, or in a child. Default: what `listen()` was withSocketErrors, which is true if nothing.
   */
  readonly unlink?: boolean | undefined;
}

/** The end of a listening socket. */
interface ListenerEnd {
  /** Removes the file, if there is one of ours. */
  readonly remove?: (() => void) | undefined;
  /** Whether `close()` removes the file when it is not withSocketErrors. */
  readonly unlink?: boolean | undefined;
  /** Closes the listener when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** The address of a listening socket; without one the socket is closed, and its file removed. */
export function addressOf(socket: Socket, remove?: () => void): ListenAddress {
  try {
    return socket.getsockname() as ListenAddress;
  } catch (error) {
    remove?.();
    socket.close();
    throw error;
  }
}

/**
 * What `listen()` gives: the connections to an endpoint, as streams.
 *
 * There is no queue but the kernel's, whose length is the `backlog`. Where descriptors or memory run out (`EMFILE` and its
 * kin), `accept()` waits until there are some; the connections stay in the queue, and those that were accepted live on.
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
export class SocketListener implements Listener<Stream> {
  readonly #socket: Socket;
  readonly #address: ListenAddress;
  readonly #limits: StreamOptions;
  /** The local address of every connection, where there can be but one. */
  readonly #local: ListenAddress | undefined;
  readonly #end: ListenerEnd;
  readonly #closing: ClosingSignal | undefined;

  /** @internal */
  constructor(socket: Socket, address: ListenAddress, limits: StreamOptions, end: ListenerEnd = {}) {
    this.#socket = socket;
    withoutDefaultTimeout(socket);
    this.#address = address;
    this.#limits = limits;
    this.#local = hasManyLocalAddresses(address) ? undefined : address;
    this.#end = end;
    if (end.signal !== undefined) this.#closing = new ClosingSignal(end.signal, () => void this.close());
  }

  /** What it listens on, with the real port where 0 was asked for. Stays readable after `close()`. */
  get address(): ListenAddress {
    return this.#address;
  }

  /** The socket below, for its options and numbers. */
  get socket(): Socket {
    return this.#socket;
  }

  /**
   * Waits for the next connection. Several calls may wait: they are served in order.
   *
   * @throws SocketError `ETIMEDOUT`, `ECANCELED` when it is closed meanwhile, `EBADF` when it was before; the signal's reason
   * @see accept(2)
   */
  accept(opts?: IoOptions): Promise<Stream> {
    try {
      return this.#socket.accept(opts === undefined ? PATIENT : patiently(opts)).then(this.#made);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  readonly #made = ([socket, remote]: [Socket, Address]): Stream =>
    new Stream(new SocketConn(socket, { local: this.#local, remote }), this.#limits);

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#socket.ref();
    return this;
  }

  /**
   * Takes no more connections; those in the kernel's queue are cut, those that were accepted stay. The file of a UNIX socket that
   * `listen()` made is removed, wherever the current directory is by now; see `unlink`.
   *
   * @throws TypeError for an option that is wrong
   */
  close(opts?: CloseListenerOptions): Promise<void> {
    let { unlink = true } = this.#end;
    if (opts !== undefined) {
      try {
        checkOptions(opts, "close");
        unlink = flag(opts.unlink, unlink, "close", "unlink");
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#closing?.release();
    if (!this.#socket.closed) {
      if (unlink) this.#end.remove?.();
      try {
        this.#socket.close();
      } catch {
        // The descriptor is gone whatever close(2) says.
      }
    }
    return Promise.resolve();
  }

  /** The connections, one after the other, until the listener is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Stream> {
    const iterator: AsyncIterableIterator<Stream> = {
      // By way of accept(), which a listener of something else than plain streams replaces.
      next: () => this.accept().then(item, this.#over),
      return: () => Promise.resolve(END),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  readonly #over = (error: unknown): IteratorReturnResult<undefined> => {
    if (this.#socket.closed) return END;
    throw error;
  };

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const item = (value: Stream): IteratorYieldResult<Stream> => ({ done: false, value });

function patiently(opts: IoOptions): AcceptOptions {
  checkOptions(opts, "accept");
  return { timeout: opts.timeout, signal: opts.signal, patient: true };
}

const PATIENT = { patient: true } as const;
const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Whether connections to this address can have different local addresses: those of TCP do at a wildcard. */
function hasManyLocalAddresses(address: ListenAddress): boolean {
  if (address instanceof InetAddress) return address.host === "0.0.0.0";
  if (address instanceof Inet6Address) return address.host === "::" || address.scopeid !== 0;
  // A connection that is accepted on vsock knows which of the machine's ids was called.
  return !(address instanceof UnixAddress);
}
