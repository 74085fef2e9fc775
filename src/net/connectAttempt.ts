// One attempt to connect: a socket, its options, and connect(2) to one address.

import { type Address, HostPort, type InetAddress, type Inet6Address } from "../addr/index.js";
import { localPortOf, connectTo, type CompletionHandler, Socket, PENDING } from "../socket/index.js";
import { localError } from "../wait/localError.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { IP_BIND_ADDRESS_NO_PORT, SO_BINDTODEVICE, SO_REUSEADDR } from "../options/index.js";
import { addressDetails } from "../sys/sockaddr.js";
import { applyTcp, type CheckedTcp, isTcpSocket } from "./endpointOptions.js";

/** The options of an attempt, checked. */
export interface AttemptOptions {
  readonly tcp: CheckedTcp;
  /** The address for bind(2). */
  readonly local: Address | HostPort | undefined;
  /** The interface for SO_BINDTODEVICE. */
  readonly device: string | undefined;
}

/**
 * Receives the result of an attempt. `start()` may call these methods before it returns, so they must not run code of
 * users.
 */
export interface AttemptHandler {
  /**
   * The socket is connected. If its family is IPv4 or IPv6, `addressBuffer` of sys/sockaddr.ts has its local address.
   * If this method throws, the attempt fails with that error.
   */
  onConnected(attempt: ConnectAttempt): void;
  /** The attempt has failed, and its socket is closed. */
  onAttemptFailed(attempt: ConnectAttempt, error: unknown): void;
}

export class ConnectAttempt implements CompletionHandler<void> {
  readonly #address: Address;
  readonly #options: AttemptOptions;
  readonly #handler: AttemptHandler;
  #socket: Socket | undefined;
  /** Whether the handler has got the result. */
  #settled = false;
  /** Set by `cancel()`. */
  #cancelled: { readonly reason: unknown } | undefined;

  constructor(address: Address, options: AttemptOptions, handler: AttemptHandler) {
    this.#address = address;
    this.#options = options;
    this.#handler = handler;
  }

  /** The connected socket. Don't read it before `onConnected()`. */
  get socket(): Socket {
    return this.#socket!;
  }

  /** Starts the attempt. @param timeout milliseconds for connect(2); null for no limit */
  start(timeout: number | null): void {
    const { device, local, tcp } = this.#options;
    try {
      const socket = (this.#socket = new Socket(this.#address.family, SOCK_STREAM));
      if (isTcpSocket(socket)) applyTcp(socket, tcp);
      if (device !== undefined) socket.setsockopt(SO_BINDTODEVICE, device);
      if (local === undefined) this.#connect(timeout);
      else {
        bindLocal(socket, local).then(
          () => this.#connect(timeout),
          (error: unknown) => this.onFailed(error),
        );
      }
    } catch (error) {
      this.onFailed(error);
    }
  }

  #connect(timeout: number | null): void {
    try {
      if (this.#settled) return;
      const socket = this.#socket!;
      if (connectTo(this, socket, this.#address, isTcpSocket(socket), timeout) === PENDING) return;
    } catch (error) {
      this.onFailed(error);
      return;
    }
    this.onCompleted();
  }

  onCompleted(): void {
    if (this.#settled) return;
    const address = this.#address;
    try {
      if (isTcpSocket(this.#socket!) && isConnectedToItself(this.#socket!, address as InetAddress | Inet6Address)) {
        throw localError("ECONNREFUSED", "connect", addressDetails(address));
      }
      this.#handler.onConnected(this);
    } catch (error) {
      // onConnected() may throw, because getpeername(2) fails if the peer has reset the connection already.
      this.onFailed(error);
    }
    // Set last, because onFailed() does nothing in a settled attempt.
    this.#settled = true;
  }

  onFailed(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#socket?.close();
    this.#handler.onAttemptFailed(this, this.#cancelled === undefined ? error : this.#cancelled.reason);
  }

  /** Sets whether the wait for the kernel keeps the process alive. */
  setRef(referenced: boolean): void {
    if (referenced) this.#socket?.ref();
    else this.#socket?.unref();
  }

  /** Closes the socket. If the attempt has no result yet, it fails with the error `reason`. */
  cancel(reason: unknown = localError("ECANCELED", "connect", addressDetails(this.#address))): void {
    this.#cancelled = { reason };
    // If connect(2) waits, close() calls onFailed() with an error of its own. #cancelled replaces that error.
    this.#socket?.close();
    // Otherwise, for example during the wait of bind(), no other call fails the attempt.
    this.onFailed(reason);
  }
}

/** Whether `host` is a wildcard. connect(2) to a wildcard connects to an address of this machine. */
export function isWildcard({ host }: InetAddress | Inet6Address): boolean {
  return host === "::" || host === "0.0.0.0";
}

/**
 * Whether the socket is connected to itself (simultaneous open: RFC 9293, section 3.5). The kernel chooses the local
 * port, which can be the remote port if no socket listens there.
 */
function isConnectedToItself(socket: Socket, remote: InetAddress | Inet6Address): boolean {
  // localPortOf() and getsockname() store the local address in `addressBuffer`, where `onConnected()` needs it. So
  // getpeername(), which stores the peer's address there, must not be the last call.
  if (localPortOf(socket) !== remote.port) return false;
  const peer = isWildcard(remote) ? socket.getpeername() : remote;
  return String(socket.getsockname()) === String(peer);
}

/** Binds the socket to the local address of the attempt. */
async function bindLocal(socket: Socket, local: Address | HostPort): Promise<void> {
  if (local instanceof HostPort || "port" in local) {
    const { port } = local as InetAddress | Inet6Address | HostPort;
    if (isTcpSocket(socket)) {
      // With this option connect(2) chooses the port, and can use one port for several destinations; ip(7).
      if (port === 0) socket.setsockopt(IP_BIND_ADDRESS_NO_PORT, true);
      // Without SO_REUSEADDR, attempts that run at the same time could not bind the same requested port.
      else socket.setsockopt(SO_REUSEADDR, true);
    }
  }
  await socket.bind(local);
}
