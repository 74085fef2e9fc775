// UdpSocket: receives and sends packets, each with its address.
//
// The kernel's receive buffer is the only queue: a packet stays there until a call receives it. When the buffer is
// full, the kernel drops new packets and counts them. So `receiveBuffer` limits the memory.
//
// A socket at the wildcard receives packets to all addresses of the machine. When the socket sends, the kernel chooses
// the source address by the route. If that is not the address to which the client has sent, the client, a firewall or a
// NAT drops the answer.
//
// So on such a socket the kernel reports the local address of each packet (IP_PKTINFO of ip(7), IPV6_RECVPKTINFO of RFC
// 3542). A WeakMap stores the local address under the `address` object of the packet. `send()` to this object uses the
// stored address as the source. If the machine no longer has the stored address, the kernel chooses one.

import { type AddressLike, AF_INET6, Inet6Address, InetAddress, toAddress } from "../addr/index.js";
import { checkOptions, quote } from "../check/index.js";
import { SocketError } from "../errors/index.js";
import type { Data, IoOptions } from "../io.js";
import { type Socket, dropDefaultTimeout } from "../socket/index.js";
import type { ControlMessage, ControlToSend } from "../cmsg/index.js";
import { IP_PKTINFO, IPV6_RECVPKTINFO, type NetworkInterface, SO_MEMINFO } from "../options/index.js";
import type { SocketDescription } from "../ops/describeSocket.js";
import { makeDescribable, describe, Inspectable } from "../registry/index.js";
import { interfaceIndex } from "../sys/interfaceIndex.js";
import { changeMembership, type GroupOptions } from "./multicastGroups.js";
import { isWildcard } from "./connectAttempt.js";
import { ClosingSignal } from "./closingSignal.js";
import { iterateUntilClosed } from "./iterateUntilClosed.js";
import type { HostAddress } from "./resolveHost.js";
import { WAIT_NAMES } from "../wait/waitOptions.js";

/** `data` and `address` are allowed, because a whole packet can be passed as the options. */
const SEND_NAMES: readonly string[] = [...WAIT_NAMES, "localAddress", "ifindex", "data", "address"];

/** A received datagram. */
export interface Packet {
  /** All bytes of the datagram. The Buffer belongs to the caller. */
  readonly data: Buffer;
  /** The address of the sender. */
  readonly address: HostAddress;
  /**
   * The address of this machine that the packet was sent to, with the socket's port. For a multicast or broadcast
   * packet of IPv4, the address that the kernel would answer from. Undefined for a multicast packet of IPv6, and on a
   * socket that is bound to a multicast address.
   */
  readonly localAddress: HostAddress | undefined;
  /** Index of the receiving interface. Undefined if the socket is bound to one address, or connected. */
  readonly ifindex: number | undefined;
}

/**
 * Options of {@link UdpSocket.send}. They can be a received {@link Packet}; `send()` then answers from its local
 * address.
 */
export interface UdpSendOptions extends IoOptions {
  /** The source address: numeric, with the socket's own port or 0. Default: the kernel chooses. */
  readonly localAddress?: AddressLike | undefined;
  /** The sending interface: its index, its name, or one of its addresses. Default: the route decides. */
  readonly ifindex?: NetworkInterface | undefined;
}

/** The local address and the interface of a packet; undefined where the kernel chooses. */
interface LocalEnd {
  readonly localAddress: HostAddress | undefined;
  readonly ifindex: number | undefined;
}

/** The counters of a {@link UdpSocket}. */
export interface UdpStats {
  /** Datagrams that were received. */
  readonly received: number;
  /** Datagrams that were sent. */
  readonly sent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Datagrams that the kernel has dropped because the receive buffer was full. */
  readonly dropped: number;
}

/** The fields of a {@link UdpSocket} in JSON. Both addresses stay after `close()`. */
export interface UdpDescription extends SocketDescription {
  readonly stats: UdpStats;
}

/** The maximum size of a UDP datagram: its length field has 16 bits (RFC 768). */
const MAX_DATAGRAM = 65_535;

/** A UDP socket: the result of `bindUdp()` and `connectUdp()`. */
export class UdpSocket extends Inspectable<UdpDescription> implements AsyncIterable<Packet> {
  static {
    makeDescribable<UdpSocket, UdpDescription>(UdpSocket.prototype, "UdpSocket", (udp) => ({
      ...(describe(udp.#socket) as SocketDescription),
      local: String(udp.#address),
      peer: udp.#remote === undefined ? null : String(udp.#remote),
      stats: udp.stats(),
    }));
  }

  readonly #socket: Socket;
  readonly #address: HostAddress;
  readonly #remote: HostAddress | undefined;
  /** The local address of all packets, if there is only one. */
  readonly #onlyLocalAddress: HostAddress | undefined;
  /** Whether the kernel reports the local address of each packet. */
  readonly #reportsLocalAddress: boolean;
  /** The local end of a packet, by the `address` object of the packet. */
  readonly #localEnds = new WeakMap<object, LocalEnd>();
  readonly #closingSignal: ClosingSignal | undefined;
  #dropped = 0;

  /** @internal */
  constructor(socket: Socket, address: HostAddress, remote: HostAddress | undefined, signal: AbortSignal | undefined) {
    super();
    this.#socket = socket;
    dropDefaultTimeout(socket);
    this.#address = address;
    this.#remote = remote;
    this.#reportsLocalAddress = remote === undefined && isWildcard(address);
    this.#onlyLocalAddress = this.#reportsLocalAddress || isMulticast(address.host) ? undefined : address;
    if (signal !== undefined) this.#closingSignal = new ClosingSignal(signal, () => void this.close());
  }

  /** The local address, with the port that the kernel chose if 0 was requested. It stays readable after `close()`. */
  get address(): HostAddress {
    return this.#address;
  }

  /** The peer of a connected socket. */
  get remoteAddress(): HostAddress | undefined {
    return this.#remote;
  }

  /** The `Socket`, for options, multicast and batches of packets. */
  get socket(): Socket {
    return this.#socket;
  }

  /**
   * The counters of the socket, also after `close()`. They include the datagrams of batches on `socket`, but not the
   * bytes of batches.
   */
  stats(): UdpStats {
    const { bytesReceived, bytesSent, reads, writes } = this.#socket.stats();
    return { received: reads, sent: writes, bytesReceived, bytesSent, dropped: this.#readDropped() };
  }

  /** Reads the kernel's count of dropped packets; after `close()` the last known value. */
  #readDropped(): number {
    if (!this.#socket.closed) this.#dropped = this.#socket.getsockopt(SO_MEMINFO).drops;
    return this.#dropped;
  }

  /**
   * Receives the next packet, or waits for it. If several calls wait, they get packets in the order of the calls.
   *
   * @throws SocketError `ECONNREFUSED` on a connected socket if an earlier packet was refused, `ETIMEDOUT`, `ECANCELED`
   *   if the socket is closed during the call, `EBADF` if it was closed before
   * @throws the reason of `signal`
   * @see recvfrom(2)
   */
  async receive(opts?: IoOptions): Promise<Packet> {
    if (!this.#reportsLocalAddress) {
      const [data, address] = await this.#socket.recvfrom(MAX_DATAGRAM, opts);
      return { data, address: address as HostAddress, localAddress: this.#onlyLocalAddress, ifindex: undefined };
    }
    const { data, address, control } = await this.#socket.recvmsg(MAX_DATAGRAM, opts);
    const from = address as HostAddress;
    const localEnd = localEndOf(control, this.#address.port);
    this.#localEnds.set(from, localEnd);
    return { data, address: from, localAddress: localEnd.localAddress, ifindex: localEnd.ifindex };
  }

  /**
   * Sends one packet to `address`, or to the peer of a connected socket. It waits only while the send buffer is full. A
   * host name is resolved in each call.
   *
   * On a socket at the wildcard, pass the `address` object of a received packet: then the answer leaves from the
   * address that the packet was sent to, as long as this machine has it. `localAddress` and `ifindex` override that.
   * A copy of the `address` object is not recognised. With a copy, pass the packet as the options.
   *
   * @throws SocketError `EMSGSIZE`, `ENETUNREACH`, `EACCES`; `EDESTADDRREQ` without an address on a socket that is not
   *   connected; `ECONNREFUSED` on a connected socket if an earlier packet was refused; `EINVAL` or `ENETUNREACH` for a
   *   `localAddress` that this machine lacks; and others
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
    const requested = opts === undefined ? undefined : this.#requestedLocalEnd(opts);
    const mayBeAnswer = requested === undefined && typeof address === "object";
    const received = mayBeAnswer ? this.#localEnds.get(address) : undefined;
    const control = this.#controlFor(received === undefined ? requested : localEndForAnswer(received));
    if (control === undefined) {
      // The returned count is not needed, because a datagram is sent completely or not at all.
      await (address === undefined ? this.#socket.send(data, opts) : this.#socket.sendto(data, address, opts));
      return;
    }
    const { timeout, signal } = opts ?? {};
    try {
      await this.#socket.sendmsg(data, { address, control, timeout, signal });
    } catch (error) {
      const addressIsLost = error instanceof SocketError && LOST_ADDRESS_CODES.has(error.code);
      if (received === undefined || !addressIsLost) throw error;
      await this.#socket.sendto(data, address!, opts);
    }
  }

  /** The local end that the options request; undefined if they request none. */
  #requestedLocalEnd(opts: UdpSendOptions): LocalEnd | undefined {
    checkOptions(opts, "send", SEND_NAMES, "send(data, [host, port])");
    const { localAddress: given, ifindex } = opts;
    if (given === undefined && ifindex === undefined) return undefined;
    const index = ifindex === undefined ? undefined : interfaceIndex(ifindex, "send", "ifindex");
    if (given === undefined) return { localAddress: undefined, ifindex: index };
    const local = toAddress(given);
    const { family, port } = this.#address;
    const isNumeric = local instanceof InetAddress || local instanceof Inet6Address;
    const fits = (address: HostAddress): boolean =>
      (family === address.family || family === AF_INET6) && (address.port === 0 || address.port === port);
    if (!isNumeric || !fits(local)) {
      const required = `a numeric address of the socket's family with port ${port} or 0`;
      throw new TypeError(`Cannot send: localAddress is ${quote(String(local))}, required ${required}`);
    }
    return { localAddress: local, ifindex: index };
  }

  /** The control data that makes the kernel use a local end; undefined if the kernel may choose. */
  #controlFor(localEnd: LocalEnd | undefined): readonly ControlToSend[] | undefined {
    if (localEnd === undefined) return undefined;
    const { localAddress, ifindex = 0 } = localEnd;
    if (localAddress === undefined && ifindex === 0) return undefined;
    if (!(this.#address instanceof Inet6Address)) {
      return [{ type: "IP_PKTINFO", spec_dst: localAddress?.host ?? "0.0.0.0", ifindex }];
    }
    const host = localAddress?.host ?? "::";
    return [{ type: "IPV6_PKTINFO", addr: host.includes(":") ? host : `::ffff:${host}`, ifindex }];
  }

  /**
   * Joins a multicast group: from now on the socket receives packets that are sent to `group` and its own port. With
   * `source` it receives only packets of that host, even if it joined the group without a source before. `group` and
   * `source` are numeric addresses of IPv4 or IPv6. A socket at the wildcard of both families can join groups of both.
   * Membership ends with `leave()` and with `close()`.
   *
   * Without `interface`, the kernel takes the interface of the route to the group. A program that must work on machines
   * without such a route, or with several interfaces, passes `interface`, and calls `join()` for each of them.
   *
   * @throws SocketError `EADDRINUSE` if the socket has joined the group on this interface, `EADDRNOTAVAIL` if it has
   *   joined this source; `ENODEV` if there is no such interface, or no route and no `interface`; `ENOBUFS` above
   *   `net.ipv4.igmp_max_memberships`, `EBADF` after `close()`
   * @throws TypeError or RangeError for an argument that is wrong
   * @see ip(7), ipv6(7), RFC 3678 (MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP)
   * @example
   * ```ts
   * import { bindUdp, IP_MULTICAST_IF } from "berkeley";
   *
   * await using receiver = await bindUdp("udp://0.0.0.0:0");
   * receiver.join("239.1.2.3", { interface: "lo" });
   *
   * await using sender = await bindUdp("udp://127.0.0.1:0");
   * sender.socket.setsockopt(IP_MULTICAST_IF, "lo");
   * await sender.send("to the group", ["239.1.2.3", receiver.address.port]);
   * console.log((await receiver.receive()).data.toString()); // prints: to the group
   * receiver.leave("239.1.2.3", { interface: "lo" });
   * ```
   */
  join(group: string, opts?: GroupOptions): void {
    changeMembership(this.#socket, "join", group, opts);
  }

  /**
   * Leaves a multicast group, with the same arguments as `join()`. With `source` it leaves only that source; leaving
   * the last source leaves the group. Without `source` it leaves the group with all its sources. Without `interface`,
   * it leaves a group of IPv4 on the interface of the route, and the latest membership of a group of IPv6.
   *
   * @throws SocketError `EADDRNOTAVAIL` if the socket has not joined the group on this interface; `EINVAL` for a source
   *   of a group that the socket has not joined; `ENODEV`, `EBADF`
   * @throws TypeError or RangeError for an argument that is wrong
   * @see ip(7), ipv6(7), RFC 3678 (MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP)
   */
  leave(group: string, opts?: GroupOptions): void {
    changeMembership(this.#socket, "leave", group, opts);
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

  /** Closes the socket. Pending calls reject with `ECANCELED`, later calls with `EBADF`. The promise never rejects. */
  close(): Promise<void> {
    this.#closingSignal?.release();
    try {
      this.#readDropped();
    } catch {
      // getsockopt(2) has failed. The last known value stays.
    }
    try {
      this.#socket.close();
    } catch {
      // The descriptor is closed even if close(2) fails.
    }
    return Promise.resolve();
  }

  /** The packets, one after the other, until the socket is closed. Leaving the loop does not close it. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Packet> {
    return iterateUntilClosed(this.#socket, () => this.receive());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Codes of sendmsg(2) if the machine no longer has the address or the interface of the packet. */
const LOST_ADDRESS_CODES: ReadonlySet<string> = new Set(["EADDRNOTAVAIL", "EINVAL", "ENETUNREACH", "ENODEV", "ENXIO"]);

/** If the socket is at the wildcard, makes the kernel report the local address of each packet. Returns the address. */
export function reportLocalAddresses(socket: Socket): HostAddress {
  const address = socket.getsockname() as HostAddress;
  if (isWildcard(address)) socket.setsockopt(address.family === AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO, true);
  return address;
}

/**
 * The local end of an answer. `localEnd` is that of the packet. If its address is link-local or unknown, the answer
 * leaves from the interface of the packet. Otherwise the route decides, because the answer may need another interface.
 */
function localEndForAnswer(localEnd: LocalEnd): LocalEnd {
  const { localAddress } = localEnd;
  const needsInterface =
    localAddress === undefined || (localAddress instanceof Inet6Address && localAddress.scopeid !== 0);
  return needsInterface ? localEnd : { localAddress, ifindex: undefined };
}

const NO_LOCAL_END: LocalEnd = { localAddress: undefined, ifindex: undefined };

/** The local end that the control data of a packet reports. */
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

/** Whether `host` is in fe80::/10. */
function isLinkLocal(host: string): boolean {
  return /^fe[89ab]/i.test(host);
}

/** Whether `host` is in ff00::/8, or at least 224.0.0.0 (multicast and above). Such an address can't be a source. */
function isMulticast(host: string): boolean {
  const withoutMapping = host.replace(/^::ffff:(?=.*\.)/, "");
  const [firstPart = ""] = withoutMapping.split(/[.:]/);
  return host.includes(".") ? Number(firstPart) >= 224 : /^ff..$/i.test(firstPart);
}
