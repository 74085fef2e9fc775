// bindUnixDatagram() and connectUnixDatagram(): make a UNIX datagram socket at an endpoint.

import {
  type AddressLike,
  AF_UNIX,
  type EndpointLike,
  formatEndpoint,
  parseEndpoint,
  UnixAddress,
} from "../addr/index.js";
import { checkNames, checkOptions, flag, integer, quote } from "../check/index.js";
import { checkFilter, type PacketFilter } from "../ops/attachFilter.js";
import { SO_RCVBUF, SO_SNDBUF } from "../options/index.js";
import type { Socket } from "../socket/index.js";
import { SOCK_DGRAM } from "../sys/constants.js";
import { toLocalAddress } from "../sys/sockaddr.js";
import { abortSignal } from "../wait/waitOptions.js";
import { checkBufferSize } from "./endpointOptions.js";
import { listenFdNamed } from "./systemd.js";
import { takeDescriptor } from "./takeDescriptor.js";
import { UnixDatagramSocket } from "./unixDatagramSocket.js";
import { bindUnix } from "./unixPath.js";

/** Options of `bindUnixDatagram()` and `connectUnixDatagram()`. Neither call waits, so there is no `timeout`. */
export interface UnixDatagramOptions {
  /** Ends the call: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Size of the receive buffer in bytes: SO_RCVBUF. For UNIX datagrams the kernel applies only the sender's buffer. */
  readonly receiveBuffer?: number | undefined;
  /**
   * Size of the send buffer in bytes: SO_SNDBUF, limited by net.core.wmem_max. A datagram must fit into it, with some
   * overhead of the kernel.
   */
  readonly sendBuffer?: number | undefined;
  /** A packet filter, attached before the first datagram can arrive; see {@link Socket.attachFilter}. */
  readonly filter?: PacketFilter | undefined;
  /** Permissions of the file, such as 0o660. Default: 0o777 without the bits of the umask. */
  readonly mode?: number | undefined;
  /** Whether closing the socket removes its file. Default true. */
  readonly unlink?: boolean | undefined;
}

/** Options of `bindUnixDatagram`. After the call has returned, an abort of `signal` closes the socket. */
export interface BindUnixDatagramOptions extends UnixDatagramOptions {
  /** With `systemd:name`, deletes the variables of the service manager from the environment. Default false. */
  readonly unsetEnv?: boolean | undefined;
}

/** Options of `connectUnixDatagram`. */
export interface ConnectUnixDatagramOptions extends UnixDatagramOptions {
  /**
   * The address to which the peer answers: a path, which gets a file with `mode`, or an abstract name (`unix:@name`).
   * Default `""`: the kernel chooses an abstract name.
   */
  readonly localAddress?: AddressLike | undefined;
}

const COMMON_OPTIONS = ["signal", "receiveBuffer", "sendBuffer", "filter"];
const FILE_OPTIONS = ["mode", "unlink"];
const UNIX_FAMILY = [AF_UNIX];

/**
 * Makes a UNIX datagram socket at a path (`unix:/path`) or at an abstract name (`unix:@name`). `fd:N` and
 * `systemd:name` take a bound socket of this process. If the path is the file of a socket that no process has open, the
 * call replaces the file. Any other file stays, and the call fails with `EADDRINUSE`. The file never has more
 * permissions than `mode`. Closing the socket removes the file. An abort of `signal` closes the socket.
 *
 * @throws SocketError `EADDRINUSE`, `EACCES`, `ENOENT`, `ENOTDIR`, `EROFS`; for a descriptor `EBADF`, `ENOTSOCK`,
 *   `EPROTOTYPE`, `EAFNOSUPPORT`; and others
 * @throws TypeError or RangeError for an endpoint or an option that is wrong or does not apply
 * @see bind(2), unix(7)
 * @example
 * ```ts
 * import { bindUnixDatagram, connectUnixDatagram } from "berkeley";
 *
 * await using server = await bindUnixDatagram("unix:@berkeley-example", { receiveBuffer: 1 << 20 });
 * await using client = await connectUnixDatagram(server.address);
 * await client.send("ping");
 * for await (const { data, address } of server) {
 *   await server.send(`${data.toString()} pong`, address);
 *   break;
 * }
 * console.log((await client.receive()).data.toString()); // prints: ping pong
 * ```
 */
export async function bindUnixDatagram(
  endpoint: EndpointLike,
  opts: BindUnixDatagramOptions = {},
): Promise<UnixDatagramSocket> {
  const { action, address, descriptor } = parseUnixEndpoint(endpoint, "bind");
  checkOptions(opts, action);
  checkNames(
    opts,
    [...COMMON_OPTIONS, ...(descriptor === undefined ? FILE_OPTIONS : ["unsetEnv"])],
    action,
    "this endpoint",
  );
  const checked = checkUnixOptions(opts, action);
  const { mode, signal, unlink } = checked;
  const unsetEnv = flag(opts.unsetEnv, false, action, "unsetEnv");
  refuseModeWithoutFile(address, mode, action);
  signal?.throwIfAborted();
  if (descriptor !== undefined) {
    const fd = typeof descriptor === "number" ? descriptor : listenFdNamed(descriptor, unsetEnv);
    let local!: UnixAddress;
    const taken = takeDescriptor(fd, SOCK_DGRAM, UNIX_FAMILY, "bind", (socket) => {
      applyOptions(socket, checked);
      local = socket.getsockname() as UnixAddress;
    });
    return new UnixDatagramSocket(taken, local, undefined, { removeFile: undefined, unlink: false, signal });
  }
  const { file, socket } = await bindUnix(address, SOCK_DGRAM, mode, {
    prepare: (newSocket) => applyOptions(newSocket, checked),
  });
  const local = socket.getsockname() as UnixAddress;
  return new UnixDatagramSocket(socket, local, undefined, { removeFile: file?.remove, unlink, signal });
}

/**
 * Makes a UNIX datagram socket that sends to one peer, and receives from this peer only. It has an address of its own,
 * so that the peer can answer; see `localAddress`.
 *
 * @throws SocketError `ENOENT`, `EACCES`, `ECONNREFUSED` if no process has the socket of the peer open, `EPROTOTYPE` if
 *   the peer is no datagram socket, `EPERM` if the peer is connected to another socket; for `localAddress` the errors
 *   of {@link bindUnixDatagram}
 * @throws TypeError or RangeError for an endpoint or an option that is wrong
 * @see connect(2), unix(7)
 * @example
 * ```ts
 * import { mkdtempSync, rmSync } from "node:fs";
 * import { bindUnixDatagram, connectUnixDatagram } from "berkeley";
 *
 * const folder = mkdtempSync("/tmp/berkeley-");
 * {
 *   await using server = await bindUnixDatagram(`unix:${folder}/server`, { mode: 0o660 });
 *   await using client = await connectUnixDatagram(`unix:${folder}/server`, { localAddress: `unix:${folder}/client` });
 *   await client.send("hello");
 *   const { address } = await server.receive();
 *   console.log(address.path === `${folder}/client`); // prints: true
 * }
 * rmSync(folder, { recursive: true });
 * ```
 */
export async function connectUnixDatagram(
  endpoint: EndpointLike,
  opts: ConnectUnixDatagramOptions = {},
): Promise<UnixDatagramSocket> {
  const { action, address, descriptor } = parseUnixEndpoint(endpoint, "connect");
  if (descriptor !== undefined)
    throw new TypeError(`Cannot ${action}: the endpoint is a descriptor, required unix:/path`);
  checkOptions(opts, action, [...COMMON_OPTIONS, ...FILE_OPTIONS, "localAddress"]);
  const checked = checkUnixOptions(opts, action);
  const local = toLocalAddress(opts.localAddress ?? "", AF_UNIX);
  if (!(local instanceof UnixAddress)) {
    throw new TypeError(
      `Cannot ${action}: localAddress is ${quote(opts.localAddress)}, required a path or a name of a UNIX socket`,
    );
  }
  refuseModeWithoutFile(local, checked.mode, action);
  checked.signal?.throwIfAborted();
  const { file, socket } = await bindUnix(local, SOCK_DGRAM, checked.mode, {
    prepare: (newSocket) => applyOptions(newSocket, checked),
    start: (bound) => bound.connect(address, { signal: checked.signal }),
  });
  const localAddress = socket.getsockname() as UnixAddress;
  return new UnixDatagramSocket(socket, localAddress, address, {
    removeFile: file?.remove,
    unlink: checked.unlink,
    signal: undefined,
  });
}

/** `UnixDatagramOptions`, checked. */
interface CheckedUnix {
  readonly signal: AbortSignal | undefined;
  readonly filter: PacketFilter | undefined;
  readonly receiveBuffer: number | undefined;
  readonly sendBuffer: number | undefined;
  readonly mode: number | undefined;
  readonly unlink: boolean;
}

function checkUnixOptions(opts: UnixDatagramOptions, action: string): CheckedUnix {
  const { mode } = opts;
  return {
    signal: abortSignal(opts.signal, action),
    filter: opts.filter === undefined ? undefined : checkFilter(opts.filter, action),
    receiveBuffer: checkBufferSize(opts.receiveBuffer, action, "receiveBuffer"),
    sendBuffer: checkBufferSize(opts.sendBuffer, action, "sendBuffer"),
    mode: mode === undefined ? undefined : integer(mode, action, "mode", 0, 0o777),
    unlink: flag(opts.unlink, true, action, "unlink"),
  };
}

/** Refuses `mode` for an address without a file. */
function refuseModeWithoutFile(address: UnixAddress, mode: number | undefined, action: string): void {
  if (mode === undefined || (address.path !== "" && !address.path.startsWith("\0"))) return;
  throw new TypeError(`Cannot ${action}: mode applies to files, required a path and not an abstract name`);
}

/**
 * Sets the options of the socket. The filter is attached first, so that it applies to every datagram of a new socket.
 */
function applyOptions(socket: Socket, { filter, receiveBuffer, sendBuffer }: CheckedUnix): void {
  if (filter !== undefined) socket.attachFilter(filter);
  if (receiveBuffer !== undefined) socket.setsockopt(SO_RCVBUF, receiveBuffer);
  if (sendBuffer !== undefined) socket.setsockopt(SO_SNDBUF, sendBuffer);
}

/** An endpoint of UNIX datagrams, parsed. */
interface UnixTarget {
  readonly action: string;
  readonly address: UnixAddress;
  /** The number of an `fd:` endpoint, or the name of a `systemd:` endpoint. Such an endpoint has no address. */
  readonly descriptor: number | string | undefined;
}

function parseUnixEndpoint(given: EndpointLike, verb: "bind" | "connect"): UnixTarget {
  const endpoint = parseEndpoint(given);
  // For a descriptor, no code reads the address.
  const placeholder = new UnixAddress("unused");
  const action = `${verb} a UNIX datagram socket at ${quote(formatEndpoint(endpoint))}`;
  switch (endpoint.scheme) {
    case "unix":
      return { action, address: endpoint.address, descriptor: undefined };
    case "fd":
      return { action, address: placeholder, descriptor: endpoint.fd };
    case "systemd":
      return { action, address: placeholder, descriptor: endpoint.name };
    default:
      throw new TypeError(`Cannot ${action}: scheme is ${quote(endpoint.scheme)}, required unix`);
  }
}
