// Opens a channel to an endpoint, with the options of the commands `connect` and `send`.

import {
  type Address,
  AF_UNIX,
  connect,
  type ConnectOptions,
  connectUdp,
  type Endpoint,
  getaddrinfo,
  HostPort,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  Stream,
  TimeoutError,
  type TlsConnectOptions,
  type UnixAddress,
  wrapTls,
} from "berkeley";

import { showEndpoint } from "../frame/endpoints.js";
import { UsageError } from "../frame/failure.js";
import { applyOptions, type GivenOption } from "../frame/socketOptions.js";
import { type Channel, MessageChannel, type MessageType, StreamChannel, UdpChannel } from "./channel.js";

export interface OpenPlan {
  readonly endpoint: Endpoint;
  /** The type of a UNIX message socket; undefined for a stream and for UDP. */
  readonly messageType: MessageType | undefined;
  readonly tls: TlsConnectOptions | undefined;
  /** The address from which the channel is opened; undefined if the kernel chooses it. */
  readonly source: ConnectOptions["localAddress"];
  /** The URL of a proxy. */
  readonly via: string | undefined;
  /** Milliseconds until the channel is open. */
  readonly timeout: number | undefined;
  /** Options of the socket. */
  readonly options: readonly GivenOption[];
  readonly signal: AbortSignal;
}

export async function openChannel(plan: OpenPlan): Promise<Channel> {
  const { endpoint, messageType, via, tls } = plan;
  const name = showEndpoint(endpoint.scheme, "address" in endpoint ? endpoint.address : undefined);
  if (via !== undefined && endpoint.scheme !== "tcp" && endpoint.scheme !== "tls") {
    throw new UsageError(`--via is given with an endpoint of ${endpoint.scheme}, required one of tcp or tls`);
  }
  if (messageType !== undefined && endpoint.scheme === "unix") {
    return openMessages(plan, messageType, endpoint.address, name);
  }
  if (endpoint.scheme === "udp") {
    const { signal, timeout, source, options } = plan;
    const socket = await withUsageErrors(() =>
      connectUdp(endpoint, { ...withoutUndefined({ signal, timeout }), ...localAddressOption(source) }),
    );
    applyOptions(socket.socket, options);
    return new UdpChannel(socket);
  }
  // connect() can't set socket options before it connects, and takes `tls` only with the scheme tls. So
  // openWithOptions() opens a stream with socket options, or with TLS on another scheme. But only connect() can use a
  // proxy, so with --via openStream() calls connect(), and sets the socket options afterwards.
  const canUseConnect = plan.options.length === 0 && (tls === undefined || endpoint.scheme === "tls");
  const stream = await (canUseConnect || via !== undefined ? openStream(plan) : openWithOptions(plan));
  return new StreamChannel(stream, String(stream.remoteAddress ?? name));
}

/** Opens a stream with connect(), and then sets its socket options. */
async function openStream({ endpoint, tls, source, via, timeout, signal, options }: OpenPlan): Promise<Stream> {
  const stream = await withUsageErrors(() =>
    connect(endpoint, {
      ...withoutUndefined({ signal, timeout, via }),
      ...localAddressOption(source),
      ...(tls === undefined ? {} : { tls }),
    }),
  );
  const settings = stream.settings();
  if (options.length > 0 && settings !== undefined) applyOptions(settings, options);
  return stream;
}

/** Makes the socket and sets its options before connect(2). Adds TLS to a stream of any scheme. */
async function openWithOptions(plan: OpenPlan): Promise<Stream> {
  const { endpoint, tls, timeout, signal } = plan;
  const deadline = timeout === undefined ? undefined : performance.now() + timeout;
  const timeLeft = (): number | undefined =>
    deadline === undefined ? undefined : Math.max(0, deadline - performance.now());
  let stream: Stream;
  if (endpoint.scheme === "fd") {
    // The socket exists already.
    stream = await withUsageErrors(() => connect(endpoint));
    applyOptions(stream.settings()!, plan.options);
  } else stream = (await connectSocket(plan, timeLeft)).stream();
  if (tls === undefined) return stream;
  try {
    const host = "address" in endpoint && "host" in endpoint.address ? { host: endpoint.address.host } : {};
    const options = { ...tls, ...host, signal, ...withoutUndefined({ handshakeTimeout: timeLeft() }) };
    return new Stream(await wrapTls(stream, options));
  } catch (error) {
    stream.abort();
    throw error;
  }
}

/**
 * Connects to the first address that accepts. If all fail, throws the error of the last address. An abort or a timeout
 * ends the attempts.
 */
async function connectSocket(plan: OpenPlan, timeLeft: () => number | undefined): Promise<Socket> {
  const { endpoint, signal, source, options } = plan;
  if (!("address" in endpoint)) throw new UsageError(`an endpoint of ${endpoint.scheme} can't be connected to`);
  let lastError: unknown;
  for (const address of await addressesOf(endpoint.address, timeLeft(), signal)) {
    const socket = new Socket(address.family, SOCK_STREAM);
    try {
      applyOptions(socket, options);
      if (source !== undefined) await socket.bind(source);
      await socket.connect(address, withoutUndefined({ signal, timeout: timeLeft() }));
      return socket;
    } catch (error) {
      socket.close();
      if (signal.aborted || error instanceof TimeoutError) throw error;
      lastError = error;
    }
  }
  throw lastError;
}

type EndpointAddress = Extract<Endpoint, { address: object }>["address"];

/** Looks up the addresses of a host name. An address of another kind is returned as the only one. */
async function addressesOf(
  address: EndpointAddress,
  timeout: number | undefined,
  signal: AbortSignal,
): Promise<readonly Address[]> {
  if (!(address instanceof HostPort)) return [address];
  const options = { type: SOCK_STREAM, ...withoutUndefined({ timeout, signal }) };
  const results = await getaddrinfo(address.host, address.port, options);
  return results.map((result) => result.address);
}

async function openMessages(plan: OpenPlan, type: MessageType, address: UnixAddress, name: string): Promise<Channel> {
  const socket = new Socket(AF_UNIX, type === "datagram" ? SOCK_DGRAM : SOCK_SEQPACKET);
  try {
    applyOptions(socket, plan.options);
    // Without an address, a datagram socket can't receive answers. So the kernel chooses one (autobind of unix(7)).
    if (plan.source !== undefined) await socket.bind(plan.source);
    else if (type === "datagram") await socket.bind({ path: "" });
    await socket.connect(address, withoutUndefined({ signal: plan.signal, timeout: plan.timeout }));
    return new MessageChannel(socket, name, type);
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Returns the fields that are not undefined. */
function withoutUndefined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

const localAddressOption = (source: ConnectOptions["localAddress"]): Pick<ConnectOptions, "localAddress"> =>
  source === undefined ? {} : { localAddress: source };

/** Runs `work`. A TypeError or RangeError of the library becomes a UsageError, because the command line is wrong. */
export async function withUsageErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
