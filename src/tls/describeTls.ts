// The description of a TLS connection, and the list of its waiting calls.

import type { Conn, SecuredConn } from "../io.js";
import { textOrNull } from "../stream/describeStream.js";
import { addPendingSource, describe, type Description, type Fields, type ListedCall } from "../registry/index.js";

type AddCall = (call: ListedCall) => void;

/**
 * For each connection whose TLS socket is open, a function that lists its waiting calls. The event loop refers to each
 * open TLS socket, which refers to its connection. So this set prevents no garbage collection.
 */
export const callListers: Set<(add: AddCall) => void> = new Set();
addPendingSource((add) => callListers.forEach((listCalls) => listCalls(add)));

/** A call that waits, with the time of its start. */
interface WaitingCall {
  readonly since: number;
}

/** Calls `add` with each call that waits on a connection: the read, the writes, and the calls of `nextSession()`. */
export function listTlsCalls(
  conn: object,
  reader: WaitingCall & { readonly waiting: boolean },
  writes: readonly (WaitingCall & { readonly data: unknown })[],
  sessionCalls: readonly WaitingCall[],
  keepsAlive: boolean,
  add: AddCall,
): void {
  const addCall = (name: string, waiting: WaitingCall): void =>
    add({ call: name, object: conn, since: waiting.since, keepsAlive, key: waiting });
  if (reader.waiting) addCall("read", reader);
  for (const write of writes) addCall(write.data === undefined ? "closeWrite" : "write", write);
  for (const call of sessionCalls) addCall("nextSession", call);
}

/** The fields of a {@link TlsConn} in JSON. */
export interface TlsConnDescription extends Description {
  readonly kind: "TlsConn";
  /** The descriptor; -1 once it is closed, or if the connection below has none. */
  readonly fd: number;
  readonly family: string | number | null;
  readonly type: string | number | null;
  readonly state: "open" | "closed";
  readonly local: string | null;
  readonly peer: string | null;
  /** Decrypted bytes that no call has returned yet. */
  readonly buffered: number;
  readonly pending: readonly string[];
  /** The results of the handshake, without keys, certificates and sessions. */
  readonly tls: {
    readonly protocol: string;
    readonly cipher: string;
    readonly alpnProtocol: string | null;
    readonly servername: string | null;
    readonly authorized: boolean;
  };
}

/**
 * The fields of a {@link TlsConn}.
 *
 * @param socket the socket below, for its descriptor, family and type
 */
export function describeTls(
  conn: Conn & SecuredConn,
  socket: object | undefined,
  closed: boolean,
  buffered: number,
  pending: readonly string[],
): Fields<TlsConnDescription> {
  return {
    fd: -1,
    family: null,
    type: null,
    ...describe(socket),
    state: closed ? "closed" : "open",
    local: textOrNull(conn.localAddress),
    peer: textOrNull(conn.remoteAddress),
    buffered,
    pending,
    tls: {
      protocol: conn.protocol,
      cipher: conn.cipher.name,
      alpnProtocol: conn.alpnProtocol ?? null,
      servername: conn.servername ?? null,
      authorized: conn.authorized,
    },
  };
}
