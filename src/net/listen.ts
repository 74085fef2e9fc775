// listen(): makes a listener on an endpoint.

import {
  type Address,
  AF_INET6,
  AF_UNSPEC,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  type HostEndpoint,
  type HostPort,
  type Inet6Address,
  type InetAddress,
  type InetAt,
  parseLocalEndpoint,
  type FdEndpointLike,
  type TcpEndpointLike,
  type TlsEndpointLike,
  type UnixAddress,
  type UnixEndpointLike,
  type VsockAddress,
  type VsockEndpointLike,
} from "../addr/index.js";
import { checkNames, checkOptions, flag, int32, integer, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";
import { Socket, type SocketConn } from "../socket/index.js";
import type { TlsConn } from "../tls/index.js";
import type { StreamOptions } from "../stream/index.js";
import { localError } from "../wait/localError.js";
import { calls } from "../sys/calls.js";
import { SOCK_STREAM, SOMAXCONN } from "../sys/constants.js";
import {
  IPV6_V6ONLY,
  SO_ACCEPTCONN,
  SO_BINDTODEVICE,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SO_REUSEPORT,
  TCP_NODELAY,
} from "../options/index.js";
import { resolveNow } from "../netdb/resolve.js";
import { takeDescriptor } from "./takeDescriptor.js";
import { bindFirst, wildcardAddresses } from "./bindFirst.js";
import { listenEvents } from "./callEvents.js";
import {
  applyTcp,
  checkDevice,
  type CheckedTcp,
  type CheckedWait,
  checkStreamLimits,
  checkTcp,
  checkWait,
  isTcpSocket,
  STREAM_FAMILIES,
  STREAM_OPTIONS,
  TCP_OPTIONS,
  type TcpOptions,
} from "./endpointOptions.js";
import { type HostAddress, resolveAddresses } from "./resolveHost.js";
import { addressOrClose, type ListenAddress, SocketListener } from "./socketListener.js";
import { listenFdNamed } from "./systemd.js";
import { prepareListenerTls, type TlsListenOptions } from "./endpointTls.js";
import { TlsSocketListener } from "./tlsSocketListener.js";
import { bindUnix, setMode, type UnixFile } from "./unixPath.js";
import { namesOf, registerSocket } from "./upgradeSockets.js";
import type { Inheritance } from "./inheritance.js";
import { findInheritance } from "./inherited.js";
import { refuseChanges } from "./refuseChanges.js";

/**
 * Options of `listen()`, and the limits of accepted streams. `timeout` limits the lookup. An abort of `signal` ends the
 * call. After the call has returned, an abort closes the listener.
 */
export interface ListenOptions extends IoOptions, StreamOptions, TcpOptions {
  /** Length of the accept queue, limited by net.core.somaxconn. Default SOMAXCONN. */
  readonly backlog?: number | undefined;
  /** Allows a port that has old connections in TIME-WAIT: SO_REUSEADDR. Default true. */
  readonly reuseAddr?: boolean | undefined;
  /** Lets the kernel distribute connections among the sockets that listen at this port: SO_REUSEPORT. Default false. */
  readonly reusePort?: boolean | undefined;
  /** Accepts no IPv4 connections at `[::]`: IPV6_V6ONLY. Default false. */
  readonly ipv6Only?: boolean | undefined;
  /** Listens on this interface only: SO_BINDTODEVICE. */
  readonly bindToDevice?: string | undefined;
  /** Permissions of the file of a UNIX socket, such as 0o660. Default: 0o777 without the bits of the umask. */
  readonly mode?: number | undefined;
  /** Whether closing the listener removes the file of a UNIX socket; see {@link SocketListener.close}. Default true. */
  readonly unlink?: boolean | undefined;
  /** With `systemd:name`, deletes the variables of the service manager from the environment. Default false. */
  readonly unsetEnv?: boolean | undefined;
  /** For a `tls://` endpoint: keys, certificates and the limits of handshakes. */
  readonly tls?: TlsListenOptions | undefined;
}

const BIND_OPTIONS = ["timeout", "signal", "backlog", "reuseAddr", "reusePort", "ipv6Only", "bindToDevice"];
/** The options that apply to each kind of endpoint. */
export const LISTEN_OPTIONS: Readonly<Record<Endpoint["scheme"], readonly string[]>> = {
  tcp: [...STREAM_OPTIONS, ...TCP_OPTIONS, ...BIND_OPTIONS],
  tls: [...STREAM_OPTIONS, ...TCP_OPTIONS, ...BIND_OPTIONS, "tls"],
  unix: [...STREAM_OPTIONS, "signal", "backlog", "mode", "unlink"],
  vsock: [...STREAM_OPTIONS, "signal", "backlog"],
  fd: [...STREAM_OPTIONS, ...TCP_OPTIONS, "signal", "backlog"],
  systemd: [...STREAM_OPTIONS, ...TCP_OPTIONS, "signal", "backlog", "unsetEnv"],
  udp: [],
};

/**
 * Listens on `tls://host:port`. It listens as on `tcp://`, and `accept()` returns a connection after its TLS handshake.
 * The stream's `conn` is a {@link TlsConn}. `tls` requires `cert` and `key`, `pfx`, or a `context` with them. The
 * listener calls `onHandshakeError` for each failed handshake.
 *
 * @throws TlsError for a key or certificate that can't be used
 * @throws the errors of listening on other endpoints
 * @see RFC 8446, RFC 6066, RFC 7301
 * @example
 * ```ts
 * import { execFileSync } from "node:child_process";
 * import { connect, listen, type TlsError } from "berkeley";
 *
 * // A key and a certificate for this example.
 * const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout - -out -".split(" ");
 * const names = ["-addext", "subjectAltName=DNS:localhost"];
 * const pem = execFileSync("openssl", [...args, ...names], { stdio: ["ignore", "pipe", "ignore"] });
 *
 * let onHandshakeError!: (error: unknown) => void;
 * const failed = new Promise<unknown>((resolve) => (onHandshakeError = resolve));
 * await using listener = await listen("tls://[::]:8888", { tls: { cert: pem, key: pem, onHandshakeError } });
 * const accepting = listener.accept();
 * await using stranger = await connect("tcp://127.0.0.1:8888");
 * await stranger.write("GET / HTTP/1.1\r\n\r\n");
 * await using client = await connect("tls://localhost:8888", { tls: { ca: pem } });
 * await using stream = await accepting;
 * console.log(stream.conn.servername); // prints: localhost
 * console.log(((await failed) as TlsError).code); // prints: ERR_TLS_PLAINTEXT_PEER
 * ```
 */
export function listen(endpoint: TlsEndpointLike, opts: ListenOptions): Promise<TlsSocketListener>;
/**
 * Listens on an endpoint: `tcp://host:port`, `tls://host:port`, `unix:/path`, `unix:@name`, `vsock://cid:port`, `fd:N`
 * (a listening socket of this process) or `systemd:name` (a socket that the service manager passed under this name).
 *
 * `tcp://[::]:port` accepts IPv4 connections too. So does `["", port]`, which also works without IPv6. If a name has
 * several addresses, the call uses the first one, in the resolver's order, that this machine has.
 *
 * The file of a UNIX socket has its `mode` before any process can connect. The call replaces a file whose socket no
 * process has open. Closing the listener removes the file. An abort of `signal` closes the listener.
 *
 * @throws SocketError `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EAFNOSUPPORT`, `ENOENT`; for a descriptor `EBADF`,
 *   `ENOTSOCK`, `EPROTOTYPE`, `EINVAL` if it does not listen; for `systemd:name` `ENOENT`, `EINVAL`; for a host
 *   `EAI_NONAME`; and others
 * @throws TypeError or RangeError for an endpoint or an option that is wrong or does not apply
 * @see bind(2), listen(2), unix(7), ipv6(7), sd_listen_fds(3)
 * @example
 * ```ts
 * import { connect, listen } from "berkeley";
 *
 * await using listener = await listen("tcp://[::]:8888", { backlog: 64 });
 * await using client = await connect("tcp://127.0.0.1:8888");
 * await using stream = await listener.accept();
 * await client.write("over IPv4\n");
 * console.log(await stream.readLine()); // prints: over IPv4
 * ```
 */
export function listen<const E extends TcpEndpointLike>(
  endpoint: E,
  opts?: ListenOptions,
): Promise<SocketListener<SocketConn<InetAt<E>>, InetAt<E>>>;
/** Listens on a UNIX socket: the address of the listener has a `path`. */
export function listen(
  endpoint: UnixEndpointLike,
  opts?: ListenOptions,
): Promise<SocketListener<SocketConn<UnixAddress>, UnixAddress>>;
/** Listens for virtual machines: the address of the listener has a `cid` and a `port`; vsock(7). */
export function listen(
  endpoint: VsockEndpointLike,
  opts?: ListenOptions,
): Promise<SocketListener<SocketConn<VsockAddress>, VsockAddress>>;
/** Takes a listening descriptor of this process or of systemd; its family is known only at run time. */
export function listen(endpoint: FdEndpointLike, opts?: ListenOptions): Promise<SocketListener<SocketConn>>;
/** Listens on an endpoint whose scheme is known only at run time. */
export function listen(endpoint: EndpointLike, opts?: ListenOptions): Promise<SocketListener<SocketConn | TlsConn>>;
export async function listen(endpoint: EndpointLike, opts: ListenOptions = {}): Promise<SocketListener> {
  const target = parseLocalEndpoint(endpoint);
  const action = `listen on ${quote(formatEndpoint(target))}`;
  if (target.scheme === "udp") throw new TypeError(`Cannot ${action}: UDP has no connections, required bindUdp()`);
  checkOptions(opts, action, undefined, "listen({ host, port })");
  checkNames(opts, LISTEN_OPTIONS[target.scheme], action, `a ${target.scheme} endpoint`);
  const checked = checkListen(opts, action);
  if (target.scheme === "unix" && checked.mode !== undefined && target.address.path.startsWith("\0")) {
    throw new TypeError(`Cannot ${action}: mode applies to files, required a path and not an abstract name`);
  }
  checked.signal?.throwIfAborted();
  const open = (): Promise<SocketListener> => openListener(target, opts, checked, action);
  return listenEvents.hasSubscribers() ? listenEvents.publish(target, checked.signal, open) : open();
}

/** Makes the listener, on a socket of the old program if `upgrade()` has passed one, and otherwise on a new socket. */
async function openListener(
  target: Endpoint,
  opts: ListenOptions,
  checked: CheckedListen,
  action: string,
): Promise<SocketListener> {
  const receiving = findInheritance();
  // Without an old program the call does not wait here, so it usually binds before it returns its promise.
  const inheritance = receiving === undefined ? undefined : await receiving;
  const { listener, file } =
    useInherited(inheritance, target, opts, checked, action) ?? (await makeListener(target, opts, checked, action));
  registerSocket(listener, target, file);
  return listener;
}

/** A listener, and the file of its socket if that is a UNIX socket with a path. */
interface ListenerWithFile {
  readonly listener: SocketListener;
  readonly file?: UnixFile | undefined;
}

/** Makes a listener on a new socket, or on the descriptor of an `fd:` or `systemd:` endpoint. */
async function makeListener(
  target: Endpoint,
  opts: ListenOptions,
  checked: CheckedListen,
  action: string,
): Promise<ListenerWithFile> {
  const { limits, backlog = SOMAXCONN, signal } = checked;
  switch (target.scheme) {
    case "fd":
      return { listener: listenerOnDescriptor(target.fd, opts, checked, action) };
    case "systemd": {
      const fd = listenFdNamed(target.name, flag(opts.unsetEnv, false, action, "unsetEnv"));
      return { listener: listenerOnDescriptor(fd, opts, checked, action) };
    }
    case "unix": {
      const { socket, file } = await bindUnix(target.address, SOCK_STREAM, checked.mode, {
        start: (bound) => bound.listen(backlog),
      });
      const setup = { removeFile: file?.remove, unlink: checked.unlink, signal };
      return { listener: new SocketListener(socket, addressOrClose(socket, file?.remove), limits, setup), file };
    }
    case "tls": {
      const tls = prepareListenerTls(opts.tls, action);
      const socket = await listenTcp(target, checked, action);
      return {
        listener: new TlsSocketListener(socket, addressOrClose(socket) as HostAddress, limits, tls, { signal }),
      };
    }
    default: {
      const socket =
        target.scheme === "vsock" ? await listenAt(target.address, checked) : await listenTcp(target, checked, action);
      return { listener: new SocketListener(socket, addressOrClose(socket), limits, { signal }) };
    }
  }
}

/**
 * Makes a listener on the socket that the old program has passed for this endpoint. Undefined if there is none. Sets
 * the options, and throws if an option that can't change after bind(2) has another value.
 */
function useInherited(
  inheritance: Inheritance | undefined,
  target: Endpoint,
  opts: ListenOptions,
  checked: CheckedListen,
  action: string,
): ListenerWithFile | undefined {
  const inherited = inheritance?.take(namesOf(target), SOCK_STREAM);
  if (inherited === undefined) return undefined;
  const { socket, file } = inherited;
  const { limits, signal, unlink } = checked;
  const setup = { removeFile: file?.remove, unlink, signal, gate: inheritance!.gate };
  try {
    const tls = target.scheme === "tls" ? prepareListenerTls(opts.tls, action) : undefined;
    const address = socket.getsockname() as ListenAddress;
    if (isTcpSocket(socket)) setInheritedOptions(socket, target, checked);
    if (file !== undefined && checked.mode !== undefined) setMode(address as UnixAddress, file.path, checked.mode);
    socket.listen(checked.backlog);
    const listener =
      tls === undefined
        ? new SocketListener(socket, address, limits, setup)
        : new TlsSocketListener(socket, address as HostAddress, limits, tls, setup);
    return { listener, file };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** `ListenOptions`, checked. */
interface CheckedListen extends CheckedWait {
  readonly limits: StreamOptions;
  readonly tcp: CheckedTcp;
  readonly backlog: number | undefined;
  readonly reuseAddr: boolean;
  readonly reusePort: boolean;
  readonly ipv6Only: boolean;
  readonly device: string | undefined;
  readonly mode: number | undefined;
  readonly unlink: boolean;
}

function checkListen(opts: ListenOptions, action: string): CheckedListen {
  const { backlog, mode } = opts;
  return {
    ...checkWait(opts, action),
    limits: checkStreamLimits(opts, action),
    tcp: checkTcp(opts, action),
    backlog: backlog === undefined ? undefined : int32(backlog, action, "backlog"),
    reuseAddr: flag(opts.reuseAddr, true, action, "reuseAddr"),
    reusePort: flag(opts.reusePort, false, action, "reusePort"),
    ipv6Only: flag(opts.ipv6Only, false, action, "ipv6Only"),
    device: checkDevice(opts.bindToDevice, action),
    mode: mode === undefined ? undefined : integer(mode, action, "mode", 0, 0o777),
    unlink: flag(opts.unlink, true, action, "unlink"),
  };
}

/** Makes a socket that listens at the first usable address of a host. */
async function listenTcp(
  { address: target, family }: HostEndpoint,
  checked: CheckedListen,
  action: string,
): Promise<Socket> {
  const addresses = wildcardAddresses(target, checked.ipv6Only, family) ?? (await addressesOf(target, family, checked));
  const listenAtOne = async (address: HostAddress): Promise<Socket> => {
    if (checked.ipv6Only && address.family !== AF_INET6) {
      throw new TypeError(
        `Cannot ${action}: ${String(address)} is an address of IPv4, required one of IPv6 with ipv6Only`,
      );
    }
    return listenAt(address, checked);
  };
  return bindFirst(addresses, listenAtOne, action);
}

/** The addresses of a host. A literal needs no lookup. */
async function addressesOf(
  target: InetAddress | Inet6Address | HostPort,
  family: HostEndpoint["family"],
  checked: CheckedListen,
): Promise<readonly HostAddress[]> {
  // resolveNow() uses its family only for the wildcard, which listenTcp() does not pass.
  const literal = resolveNow(calls, target, { family: AF_INET6 });
  if (literal !== undefined) return [literal as HostAddress];
  return resolveAddresses(target as HostPort, family ?? (checked.ipv6Only ? AF_INET6 : AF_UNSPEC), checked);
}

/** Makes a socket that listens at an address. */
async function listenAt(address: Address, checked: CheckedListen): Promise<Socket> {
  const socket = new Socket(address.family, SOCK_STREAM);
  try {
    if (isTcpSocket(socket)) {
      socket.setsockopt(SO_REUSEADDR, checked.reuseAddr);
      if (checked.reusePort) socket.setsockopt(SO_REUSEPORT, true);
      if (address.family === AF_INET6) socket.setsockopt(IPV6_V6ONLY, checked.ipv6Only);
      if (checked.device !== undefined) socket.setsockopt(SO_BINDTODEVICE, checked.device);
      // Accepted connections inherit these options, so they cost no call per connection.
      applyTcp(socket, checked.tcp);
    }
    await socket.bind(address);
    socket.listen(checked.backlog);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Makes a listener on a listening descriptor. If the call throws, the descriptor stays open. */
function listenerOnDescriptor(fd: number, opts: ListenOptions, checked: CheckedListen, action: string): SocketListener {
  let address!: ListenAddress;
  const listening = takeDescriptor(fd, SOCK_STREAM, STREAM_FAMILIES, "listen", (socket) => {
    if (!socket.getsockopt(SO_ACCEPTCONN)) {
      const cause = new Error(`descriptor ${fd} does not listen, required a socket on which listen(2) was called`);
      throw localError("EINVAL", "listen", { cause });
    }
    if (isTcpSocket(socket)) applyTcp(socket, checked.tcp);
    else checkNames(opts, [...LISTEN_OPTIONS.vsock, "unsetEnv"], action, "a descriptor of another protocol than TCP");
    if (checked.backlog !== undefined) socket.listen(checked.backlog);
    address = socket.getsockname() as ListenAddress;
  });
  return new SocketListener(listening, address, checked.limits, { signal: checked.signal });
}

/** Sets the options of this call on a TCP socket of the old program, also those with their default values. */
function setInheritedOptions(socket: Socket, target: Endpoint, checked: CheckedListen): void {
  // The endpoints fd: and systemd: have no options for bind(2).
  if (target.scheme !== "fd" && target.scheme !== "systemd") {
    refuseChanges(socket, checked);
    socket.setsockopt(SO_REUSEADDR, checked.reuseAddr);
    const { device = "" } = checked;
    if (socket.getsockopt(SO_BINDTODEVICE) !== device) socket.setsockopt(SO_BINDTODEVICE, device);
  }
  socket.setsockopt(TCP_NODELAY, checked.tcp.noDelay);
  // applyTcp() switches SO_KEEPALIVE only on.
  socket.setsockopt(SO_KEEPALIVE, false);
  applyTcp(socket, checked.tcp);
}
