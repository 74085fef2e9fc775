// forward(): every connection to one endpoint is led on to another, inside the kernel.
//
// A connection here is one object with two sockets, which goes from accepted to connecting to pumping to over. Nobody awaits
// anything on the way: a short connection makes the kernel work for some ten microseconds, and promises for its dozen steps
// would double that.

// By name, for the global one is looked up by a getter each time.
import { performance } from "node:perf_hooks";
import { offAbort, onAbort } from "../aborts.js";
import {
  type Address,
  type Endpoint,
  type EndpointLike,
  formatEndpoint,
  HostPort,
  parseEndpoint,
  quote,
} from "../addr/index.js";
import {
  acceptFrom,
  type Activity,
  cutOnClose,
  Pump,
  type PumpCounts,
  type Settler,
  type Socket,
  WAITS,
} from "../socket/index.js";
import { socketError } from "../stream/wait.js";
import { integer } from "../sys/arguments.js";
import { abortSignal } from "../sys/deadline.js";
import type { PipePool } from "../sys/operations/pipes.js";
import { pipesOf } from "../sys/requests/splicing.js";
import { decodeRoom } from "../sys/sockaddr.js";
import { Dial, type DialOwner } from "./attempt.js";
import { checkPlan, type ConnectOptions, destinationOf, RACE_OPTIONS } from "./connect.js";
import { addressNow, dial, type DialPlan } from "./dial.js";
import { listen, LISTEN_OPTIONS, type ListenOptions } from "./listen.js";
import { checkApplies, checkObject, Deadline, STREAM_OPTIONS, TCP_OPTIONS, time } from "./options.js";
import type { ListenAddress, SocketListener } from "./socketListener.js";

/** What became of a connection that `forward()` led on. */
export interface Forwarded {
  /** Where it came from. */
  readonly client: Address;
  /** Bytes that the target has taken. */
  readonly toTarget: number;
  /** Bytes that the client has taken. */
  readonly toClient: number;
  /** Why it was cut; absent when both sides have ended it. */
  readonly error?: unknown;
}

/** How to forward. */
export interface ForwardOptions {
  /** Most connections at a time; further ones wait in the kernel's queue. Default 1000. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds for the connection to the target. Default 10,000. */
  readonly connectTimeout?: number | undefined;
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
/** setTimeout takes no more, 24.8 days. */
const LONGEST_TIMER = 0x7fff_ffff;
/** Deadlines are looked at again after so many ms at the earliest. */
const PRECISION = 5;

/** `ForwardOptions` that were checked. */
interface Plan {
  readonly maxConnections: number;
  readonly connectTimeout: number;
  readonly idleTimeout: number;
  readonly pipes: PipePool;
  /** The target: its address, or its name where a resolver has to be asked. */
  readonly target: Address | HostPort;
  readonly way: DialPlan;
  readonly onEnd: ((forwarded: Forwarded) => void) | undefined;
}

/**
 * Leads each connection to one endpoint on to another, and all bytes with it, both ways: what comes from a client goes to the
 * target, and back, inside the kernel ({@link pump}). An end on one side is an end on the other; a side that is cut, or
 * silent for too long, cuts the other. A client whose target can't be reached is cut. On TCP to be cut is a reset; UNIX sockets
 * have none, and see an end.
 *
 * Both endpoints are stream sockets: `tcp://`, `unix:`, `vsock://`; it can also listen on `fd:` and `systemd:`. TLS passes through
 * as it is. The name of a target is resolved for each connection, by default with getaddrinfo(3) on the few threads of the
 * pool, so a resolver that is slow or silent holds connections up.
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
  checkObject(opts, action);
  checkApplies(opts, NAMES, action, "forward");
  if (source.scheme === "tls" || source.scheme === "udp") {
    throw new TypeError(`Cannot ${action}: it listens on ${source.scheme}, required tcp, unix, vsock, fd or systemd`);
  }
  const { listen: listening = {} } = opts;
  checkObject(listening, `${action}, listen`);
  const allowed = LISTEN_OPTIONS[source.scheme].filter((name) => !STREAM_OPTIONS.includes(name));
  checkApplies(listening, allowed, action, `listening on a ${source.scheme} endpoint`);
  const signal = abortSignal(opts.signal, action);
  const plan = checkForward(target, opts, action);
  signal?.throwIfAborted();
  const listener = await listen(from, listening);
  if (signal?.aborted === true) {
    await listener.close();
    throw signal.reason;
  }
  return forwarderOf(new Engine(listener, plan, signal));
}

function checkForward(target: Endpoint, opts: ForwardOptions, action: string): Plan {
  const { connect = {}, idleTimeout, onEnd } = opts;
  if (onEnd !== undefined && typeof onEnd !== "function") {
    throw new TypeError(`Cannot ${action}: onEnd is ${quote(onEnd)}, required a function`);
  }
  const { address, way } = checkTarget(target, connect, action);
  return {
    maxConnections: integer(opts.maxConnections ?? 1000, action, "maxConnections", 1, MOST_CONNECTIONS),
    connectTimeout: time(opts.connectTimeout, 10_000, action, "connectTimeout", 1, LONGEST_TIMER),
    idleTimeout: idleTimeout === null ? Infinity : time(idleTimeout, 300_000, action, "idleTimeout", 1, LONGEST_TIMER),
    pipes: pipesOf(opts.pipeSize, action),
    target: address,
    way,
    onEnd,
  };
}

function checkTarget(
  target: Endpoint,
  connect: ForwardConnectOptions,
  action: string,
): { address: Address | HostPort; way: DialPlan } {
  checkObject(connect, `${action}, connect`);
  const what = `a ${target.scheme} endpoint`;
  if (target.scheme === "tcp") {
    checkApplies(connect, INET_OPTIONS, action, what);
    const way = checkPlan(connect, action);
    const { local } = way;
    if (local !== undefined && "port" in local && local.port !== 0) {
      throw new TypeError(
        `Cannot ${action}: localAddress is ${String(local)}, required port 0, as all connections come from there`,
      );
    }
    const destination = destinationOf(target, action);
    return { address: addressNow(destination, way) ?? destination, way };
  }
  if (target.scheme === "unix" || target.scheme === "vsock") {
    checkApplies(connect, [], action, what);
    return { address: target.address, way: checkPlan(connect, action) };
  }
  throw new TypeError(`Cannot ${action}: it leads to ${target.scheme}, required tcp, unix or vsock`);
}

/** Only forward() makes them. */
let forwarderOf: (engine: Engine) => Forwarder;

/** What `forward()` gives. */
export class Forwarder implements AsyncDisposable {
  static {
    forwarderOf = (engine) => new Forwarder(engine);
  }

  readonly #engine: Engine;

  private constructor(engine: Engine) {
    this.#engine = engine;
    engine.accept();
  }

  /** Where it listens, with the real port where 0 was asked for. */
  get address(): ListenAddress {
    return this.#engine.address;
  }

  /** How many connections are led at present, those that are being connected to the target included. */
  get connections(): number {
    return this.#engine.count;
  }

  /**
   * Resolves when it is closed; rejects when it can accept no more for another reason, and then it is closed, too. Such an error
   * that nobody hears is an unhandled rejection.
   */
  get closed(): Promise<void> {
    return this.#engine.closed;
  }

  /** Takes no more connections, and cuts those that there are, on both sides. */
  close(): Promise<void> {
    this.#engine.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Accepts connections and looks after their deadlines. */
class Engine implements Settler<Socket> {
  readonly plan: Plan;
  readonly closed: Promise<void>;
  readonly #listener: SocketListener;
  /** In no order. */
  readonly #connections: Forwarding[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #onSignal = { aborted: (): void => this.end() };
  #accepting = false;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(listener: SocketListener, plan: Plan, signal: AbortSignal | undefined) {
    this.plan = plan;
    this.#listener = listener;
    this.#signal = signal;
    this.closed = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal !== undefined) onAbort(signal, this.#onSignal);
  }

  get address(): ListenAddress {
    return this.#listener.address;
  }

  get count(): number {
    return this.#connections.length;
  }

  /** Takes connections for as long as there are some, and room for them. */
  accept(): void {
    while (!this.#over && !this.#accepting && this.#connections.length < this.plan.maxConnections) {
      let socket: Socket | typeof WAITS;
      try {
        socket = acceptFrom(this, this.#listener.socket);
      } catch (error) {
        this.failed(error);
        return;
      }
      if (socket === WAITS) this.#accepting = true;
      else this.#begin(socket);
    }
  }

  settled(socket: Socket): void {
    this.#accepting = false;
    this.#begin(socket);
    this.accept();
  }

  /** The listener accepts no more. */
  failed(error: unknown): void {
    this.#accepting = false;
    this.end(error);
  }

  #begin(socket: Socket): void {
    const { connectTimeout, onEnd, target } = this.plan;
    const client = onEnd === undefined ? undefined : decodeRoom();
    // Where a name is dialled, that has a deadline of its own, which can tell what was tried.
    const deadline = target instanceof HostPort ? Infinity : performance.now() + connectTimeout;
    const connection = new Forwarding(this, socket, client, deadline);
    connection.place = this.#connections.length;
    this.#connections.push(connection);
    this.arm(connection.deadline);
    connection.start();
  }

  /** A connection is over. */
  left(connection: Forwarding): void {
    const last = this.#connections.pop()!;
    if (last !== connection) this.#connections[(last.place = connection.place)] = last;
    // Not from here, where one of its descriptors may still be at work.
    if (!this.#accepting && this.#connections.length + 1 === this.plan.maxConnections)
      queueMicrotask(() => this.accept());
  }

  /** Looks at the deadlines when `due` has come: one timer for all, which is left alone by those that come later. */
  arm(due: number): void {
    if (due >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = due;
    const delay = Math.min(Math.max(Math.ceil(due - performance.now()), PRECISION), LONGEST_TIMER);
    // Not what keeps the process alive: the waiting calls do.
    this.#timer = setTimeout(() => this.#expire(), delay).unref();
  }

  #expire(): void {
    this.#armedFor = Infinity;
    const now = performance.now();
    let earliest = Infinity;
    // From the end, for the last one takes the place of one that leaves.
    for (let place = this.#connections.length - 1; place >= 0; place--) {
      const connection = this.#connections[place]!;
      const due = connection.dueAt();
      if (due <= now) connection.expire();
      else if (due < earliest) earliest = due;
    }
    this.arm(earliest);
  }

  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    if (this.#signal !== undefined) offAbort(this.#signal, this.#onSignal);
    void this.#listener.close();
    const reason = error ?? socketError("ECANCELED", "forward");
    // Each takes itself out.
    for (let last = this.#connections.at(-1); last !== undefined; last = this.#connections.at(-1)) last.cut(reason);
    if (error === undefined) this.#resolve();
    else this.#reject(error);
  }
}

/** One connection. */
class Forwarding implements DialOwner, Settler<PumpCounts> {
  /** Its place among the engine's. */
  place: number = -1;
  /** When it has to be connected to the target, by `performance.now()`; Infinity where another deadline looks after that. */
  readonly deadline: number;
  readonly #engine: Engine;
  readonly #client: Socket;
  readonly #address: Address | undefined;
  #dial: Dial | undefined;
  #unneeded: AbortController | undefined;
  #target: Socket | undefined;
  #pump: Pump | undefined;
  #activity: Activity | undefined;
  #over = false;

  constructor(engine: Engine, client: Socket, address: Address | undefined, deadline: number) {
    this.#engine = engine;
    this.#client = client;
    this.#address = address;
    this.deadline = deadline;
  }

  start(): void {
    const { target, way } = this.#engine.plan;
    if (target instanceof HostPort) {
      // Not from here: the resolver may be code of users.
      queueMicrotask(() => this.#dialName(target));
      return;
    }
    this.#dial = new Dial(target, way, this);
    this.#dial.start(null);
  }

  #dialName(target: HostPort): void {
    if (this.#over) return;
    const { connectTimeout, way } = this.#engine.plan;
    const { signal } = (this.#unneeded = new AbortController());
    dial(target, { ...way, deadline: new Deadline(connectTimeout), signal }).then(
      ({ socket }) => this.#lead(socket),
      (error: unknown) => this.cut(error),
    );
  }

  connected({ socket }: Dial): void {
    this.#lead(socket);
  }

  refused(_dial: Dial, error: unknown): void {
    this.cut(error);
  }

  #lead(target: Socket): void {
    if (this.#over) {
      target.close();
      return;
    }
    const { idleTimeout, pipes } = this.#engine.plan;
    this.#dial = this.#unneeded = undefined;
    this.#target = target;
    this.#activity = { last: performance.now() };
    this.#pump = new Pump(this.#client, target, pipes, this.#activity, true, this);
    this.#engine.arm(this.#activity.last + idleTimeout);
    this.#pump.start();
  }

  /** Both sides have ended. */
  settled({ aToB, bToA }: PumpCounts): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave(aToB, bToA, undefined);
  }

  failed(error: unknown): void {
    this.cut(error);
  }

  /** When it is to be cut unless bytes move before. */
  dueAt(): number {
    const pump = this.#pump;
    if (pump === undefined) return this.deadline;
    const relayed = Math.max(pump.there.lastRelayed() ?? 0, pump.back.lastRelayed() ?? 0);
    return Math.max(this.#activity!.last, relayed) + this.#engine.plan.idleTimeout;
  }

  /** The time is over. */
  expire(): void {
    this.cut(socketError("ETIMEDOUT", this.#pump === undefined ? "connect" : "splice"));
  }

  /** Ends it with a reset on both sides. */
  cut(error: unknown): void {
    if (this.#over) return;
    // From here on those who are still under way tell nobody.
    this.#over = true;
    this.#dial?.cancel();
    this.#unneeded?.abort();
    this.#pump?.cancel(error);
    const progress = this.#pump?.progress();
    cutOnClose(this.#client);
    if (this.#target !== undefined) cutOnClose(this.#target);
    this.#leave(progress?.aToB.transferred ?? 0, progress?.bToA.transferred ?? 0, { error });
  }

  #leave(toTarget: number, toClient: number, cut: { error: unknown } | undefined): void {
    closeQuietly(this.#client);
    if (this.#target !== undefined) closeQuietly(this.#target);
    this.#engine.left(this);
    const { onEnd } = this.#engine.plan;
    if (onEnd === undefined) return;
    const forwarded: Forwarded = { client: this.#address!, toTarget, toClient, ...cut };
    queueMicrotask(() => onEnd(forwarded));
  }
}

/** The descriptor is gone whatever close(2) says. */
function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // Nobody can do anything about it.
  }
}
