// Headers of the PROXY protocol on accepted connections: from which peers, in which time, how many at a time.
//
// A connection that sends no header costs a place and no handler. So such connections have a limit of their own, and at
// this limit the oldest one makes room for the next: a proxy sends its header at once, and silent connections can't keep
// others out.

import type { BlockList } from "node:net";
import type { Address } from "../addr/index.js";
import { checkOptions, integer } from "../check/index.js";
import {
  checkMaxBytes,
  type HeaderSource,
  PROXY_HEADER_TIMEOUT,
  type ProxyHeader,
  readHeader,
} from "../proxyProtocol/index.js";
import { localError } from "../wait/localError.js";
import { millisecondsOr } from "../wait/waitOptions.js";
import { addressList, type AddressList, clientKey, isListed } from "./clientKey.js";

/** How a server takes headers of the PROXY protocol. */
export interface ProxyProtocolOptions {
  /**
   * The proxies, as an array of networks or a `net.BlockList`. Connections from other addresses are reset. Peers of UNIX
   * sockets and vsock have no address in a list and are taken, so restrict who can connect, for example by `mode`.
   */
  readonly from: AddressList;
  /** Milliseconds for the whole header; null for no limit. Default 3,000. */
  readonly timeout?: number | null | undefined;
  /** Maximum length of a header of version 2, from 232 to 65551. Default 4,096. Version 1 has at most 107 bytes. */
  readonly maxBytes?: number | undefined;
  /**
   * Maximum number of connections at a time whose header is not complete, at most the places that `maxConnections`
   * leaves. At the maximum, the next connection replaces the oldest of them. Default 256.
   */
  readonly maxPending?: number | undefined;
}

/** `ProxyProtocolOptions`, checked. */
export interface CheckedProxyProtocol {
  readonly from: BlockList;
  readonly timeout: number | null;
  readonly maxBytes: number;
  readonly maxPending: number;
}

export function checkProxyProtocol(value: unknown, action: string): CheckedProxyProtocol | undefined {
  if (value === undefined) return undefined;
  checkOptions(value, `${action}, proxyProtocol`, ["from", "timeout", "maxBytes", "maxPending"]);
  const { from, timeout, maxBytes, maxPending = 256 } = value as ProxyProtocolOptions;
  const list = addressList(from, action, "proxyProtocol.from");
  if (list === undefined) {
    throw new TypeError(`Cannot ${action}: proxyProtocol.from is undefined, required the addresses of the proxies`);
  }
  return {
    from: list,
    timeout: millisecondsOr(timeout, PROXY_HEADER_TIMEOUT, action, "proxyProtocol.timeout"),
    maxBytes: checkMaxBytes(maxBytes, action, "proxyProtocol.maxBytes"),
    maxPending: integer(maxPending, action, "proxyProtocol.maxPending", 1, 1_000_000),
  };
}

export class ProxyGate {
  readonly #opts: CheckedProxyProtocol;
  /** The connections whose header is being read, in the order of their arrival. */
  readonly #pending = new Set<AbortController>();
  #emptied: (() => void)[] = [];

  constructor(opts: CheckedProxyProtocol) {
    this.#opts = opts;
  }

  /** Whether headers of this peer are read. */
  trusts(peer: Address | undefined): boolean {
    return clientKey(peer) === undefined || isListed(this.#opts.from, peer);
  }

  /**
   * Reads the header of a connection, and calls one of both functions. It does not close the connection.
   *
   * @param room the most connections whose header may be pending, with this one
   */
  async read(
    stream: HeaderSource,
    room: number,
    taken: (header: ProxyHeader) => void,
    failed: (error: unknown) => void,
  ): Promise<void> {
    const { maxBytes, maxPending, timeout } = this.#opts;
    for (const oldest of this.#pending) {
      if (this.#pending.size < Math.min(room, maxPending)) break;
      this.#pending.delete(oldest);
      const cause = new Error("the header did not come before other connections: see proxyProtocol.maxPending");
      oldest.abort(localError("ECANCELED", "proxy_header", { cause }));
    }
    const pending = new AbortController();
    this.#pending.add(pending);
    try {
      let header: ProxyHeader;
      try {
        header = await readHeader(stream, { maxBytes, timeout, signal: pending.signal });
      } catch (error) {
        failed(error);
        return;
      }
      taken(header);
    } finally {
      // Removed last, so that the connection is always counted somewhere.
      this.#pending.delete(pending);
      if (this.#pending.size === 0) for (const resolve of this.#emptied.splice(0)) resolve();
    }
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Resolves when no header is pending. */
  empty(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#emptied.push(resolve));
  }

  /** Ends all reads with an error. */
  cutAll(error: unknown): void {
    for (const pending of this.#pending) pending.abort(error);
  }
}
