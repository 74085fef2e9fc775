// forward(): every connection to one endpoint is led on to another. Here is what users pass and get; forwarding.ts does it.

import { AsyncResource } from "node:async_hooks";
import {
  type Address,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  type HostPort,
  parseEndpoint,
} from "../addr/index.js";
import { checkNames, checkOptions, integer, quote } from "../check/index.js";
import { abortSignal, millisecondsOr } from "../wait/waitOptions.js";
import { pipesOf } from "../ops/spliceArguments.js";
import { checkConnect, type ConnectOptions, destinationOf, RACE_OPTIONS } from "./connect.js";
import { addressWithoutLookup, type CheckedConnect } from "./connectHost.js";
import { ForwardServer, type Forwarded, type CheckedForward } from "./forwardServer.js";
import { listen, LISTEN_OPTIONS, type ListenOptions } from "./listen.js";
import { STREAM_OPTIONS, TCP_OPTIONS } from "./endpointOptions.js";
import type { ListenAddress } from "./socketListener.js";

export { type Forwarded } from "./forwardServer.js";

/** How to forward. */
export interface ForwardOptions {
  /**
   * Most connections at a time; further ones wait in the kernel's queue. Default 1000. Up to 32,768 are carried on without JavaScript
   * while nothing but bytes comes.
   */
  readonly maxConnections?: number | undefined;
  /** Milliseconds for the connection to the target; null for no limit. Default 10,000. */
  readonly connectTimeout?: number | null | undefined;
  /** Milliseconds without a byte in either direction after which a connection is cut; null for never. Default 300,000. */
  readonly idleTimeout?: number | null | undefined;
  /** Bytes of the pipes, as `pump()` takes it. Default 262144. */
  readonly pipeSize?: number | undefined;
  /** How to listen: as `listen()` takes it. */
  readonly listen?: ForwardListenOptions | undefined;
  /** How to connect to a target of TCP: as `connect()` takes it. The port of a `localAddress` is 0, as it is used for all. */
  readonly connect?: ForwardConnectOptions | undefined;
  /** Ends it, as `close()` does. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of each connection that is over. What it throws is nobody's, and so an uncaught exception. */
  readonly onEnd?: ((forwarded: Forwarded) => void) | undefined;
}

/** What of `listen()`'s options concerns sockets. */
export type ForwardListenOptions = Omit<ListenOptions, "readSize" | "maxLine" | "maxFrame" | "now" | "tls">;

/** What of `connect()`'s options concerns sockets. */
export type ForwardConnectOptions = Omit<
  ConnectOptions,
  "timeout" | "signal" | "readSize" | "maxLine" | "maxFrame" | "now" | "tls" | "via"
>;

const NAMES = ["maxConnections", "connectTimeout", "idleTimeout", "pipeSize", "listen", "connect", "signal", "onEnd"];
const INET_OPTIONS = [...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice"];
const MOST_CONNECTIONS = 1_000_000;

/**
 * Leads each connection to one endpoint on to another, and all bytes with it, both ways: what comes from a client goes to the
 * target, and back, inside the kernel ({@link pump}). An end on one side is an end on the other; a side that is cut, or
 * silent for too long, cuts the other. A client whose target can't be reached is cut. On TCP to be cut is a reset; UNIX sockets
 * have none, and see an end.
 *
 * Both endpoints are stream sockets: `tcp://`, `unix:`, `vsock://`; it can also listen on `fd:` and `systemd:`. TLS passes through
 * as it is. The name of a target is resolved for each connection, by default with getaddrinfo(3); connections that are
 * made at the same time share a lookup.
 *
 * @param from where to listen
 * @param to where each connection is led
 * @throws what `listen()` rejects with
 * @throws TypeError or RangeError for an endpoint or an option that is wrong, or that the endpoint has no use for
 * @see accept(2), connect(2), splice(2)
 * @example
 * ```ts
 * import { connect, forward, listen } from "berkeley";
 *
 * await using target = await listen("unix:@behind");
 * await using forwarder = await forward("tcp://127.0.0.1:8888", "unix:@behind", { maxConnections: 100 });
 * await using client = await connect(forwarder.address);
 * await using server = await target.accept();
 * await client.write("through\n");
 * console.log(await server.readLine()); // prints: through
 * console.log(forwarder.connections); // prints: 1
 * ```
 */
export async function forward(from: EndpointLike, to: EndpointLike, opts: ForwardOptions = {}): Promise<Forwarder> {
  const source = parseEndpoint(from);
  const target = parseEndpoint(to);
  const action = `forward ${quote(formatEndpoint(source))} to ${quote(formatEndpoint(target))}`;
  checkOptions(opts, action);
  checkNames(opts, NAMES, action, "forward");
  if (source.scheme === "tls" || source.scheme === "udp") {
    throw new TypeError(`Cannot ${action}: it listens on ${source.scheme}, required tcp, unix, vsock, fd or systemd`);
  }
  const { listen: listening = {} } = opts;
  checkOptions(listening, `${action}, listen`);
  const allowed = LISTEN_OPTIONS[source.scheme].filter((name) => !STREAM_OPTIONS.includes(name));
  checkNames(listening, allowed, action, `listening on a ${source.scheme} endpoint`);
  const signal = abortSignal(opts.signal, action);
  const checked = checkForward(target, opts, action);
  signal?.throwIfAborted();
  const listener = await listen(from, listening);
  if (signal?.aborted === true) {
    await listener.close();
    throw signal.reason;
  }
  return makeForwarder(new ForwardServer(listener, checked, signal));
}

function checkForward(target: Endpoint, opts: ForwardOptions, action: string): CheckedForward {
  const { connect = {}, idleTimeout, onEnd } = opts;
  if (onEnd !== undefined && typeof onEnd !== "function") {
    throw new TypeError(`Cannot ${action}: onEnd is ${quote(onEnd)}, required a function`);
  }
  const { address, way } = checkTarget(target, connect, action);
  return {
    maxConnections: integer(opts.maxConnections ?? 1000, action, "maxConnections", 1, MOST_CONNECTIONS),
    connectTimeout: millisecondsOr(opts.connectTimeout, 10_000, action, "connectTimeout"),
    idleTimeout: millisecondsOr(idleTimeout, 300_000, action, "idleTimeout"),
    pipes: pipesOf(opts.pipeSize, action),
    target: address,
    // Both run in the asynchronous context that they were given in, not in that of a connection's events.
    way: way.resolver === undefined ? way : { ...way, resolver: AsyncResource.bind(way.resolver) },
    onEnd: onEnd === undefined ? undefined : AsyncResource.bind(onEnd),
  };
}

function checkTarget(
  target: Endpoint,
  connect: ForwardConnectOptions,
  action: string,
): { address: Address | HostPort; way: CheckedConnect } {
  checkOptions(connect, `${action}, connect`);
  const what = `a ${target.scheme} endpoint`;
  if (target.scheme === "tcp") {
    checkNames(connect, INET_OPTIONS, action, what);
    const way = checkConnect(connect, action);
    const { local } = way;
    if (local !== undefined && "port" in local && local.port !== 0) {
      throw new TypeError(
        `Cannot ${action}: localAddress is ${String(local)}, required port 0, as all connections come from there`,
      );
    }
    const destination = destinationOf(target, action);
    return { address: addressWithoutLookup(destination, way) ?? destination, way };
  }
  if (target.scheme === "unix" || target.scheme === "vsock") {
    checkNames(connect, [], action, what);
    return { address: target.address, way: checkConnect(connect, action) };
  }
  throw new TypeError(`Cannot ${action}: it leads to ${target.scheme}, required tcp, unix or vsock`);
}

/** Only forward() makes them. */
let makeForwarder: (server: ForwardServer) => Forwarder;

/** What `forward()` gives. */
export class Forwarder implements AsyncDisposable {
  static {
    makeForwarder = (server) => new Forwarder(server);
  }

  readonly #server: ForwardServer;

  private constructor(server: ForwardServer) {
    this.#server = server;
    server.accept();
  }

  /** Where it listens, with the real port where 0 was asked for. */
  get address(): ListenAddress {
    return this.#server.address;
  }

  /** How many connections are led at present, those that are being connected to the target included. */
  get connections(): number {
    return this.#server.count;
  }

  /**
   * Resolves when it is closed; rejects when it can accept no more for another reason, and then it is closed, too. Such an error
   * that nobody hears is an unhandled rejection.
   */
  get closed(): Promise<void> {
    return this.#server.closed;
  }

  /**
   * Lets the process end while it forwards: neither the wait for connections nor those that there are keep it alive from now on.
   */
  unref(): this {
    this.#server.keepAlive(false);
    return this;
  }

  /** Undoes `unref()`: it keeps the process alive until it is closed, as from the beginning. */
  ref(): this {
    this.#server.keepAlive(true);
    return this;
  }

  /** Takes no more connections, and cuts those that there are, on both sides. */
  close(): Promise<void> {
    this.#server.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
