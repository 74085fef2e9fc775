// bindUdp() and connectUdp(): make a UDP socket at an endpoint.

import {
  type AddressLike,
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  HostPort,
  InetAddress,
  parseEndpoint,
  parseLocalEndpoint,
} from "../addr/index.js";
import { checkNames, checkOptions, flag, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";
import { checkFilter, type PacketFilter } from "../ops/attachFilter.js";
import { Socket } from "../socket/index.js";
import { calls } from "../sys/calls.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import {
  IPV6_V6ONLY,
  SO_BINDTODEVICE,
  SO_BROADCAST,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
} from "../options/index.js";
import { resolveNow } from "../netdb/resolve.js";
import { takeDescriptor } from "./takeDescriptor.js";
import { bindFirst, lastErrorOf, wildcardAddresses } from "./bindFirst.js";
import {
  checkBufferSize,
  checkDevice,
  checkFunction,
  type CheckedWait,
  checkLocal,
  checkWait,
  remainingWait,
} from "./endpointOptions.js";
import { type HostAddress, type HostFamily, resolveAddresses, type Resolver } from "./resolveHost.js";
import { listenFdNamed } from "./systemd.js";
import { namesOf, registerGate, registerSocket } from "./upgradeSockets.js";
import { findInheritance } from "./inherited.js";
import { refuseChanges } from "./refuseChanges.js";
import { reportLocalAddresses, UdpSocket } from "./udpSocket.js";

/**
 * Options of `bindUdp()` and `connectUdp()`. `timeout` limits the lookup, and the wait of `connectUdp()` for a free
 * port. `signal` ends the call.
 */
export interface UdpOptions extends IoOptions {
  /** Size of the receive buffer in bytes, without the kernel's overhead: SO_RCVBUF, limited by net.core.rmem_max. */
  readonly receiveBuffer?: number | undefined;
  /** Size of the send buffer in bytes: SO_SNDBUF, limited by net.core.wmem_max. */
  readonly sendBuffer?: number | undefined;
  /** Allows sending to broadcast addresses: SO_BROADCAST. Default false. */
  readonly broadcast?: boolean | undefined;
  /** A packet filter, attached before the first packet can arrive; see {@link Socket.attachFilter}. */
  readonly filter?: PacketFilter | undefined;
  /** Uses only this interface: SO_BINDTODEVICE. */
  readonly bindToDevice?: string | undefined;
  /** Finds the addresses of a name. Default: getaddrinfo(3), on another thread. */
  readonly resolver?: Resolver | undefined;
}

/** Options of `bindUdp`. After the call has returned, an abort of `signal` closes the socket. */
export interface BindUdpOptions extends UdpOptions {
  /** Shares the address with other sockets that have this option, as for multicast: SO_REUSEADDR. Default false. */
  readonly reuseAddr?: boolean | undefined;
  /** Lets the kernel distribute packets among the sockets at this address: SO_REUSEPORT. Default false. */
  readonly reusePort?: boolean | undefined;
  /** Receives no IPv4 packets at `[::]`: IPV6_V6ONLY. Default false. */
  readonly ipv6Only?: boolean | undefined;
  /** With `systemd:name`, deletes the variables of the service manager from the environment. Default false. */
  readonly unsetEnv?: boolean | undefined;
}

/** Options of `connectUdp`. */
export interface ConnectUdpOptions extends UdpOptions {
  /** The local address: numeric, or `["", port]`. */
  readonly localAddress?: AddressLike | undefined;
}

const COMMON_OPTIONS = [
  "timeout",
  "signal",
  "receiveBuffer",
  "sendBuffer",
  "broadcast",
  "filter",
  "bindToDevice",
  "resolver",
];
/** The options of bindUdp() for an address. */
const BIND_OPTIONS = [...COMMON_OPTIONS, "reuseAddr", "reusePort", "ipv6Only"];
const FAMILIES: readonly number[] = [AF_INET6, AF_INET];
/** The options of bindUdp() for a descriptor. */
const DESCRIPTOR_OPTIONS = ["signal", "receiveBuffer", "sendBuffer", "broadcast", "filter"];

/**
 * Makes a UDP socket at an address: `udp://host:port`, or `["", port]` for all addresses of both families. `fd:N` and
 * `systemd:name` take a bound socket of this process. For port 0 the kernel chooses the port. An abort of `signal`
 * closes the socket.
 *
 * A socket at the wildcard answers a packet from the address that the packet was sent to; see {@link UdpSocket.send}.
 *
 * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`, `EPROTOTYPE` (a descriptor of another
 *   type), `EAI_NONAME`; and others
 * @throws TypeError or RangeError for an endpoint or an option that is wrong or does not apply
 * @see bind(2), udp(7)
 * @example
 * ```ts
 * import { bindUdp, connectUdp } from "berkeley";
 *
 * await using server = await bindUdp("udp://127.0.0.1:0", { receiveBuffer: 1 << 20 });
 * await using client = await connectUdp(server.address);
 * await client.send("ping");
 * for await (const { data, address } of server) {
 *   await server.send(`${data.toString()} pong`, address);
 *   break;
 * }
 * console.log((await client.receive()).data.toString()); // prints: ping pong
 * ```
 */
export async function bindUdp(endpoint: EndpointLike, opts: BindUdpOptions = {}): Promise<UdpSocket> {
  const target = parseUdpEndpoint(endpoint, "bind");
  const { action } = target;
  checkOptions(opts, action, undefined, "bindUdp({ host, port })");
  checkNames(
    opts,
    target.descriptor === undefined ? BIND_OPTIONS : [...DESCRIPTOR_OPTIONS, "unsetEnv"],
    action,
    "this endpoint",
  );
  const checked = checkUdp(opts, action);
  const reuseAddr = flag(opts.reuseAddr, false, action, "reuseAddr");
  const reusePort = flag(opts.reusePort, false, action, "reusePort");
  const ipv6Only = flag(opts.ipv6Only, false, action, "ipv6Only");
  const unsetEnv = flag(opts.unsetEnv, false, action, "unsetEnv");
  checked.signal?.throwIfAborted();
  const receiving = findInheritance();
  const inheritance = receiving === undefined ? undefined : await receiving;
  const inherited = inheritance?.take(namesOf(target.endpoint), SOCK_DGRAM)?.socket;
  if (inherited !== undefined) {
    try {
      if (target.descriptor === undefined) refuseChanges(inherited, { reusePort, ipv6Only });
      applyUdp(inherited, checked);
      const udp = new UdpSocket(inherited, reportLocalAddresses(inherited), undefined, checked.signal);
      registerGate(udp, inheritance!.gate);
      return register(udp, target);
    } catch (error) {
      inherited.close();
      throw error;
    }
  }
  const { address, descriptor } = target;
  if (descriptor !== undefined) {
    const fd = typeof descriptor === "number" ? descriptor : listenFdNamed(descriptor, unsetEnv);
    let local!: HostAddress;
    const taken = takeDescriptor(fd, SOCK_DGRAM, FAMILIES, "bind", (socket) => {
      applyUdp(socket, checked);
      local = reportLocalAddresses(socket);
    });
    return register(new UdpSocket(taken, local, undefined, checked.signal), target);
  }
  const bind = (local: HostAddress): Promise<BoundSocket> =>
    makeSocket(local.family, checked, async (socket) => {
      if (reuseAddr) socket.setsockopt(SO_REUSEADDR, true);
      if (reusePort) socket.setsockopt(SO_REUSEPORT, true);
      if (local.family === AF_INET6) socket.setsockopt(IPV6_V6ONLY, ipv6Only);
      else if (ipv6Only) {
        throw new TypeError(
          `Cannot ${action}: ${String(local)} is an address of IPv4, required one of IPv6 with ipv6Only`,
        );
      }
      await socket.bind(local);
      return reportLocalAddresses(socket);
    });
  const addresses =
    wildcardAddresses(address, ipv6Only) ?? (await addressesOf(address, ipv6Only ? AF_INET6 : AF_UNSPEC, checked));
  const bound = await bindFirst(addresses, bind, action);
  return register(new UdpSocket(bound.socket, bound.address, undefined, checked.signal), target);
}

/** Registers the socket, so that `upgrade()` can pass it to a new program. Returns the same socket. */
function register(socket: UdpSocket, { endpoint }: UdpTarget): UdpSocket {
  registerSocket(socket, endpoint);
  return socket;
}

/**
 * Makes a connected UDP socket. It sends to one peer and receives from this peer only. Its calls reject with
 * `ECONNREFUSED` if the peer has no socket at the port. If a name has several addresses, the call uses the first one
 * that has a route. The call sends no packet.
 *
 * @throws SocketError `ENETUNREACH`, `EADDRNOTAVAIL`, `EACCES`, `EAI_NONAME`; and others. If several addresses have
 *   failed, `cause` is an AggregateError
 * @throws TypeError or RangeError for an endpoint or an option that is wrong
 * @see connect(2), udp(7)
 * @example
 * ```ts
 * import { connectUdp } from "berkeley";
 *
 * await using socket = await connectUdp("udp://127.0.0.1:9");
 * console.log(String(socket.remoteAddress)); // prints: 127.0.0.1:9
 * ```
 */
export async function connectUdp(endpoint: EndpointLike, opts: ConnectUdpOptions = {}): Promise<UdpSocket> {
  const { action, address, descriptor } = parseUdpEndpoint(endpoint, "connect");
  if (descriptor !== undefined || (address instanceof HostPort && address.host === "")) {
    throw new TypeError(`Cannot ${action}: the endpoint is a wildcard or a descriptor, required udp://host:port`);
  }
  checkOptions(opts, action, undefined, "connectUdp({ host, port })");
  checkNames(opts, [...COMMON_OPTIONS, "localAddress"], action, "connectUdp()");
  const checked = checkUdp(opts, action);
  const local = checkLocal(opts.localAddress, action);
  checked.signal?.throwIfAborted();
  const errors: unknown[] = [];
  for (const remote of await addressesOf(address, AF_UNSPEC, checked)) {
    try {
      const bound = await makeSocket(remote.family, checked, async (socket) => {
        if (local !== undefined) await socket.bind(local);
        // connect(2) of UDP waits only while no port is free.
        await socket.connect(remote, remainingWait(checked));
        return socket.getsockname() as HostAddress;
      });
      return new UdpSocket(bound.socket, bound.address, remote, undefined);
    } catch (error) {
      errors.push(error);
    }
  }
  throw lastErrorOf(errors, `Cannot ${action}`);
}

/** `UdpOptions`, checked. */
interface CheckedUdp extends CheckedWait {
  readonly receiveBuffer: number | undefined;
  readonly sendBuffer: number | undefined;
  readonly broadcast: boolean;
  readonly filter: PacketFilter | undefined;
  readonly device: string | undefined;
  readonly resolver: Resolver | undefined;
}

function checkUdp(opts: UdpOptions, action: string): CheckedUdp {
  const { resolver } = opts;
  checkFunction(resolver, action, "resolver");
  return {
    ...checkWait(opts, action),
    receiveBuffer: checkBufferSize(opts.receiveBuffer, action, "receiveBuffer"),
    sendBuffer: checkBufferSize(opts.sendBuffer, action, "sendBuffer"),
    broadcast: flag(opts.broadcast, false, action, "broadcast"),
    filter: opts.filter === undefined ? undefined : checkFilter(opts.filter, action),
    device: checkDevice(opts.bindToDevice, action),
    resolver,
  };
}

/** An endpoint of UDP, parsed. */
interface UdpTarget {
  readonly endpoint: Endpoint;
  readonly action: string;
  readonly address: HostAddress | HostPort;
  /** The number of an `fd:` endpoint, or the name of a `systemd:` endpoint. Such an endpoint has no address. */
  readonly descriptor: number | string | undefined;
}

/** Parses an endpoint. A host and a port without a scheme are a udp endpoint here. */
function parseUdpEndpoint(given: EndpointLike, verb: "bind" | "connect"): UdpTarget {
  const hasScheme = typeof given === "string" || (typeof given === "object" && given !== null && "scheme" in given);
  const endpoint = verb === "bind" ? parseLocalEndpoint(given) : parseEndpoint(given);
  // The parser takes a host and a port without a scheme for a tcp endpoint.
  const action = `${verb} UDP at ${quote(formatEndpoint(endpoint).replace(/^tcp:/, hasScheme ? "tcp:" : "udp:"))}`;
  // For a descriptor, no code reads the address.
  const placeholder = new InetAddress("0.0.0.0", 0);
  if (endpoint.scheme === "fd") return { endpoint, action, address: placeholder, descriptor: endpoint.fd };
  if (endpoint.scheme === "systemd") return { endpoint, action, address: placeholder, descriptor: endpoint.name };
  if (endpoint.scheme === "udp" || (endpoint.scheme === "tcp" && !hasScheme)) {
    return { endpoint: { ...endpoint, scheme: "udp" }, action, address: endpoint.address, descriptor: undefined };
  }
  throw new TypeError(`Cannot ${action}: scheme is ${quote(endpoint.scheme)}, required udp`);
}

/** The addresses of a host, in order. A literal needs no lookup. */
async function addressesOf(
  target: HostAddress | HostPort,
  family: HostFamily | typeof AF_UNSPEC,
  checked: CheckedUdp,
): Promise<readonly HostAddress[]> {
  // resolveNow() uses its family only for the wildcard. The callers do not pass the wildcard.
  const literal = target instanceof HostPort ? resolveNow(calls, target, { family: AF_INET6 }) : target;
  return literal === undefined ? resolveAddresses(target as HostPort, family, checked) : [literal as HostAddress];
}

/** A socket and its local address. */
interface BoundSocket {
  readonly socket: Socket;
  readonly address: HostAddress;
}

/** Makes a socket with the options. `prepare` binds or connects the socket, and returns its local address. */
async function makeSocket(
  family: number,
  checked: CheckedUdp,
  prepare: (socket: Socket) => Promise<HostAddress>,
): Promise<BoundSocket> {
  const socket = new Socket(family, SOCK_DGRAM);
  try {
    applyUdp(socket, checked);
    return { socket, address: await prepare(socket) };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Sets the options of the socket. The filter is attached first, so that it applies to every packet of a new socket. */
function applyUdp(socket: Socket, checked: CheckedUdp): void {
  if (checked.filter !== undefined) socket.attachFilter(checked.filter);
  if (checked.receiveBuffer !== undefined) socket.setsockopt(SO_RCVBUF, checked.receiveBuffer);
  if (checked.sendBuffer !== undefined) socket.setsockopt(SO_SNDBUF, checked.sendBuffer);
  if (checked.broadcast) socket.setsockopt(SO_BROADCAST, true);
  if (checked.device !== undefined) socket.setsockopt(SO_BINDTODEVICE, checked.device);
}
