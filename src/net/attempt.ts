// A socket on its way to one address.

import { type Address, HostPort, type InetAddress, type Inet6Address } from "../addr/index.js";
import { askLocalPort, connectTo, type Settler, Socket, WAITS } from "../socket/index.js";
import { localError } from "../wait/localError.js";
import { SOCK_STREAM } from "../sys/constants.js";
import { IP_BIND_ADDRESS_NO_PORT, SO_BINDTODEVICE, SO_REUSEADDR } from "../options/index.js";
import { addressDetails } from "../sys/sockaddr.js";
import { applyTcp, type CheckedTcp, isTcp } from "./endpointOptions.js";

/** How the socket is to be made; checked. */
export interface DialWay {
  readonly tcp: CheckedTcp;
  readonly local: Address | HostPort | undefined;
  readonly device: string | undefined;
}

/** Who hears how it went, perhaps before `start` returns. It must not run code of users. */
export interface DialOwner {
  /**
   * The socket is connected. If it is one of IP, its local address stands in `addressBuffer` of sys/sockaddr.ts. What this throws counts as a
   * refusal.
   */
  connected(dial: Dial): void;
  /** It is not, and closed. */
  refused(dial: Dial, error: unknown): void;
}

export class Dial implements Settler<void> {
  readonly #address: Address;
  readonly #way: DialWay;
  readonly #owner: DialOwner;
  #socket: Socket | undefined;
  #over = false;
  #cut: { readonly reason: unknown } | undefined;

  constructor(address: Address, way: DialWay, owner: DialOwner) {
    this.#address = address;
    this.#way = way;
    this.#owner = owner;
  }

  /** The socket, once it is connected. */
  get socket(): Socket {
    return this.#socket!;
  }

  /** @param timeout ms, or null where others look after the time */
  start(timeout: number | null): void {
    const { device, local, tcp } = this.#way;
    try {
      const socket = (this.#socket = new Socket(this.#address.family, SOCK_STREAM));
      if (isTcp(socket)) applyTcp(socket, tcp);
      if (device !== undefined) socket.setsockopt(SO_BINDTODEVICE, device);
      if (local === undefined) this.#connect(timeout);
      else {
        bindLocal(socket, local).then(
          () => this.#connect(timeout),
          (error: unknown) => this.failed(error),
        );
      }
    } catch (error) {
      this.failed(error);
    }
  }

  #connect(timeout: number | null): void {
    try {
      if (this.#over) return;
      const socket = this.#socket!;
      if (connectTo(this, socket, this.#address, isTcp(socket), timeout) === WAITS) return;
    } catch (error) {
      this.failed(error);
      return;
    }
    this.settled();
  }

  settled(): void {
    if (this.#over) return;
    const address = this.#address;
    try {
      if (isTcp(this.#socket!) && isConnectedToItself(this.#socket!, address as InetAddress | Inet6Address)) {
        throw localError("ECONNREFUSED", "connect", addressDetails(address));
      }
      this.#owner.connected(this);
    } catch (error) {
      // The peer may be gone again, and then there is no address to ask for.
      this.failed(error);
    }
    this.#over = true;
  }

  failed(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket?.close();
    this.#owner.refused(this, this.#cut === undefined ? error : this.#cut.reason);
  }

  /** Whether the wait for the kernel keeps the process alive. */
  keepAlive(yes: boolean): void {
    if (yes) this.#socket?.ref();
    else this.#socket?.unref();
  }

  /** Gives the attempt up, with `reason` for the error, or closes what it has come to. */
  cancel(reason: unknown = localError("ECANCELED", "connect", addressDetails(this.#address))): void {
    this.#cut = { reason };
    // Who waits for the kernel hears of that by way of failed().
    this.#socket?.close();
    this.failed(reason);
  }
}

/** Whether an address stands for this machine: which of its addresses a connection comes to, only the kernel knows. */
export function isWildcard({ host }: InetAddress | Inet6Address): boolean {
  return host === "::" || host === "0.0.0.0";
}

/**
 * Where nobody listens at a port that the kernel also gives to who connects, it may give that very port, and then the socket is
 * connected to itself: RFC 9293, section 3.5, simultaneous open.
 */
function isConnectedToItself(socket: Socket, remote: InetAddress | Inet6Address): boolean {
  if (askLocalPort(socket) !== remote.port) return false;
  const peer = isWildcard(remote) ? socket.getpeername() : remote;
  // Last, for the address is to stand in `addressBuffer`.
  return String(socket.getsockname()) === String(peer);
}

async function bindLocal(socket: Socket, local: Address | HostPort): Promise<void> {
  if (local instanceof HostPort || "port" in local) {
    const { port } = local as InetAddress | Inet6Address | HostPort;
    if (isTcp(socket)) {
      // A port is chosen by connect(), which can give the same one to different destinations; ip(7).
      if (port === 0) socket.setsockopt(IP_BIND_ADDRESS_NO_PORT, true);
      // Attempts that run at the same time share the port that was asked for.
      else socket.setsockopt(SO_REUSEADDR, true);
    }
  }
  await socket.bind(local);
}
