// Opens a channel to an endpoint, by the options of a command.

import {
  type Address,
  AF_UNIX,
  connect,
  type ConnectOptions,
  connectUdp,
  type Endpoint,
  getaddrinfo,
  HostPort,
  SO_TYPE,
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
import { type Channel, MessageChannel, StreamChannel, UdpChannel } from "./channel.js";

export interface OpenPlan {
  readonly endpoint: Endpoint;
  /** The type of a UNIX message socket; undefined for a stream. */
  readonly messages: "datagram" | "seqpacket" | undefined;
  readonly tls: TlsConnectOptions | undefined;
  readonly source: ConnectOptions["localAddress"];
  readonly via: string | undefined;
  readonly timeout: number | undefined;
  readonly options: readonly GivenOption[];
  readonly signal: AbortSignal;
}

export async function openChannel(plan: OpenPlan): Promise<Channel> {
  const { endpoint, messages, via, tls } = plan;
  const name = showEndpoint(endpoint.scheme, "address" in endpoint ? endpoint.address : undefined);
  if (via !== undefined && endpoint.scheme !== "tcp" && endpoint.scheme !== "tls") {
    throw new UsageError(`--via is given with an endpoint of ${endpoint.scheme}, required one of tcp or tls`);
  }
  if (messages !== undefined && endpoint.scheme === "unix") return openMessages(plan, endpoint.address, name);
  if (endpoint.scheme === "udp") {
    const { signal, timeout, source, options } = plan;
    const socket = await withUsageErrors(() =>
      connectUdp(endpoint, { ...defined({ signal, timeout }), ...local(source) }),
    );
    applyOptions(socket.socket, options);
    return new UdpChannel(socket);
  }
  // connect() can't set socket options before it connects, and takes `tls` only with the scheme tls.
  const canUseConnect = plan.options.length === 0 && (tls === undefined || endpoint.scheme === "tls");
  const stream = await (canUseConnect || via !== undefined ? openStream(plan) : openWithOptions(plan));
  return new StreamChannel(stream, String(stream.remoteAddress ?? name));
}

async function openStream({ endpoint, tls, source, via, timeout, signal, options }: OpenPlan): Promise<Stream> {
  const stream = await withUsageErrors(() =>
    connect(endpoint, {
      ...defined({ signal, timeout, via }),
      ...local(source),
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
  const stream =
    endpoint.scheme === "fd" ? await withUsageErrors(() => connect(endpoint)) : (await dial(plan, timeLeft)).stream();
  if (endpoint.scheme === "fd") applyOptions(stream.settings()!, plan.options);
  if (tls === undefined) return stream;
  try {
    const host = "address" in endpoint && "host" in endpoint.address ? { host: endpoint.address.host } : {};
    const time = timeLeft();
    return new Stream(
      await wrapTls(stream, { ...tls, ...host, signal, ...(time === undefined ? {} : { handshakeTimeout: time }) }),
    );
  } catch (error) {
    stream.abort();
    throw error;
  }
}

/**
 * Connects to the first address that accepts. If all fail, throws the error of the last address. An abort or a timeout
 * ends the attempts.
 */
async function dial(plan: OpenPlan, timeLeft: () => number | undefined): Promise<Socket> {
  const { endpoint, signal, source, options } = plan;
  if (!("address" in endpoint)) throw new UsageError(`an endpoint of ${endpoint.scheme} can't be connected to`);
  let failure: unknown;
  for (const address of await addressesOf(endpoint.address, timeLeft(), signal)) {
    const socket = new Socket(address.family, SOCK_STREAM);
    try {
      applyOptions(socket, options);
      if (source !== undefined) await socket.bind(source);
      await socket.connect(address, defined({ signal, timeout: timeLeft() }));
      return socket;
    } catch (error) {
      socket.close();
      if (signal.aborted || error instanceof TimeoutError) throw error;
      failure = error;
    }
  }
  throw failure;
}

type Addresses = Extract<Endpoint, { address: object }>["address"];

async function addressesOf(
  address: Addresses,
  timeout: number | undefined,
  signal: AbortSignal,
): Promise<readonly Address[]> {
  if (!(address instanceof HostPort)) return [address];
  const found = await getaddrinfo(address.host, address.port, { type: SOCK_STREAM, ...defined({ timeout, signal }) });
  return found.map((one) => one.address);
}

async function openMessages(plan: OpenPlan, address: UnixAddress, name: string): Promise<Channel> {
  const datagrams = plan.messages === "datagram";
  const socket = new Socket(AF_UNIX, datagrams ? SOCK_DGRAM : SOCK_SEQPACKET);
  try {
    applyOptions(socket, plan.options);
    // Without an address, a datagram socket can't receive answers. So the kernel chooses one (autobind of unix(7)).
    if (plan.source !== undefined) await socket.bind(plan.source);
    else if (datagrams) await socket.bind({ path: "" });
    await socket.connect(address, defined({ signal: plan.signal, timeout: plan.timeout }));
    return new MessageChannel(socket, name, socket.getsockopt(SO_TYPE) === SOCK_SEQPACKET);
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** The fields that are not undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

const local = (source: ConnectOptions["localAddress"]): Pick<ConnectOptions, "localAddress"> =>
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
