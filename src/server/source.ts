// How a server accepts from its listener: without promises if it is a SocketListener, otherwise by accept().

import type { AcceptHandler } from "../admission/index.js";
import { reportFailure } from "../callbacks.js";
import { endedByClose } from "../errors/index.js";
import type { Conn, Listener } from "../io.js";
import {
  acceptStream,
  ChannelListener,
  finishHandshakes,
  finishSocketHandshakes,
  gateOf,
  SocketListener,
  TlsListener,
  TlsSocketListener,
} from "../net/serverAccess.js";
import { Stream } from "../stream/index.js";

/** As `next` of an `AcceptOwner`. */
export type Source = (handler: AcceptHandler<Stream>) => Stream | undefined;

const streamOf = (conn: Conn): Stream => (conn instanceof Stream ? conn : new Stream(conn));

export function sourceOf(listener: Listener): Source {
  // A listener of TLS accepts below by itself, and waits by itself while descriptors are short. An error of its accept()
  // would stop the server from taking the connections whose handshake goes on, and these have the descriptors.
  if (listener instanceof SocketListener && !(listener instanceof TlsSocketListener)) {
    return (handler) => acceptStream(listener, handler);
  }
  if (listener instanceof ChannelListener) return (handler) => listener.acceptStream(handler);
  return (handler) => {
    listener.accept().then(
      (conn) => handler.completed(streamOf(conn)),
      (error: unknown) => handler.failed(error),
    );
    return undefined;
  };
}

/** Lets a listener of TLS finish the handshakes that run, and accept no further connections. Undefined for others. */
export function finishing(listener: Listener): Promise<void> | undefined {
  if (listener instanceof TlsSocketListener) return finishSocketHandshakes(listener);
  return listener instanceof TlsListener ? finishHandshakes(listener) : undefined;
}

/** Resolves when the listener may accept; see net/inheritance.ts. Undefined if it may. */
export const gateOfListener = (listener: Listener): Promise<void> | undefined =>
  listener instanceof SocketListener ? gateOf(listener) : undefined;

/** Whether accept() has failed because the program has closed the listener. Then nothing has failed. */
export const wasClosed = (listener: Listener, error: unknown): boolean =>
  endedByClose(error) && (!(listener instanceof SocketListener) || listener.socket.closed);

/** Closes a listener. It may be an object of the program, so its error ends nothing and is reported. */
export function closeListener(listener: Listener): void {
  const failed = (error: unknown): void => reportFailure("close() of a listener", error);
  try {
    listener.close().then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
