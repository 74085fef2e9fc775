// connect(): makes a stream to an endpoint.

import {
  type AddressAt,
  type AddressLike,
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
  type FdEndpointLike,
  type TcpEndpointLike,
  type TlsEndpointLike,
  type UnixEndpointLike,
  type VsockEndpointLike,
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
import type { ProxyHeaderToSend } from "../proxyProtocol/index.js";
import type { TlsConn } from "../tls/index.js";
import { takeDescriptor } from "./takeDescriptor.js";
import { connectHost, type CheckedConnect } from "./connectHost.js";
import {
  applyTcp,
  checkDevice,
  checkFamily,
  checkLocal,
  checkSameFamily,
  checkStreamLimits,
  checkTcp,
  checkWait,
  isTcpSocket,
  remainingWait,
  STREAM_FAMILIES,
  STREAM_OPTIONS,
  TCP_OPTIONS,
  type TcpOptions,
} from "./endpointOptions.js";
import { connectEvents } from "./callEvents.js";
import type { headerSender, SendHeader } from "./connectHeader.js";
import type { CheckedProxy, ProxyOptions } from "./proxy.js";
import type { HostAddress, Resolver } from "./customResolver.js";
import { prepareClientTls, wrapInTls, type TlsConnectOptions } from "./endpointTls.js";
import { checkRetry, openWithRetries, type RetryOptions } from "./retry.js";

/** Options of `connect()`, and the limits of its stream. */
export interface ConnectOptions extends IoOptions, StreamOptions, TcpOptions {
  /**
   * Milliseconds for the resolver, all attempts, the proxy and the TLS handshake together, and with `retry` for all
   * tries and pauses. Default: null, no limit.
   */
  readonly timeout?: number | null | undefined;
  /** The local address: a numeric address, or `["", port]`. For port 0 the kernel chooses the port. */
  readonly localAddress?: AddressLike | undefined;
  /** Uses only this interface: SO_BINDTODEVICE. */
  readonly bindToDevice?: string | undefined;
  /** Connects to addresses of this family only: `AF_INET` or `AF_INET6`. */
  readonly family?: number | undefined;
  /**
   * The proxy: `"socks5://user:password@host:port"` (or `socks5h`), `"http://…"`, `"https://…"` for TLS to the proxy,
   * `"http+unix:/path"` for a proxy at a UNIX socket, or an object with these parts. The proxy resolves the name. If it
   * refuses the connection, `connect()` rejects with a {@link ProxyError}.
   */
  readonly via?: string | ProxyOptions | undefined;
  /**
   * A header of the PROXY protocol. It is sent before all other data, also before the TLS handshake. Its addresses are
   * those of the client for which this program connects. A header without addresses means that they are not known.
   */
  readonly proxyProtocol?: ProxyHeaderToSend | undefined;
  /** Finds the addresses of a name. Default: getaddrinfo(3), on another thread. */
  readonly resolver?: Resolver | undefined;
  /**
   * Milliseconds from 0 to 2000 for which the IPv4 addresses of `resolver` wait for its IPv6 addresses. Default 50;
   * RFC 8305, section 3.
   */
  readonly resolutionDelay?: number | undefined;
  /** Milliseconds from 10 to 2000 between the starts of two attempts. Default 250; RFC 8305, section 5. */
  readonly attemptDelay?: number | undefined;
  /** Maximum number of addresses of a host that are attempted. Default 32. */
  readonly maxAttempts?: number | undefined;
  /**
   * Options of TLS, for a `tls://` endpoint. By default an authority that Node trusts must have issued the certificate
   * of the server.
   */
  readonly tls?: TlsConnectOptions | undefined;
  /**
   * Connects again after a failure that `retryOn` allows. Default: one try. If all tries fail, the call rejects with
   * the error of the last one. After `timeout` the error is a `TimeoutError` whose `cause` is the error of the last
   * try.
   */
  readonly retry?: RetryOptions | undefined;
}

/** Common options of the schemes `tcp`, `tls`, `unix` and `vsock`. */
const BASE = ["timeout", "signal", "retry", "proxyProtocol"];
const DEFAULT_MAX_TRIES = 10;
/** The options of happyEyeballs.ts. */
export const RACE_OPTIONS: readonly string[] = ["family", "resolver", "resolutionDelay", "attemptDelay", "maxAttempts"];
/** The options that apply to each kind of endpoint. */
const CONNECT_OPTIONS: Readonly<Record<Endpoint["scheme"], readonly string[]>> = {
  tcp: [...BASE, ...STREAM_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via"],
  tls: [...BASE, ...STREAM_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via", "tls"],
  unix: [...BASE, ...STREAM_OPTIONS, "localAddress"],
  vsock: [...BASE, ...STREAM_OPTIONS, "localAddress"],
  fd: ["timeout", "signal", ...STREAM_OPTIONS, ...TCP_OPTIONS],
  udp: [],
  systemd: [],
};

/**
 * Connects to `tls://host:port`: connects as to `tcp://`, perhaps through a proxy, and then performs the TLS handshake.
 *
 * The server must have a certificate for the host from a trusted authority. The host is also the server name of the
 * handshake (SNI), unless it is an address. `tls` takes further options: `ca`, `alpnProtocols`, `cert` and `key` of a
 * client, a `session` to resume. The stream's `conn` is a {@link TlsConn}, which has the results of the handshake. The
 * time limit of the handshake is 10 s, or the rest of `timeout` if that is less.
 *
 * @throws TlsError `ERR_TLS_PLAINTEXT_PEER`, `ERR_TLS_CERT_ALTNAME_INVALID`, `CERT_HAS_EXPIRED`,
 *   `DEPTH_ZERO_SELF_SIGNED_CERT`, `SELF_SIGNED_CERT_IN_CHAIN`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_SSL_…`;
 *   SocketError of `syscall` `"tls_handshake"`: `ETIMEDOUT`, `ECONNRESET`
 * @throws the errors of connecting to other endpoints
 * @see RFC 8446, RFC 6066, RFC 7301
 * @example
 * ```ts
 * import { execFileSync } from "node:child_process";
 * import { connect, listen } from "berkeley";
 *
 * // A key and a certificate for this example.
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
 * Connects to an endpoint: `tcp://host:port`, `tls://host:port`, `unix:/path`, `unix:@name`, `vsock://cid:port`, or
 * `fd:N`, a connected stream socket of this process.
 *
 * The name of a host is resolved on another thread. Its addresses race as RFC 8305 describes: in the resolver's order,
 * with IPv6 and IPv4 in turn. The next attempt starts when one has failed or after 250 ms. The first connection wins,
 * and the others are closed.
 *
 * @throws SocketError if all attempts failed: `ECONNREFUSED`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL` …; after
 *   several attempts, `cause` is an AggregateError with their errors, in order. `EAI_NONAME` and other `EAI_` codes if
 *   the name has no address; `ETIMEDOUT` if `timeout` passed
 * @throws ProxyError if the proxy refused the connection
 * @throws the reason of `signal`
 * @throws TypeError or RangeError for an endpoint or an option that is wrong or does not apply
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
export function connect<const E extends TcpEndpointLike | UnixEndpointLike | VsockEndpointLike | FdEndpointLike>(
  endpoint: E,
  opts?: ConnectOptions & { readonly via?: undefined },
): Promise<Stream<SocketConn<AddressAt<E>>>>;
/** Connects to an endpoint whose scheme is known only at run time, or through a proxy, perhaps with TLS. */
export function connect(endpoint: EndpointLike, opts?: ConnectOptions): Promise<Stream<SocketConn | TlsConn>>;
export async function connect(endpoint: EndpointLike, opts: ConnectOptions = {}): Promise<Stream> {
  const { target, action, limits, checked } = checkConnectCall(endpoint, opts);
  checked.signal?.throwIfAborted();
  if (opts.retry !== undefined) {
    const { retry, timeout, signal, ...tryOptions } = opts;
    const policy = checkRetry(retry, DEFAULT_MAX_TRIES, action);
    return openWithRetries(policy, (wait) => connect(target, { ...tryOptions, ...wait }), { timeout, signal });
  }
  if (connectEvents.needsObserving()) return connectEvents.observe(target, () => connect(target, opts));
  if (target.scheme === "fd") return new Stream(takeConnected(target.fd, opts, checked, action), limits);
  const { proxyProtocol } = opts;
  let send: SendHeader = (stream) => stream;
  if (proxyProtocol !== undefined) {
    makeSender ??= (await import("./connectHeader.js")).headerSender;
    send = makeSender(proxyProtocol, checked);
  }
  if (target.scheme === "unix" || target.scheme === "vsock") {
    return send(new Stream(await openLocal(target.address, checked, action), limits));
  }
  if (target.scheme === "tls") return openTls(target, opts, checked, limits, action, send);
  if (opts.via !== undefined) return send(await openTunnelled(target, opts, checked, limits, action));
  const connected = await connectHost(destinationOf(target, action), checked);
  return send(new Stream(new SocketConn(connected.socket, connected), limits));
}

/** Loaded by the first call with the option `proxyProtocol`. */
let makeSender: typeof headerSender | undefined;

/** A call of connect(), checked. */
interface CheckedCall {
  readonly target: Exclude<Endpoint, { readonly scheme: "udp" | "systemd" }>;
  /** The text after "Cannot" in messages. */
  readonly action: string;
  /** The limits of the stream. */
  readonly limits: StreamOptions;
  readonly checked: CheckedConnect;
}

/** Checks the endpoint, and the options except those of TLS and of the proxy. Refuses the option `refused`. */
export function checkConnectCall(endpoint: EndpointLike, opts: ConnectOptions, refused?: string): CheckedCall {
  const target = parseTarget(endpoint);
  const action = describeAction(target);
  if (target.scheme === "udp") throw new TypeError(`Cannot ${action}: UDP has no connections, required connectUdp()`);
  if (target.scheme === "systemd")
    throw new TypeError(`Cannot ${action}: a systemd endpoint is a listening socket, required listen()`);
  checkOptions(opts, action, undefined, "connect({ host, port })");
  const allowed = CONNECT_OPTIONS[target.scheme];
  const names = refused === undefined ? allowed : allowed.filter((name) => name !== refused);
  checkNames(opts, names, action, `a ${target.scheme} endpoint`);
  const limits = checkStreamLimits(opts, action);
  let checked = checkConnectOptions(opts, action);
  if (target.scheme === "tcp" && target.family !== undefined) checked = restrictFamily(checked, target, action);
  return { target, action, limits, checked };
}

/** Connects with TLS over TCP, through the proxy of `via` if there is one. */
async function openTls(
  target: HostEndpoint,
  opts: ConnectOptions,
  checked: CheckedConnect,
  limits: StreamOptions,
  action: string,
  send: SendHeader,
): Promise<Stream> {
  const { address } = target;
  const prepared = prepareClientTls(opts.tls, address, action);
  let stream: Stream;
  if (opts.via === undefined) {
    const connected = await connectHost(destinationOf(target, action), checked);
    stream = new Stream(new SocketConn(connected.socket, connected), limits);
  } else stream = await openTunnelled(target, opts, checked, limits, action);
  return new Stream(await wrapInTls(await send(stream), prepared, address, checked), limits);
}

// The endpoint and the action of the previous call. Most programs connect to one endpoint many times, so its text is
// parsed and formatted once.
let lastTarget: Endpoint | undefined;
let lastAction = "";

/** Does the same as `parseEndpoint()`, without parsing the host and port of the previous call again. */
function parseTarget(endpoint: EndpointLike): Endpoint {
  if (Array.isArray(endpoint) && endpoint.length === 2 && lastTarget?.scheme === "tcp") {
    const { address } = lastTarget;
    const [host, port] = endpoint as readonly unknown[];
    if (address instanceof InetAddress && host === address.host && port === address.port) {
      return { scheme: "tcp", address: new InetAddress(address.host, address.port) };
    }
  }
  return parseEndpoint(endpoint);
}

function describeAction(target: Endpoint): string {
  if (lastTarget !== undefined && isSameTcpAddress(target, lastTarget)) return lastAction;
  lastTarget = target;
  return (lastAction = `connect to ${quote(formatEndpoint(target))}`);
}

function isSameTcpAddress(one: Endpoint, other: Endpoint): boolean {
  if (one.scheme !== "tcp" || other.scheme !== "tcp") return false;
  const [a, b] = [one.address, other.address];
  return a instanceof InetAddress && b instanceof InetAddress && a.host === b.host && a.port === b.port;
}

/** Returns the address of an endpoint. Throws a TypeError for the wildcard. */
export function destinationOf({ address }: HostEndpoint, action: string): HostAddress | HostPort {
  if (address instanceof HostPort && address.host === "") {
    throw new TypeError(`Cannot ${action}: the wildcard is no destination, required a host`);
  }
  return address;
}

/** Connects to a host through a proxy. */
async function openTunnelled(
  target: HostEndpoint,
  opts: ConnectOptions,
  checked: CheckedConnect,
  limits: StreamOptions,
  action: string,
): Promise<Stream> {
  const address = destinationOf(target, action);
  const { via } = opts;
  const { checkDestination, checkProxy, openTunnel } = await import("./tunnel.js");
  const proxy = checkProxy(via, action);
  const destination = checkDestination(address, action);
  let stream: Stream = new Stream(await openProxy(proxy, opts, checked, action), limits);
  if (proxy.tls !== undefined) stream = new Stream(await wrapInTls(stream, proxy.tls, proxy.address, checked), limits);
  await openTunnel(stream, proxy, destination, checked);
  return stream;
}

/** Connects to the proxy itself. */
async function openProxy(
  { address }: CheckedProxy,
  opts: ConnectOptions,
  checked: CheckedConnect,
  action: string,
): Promise<SocketConn> {
  if (address instanceof UnixAddress) {
    checkNames(opts, [...CONNECT_OPTIONS.unix, "via", "tls"], action, "a proxy on a UNIX socket");
    return openLocal(address, checked, action);
  }
  const connected = await connectHost(address, checked);
  return new SocketConn(connected.socket, connected);
}

/** Connects to a UNIX or vsock address. */
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
    const { timeout = null, signal } = remainingWait(checked);
    await socket.connect(address, { timeout, signal });
    return new SocketConn(socket, { remote: address });
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Takes a connected descriptor. A descriptor that is refused stays open and belongs to the caller. */
function takeConnected(fd: number, opts: ConnectOptions, checked: CheckedConnect, action: string): SocketConn {
  let conn: SocketConn | undefined;
  takeDescriptor(fd, SOCK_STREAM, STREAM_FAMILIES, "connect", (socket) => {
    const remote = socket.getpeername();
    if (isTcpSocket(socket)) applyTcp(socket, checked.tcp);
    else checkNames(opts, CONNECT_OPTIONS.unix, action, "a descriptor of another protocol than TCP");
    conn = new SocketConn(socket, { remote });
  });
  return conn as unknown as SocketConn;
}

/** Checks the options that concern sockets. The timeout runs from this call on. */
export function checkConnectOptions(opts: ConnectOptions, action: string): CheckedConnect {
  const { resolver } = opts;
  if (resolver !== undefined && typeof resolver !== "function") {
    throw new TypeError(`Cannot ${action}: resolver is ${quote(resolver)}, required a function`);
  }
  // Field by field, because `...checkWait()` could make a new hidden class for each connection.
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

/** Restricts the options to the family of a `tcp4:` or `tcp6:` endpoint. */
export function restrictFamily(checked: CheckedConnect, { family }: HostEndpoint, action: string): CheckedConnect {
  if (family === undefined) return checked;
  if (checked.family !== AF_UNSPEC && checked.family !== family) {
    throw new TypeError(`Cannot ${action}: family is of the other family, required the one of the endpoint or none`);
  }
  return { ...checked, family };
}
