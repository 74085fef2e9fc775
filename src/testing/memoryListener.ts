// A listener in memory: one side calls connect(), and the other side accept().

import type { Address } from "../addr/address.js";
import type { SocketError } from "../errors/index.js";
import type { IoOptions, Listener } from "../io.js";
import type { Clock } from "../wait/clock.js";
import { localError, timeoutError } from "../wait/localError.js";
import { optionsError, PendingCall } from "../wait/pendingCall.js";
import { makeDescribable, type Description, Inspectable } from "../registry/index.js";
import { checkAddress, checkMemory, wholeNumber } from "./checks.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { type MemoryConn, memoryPair, type MemoryOptions } from "./memory.js";

/** How a listener in memory and the connections to it behave. */
export interface MemoryListenerOptions extends Omit<MemoryOptions, "addresses"> {
  /** Connections that the accept queue holds. Further calls of `connect()` wait. Default 128. */
  readonly backlog?: number | undefined;
  /** The address of the listener, and so the local address of each accepted connection. Default: none. */
  readonly address?: Address | undefined;
}

/** The counters of a {@link MemoryListener}. */
export interface MemoryListenerStats {
  /** Connections that `accept()` has returned. */
  readonly accepted: number;
  /** Connections in the accept queue. */
  readonly queued: number;
  /** Maximum number of connections in the accept queue. */
  readonly backlog: number;
}

/** The fields of a {@link MemoryListener} in JSON. */
export interface MemoryListenerDescription extends Description {
  readonly kind: "MemoryListener";
  readonly state: "listening" | "closed";
  readonly local: string | null;
  readonly pending: readonly string[];
  readonly stats: MemoryListenerStats;
}

/** A pending `accept()` or `connect()`. */
class PendingConn extends PendingCall<MemoryConn> {
  readonly #syscall: string;
  readonly #remove: (call: PendingConn) => void;

  constructor(
    syscall: string,
    opts: IoOptions | undefined,
    clock: Clock,
    refs: TimerRefs | undefined,
    remove: (call: PendingConn) => void,
  ) {
    super(opts, clock, refs, { call: syscall, object: { kind: "MemoryListener" } });
    this.#syscall = syscall;
    this.#remove = remove;
  }

  protected override cancel(): SocketError {
    this.#remove(this);
    return timeoutError(this.#syscall);
  }
}

/**
 * A listener without a network, for tests of a server.
 *
 * @example
 * ```ts
 * import { MemoryListener } from "berkeley/testing";
 *
 * await using listener = new MemoryListener();
 * await using client = await listener.connect();
 * await using server = await listener.accept();
 * await client.write("hello");
 * console.log(await server.read(new Uint8Array(16))); // prints: 5
 * ```
 */
export class MemoryListener extends Inspectable<MemoryListenerDescription> implements Listener<MemoryConn> {
  readonly address: Address | undefined;
  readonly #memoryOptions: MemoryOptions;
  readonly #clock: Clock;
  readonly #backlog: number;
  readonly #acceptQueue: MemoryConn[] = [];
  readonly #refs = new TimerRefs();
  #acceptCalls: PendingConn[] = [];
  #connectCalls: PendingConn[] = [];
  #closed = false;
  #accepted = 0;

  static {
    makeDescribable<MemoryListener, MemoryListenerDescription>(
      MemoryListener.prototype,
      "MemoryListener",
      (listener) => ({
        state: listener.#closed ? "closed" : "listening",
        local: listener.address === undefined ? null : String(listener.address),
        pending: [...listener.#acceptCalls.map(() => "accept"), ...listener.#connectCalls.map(() => "connect")],
        stats: listener.stats(),
      }),
    );
  }

  /** @throws TypeError or RangeError for an option that is wrong */
  constructor(opts: MemoryListenerOptions = {}) {
    super();
    const action = "make a memory listener";
    const { capacity, latency, chunk: chunking, faults, clock } = checkMemory(opts, action, ["backlog", "address"]);
    checkAddress(opts.address, action, "address");
    this.#memoryOptions = { capacity, latency, chunking, faults, clock };
    this.address = opts.address;
    this.#clock = clock;
    // With a backlog of 0, no connection could be made.
    this.#backlog = Math.max(1, wholeNumber(opts.backlog ?? 128, action, "backlog"));
  }

  /** The counters of the listener, also after `close()`. */
  stats(): MemoryListenerStats {
    return { accepted: this.#accepted, queued: this.#acceptQueue.length, backlog: this.#backlog };
  }

  /** Connects and resolves with the client's end. Rejects with `ECONNREFUSED` if the listener is closed. */
  connect(opts?: IoOptions): Promise<MemoryConn> {
    const refused = optionsError(opts, "connect");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("ECONNREFUSED", "connect"));
    const call = new PendingConn("connect", opts, this.#clock, undefined, (cancelled) => {
      this.#connectCalls = this.#connectCalls.filter((other) => other !== cancelled);
    });
    this.#connectCalls.push(call);
    this.#settleCalls();
    return call.promise;
  }

  accept(opts?: IoOptions): Promise<MemoryConn> {
    const refused = optionsError(opts, "accept");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "accept"));
    const call = new PendingConn("accept", opts, this.#clock, this.#refs, (cancelled) => {
      this.#acceptCalls = this.#acceptCalls.filter((other) => other !== cancelled);
    });
    this.#acceptCalls.push(call);
    this.#settleCalls();
    return call.promise;
  }

  /** From now on, neither waiting calls of `accept()` nor their deadlines keep the process alive. */
  unref(): this {
    this.#refs.keepsAlive = false;
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive. That is the default. */
  ref(): this {
    this.#refs.keepsAlive = true;
    return this;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const call of this.#acceptCalls.splice(0)) call.reject(localError("ECANCELED", "accept"));
      for (const call of this.#connectCalls.splice(0)) call.reject(localError("ECONNREFUSED", "connect"));
      // As in the kernel, close() resets the connections in the accept queue.
      for (const conn of this.#acceptQueue.splice(0)) conn.abort();
    }
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MemoryConn, undefined> {
    while (!this.#closed) {
      let conn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (this.#closed) return undefined;
        throw error;
      }
      yield conn;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Makes connections while the accept queue has space, and passes them to the waiting calls of `accept()`. */
  #settleCalls(): void {
    while (this.#connectCalls.length > 0 && this.#acceptQueue.length < this.#backlog) {
      const [client, server] = memoryPair({ ...this.#memoryOptions, addresses: [undefined, this.address] });
      this.#acceptQueue.push(server);
      this.#connectCalls.shift()?.resolve(client);
      this.#settleAccepts();
    }
    if (this.#acceptQueue.length > 0 && this.#acceptCalls.length > 0) {
      this.#settleAccepts();
      // The accept queue has space now, so calls of connect() that wait may continue.
      this.#settleCalls();
    }
  }

  /** Passes connections of the accept queue to the waiting calls of `accept()`. */
  #settleAccepts(): void {
    while (this.#acceptQueue.length > 0 && this.#acceptCalls.length > 0) {
      this.#accepted++;
      this.#acceptCalls.shift()?.resolve(this.#acceptQueue.shift() as MemoryConn);
    }
  }
}
