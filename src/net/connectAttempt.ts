// One attempt to connect: a socket, its options, and connect(2) to one address.

import { type Address, HostPort, type InetAddress, type Inet6Address } from "../addr/index.js";
import { localPortOf, connectTo, type CompletionHandler, Socket, PENDING } from "../socket/index.js";
import { localError } from "../wait/localError.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { IP_BIND_ADDRESS_NO_PORT, SO_BINDTODEVICE, SO_REUSEADDR } from "../options/index.js";
import { addressDetails } from "../sys/sockaddr.js";
import { applyTcp, type CheckedTcp, isTcpSocket } from "./endpointOptions.js";

/** The options of the socket of an attempt, checked. */
export interface AttemptOptions {
  readonly tcp: CheckedTcp;
  readonly local: Address | HostPort | undefined;
  readonly device: string | undefined;
}

/** Receives the result of an attempt, perhaps before `start()` returns. Its methods must not run code of users. */
export interface AttemptHandler {
  /**
   * The socket is connected. If its family is IPv4 or IPv6, `addressBuffer` of sys/sockaddr.ts has its local address.
   * An error that this method throws fails the attempt.
   */
  onConnected(attempt: ConnectAttempt): void;
  /** The attempt has failed, and its socket is closed. */
  onAttemptFailed(attempt: ConnectAttempt, error: unknown): void;
}

export class ConnectAttempt implements CompletionHandler<void> {
  readonly #address: Address;
  readonly #options: AttemptOptions;
  readonly #listener: AttemptHandler;
  #socket: Socket | undefined;
  #settled = false;
  #cancelReason: { readonly reason: unknown } | undefined;

  constructor(address: Address, options: AttemptOptions, listener: AttemptHandler) {
    this.#address = address;
    this.#options = options;
    this.#listener = listener;
  }

  /** The socket. Use it only when it is connected. */
  get socket(): Socket {
    return this.#socket!;
  }

  /** Starts the attempt. @param timeout ms; null if the caller has a timer of its own */
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
      this.#listener.onConnected(this);
    } catch (error) {
      // onConnected() may throw, because getpeername(2) fails if the peer has reset the connection already.
      this.onFailed(error);
    }
    this.#settled = true;
  }

  onFailed(error: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#socket?.close();
    this.#listener.onAttemptFailed(this, this.#cancelReason === undefined ? error : this.#cancelReason.reason);
  }

  /** Sets whether the wait for the kernel keeps the process alive. */
  setRef(referenced: boolean): void {
    if (referenced) this.#socket?.ref();
    else this.#socket?.unref();
  }

  /** Ends the attempt with the error `reason`, or closes the connected socket. */
  cancel(reason: unknown = localError("ECANCELED", "connect", addressDetails(this.#address))): void {
    this.#cancelReason = { reason };
    // close() ends a waiting connect(2), whose waiter then calls onFailed().
    this.#socket?.close();
    this.onFailed(reason);
  }
}

/** Whether `host` is a wildcard. A wildcard as a destination is this machine, at an address that the kernel chooses. */
export function isWildcard({ host }: InetAddress | Inet6Address): boolean {
  return host === "::" || host === "0.0.0.0";
}

/**
 * If no socket listens at a port of the ephemeral range, the kernel may also choose this port for the local end. Then
 * the socket is connected to itself (simultaneous open: RFC 9293, section 3.5).
 */
function isConnectedToItself(socket: Socket, remote: InetAddress | Inet6Address): boolean {
  if (localPortOf(socket) !== remote.port) return false;
  const peer = isWildcard(remote) ? socket.getpeername() : remote;
  // getsockname(2) is the last call, because `onConnected()` requires its result in `addressBuffer`.
  return String(socket.getsockname()) === String(peer);
}

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
