// A UDP socket: packets one after the other, each with its address.
//
// The kernel's receive buffer is the only queue. A packet is received when it is asked for and not before; what comes when the
// buffer is full the kernel drops and counts. So memory has one bound, and it has a name: `receiveBuffer`.
//
// Which address an answer comes from. A socket at the wildcard receives what is sent to any address of the machine. For what it
// sends, the kernel chooses the address by the route; a machine that has several may answer from another one than it was asked at,
// and the asker, a firewall or a NAT drops the answer. So such a socket has the kernel tell with each packet where it came to
// (IP_PKTINFO of ip(7), IPV6_RECVPKTINFO of RFC 3542), and sends to the `address` of a packet from there. The address object stands
// for that: it is found again by identity. An address that the machine has lost meanwhile is not insisted on.

import { type AddressLike, AF_INET6, Inet6Address, InetAddress, toAddress } from "../addr/index.js";
import { checkOptions, integer, quote } from "../check/index.js";
import { SocketError } from "../errors/index.js";
import type { Data, IoOptions } from "../io.js";
import { type Socket, withoutDefaultTimeout } from "../socket/index.js";
import type { ControlMessage, ControlToSend } from "../cmsg/index.js";
import { IP_PKTINFO, IPV6_RECVPKTINFO, SO_MEMINFO } from "../options/index.js";
import { isWildcard } from "./connectAttempt.js";
import { ClosingSignal } from "./closingSignal.js";
import type { HostAddress } from "./customResolver.js";

/** A datagram that came. */
export interface Packet {
  /** Its bytes, all of them: the Buffer is the caller's. */
  readonly data: Buffer;
  /** Who sent it. */
  readonly address: HostAddress;
  /**
   * The address of this machine that it was sent to, with the socket's port. For a packet of IPv4 that was sent to many, the address
   * that the kernel would answer from; undefined for one of IPv6 that was.
   */
  readonly localAddress: HostAddress | undefined;
  /** Index of the interface that it came in by. Undefined where the socket is bound to one address, or connected. */
  readonly ifindex: number | undefined;
}

/** Options of {@link UdpSocket.send}. A {@link Packet} can stand for them, to answer from where it came to. */
export interface UdpSendOptions extends IoOptions {
  /** The address of this machine that the packet leaves from: numeric, with the socket's own port or 0. Default: the kernel chooses. */
  readonly localAddress?: AddressLike | undefined;
  /** Index of the interface that the packet leaves by. Default: by the route. */
  readonly ifindex?: number | undefined;
}

/** Where a packet came to, or is to leave from. */
interface LocalEnd {
  readonly localAddress: HostAddress | undefined;
  readonly ifindex: number | undefined;
}

/** The longest datagram of UDP, headers included: its length field has 16 bits (RFC 768). */
const LONGEST = 65_535;
const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** A UDP socket. `bindUdp()` and `connectUdp()` make it. */
export class UdpSocket implements AsyncIterable<Packet> {
  readonly #socket: Socket;
  readonly #address: HostAddress;
  readonly #remote: HostAddress | undefined;
  /** Where packets come to, if there is but one address. */
  readonly #onlyLocalAddress: HostAddress | undefined;
  /** The kernel tells where packets come to. */
  readonly #reportsLocalAddress: boolean;
  /** Where the packet came to that had this address. */
  readonly #localEnds = new WeakMap<object, LocalEnd>();
  readonly #closing: ClosingSignal | undefined;

  /** @internal */
  constructor(socket: Socket, address: HostAddress, remote: HostAddress | undefined, signal: AbortSignal | undefined) {
    this.#socket = socket;
    withoutDefaultTimeout(socket);
    this.#address = address;
    this.#remote = remote;
    this.#reportsLocalAddress = remote === undefined && isWildcard(address);
    this.#onlyLocalAddress = this.#reportsLocalAddress || isMulticast(address.host) ? undefined : address;
    if (signal !== undefined) this.#closing = new ClosingSignal(signal, () => void this.close());
  }

  /** The address that it is bound to, with the real port where 0 was asked for. Stays readable after `close()`. */
  get address(): HostAddress {
    return this.#address;
  }

  /** The peer of a connected socket. */
  get remoteAddress(): HostAddress | undefined {
    return this.#remote;
  }

  /** The socket below, for its options, for multicast, and for batches of packets. */
  get socket(): Socket {
    return this.#socket;
  }

  /** Packets that the kernel has dropped so far because nobody received them in time. */
  get dropped(): number {
    return this.#socket.getsockopt(SO_MEMINFO).drops;
  }

  /**
   * The next packet; waits while there is none. Several calls may wait: they are served in order.
   *
   * @throws SocketError `ECONNREFUSED` on a connected socket when an earlier packet was refused, `ETIMEDOUT`, `ECANCELED` when it
   *   is closed meanwhile, `EBADF` when it was before; the signal's reason
   * @see recvfrom(2)
   */
  async receive(opts?: IoOptions): Promise<Packet> {
    if (!this.#reportsLocalAddress) {
      const [data, address] = await this.#socket.recvfrom(LONGEST, opts);
      return { data, address: address as HostAddress, localAddress: this.#onlyLocalAddress, ifindex: undefined };
    }
    const { data, address, control } = await this.#socket.recvmsg(LONGEST, opts);
    const from = address as HostAddress;
    const place = localEndOf(control, this.#address.port);
    this.#localEnds.set(from, place);
    return { data, address: from, localAddress: place.localAddress, ifindex: place.ifindex };
  }

  /**
   * Sends one packet, to `address` or, on a connected socket without one, to its peer; waits only while the kernel takes none. A
   * host name is resolved each time.
   *
   * The `address` of a packet that came to a socket at the wildcard is answered from the address that the packet was sent to, as long
   * as this machine has it. `localAddress` and `ifindex` say where else to send from; for a copy of an address, give the packet itself
   * as the options.
   *
   * @throws SocketError `EMSGSIZE`, `ENETUNREACH`, `EACCES`, `EDESTADDRREQ` without an address on a socket that is not connected,
   *   `ECONNREFUSED` on a connected one when an earlier packet was refused, `EINVAL` or `ENETUNREACH` for a `localAddress` that this
   *   machine lacks …
   * @throws TypeError or RangeError for an option that is wrong
   * @see sendto(2), sendmsg(2), IP_PKTINFO of ip(7)
   * @example
   * ```ts
   * import { bindUdp, connectUdp } from "berkeley";
   *
   * await using server = await bindUdp(["", 0]);
   * await using client = await connectUdp(["127.0.0.2", server.address.port]);
   * await client.send("who is there?");
   * const { address, localAddress } = await server.receive();
   * await server.send("me", address);
   * console.log(localAddress?.host, String((await client.receive()).data)); // prints: ::ffff:127.0.0.2 me
   * ```
   */
  async send(data: Data, address?: AddressLike, opts?: UdpSendOptions): Promise<void> {
    const asked = opts === undefined ? undefined : this.#localEndIn(opts);
    const known = typeof address === "object" && asked === undefined ? this.#localEnds.get(address) : undefined;
    const control = this.#controlFor(asked ?? (known === undefined ? undefined : localEndForAnswer(known)));
    if (control === undefined) {
      // A datagram goes out whole or not at all, so the count says nothing.
      await (address === undefined ? this.#socket.send(data, opts) : this.#socket.sendto(data, address, opts));
      return;
    }
    const { timeout, signal } = opts ?? {};
    try {
      await this.#socket.sendmsg(data, { address, control, timeout, signal });
    } catch (error) {
      const lost = error instanceof SocketError && LOST_ADDRESS_CODES.has(error.code);
      if (known === undefined || !lost) throw error;
      await this.#socket.sendto(data, address!, opts);
    }
  }

  /** Where the options ask to send from; undefined where they do not. */
  #localEndIn(opts: UdpSendOptions): LocalEnd | undefined {
    checkOptions(opts, "send");
    const { localAddress: given, ifindex } = opts;
    if (given === undefined && ifindex === undefined) return undefined;
    const index = ifindex === undefined ? undefined : integer(ifindex, "send", "ifindex", 0, 0x7fff_ffff);
    if (given === undefined) return { localAddress: undefined, ifindex: index };
    const local = toAddress(given);
    const { family, port } = this.#address;
    const numeric = local instanceof InetAddress || local instanceof Inet6Address;
    if (!numeric || (family !== local.family && family !== AF_INET6) || (local.port !== 0 && local.port !== port)) {
      const required = `a numeric address of the socket's family with port ${port} or 0`;
      throw new TypeError(`Cannot send: localAddress is ${quote(String(local))}, required ${required}`);
    }
    return { localAddress: local, ifindex: index };
  }

  #controlFor(place: LocalEnd | undefined): readonly ControlToSend[] | undefined {
    if (place === undefined) return undefined;
    const { localAddress, ifindex = 0 } = place;
    if (localAddress === undefined && ifindex === 0) return undefined;
    if (!(this.#address instanceof Inet6Address)) {
      return [{ type: "IP_PKTINFO", spec_dst: localAddress?.host ?? "0.0.0.0", ifindex }];
    }
    const host = localAddress?.host ?? "::";
    return [{ type: "IPV6_PKTINFO", addr: host.includes(":") ? host : `::ffff:${host}`, ifindex }];
  }

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

  /** Closes it. Pending calls reject with `ECANCELED`, later ones with `EBADF`. Never rejects, may be called twice. */
  close(): Promise<void> {
    this.#closing?.release();
    try {
      this.#socket.close();
    } catch {
      // The descriptor is gone whatever close(2) says.
    }
    return Promise.resolve();
  }

  /** The packets, one after the other, until the socket is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Packet> {
    const iterator: AsyncIterableIterator<Packet> = {
      next: async () => {
        try {
          return { done: false, value: await this.receive() };
        } catch (error) {
          if (this.#socket.closed) return END;
          throw error;
        }
      },
      return: () => Promise.resolve(END),
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The machine has lost the address or the interface that a packet came to. */
const LOST_ADDRESS_CODES: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EINVAL", "ENETUNREACH", "ENODEV", "ENXIO"]);

/** Has the kernel tell where each packet comes to, if the socket is at the wildcard; gives its address. */
export function reportLocalAddresses(socket: Socket): HostAddress {
  const address = socket.getsockname() as HostAddress;
  if (isWildcard(address)) socket.setsockopt(address.family === AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO, true);
  return address;
}

/**
 * From where to answer. The way back need not be the way that the packet came, so the interface is left to the route, unless the
 * address has a meaning on its link only, or there is none.
 */
function localEndForAnswer(place: LocalEnd): LocalEnd {
  const { localAddress } = place;
  const linked = localAddress === undefined || (localAddress instanceof Inet6Address && localAddress.scopeid !== 0);
  return linked ? place : { localAddress, ifindex: undefined };
}

const NO_LOCAL_END: LocalEnd = { localAddress: undefined, ifindex: undefined };

function localEndOf(control: readonly ControlMessage[], port: number): LocalEnd {
  for (const message of control) {
    if (message.type === "IP_PKTINFO") {
      return { localAddress: new InetAddress(message.spec_dst, port), ifindex: message.ifindex };
    }
    if (message.type === "IPV6_PKTINFO") {
      const { addr, ifindex } = message;
      const scope = isLinkLocal(addr) ? ifindex : 0;
      const localAddress = isMulticast(addr) ? undefined : new Inet6Address(addr, port, 0, scope);
      return { localAddress, ifindex };
    }
  }
  return NO_LOCAL_END;
}

/** fe80::/10, which has a meaning on its link only. */
function isLinkLocal(host: string): boolean {
  return /^fe[89ab]/i.test(host);
}

/** ff00::/8, or 224.0.0.0/4 and what is beyond: no address that a packet can come from. */
function isMulticast(host: string): boolean {
  const [first = ""] = host.replace(/^::ffff:(?=.*\.)/, "").split(/[.:]/);
  return host.includes(".") ? Number(first) >= 224 : /^ff..$/i.test(first);
}
