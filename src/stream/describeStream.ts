// The description of a stream: the fields of the connection below, and those of the stream.

import type { Address } from "../addr/address.js";
import type { Conn } from "../io.js";
import { describe, type Description, type Fields } from "../registry/index.js";

/** The fields of a stream in JSON, added to those of the connection below, such as `fd` and `tls`. */
export interface StreamDescription extends Description {
  readonly kind: "Stream";
  /** The class name of the connection below; null for a class outside the package. */
  readonly conn: string | null;
  /** Over a socket: `state` of {@link SocketDescription}. Other connections: `open` or `closed`. */
  readonly state: string;
  readonly local: string | null;
  readonly peer: string | null;
  /** Bytes that were read from the connection and not returned by a call yet. */
  readonly buffered: number;
  /** The names of the calls that wait on the connection below. */
  readonly pending: readonly string[];
}

/** The members of a stream's reader that a description uses. */
interface DescribedReader {
  readonly closed: boolean;
  readonly reading: boolean;
  readonly unread: number;
}

/** The description of a stream. */
export function describeStream(conn: Conn, reader: DescribedReader): Fields<StreamDescription> {
  const below = (describe(conn) ?? {}) as Partial<Description & Fields<StreamDescription>>;
  const { kind: connKind = null, ...fieldsBelow } = below;
  const {
    local = textOrNull(conn.localAddress),
    peer = textOrNull(conn.remoteAddress),
    state = "open",
    pending = reader.reading ? ["read"] : [],
  } = fieldsBelow;
  const buffered = reader.unread;
  return { ...fieldsBelow, state: reader.closed ? "closed" : state, local, peer, buffered, pending, conn: connKind };
}

/** The address as text; null if there is none. */
export function textOrNull(address: Address | undefined): string | null {
  return address === undefined ? null : String(address);
}
