// How a server accepts from its listener: without promises and with the descriptor's number if it is a SocketListener,
// otherwise by accept().

import type { AcceptHandler } from "../admission/index.js";
import type { Conn, Listener } from "../io.js";
import {
  acceptStream,
  lastDescriptor,
  lastTlsDescriptor,
  makeTlsImpatient,
  SocketListener,
  TlsSocketListener,
} from "../net/serverAccess.js";
import { Stream } from "../stream/index.js";

export interface Source {
  /** As `next` of an `AcceptOwner`. */
  next(handler: AcceptHandler<Stream>): Stream | undefined;
  /** The number of the descriptor that was accepted last; undefined if it is unknown. */
  lastDescriptor(): number | undefined;
}

const streamOf = (conn: Conn): Stream => (conn instanceof Stream ? conn : new Stream(conn));

export function sourceOf(listener: Listener): Source {
  if (listener instanceof SocketListener && !(listener instanceof TlsSocketListener)) {
    return { next: (handler) => acceptStream(listener, handler), lastDescriptor: () => lastDescriptor(listener) };
  }
  const secured = listener instanceof TlsSocketListener ? listener : undefined;
  if (secured !== undefined) makeTlsImpatient(secured);
  return {
    next: (handler) => {
      listener.accept().then(
        (conn) => handler.completed(streamOf(conn)),
        (error: unknown) => handler.failed(error),
      );
      return undefined;
    },
    lastDescriptor: () => (secured === undefined ? undefined : lastTlsDescriptor(secured)),
  };
}
