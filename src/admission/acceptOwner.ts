// The interfaces between an accept loop and its server.

import type { Address } from "../addr/index.js";
import type { HeaderSource, ProxyHeader } from "../proxyProtocol/index.js";

/** Gets the result of an accept that had to wait. */
export interface AcceptHandler<T> {
  onCompleted(connection: T): void;
  onFailed(error: unknown): void;
}

/** The server of an accept loop. */
export interface AcceptOwner<T> {
  /** The name of the function that made the server, for events. */
  readonly call: string;
  /** The address of the listener. */
  readonly address: Address | undefined;
  /** Accepts a connection. If the accept must wait, returns undefined, and `handler` gets the result. */
  acceptNext(handler: AcceptHandler<T>): T | undefined;
  /** The peer of a connection. The loop calls it right after accept, before another call overwrites the address. */
  peerOf(connection: T): Address | undefined;
  /** The number of descriptors that the connections of this server are about to open. */
  readonly pendingDescriptors: number;
  /** The number of descriptors that each connection will open: one for the connection to a target, or none. */
  readonly descriptorsPerConnection: number;
  /** Resets a connection. */
  refuse(connection: T): void;
  /** The stream of a connection, for the header of the PROXY protocol. Bytes after the header stay in its buffer. */
  streamOf(connection: T): HeaderSource;
  /** For a TLS connection, the header that `readHeaderBeforeTls()` of the loop has read. */
  headerOf?(connection: T): ProxyHeader | undefined;
  /**
   * Serves a connection. The owner calls `onConnectionEnded(key)` of the loop when the connection has ended.
   *
   * @param client the address of the client: that of the header, or else that of the peer
   * @param key the key under which the client is counted; undefined if it is not counted
   */
  handle(connection: T, client: Address | undefined, key: string | undefined, header: ProxyHeader | undefined): void;
  /** Retries the work that waits for descriptors; see {@link PressureClient.retryWork}. */
  retryWork(): boolean;
  /** Called when accepting has failed with an error that is neither a shortage nor about one connection. */
  onAcceptFailed(error: unknown): void;
}
