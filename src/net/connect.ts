// connect(): from an endpoint to a stream.

import {
  type Address,
  type AddressLike,
  AF_INET,
  AF_INET6,
  AF_UNIX,
  AF_UNSPEC,
  AF_VSOCK,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  type HostEndpoint,
  HostPort,
  InetAddress,
  parseEndpoint,
  type TlsEndpointLike,
  UnixAddress,
  type VsockAddress,
} from "../addr/index.js";
import { checkNames, checkOptions, integer, quote } from "../check/index.js";
import type { IoOptions } from "../io.js";
import { Socket, SocketConn } from "../socket/index.js";
import { systemClock } from "../wait/clock.js";
import { millisecondsWithin } from "../wait/waitOptions.js";
import { Stream, type StreamOptions } from "../stream/index.js";
import { SOCK_STREAM } from "../sys/constants.js";
import type { TlsConn } from "../tls/index.js";
import { takeDescriptor } from "./takeDescriptor.js";
import { connectHost, type CheckedConnect } from "./connectHost.js";
import {
  applyTcp,
  checkDevice,
  checkLocal,
  checkStreamLimits,
  checkTcp,
  checkWait,
  isTcpSocket,
  remaining,
  STREAM_FAMILIES,
  STREAM_OPTIONS,
  TCP_OPTIONS,
  type TcpOptions,
} from "./endpointOptions.js";
import { checkDestination, type CheckedProxy, checkProxy, type ProxyOptions } from "./proxy.js";
import type { HostAddress, Resolver } from "./customResolver.js";
import { prepareClient, wrapStream, type TlsConnectOptions } from "./endpointTls.js";
import { openTunnel } from "./tunnel.js";

/** How to connect, and the limits of the stream that comes out of it. */
export interface ConnectOptions extends IoOptions, StreamOptions, TcpOptions {
  /** Milliseconds for the resolver, all attempts, the proxy and the TLS handshake together. Default: null, no limit. */
  readonly timeout?: number | null | undefined;
  /** Where the connection is to come from: a numeric address, or `["", port]`. Port 0 lets the kernel choose. */
  readonly localAddress?: AddressLike | undefined;
  /** The only interface that is used: SO_BINDTODEVICE. */
  readonly bindToDevice?: string | undefined;
  /** Connects to addresses of this family only: `AF_INET` or `AF_INET6`. */
  readonly family?: number | undefined;
  /**
   * A proxy to go through: `"socks5://user:password@host:port"` (or `socks5h`), `"http://…"`, `"https://…"` for TLS with the proxy,
   * `"http+unix:/path"` for one on a UNIX socket, or its parts. The proxy resolves the name. What it refuses is a {@link ProxyError}.
   */
  readonly via?: string | ProxyOptions | undefined;
  /** Finds the addresses of a name. Default: getaddrinfo(3), off this thread. */
  readonly resolver?: Resolver | undefined;
  /** Milliseconds for which an answer of `resolver` for IPv4 waits for the one for IPv6. Default 50; RFC 8305, section 3. */
  readonly resolutionDelay?: number | undefined;
  /** Milliseconds after which the next address is attempts beside those under way, 10 to 2000. Default 250; RFC 8305, section 5. */
  readonly attemptDelay?: number | undefined;
  /** Most addresses of a host that are attempts. Default 32. */
  readonly maxAttempts?: number | undefined;
  /** How to speak TLS, with a `tls://` endpoint. By default the server is verified, by what Node trusts. */
  readonly tls?: TlsConnectOptions | undefined;
}

const WAIT = ["timeout", "signal"];
export const RACE_OPTIONS: readonly string[] = ["family", "resolver", "resolutionDelay", "attemptDelay", "maxAttempts"];
/** What each kind of endpoint has a use for. */
const ALLOWED: Readonly<Record<Endpoint["scheme"], readonly string[]>> = {
  tcp: [...WAIT, ...STREAM_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via"],
  tls: [...WAIT, ...STREAM_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via", "tls"],
  unix: [...WAIT, ...STREAM_OPTIONS, "localAddress"],
  vsock: [...WAIT, ...STREAM_OPTIONS, "localAddress"],
  fd: [...WAIT, ...STREAM_OPTIONS, ...TCP_OPTIONS],
  udp: [],
  systemd: [],
};

/**
 * Connects to `tls://host:port`: as to `tcp://`, and then does the handshake of TLS, also behind a proxy. The promise resolves
 * when it is over.
 *
 * The server has to show a certificate for the host that leads to an authority which is trusted; the host is also the name
 * that it is asked for (SNI), unless it is an address. `tls` has what else there is to say: `ca`, `alpnProtocols`, `cert` and
 * `key` of a client, a `session` to resume. What was agreed on is at the stream's `conn`, a {@link TlsConn}. A handshake has
 * 10 s, or what is left of `timeout` if that is less.
 *
 * @throws TlsError `ERR_TLS_PLAINTEXT_PEER`, `ERR_TLS_CERT_ALTNAME_INVALID`, `CERT_HAS_EXPIRED`,
 *   `DEPTH_ZERO_SELF_SIGNED_CERT`, `SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_SSL_…`; SocketError of
 *   `syscall` `"tls_handshake"`: `ETIMEDOUT`, `ECONNRESET`
 * @throws what connecting to another endpoint does
 * @see RFC 8446, RFC 6066, RFC 7301
 * @example
 * ```ts
 * import { execFileSync } from "node:child_process";
 * import { connect, listen } from "berkeley";
 *
 * // A key and a certificate that nobody but this program trusts.
 * const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout - -out -".split(" ");
 * const names = ["-addext", "subjectAltName=DNS:localhost"];
 * const pem = execFileSync("openssl", [...made, ...names], { stdio: ["ignore", "pipe", "ignore"] });
 *
 * await using listener = await listen("tls://127.0.0.1:8888", { tls: { cert: pem, key: pem } });
 * const accepting = listener.accept();
 * await using stream = await connect("tls://localhost:8888", { timeout: 5_000, tls: { ca: pem } });
 * await using peer = await accepting;
 * await peer.write("for your eyes only\n");
 * console.log(await stream.readLine()); // prints: for your eyes only
 * console.log(stream.conn.authorized); // prints: true
 * ```
 */
export function connect(endpoint: TlsEndpointLike, opts?: ConnectOptions): Promise<Stream<TlsConn>>;
/**
 * Connects to an endpoint: `tcp://host:port`, `tls://host:port`, `unix:/path`, `unix:@name`, `vsock://cid:port`, or `fd:N`, a
 * connected stream socket that this process has already.
 *
 * The name of a host is resolved off this thread, and its addresses race as RFC 8305 says: in the resolver's order, but
 * IPv6 and IPv4 in turn, the next one as soon as an attempt has failed or 250 ms have passed, until the first connects. The
 * others are closed.
 *
 * @throws SocketError when all attempts failed, that of the most telling one: `ECONNREFUSED`, `EHOSTUNREACH`,
 *   `ENETUNREACH`, `EADDRNOTAVAIL` …; `cause` is an AggregateError with those of all attempts, in order. `EAI_NONAME` and its
 *   kin when the name has no address, `ETIMEDOUT` when `timeout` ran out; what a proxy refused has the code that fits best
 * @throws the reason of `signal`
 * @throws TypeError or RangeError for an endpoint or an option that is wrong, or that the endpoint has no use for
 * @see RFC 8305, connect(2), getaddrinfo(3)
 * @example
 * ```ts
 * import { connect, listen } from "berkeley";
 *
 * await using listener = await listen("tcp://127.0.0.1:8888");
 * await using stream = await connect("tcp://localhost:8888", { timeout: 5_000 });
 * await using peer = await listener.accept();
 * await peer.write("hello\n");
 * console.log(await stream.readLine()); // prints: hello
 * ```
 */
export function connect(endpoint: EndpointLike, opts?: ConnectOptions): Promise<Stream>;
export async function connect(endpoint: EndpointLike, opts: ConnectOptions = {}): Promise<Stream> {
  const target = targetOf(endpoint);
  const action = actionOf(target);
  if (target.scheme === "udp") throw new TypeError(`Cannot ${action}: UDP has no connections, required connectUdp()`);
  if (target.scheme === "systemd")
    throw new TypeError(`Cannot ${action}: it names listening sockets, required listen()`);
  checkOptions(opts, action);
  checkNames(opts, ALLOWED[target.scheme], action, `a ${target.scheme} endpoint`);
  const limits = checkStreamLimits(opts, action);
  const checked = checkConnect(opts, action);
  checked.signal?.throwIfAborted();
  if (target.scheme === "fd") return new Stream(takeConnected(target.fd, opts, checked, action), limits);
  if (target.scheme === "unix" || target.scheme === "vsock") {
    return new Stream(await openLocal(target.address, checked, action), limits);
  }
  if (target.scheme === "tls") return openTls(target, opts, checked, limits, action);
  if (opts.via !== undefined) return openTunnelled(target, opts, checked, limits, action);
  const connected = await connectHost(destinationOf(target, action), checked);
  return new Stream(new SocketConn(connected.socket, connected), limits);
}

/** TLS over a TCP connection, which goes through a proxy if one is wanted. */
async function openTls(
  target: HostEndpoint,
  opts: ConnectOptions,
  checked: CheckedConnect,
  limits: StreamOptions,
  action: string,
): Promise<Stream> {
  const { address } = target;
  const prepared = prepareClient(opts.tls, address, action);
  let stream: Stream;
  if (opts.via === undefined) {
    const connected = await connectHost(destinationOf(target, action), checked);
    stream = new Stream(new SocketConn(connected.socket, connected), limits);
  } else stream = await openTunnelled(target, opts, checked, limits, action);
  return new Stream(await wrapStream(stream, prepared, address, checked), limits);
}

let lastTarget: Endpoint | undefined;
let lastAction = "";

/** `parseEndpoint()`, which need not fileStatus twice at the same host and port. */
function targetOf(endpoint: EndpointLike): Endpoint {
  if (Array.isArray(endpoint) && endpoint.length === 2 && lastTarget?.scheme === "tcp") {
    const { address } = lastTarget;
    const [host, port] = endpoint as readonly unknown[];
    if (address instanceof InetAddress && host === address.host && port === address.port) {
      return { scheme: "tcp", address: new InetAddress(address.host, address.port) };
    }
  }
  return parseEndpoint(endpoint);
}

/** What errors call the endpoint. Most programs connect to the same one again and again. */
function actionOf(target: Endpoint): string {
  if (lastTarget !== undefined && isSameTcpAddress(target, lastTarget)) return lastAction;
  lastTarget = target;
  return (lastAction = `connect to ${quote(formatEndpoint(target))}`);
}

function isSameTcpAddress(one: Endpoint, other: Endpoint): boolean {
  if (one.scheme !== "tcp" || other.scheme !== "tcp") return false;
  const [a, b] = [one.address, other.address];
  return a instanceof InetAddress && b instanceof InetAddress && a.host === b.host && a.port === b.port;
}

export function destinationOf({ address }: HostEndpoint, action: string): HostAddress | HostPort {
  if (address instanceof HostPort && address.host === "") {
    throw new TypeError(`Cannot ${action}: the wildcard is no destination, required a host`);
  }
  return address;
}

/** A TCP connection to a host, through a proxy. */
async function openTunnelled(
  target: HostEndpoint,
  opts: ConnectOptions,
  checked: CheckedConnect,
  limits: StreamOptions,
  action: string,
): Promise<Stream> {
  const address = destinationOf(target, action);
  const proxy = checkProxy(opts.via, action);
  const destination = checkDestination(address, action);
  let stream: Stream = new Stream(await openProxy(proxy, opts, checked, action), limits);
  if (proxy.tls !== undefined) stream = new Stream(await wrapStream(stream, proxy.tls, proxy.address, checked), limits);
  await openTunnel(stream, proxy, destination, checked);
  return stream;
}

/** A connection to the proxy itself. */
async function openProxy(
  { address }: CheckedProxy,
  opts: ConnectOptions,
  checked: CheckedConnect,
  action: string,
): Promise<SocketConn> {
  if (address instanceof UnixAddress) {
    checkNames(opts, [...ALLOWED.unix, "via", "tls"], action, "a proxy on a UNIX socket");
    return openLocal(address, checked, action);
  }
  const connected = await connectHost(address, checked);
  return new SocketConn(connected.socket, connected);
}

/** A connection to a socket of this machine, or of its host. */
async function openLocal(
  address: UnixAddress | VsockAddress,
  checked: CheckedConnect,
  action: string,
): Promise<SocketConn> {
  const { family } = address;
  const { local } = checked;
  const socket = new Socket(family === AF_UNIX ? AF_UNIX : AF_VSOCK, SOCK_STREAM);
  try {
    checkSameFamily(local, family, action);
    if (local !== undefined) await socket.bind(local);
    const { timeout = null, signal } = remaining(checked);
    await socket.connect(address, { timeout, signal });
    return new SocketConn(socket, { remote: address });
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Refuses to connect from an address of another family. */
export function checkSameFamily(local: Address | HostPort | undefined, family: number, action: string): void {
  if (local === undefined || (!(local instanceof HostPort) && local.family === family)) return;
  throw new TypeError(`Cannot ${action}: localAddress is ${String(local)}, required one of the same family`);
}

/** A descriptor that is connected. When it is refused it stays open, and the caller's. */
function takeConnected(fd: number, opts: ConnectOptions, checked: CheckedConnect, action: string): SocketConn {
  let conn: SocketConn | undefined;
  takeDescriptor(fd, SOCK_STREAM, STREAM_FAMILIES, "connect", (socket) => {
    const remote = socket.getpeername();
    if (isTcpSocket(socket)) applyTcp(socket, checked.tcp);
    else checkNames(opts, ALLOWED.unix, action, "a descriptor that is not TCP's");
    conn = new SocketConn(socket, { remote });
  });
  return conn as unknown as SocketConn;
}

/** Checks what sockets are concerned with; the time runs from here on. */
export function checkConnect(opts: ConnectOptions, action: string): CheckedConnect {
  const { resolver } = opts;
  if (resolver !== undefined && typeof resolver !== "function") {
    throw new TypeError(`Cannot ${action}: resolver is ${quote(resolver)}, required a function`);
  }
  // Field by field: to spread what checkWait() gives into it would make a hidden class for each connection.
  const { deadline, signal } = checkWait(opts, action);
  return {
    deadline,
    signal,
    tcp: checkTcp(opts, action),
    local: checkLocal(opts.localAddress, action),
    device: checkDevice(opts.bindToDevice, action),
    family: checkFamily(opts.family, action),
    resolver,
    limits: {
      resolutionDelay: millisecondsWithin(opts.resolutionDelay, 50, action, "resolutionDelay", 0, 2000),
      attemptDelay: millisecondsWithin(opts.attemptDelay, 250, action, "attemptDelay", 10, 2000),
      maxAttempts: opts.maxAttempts === undefined ? 32 : integer(opts.maxAttempts, action, "maxAttempts", 1, 1000),
    },
    clock: systemClock,
  };
}

function checkFamily(value: unknown, action: string): number {
  if (value === undefined || value === AF_UNSPEC) return AF_UNSPEC;
  if (value === AF_INET || value === AF_INET6) return value;
  throw new TypeError(`Cannot ${action}: family is ${quote(value)}, required AF_INET or AF_INET6`);
}
