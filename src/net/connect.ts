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
  checkFunction,
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
import type { HostAddress, Resolver } from "./resolveHost.js";
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
   * `"http+unix:/path"` for a proxy at a UNIX socket, or an object with these parts. The proxy resolves the host name
   * of the endpoint. If the proxy refuses the connection, `connect()` rejects with a {@link ProxyError}.
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
   * the error of the last one. After `timeout` the error is a `TimeoutError`: that of the last try, or one whose
   * `cause` is the error of the last try.
   */
  readonly retry?: RetryOptions | undefined;
}

/** Options of the schemes `tcp`, `tls`, `unix` and `vsock`. */
const COMMON_OPTIONS = ["timeout", "signal", "retry", "proxyProtocol", ...STREAM_OPTIONS];
const DEFAULT_MAX_TRIES = 10;
/** The options of the lookup and of the race between the addresses (happyEyeballs.ts). */
export const RACE_OPTIONS: readonly string[] = ["family", "resolver", "resolutionDelay", "attemptDelay", "maxAttempts"];
/** The options that apply to each kind of endpoint. */
const CONNECT_OPTIONS: Readonly<Record<Endpoint["scheme"], readonly string[]>> = {
  tcp: [...COMMON_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via"],
  tls: [...COMMON_OPTIONS, ...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice", "via", "tls"],
  unix: [...COMMON_OPTIONS, "localAddress"],
  vsock: [...COMMON_OPTIONS, "localAddress"],
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
 * const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout - -out -".split(" ");
 * const names = ["-addext", "subjectAltName=DNS:localhost"];
 * const pem = execFileSync("openssl", [...args, ...names], { stdio: ["ignore", "pipe", "ignore"] });
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
 * @throws SocketError if all attempts failed: `ECONNREFUSED`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL` and
 *   others; after several attempts, `cause` is an AggregateError with their errors, in order. `EAI_NONAME` and other
 *   `EAI_` codes if the name has no address; `ETIMEDOUT` if `timeout` passed
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
export function connect(endpoint: EndpointLike, opts: ConnectOptions = {}): Promise<Stream> {
  // An async function would make a second promise for each connection.
  try {
    const call = checkConnectCall(endpoint, opts);
    const { target, checked } = call;
    checked.signal?.throwIfAborted();
    if (opts.retry !== undefined) {
      const { retry, timeout, signal, ...tryOptions } = opts;
      const policy = checkRetry(retry, DEFAULT_MAX_TRIES, call.action);
      return openWithRetries(policy, (tryLimits) => connect(target, { ...tryOptions, ...tryLimits }), {
        timeout,
        signal,
      });
    }
    if (!connectEvents.hasSubscribers()) return openStream(call, opts);
    return connectEvents.publish(target, checked.signal, () => openStream(call, opts));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Loaded by the first call with the option `proxyProtocol`. */
let loadedHeaderSender: typeof headerSender | undefined;

/** A call of connect(), checked. */
interface ConnectCall {
  readonly target: Exclude<Endpoint, { readonly scheme: "udp" | "systemd" }>;
  /** The text after "Cannot" in messages. */
  readonly action: string;
  readonly streamLimits: StreamOptions;
  /** The options that concern sockets. */
  readonly checked: CheckedConnect;
}

/** Connects once, without `retry` and without messages to subscribers. */
async function openStream(call: ConnectCall, opts: ConnectOptions): Promise<Stream> {
  const { target, action, checked, streamLimits } = call;
  if (target.scheme === "fd") return new Stream(takeConnected(target.fd, opts, checked, action), streamLimits);
  const { proxyProtocol } = opts;
  let sendHeader: SendHeader = (stream) => stream;
  if (proxyProtocol !== undefined) {
    loadedHeaderSender ??= (await import("./connectHeader.js")).headerSender;
    sendHeader = loadedHeaderSender(proxyProtocol, checked);
  }
  if (target.scheme === "unix" || target.scheme === "vsock") {
    return sendHeader(new Stream(await openLocal(target.address, call), streamLimits));
  }
  if (target.scheme === "tls") return openTls(target, call, opts, sendHeader);
  if (opts.via !== undefined) return sendHeader(await openTunnelled(target, call, opts));
  const connected = await connectHost(destinationOf(target, action), checked);
  return sendHeader(new Stream(new SocketConn(connected.socket, connected), streamLimits));
}

/** Checks the endpoint, and the options except those of TLS and of the proxy. `refused` names an option to refuse. */
export function checkConnectCall(endpoint: EndpointLike, opts: ConnectOptions, refused?: string): ConnectCall {
  const target = parseTarget(endpoint);
  const action = actionFor(target);
  if (target.scheme === "udp") throw new TypeError(`Cannot ${action}: UDP has no connections, required connectUdp()`);
  if (target.scheme === "systemd")
    throw new TypeError(`Cannot ${action}: a systemd endpoint is a listening socket, required listen()`);
  checkOptions(opts, action, undefined, "connect({ host, port })");
  const allowed = CONNECT_OPTIONS[target.scheme];
  const names = refused === undefined ? allowed : allowed.filter((name) => name !== refused);
  checkNames(opts, names, action, `a ${target.scheme} endpoint`);
  const streamLimits = checkStreamLimits(opts, action);
  let checked = checkConnectOptions(opts, action);
  if (target.scheme === "tcp" && target.family !== undefined) checked = restrictFamily(checked, target, action);
  return { target, action, streamLimits, checked };
}

/** Connects with TLS over TCP, through the proxy of `via` if there is one. */
async function openTls(
  target: HostEndpoint,
  call: ConnectCall,
  opts: ConnectOptions,
  sendHeader: SendHeader,
): Promise<Stream> {
  const { action, checked, streamLimits } = call;
  const { address } = target;
  const prepared = prepareClientTls(opts.tls, address, action);
  let stream: Stream;
  if (opts.via === undefined) {
    const connected = await connectHost(destinationOf(target, action), checked);
    stream = new Stream(new SocketConn(connected.socket, connected), streamLimits);
  } else stream = await openTunnelled(target, call, opts);
  return new Stream(await wrapInTls(await sendHeader(stream), prepared, address, checked), streamLimits);
}

// The endpoint of an earlier call, and its action. Most programs connect to one endpoint many times. If that is a TCP
// endpoint with an IPv4 address, only the first of these calls parses `[host, port]` and formats the action.
let lastTarget: Endpoint | undefined;
let lastAction = "";

/** Does the same as `parseEndpoint()`. Does not parse the host and port of `lastTarget` again. */
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

/** The action of a call, for messages. Sets `lastTarget`. */
function actionFor(target: Endpoint): string {
  if (lastTarget !== undefined && isSameTcpAddress(target, lastTarget)) return lastAction;
  lastTarget = target;
  return (lastAction = `connect to ${quote(formatEndpoint(target))}`);
}

function isSameTcpAddress(one: Endpoint, other: Endpoint): boolean {
  if (one.scheme !== "tcp" || other.scheme !== "tcp") return false;
  const areIPv4 = one.address instanceof InetAddress && other.address instanceof InetAddress;
  return areIPv4 && one.address.host === other.address.host && one.address.port === other.address.port;
}

/** The address of an endpoint. @throws TypeError for the wildcard */
export function destinationOf({ address }: HostEndpoint, action: string): HostAddress | HostPort {
  if (address instanceof HostPort && address.host === "") {
    throw new TypeError(`Cannot ${action}: the wildcard is no destination, required a host`);
  }
  return address;
}

/** Connects to a host through a proxy. */
async function openTunnelled(target: HostEndpoint, call: ConnectCall, opts: ConnectOptions): Promise<Stream> {
  const { action, checked, streamLimits } = call;
  const address = destinationOf(target, action);
  const { via } = opts;
  const { checkDestination, checkProxy, openTunnel } = await import("./tunnel.js");
  const proxy = checkProxy(via, action);
  const destination = checkDestination(address, action);
  let stream: Stream = new Stream(await openProxy(proxy, call, opts), streamLimits);
  if (proxy.tls !== undefined)
    stream = new Stream(await wrapInTls(stream, proxy.tls, proxy.address, checked), streamLimits);
  await openTunnel(stream, proxy, destination, checked);
  return stream;
}

/** Connects to the proxy, without the tunnel and without TLS. */
async function openProxy({ address }: CheckedProxy, call: ConnectCall, opts: ConnectOptions): Promise<SocketConn> {
  if (address instanceof UnixAddress) {
    checkNames(opts, [...CONNECT_OPTIONS.unix, "via", "tls"], call.action, "a proxy on a UNIX socket");
    return openLocal(address, call);
  }
  const connected = await connectHost(address, call.checked);
  return new SocketConn(connected.socket, connected);
}

/** Connects to a UNIX or vsock address. */
async function openLocal(address: UnixAddress | VsockAddress, call: ConnectCall): Promise<SocketConn> {
  const { action, checked } = call;
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

/** Makes a connection of a connected descriptor. If the call throws, the descriptor stays open. */
function takeConnected(fd: number, opts: ConnectOptions, checked: CheckedConnect, action: string): SocketConn {
  let conn!: SocketConn;
  takeDescriptor(fd, SOCK_STREAM, STREAM_FAMILIES, "connect", (socket) => {
    const remote = socket.getpeername();
    if (isTcpSocket(socket)) applyTcp(socket, checked.tcp);
    else checkNames(opts, CONNECT_OPTIONS.unix, action, "a descriptor of another protocol than TCP");
    conn = new SocketConn(socket, { remote });
  });
  return conn;
}

/** Checks the options that concern sockets. The timeout runs from this call on. */
export function checkConnectOptions(opts: ConnectOptions, action: string): CheckedConnect {
  const { resolver } = opts;
  checkFunction(resolver, action, "resolver");
  // Not `...checkWait()`, because the engine could then make a new hidden class (object layout) for each connection.
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

/** Sets the family of a `tcp4:` or `tcp6:` endpoint in the options. Other endpoints have no family. */
export function restrictFamily(checked: CheckedConnect, { family }: HostEndpoint, action: string): CheckedConnect {
  if (family === undefined) return checked;
  if (checked.family !== AF_UNSPEC && checked.family !== family) {
    throw new TypeError(`Cannot ${action}: family is ${checked.family}, required that of the endpoint, ${family}`);
  }
  return { ...checked, family };
}
