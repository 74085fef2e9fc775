// A listener in memory: connect() on one side, accept() on the other.

import type { Address } from "../addr/address.js";
import type { IoOptions, Listener } from "../io.js";
import { type Clock, systemClock } from "../wait/clock.js";
import { TimerRefs } from "../wait/timerRefs.js";
import { refusal, Wait } from "../wait/pendingCall.js";
import { localError, timeoutError } from "../wait/localError.js";
import { type SocketError } from "../errors/index.js";
import { type MemoryConn, memoryPair, type MemoryOptions } from "./memory.js";

/** How a listener in memory and the connections to it behave. */
export interface MemoryListenerOptions extends Omit<MemoryOptions, "addresses"> {
  /** Connections that are made before someone accepts them; more wait in `connect()`. Default 128. */
  readonly backlog?: number | undefined;
  /** The listener's address, which is the local one of each accepted connection. Default: none. */
  readonly address?: Address | undefined;
}

class Accepting extends Wait<MemoryConn> {
  readonly #drop: (call: Accepting) => void;

  constructor(opts: IoOptions | undefined, clock: Clock, refs: TimerRefs, drop: (call: Accepting) => void) {
    super(opts, clock, refs);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop(this);
    return timeoutError("accept");
  }
}

class Connecting extends Wait<MemoryConn> {
  readonly #drop: (call: Connecting) => void;

  constructor(opts: IoOptions | undefined, clock: Clock, drop: (call: Connecting) => void) {
    super(opts, clock);
    this.#drop = drop;
  }

  protected override cut(): SocketError {
    this.#drop(this);
    return timeoutError("connect");
  }
}

/**
 * A listener without a network, to run a server in a test.
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
export class MemoryListener implements Listener<MemoryConn> {
  readonly address: Address | undefined;
  readonly #opts: MemoryListenerOptions;
  readonly #clock: Clock;
  readonly #backlog: number;
  readonly #made: MemoryConn[] = [];
  readonly #refs = new TimerRefs();
  #accepting: Accepting[] = [];
  #connecting: Connecting[] = [];
  #closed = false;

  constructor(opts: MemoryListenerOptions = {}) {
    this.#opts = opts;
    this.address = opts.address;
    this.#clock = opts.clock ?? systemClock;
    this.#backlog = Math.max(1, opts.backlog ?? 128);
  }

  /** Makes a connection and returns the client's end. Rejects with `ECONNREFUSED` when the listener is closed. */
  connect(opts?: IoOptions): Promise<MemoryConn> {
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("ECONNREFUSED", "connect"));
    const call = new Connecting(opts, this.#clock, (cut) => {
      this.#connecting = this.#connecting.filter((other) => other !== cut);
    });
    this.#connecting.push(call);
    this.#match();
    return call.promise;
  }

  accept(opts?: IoOptions): Promise<MemoryConn> {
    const refused = refusal(opts);
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closed) return Promise.reject(localError("EBADF", "accept"));
    const call = new Accepting(opts, this.#clock, this.#refs, (cut) => {
      this.#accepting = this.#accepting.filter((other) => other !== cut);
    });
    this.#accepting.push(call);
    this.#match();
    return call.promise;
  }

  /**
   * Lets the process end while calls wait here: neither these, those that wait already among them, nor their deadlines keep it alive
   * from now on.
   */
  unref(): this {
    this.#refs.held = false;
    return this;
  }

  /** Undoes `unref()`: a call that waits keeps the process alive, as it does from the beginning. */
  ref(): this {
    this.#refs.held = true;
    return this;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const call of this.#accepting.splice(0)) call.reject(localError("ECANCELED", "accept"));
      for (const call of this.#connecting.splice(0)) call.reject(localError("ECONNREFUSED", "connect"));
      // As the kernel does with what nobody accepted.
      for (const conn of this.#made.splice(0)) conn.abort();
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

  #match(): void {
    while (this.#connecting.length > 0 && this.#made.length < this.#backlog) {
      const [client, server] = memoryPair({ ...this.#opts, addresses: [undefined, this.address] });
      this.#made.push(server);
      this.#connecting.shift()?.resolve(client);
      this.#serve();
    }
    if (this.#made.length > 0 && this.#accepting.length > 0) {
      this.#serve();
      this.#match();
    }
  }

  #serve(): void {
    while (this.#made.length > 0 && this.#accepting.length > 0) {
      this.#accepting.shift()?.resolve(this.#made.shift() as MemoryConn);
    }
  }
}
