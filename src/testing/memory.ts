// A connection in memory: two connected ends. They behave as a connection of the kernel, or with delays, small reads
// and faults.

import type { Address } from "../addr/address.js";
import { quote } from "../check/index.js";
import { BusyError } from "../errors/index.js";
import type { Conn, Data, IoOptions, TransferStats } from "../io.js";
import { makeDescribable, type Description, Inspectable } from "../registry/index.js";
import { targetError } from "../reading/readTarget.js";
import { toParts } from "../stream/writeParts.js";
import type { Clock } from "../wait/clock.js";
import { localError } from "../wait/localError.js";
import { optionsError } from "../wait/pendingCall.js";
import { checkAddress, checkMemory } from "./checks.js";
import { type Fault, FaultScript } from "./faults.js";
import { MemoryPipe } from "./memoryPipe.js";

/** How a connection in memory behaves, in both directions. */
export interface MemoryOptions {
  /** Bytes that each direction holds before writes wait. Default 64 KiB. */
  readonly capacity?: number | undefined;
  /** Milliseconds from a write until its bytes can be read, from 0 to 2147483647; null for none. Default 0. */
  readonly latency?: number | null | undefined;
  /**
   * Maximum number of bytes that one read returns: a number, or a function of the number of bytes that it could return
   * (see {@link seededChunks}). Default: no limit.
   */
  readonly chunking?: number | ((available: number) => number) | undefined;
  /** Scripted faults. */
  readonly faults?: readonly Fault[] | undefined;
  /** The clock of latencies and timeouts. Default: the clock of the system. */
  readonly clock?: Clock | undefined;
  /** The addresses of the two ends. Default: none. */
  readonly addresses?: readonly [Address | undefined, Address | undefined] | undefined;
}

/** The fields of a {@link MemoryConn} in JSON. */
export interface MemoryDescription extends Description {
  readonly kind: "MemoryConn";
  readonly state: "open" | "closed";
  readonly local: string | null;
  readonly peer: string | null;
  /** Bytes that this end has written and the other end has not read. */
  readonly unread: number;
  /** The names of the calls that wait. */
  readonly pending: readonly string[];
}

function textOrNull(address: Address | undefined): string | null {
  return address === undefined ? null : String(address);
}

/** One end of a connection in memory. */
export class MemoryConn extends Inspectable<MemoryDescription> implements Conn {
  static {
    makeDescribable<MemoryConn, MemoryDescription>(MemoryConn.prototype, "MemoryConn", (conn) => ({
      state: conn.#closed ? "closed" : "open",
      local: textOrNull(conn.localAddress),
      peer: textOrNull(conn.remoteAddress),
      unread: conn.unread,
      pending: [...(conn.#incoming.reading ? ["read"] : []), ...conn.#outgoing.pendingWrites()],
    }));
  }

  readonly localAddress: Address | undefined;
  readonly remoteAddress: Address | undefined;
  /** The pipe from which this end reads, and the pipe to which it writes. */
  readonly #incoming: MemoryPipe;
  readonly #outgoing: MemoryPipe;
  #closed = false;
  /** The promise of the first closeWrite(). */
  #closeWriteCall: Promise<void> | undefined;

  /** @internal Made by {@link memoryPair}. */
  constructor(incoming: MemoryPipe, outgoing: MemoryPipe, local: Address | undefined, remote: Address | undefined) {
    super();
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.localAddress = local;
    this.remoteAddress = remote;
  }

  /** Bytes that this end has written and the other end has not read. */
  get unread(): number {
    return this.#outgoing.held;
  }

  /** Whether `close()` or `abort()` was called. */
  get closed(): boolean {
    return this.#closed;
  }

  get reading(): boolean {
    return this.#incoming.reading;
  }

  read(buffer: Uint8Array, opts?: IoOptions): Promise<number> {
    if (this.#closed) return Promise.reject(localError("EBADF", "read"));
    if (this.#incoming.reading) return Promise.reject(new BusyError("read"));
    const refused = optionsError(opts, "read");
    if (refused !== undefined) return Promise.reject(refused.error);
    const bufferError = targetError(buffer);
    if (bufferError !== undefined) return Promise.reject(bufferError);
    return this.#incoming.read(buffer, opts);
  }

  write(data: Data, opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "write"));
    let parts;
    try {
      parts = toParts(data, "write");
    } catch (error) {
      return Promise.reject(error);
    }
    const refused = optionsError(opts, "write");
    if (refused !== undefined) return Promise.reject(refused.error);
    if (this.#closeWriteCall !== undefined) return Promise.reject(localError("EPIPE", "write"));
    return this.#outgoing.write(parts, opts);
  }

  get writeProgress(): number {
    return this.#outgoing.writeProgress;
  }

  closeWrite(opts?: IoOptions): Promise<void> {
    if (this.#closed) return Promise.reject(localError("EBADF", "closeWrite"));
    const refused = optionsError(opts, "closeWrite");
    if (refused !== undefined) return Promise.reject(refused.error);
    // The first call puts the end into the queue. A later call waits behind the first one, and changes nothing.
    const ending = this.#outgoing.end(opts);
    this.#closeWriteCall ??= ending;
    return ending;
  }

  whenBroken(opts?: IoOptions): Promise<unknown> {
    return this.#outgoing.whenBroken(opts);
  }

  /** The counters of this end, also after `close()`. */
  stats(): TransferStats {
    const { bytesRead, reads } = this.#incoming;
    const { bytesWritten, writes } = this.#outgoing;
    return { bytesReceived: bytesRead, bytesSent: bytesWritten, reads, writes };
  }

  close(): Promise<void> {
    this.#endBoth("close");
    return Promise.resolve();
  }

  abort(): void {
    this.#endBoth("reset");
  }

  /** Waiting calls and their deadlines no longer keep the process alive. This includes calls that wait already. */
  unref(): this {
    this.#incoming.readerRefs.keepsAlive = this.#outgoing.writerRefs.keepsAlive = false;
    return this;
  }

  /** Undoes `unref()`: waiting calls keep the process alive. That is the default. */
  ref(): this {
    this.#incoming.readerRefs.keepsAlive = this.#outgoing.writerRefs.keepsAlive = true;
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #endBoth(how: "close" | "reset"): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#outgoing.closeWritingEnd(how);
    this.#incoming.closeReadingEnd(how);
  }
}

/**
 * A connection in memory: two connected ends.
 *
 * @throws TypeError or RangeError for an option that is wrong
 * @example
 * ```ts
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair({ chunking: 3 });
 * await a.write("hello");
 * console.log(await b.read(new Uint8Array(16))); // prints: 3
 * ```
 */
export function memoryPair(opts: MemoryOptions = {}): [MemoryConn, MemoryConn] {
  const action = "make a memory pair";
  const { capacity, latency, chunk, faults, clock } = checkMemory(opts, action, ["addresses"]);
  const { addresses = [undefined, undefined] } = opts;
  if (!Array.isArray(addresses) || addresses.length !== 2) {
    throw new TypeError(`Cannot ${action}: addresses is ${quote(addresses)}, required an array of two addresses`);
  }
  addresses.forEach((address, index) => checkAddress(address, action, `addresses[${index}]`));
  const makePipe = (from: "a" | "b", to: "a" | "b"): MemoryPipe =>
    new MemoryPipe(
      { capacity, latency, chunk, clock },
      {
        read: new FaultScript(faults, to, "read"),
        write: new FaultScript(faults, from, "write"),
        closeWrite: new FaultScript(faults, from, "closeWrite"),
      },
    );
  const aToB = makePipe("a", "b");
  const bToA = makePipe("b", "a");
  const [addressA, addressB] = addresses as readonly [Address | undefined, Address | undefined];
  return [new MemoryConn(bToA, aToB, addressA, addressB), new MemoryConn(aToB, bToA, addressB, addressA)];
}
