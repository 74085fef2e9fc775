// forward(): its options, and its result, the class Forwarder. The first call loads the folders admission/ and
// proxyProtocol/, and forwardServer.ts, which accepts and forwards the connections.

import { AsyncResource } from "node:async_hooks";
import {
  type Address,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  type HostPort,
  parseEndpoint,
  parseLocalEndpoint,
} from "../addr/index.js";
import { ADMISSION_OPTIONS } from "../admission/admissionNames.js";
import type { AdmissionOptions, DrainOptions } from "../admission/index.js";
import { checkNames, checkOptions, quote } from "../check/index.js";
import { abortSignal } from "../wait/waitOptions.js";
import { checkConnectOptions, type ConnectOptions, destinationOf, restrictFamily, RACE_OPTIONS } from "./connect.js";
import { addressWithoutLookup, type CheckedConnect } from "./connectHost.js";
import type { CheckedForward, Forwarded } from "./forwardedConnection.js";
import type { ForwarderStats, ForwardServer } from "./forwardServer.js";
import type { ListenerDescription } from "./listenerStats.js";
import { makeDescribable, Inspectable } from "../registry/index.js";
import type { ForwardHeaderOptions } from "./forwardHeader.js";
import { handoverOf, registerHandover } from "./upgradeSockets.js";
import { listen, LISTEN_OPTIONS, type ListenOptions } from "./listen.js";
import { checkFunction, STREAM_OPTIONS, TCP_OPTIONS } from "./endpointOptions.js";
import type { ListenAddress } from "./socketListener.js";

export type { Forwarded } from "./forwardedConnection.js";
export type { ForwarderStats } from "./forwardServer.js";
export type { ForwardHeaderOptions } from "./forwardHeader.js";

/** Options of `forward()`. */
export interface ForwardOptions extends AdmissionOptions {
  /**
   * Maximum number of connections at a time; further connections wait in the accept queue, or are reset (`whenFull`).
   * Default 1000. For up to 32,768 connections, bytes are forwarded without JavaScript.
   */
  readonly maxConnections?: number | undefined;
  /**
   * Maximum number of connections at a time from one address; null for no limit. Further ones are reset. IPv6 addresses
   * count by their /64, and IPv4-mapped addresses as IPv4. Clients of UNIX sockets and vsock are not counted. Default
   * null.
   */
  readonly maxConnectionsPerAddress?: number | null | undefined;
  /** Milliseconds for the connection to the target; null for no limit. Default 10,000. */
  readonly connectTimeout?: number | null | undefined;
  /** Size of a pipe in bytes, as in `pump()`. Default 262,144. */
  readonly pipeSize?: number | undefined;
  /** Options for `listen()`. */
  readonly listen?: ForwardListenOptions | undefined;
  /** Options for `connect()`, if the target is a tcp endpoint. The port of `localAddress` must be 0. */
  readonly connect?: ForwardConnectOptions | undefined;
  /**
   * Sends a header of the PROXY protocol to the target before the bytes of the client. It has the address of the
   * client, and the address to which the client has connected. Default: no header.
   */
  readonly sendProxyProtocol?: ForwardHeaderOptions | undefined;
  /** Closes the forwarder, as `close()` does. */
  readonly signal?: AbortSignal | undefined;
  /** Called when a connection has ended. An error that it throws becomes a warning; see docs/errors.md. */
  readonly onEnd?: ((forwarded: Forwarded) => void) | undefined;
}

/** The options of `listen()` that concern sockets. */
export type ForwardListenOptions = Omit<ListenOptions, "readSize" | "maxLine" | "maxFrame" | "now" | "tls">;

/** The options of `connect()` that concern sockets. */
export type ForwardConnectOptions = Omit<
  ConnectOptions,
  "timeout" | "signal" | "readSize" | "maxLine" | "maxFrame" | "now" | "tls" | "via"
>;

const FORWARD_OPTIONS: readonly (keyof ForwardOptions)[] = [
  ...ADMISSION_OPTIONS,
  "connectTimeout",
  "pipeSize",
  "listen",
  "connect",
  "sendProxyProtocol",
  "signal",
  "onEnd",
];
const TCP_TARGET_OPTIONS = [...TCP_OPTIONS, ...RACE_OPTIONS, "localAddress", "bindToDevice"];

/**
 * Accepts connections at the endpoint `from`, and forwards each of them to the endpoint `to`. The kernel moves the
 * bytes in both directions, as in {@link pump}. When one side finishes writing, the other side gets an end. A reset of
 * one side, or an idle timeout, resets both sides. If the target can't be reached, the client gets a reset. UNIX
 * sockets have no reset, and get an end.
 *
 * Both endpoints are stream sockets: `tcp://`, `unix:` or `vsock://`; `from` can also be `fd:` or `systemd:`. TLS is
 * forwarded without decryption. The name of a target is resolved for each connection, by default with getaddrinfo(3).
 * Connections that are made at the same time share a lookup.
 *
 * @param from the endpoint to listen on
 * @param to the endpoint to connect to
 * @throws the errors of `listen()`
 * @throws TypeError or RangeError for an endpoint or an option that is wrong or does not apply
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
 * console.log(forwarder.stats().connections); // prints: 1
 * ```
 */
export async function forward(from: EndpointLike, to: EndpointLike, opts: ForwardOptions = {}): Promise<Forwarder> {
  const source = parseLocalEndpoint(from);
  const target = parseEndpoint(to);
  const action = `forward ${quote(formatEndpoint(source))} to ${quote(formatEndpoint(target))}`;
  checkOptions(opts, action);
  checkNames(opts, FORWARD_OPTIONS, action, "forward");
  if (source.scheme === "tls" || source.scheme === "udp") {
    throw new TypeError(
      `Cannot ${action}: the source is a ${source.scheme} endpoint, required tcp, unix, vsock, fd or systemd`,
    );
  }
  const { listen: listenOptions = {} } = opts;
  checkOptions(listenOptions, `${action}, listen`);
  const allowedNames = LISTEN_OPTIONS[source.scheme].filter((name) => !STREAM_OPTIONS.includes(name));
  checkNames(listenOptions, allowedNames, action, `listening on a ${source.scheme} endpoint`);
  const signal = abortSignal(opts.signal, action);
  const checkedTarget = checkTarget(target, opts, action);
  // A copy, because the program may change the object while forwardServer.ts is loaded.
  const copiedOptions: ForwardOptions = Object.fromEntries(FORWARD_OPTIONS.map((name) => [name, opts[name]]));
  const { checkServerOptions, ForwardServer } = await import("./forwardServer.js");
  const checked = { ...checkServerOptions(copiedOptions, action), ...checkedTarget };
  signal?.throwIfAborted();
  const listener = await listen(from, listenOptions);
  if (signal?.aborted === true) {
    await listener.close();
    throw signal.reason;
  }
  const forwarder = makeForwarder(new ForwardServer(listener, checked, signal));
  registerHandover(forwarder, {
    sockets: () => handoverOf(listener)!.sockets(),
    stop: (timeout) => forwarder.drain({ timeout }),
  });
  return forwarder;
}

/** Checks the target, the options for it, and `onEnd`. */
function checkTarget(
  target: Endpoint,
  { connect = {}, onEnd }: ForwardOptions,
  action: string,
): Pick<CheckedForward, "target" | "checkedConnect" | "onEnd"> {
  checkFunction(onEnd, action, "onEnd");
  const { address, checkedConnect } = checkTargetAddress(target, connect, action);
  return {
    target: address,
    // AsyncResource.bind() makes the functions of the caller run in the asynchronous context of this call of forward().
    checkedConnect:
      checkedConnect.resolver === undefined
        ? checkedConnect
        : { ...checkedConnect, resolver: AsyncResource.bind(checkedConnect.resolver) },
    onEnd: onEnd === undefined ? undefined : AsyncResource.bind(onEnd),
  };
}

/** Checks the endpoint `to` and the option `connect`. Returns the address of the target, or its name. */
function checkTargetAddress(
  target: Endpoint,
  connect: ForwardConnectOptions,
  action: string,
): { address: Address | HostPort; checkedConnect: CheckedConnect } {
  checkOptions(connect, `${action}, connect`);
  const kindOfTarget = `a ${target.scheme} endpoint`;
  if (target.scheme === "tcp") {
    checkNames(connect, TCP_TARGET_OPTIONS, action, kindOfTarget);
    const checkedConnect = restrictFamily(checkConnectOptions(connect, action), target, action);
    const { local } = checkedConnect;
    if (local !== undefined && "port" in local && local.port !== 0) {
      throw new TypeError(`Cannot ${action}: localAddress is ${String(local)}, required port 0`);
    }
    const destination = destinationOf(target, action);
    return { address: addressWithoutLookup(destination, checkedConnect) ?? destination, checkedConnect };
  }
  if (target.scheme === "unix" || target.scheme === "vsock") {
    checkNames(connect, [], action, kindOfTarget);
    return { address: target.address, checkedConnect: checkConnectOptions(connect, action) };
  }
  throw new TypeError(`Cannot ${action}: the target is a ${target.scheme} endpoint, required tcp, unix or vsock`);
}

/** Calls the private constructor of Forwarder, which only forward() may use. */
let makeForwarder: (server: ForwardServer) => Forwarder;

/** The result of `forward()`: accepts and forwards connections until it is closed. */
export class Forwarder extends Inspectable<ListenerDescription> implements AsyncDisposable {
  static {
    makeForwarder = (server) => new Forwarder(server);
    makeDescribable<Forwarder, ListenerDescription>(Forwarder.prototype, "Forwarder", (forwarder) =>
      forwarder.#server.describe(),
    );
  }

  readonly #server: ForwardServer;

  private constructor(server: ForwardServer) {
    super();
    this.#server = server;
    server.accept();
  }

  /** The address that it listens on. If port 0 was requested, it has the port that the kernel chose. */
  get address(): ListenAddress {
    return this.#server.address;
  }

  /** The counters, also after `close()`: connections now and in total, and the bytes of the ended connections. */
  stats(): ForwarderStats {
    return this.#server.stats();
  }

  /**
   * Resolves when the forwarder is closed. If accept(2) fails, the forwarder closes and this promise rejects. If no
   * code handles that, it is an unhandled rejection.
   */
  get closed(): Promise<void> {
    return this.#server.life.closed;
  }

  /**
   * Lets the process end while the forwarder is open. Neither its waiting accept nor its connections keep the process
   * alive.
   */
  unref(): this {
    this.#server.setRef(false);
    return this;
  }

  /** Undoes `unref()`: the forwarder keeps the process alive until it is closed. */
  ref(): this {
    this.#server.setRef(true);
    return this;
  }

  /**
   * Closes the listener, and waits until the connections have ended. After `timeout` milliseconds (null for no limit,
   * default 10,000) it resets the connections that are left, as `close()` does.
   *
   * @throws TypeError or RangeError (by rejecting) for a wrong `timeout`
   */
  async drain(opts: DrainOptions = {}): Promise<void> {
    await this.#server.drain(opts);
  }

  /** Stops accepting, and resets both sides of the open connections. */
  close(): Promise<void> {
    this.#server.life.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
