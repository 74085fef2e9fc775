// How a server accepts from its listener: without promises if the listener allows that, otherwise by accept().

import type { AcceptHandler } from "../admission/index.js";
import { reportFailure } from "../callbacks.js";
import { isEndedByClose } from "../errors/index.js";
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

/** `acceptNext` of an `AcceptOwner`: returns the next connection. If none is ready, passes it to the handler later. */
export type AcceptNext = (handler: AcceptHandler<Stream>) => Stream | undefined;

const streamOf = (conn: Conn): Stream => (conn instanceof Stream ? conn : new Stream(conn));

/** The function by which a server accepts from its listener. */
export function acceptNextOf(listener: Listener): AcceptNext {
  // A TLS listener handles a shortage of descriptors itself. If its accept() reported the shortage, the server would
  // stop accepting for a time. So it would not take the connections whose handshake is running, although these
  // connections have their descriptors already.
  if (listener instanceof SocketListener && !(listener instanceof TlsSocketListener)) {
    return (handler) => acceptStream(listener, handler);
  }
  if (listener instanceof ChannelListener) return (handler) => listener.acceptStream(handler);
  return (handler) => {
    listener.accept().then(
      (conn) => handler.onCompleted(streamOf(conn)),
      (error: unknown) => handler.onFailed(error),
    );
    return undefined;
  };
}

/**
 * Makes a TLS listener accept no further connections, and waits until its handshakes have finished. Returns undefined
 * for other listeners.
 */
export function finishHandshakesOf(listener: Listener): Promise<void> | undefined {
  if (listener instanceof TlsSocketListener) return finishSocketHandshakes(listener);
  return listener instanceof TlsListener ? finishHandshakes(listener) : undefined;
}

/** A promise that resolves when the listener may accept (see net/inheritance.ts); undefined if it may accept now. */
export const gateOfListener = (listener: Listener): Promise<void> | undefined =>
  listener instanceof SocketListener ? gateOf(listener) : undefined;

/** Whether accept() has failed with this error because the program has closed the listener. */
export const isClosedError = (listener: Listener, error: unknown): boolean =>
  isEndedByClose(error) && (!(listener instanceof SocketListener) || listener.socket.closed);

/** Closes a listener, which may be an object of the program. An error of its close() is only reported. */
export function closeListener(listener: Listener): void {
  const reportError = (error: unknown): void => reportFailure("close() of a listener", error);
  try {
    listener.close().then(undefined, reportError);
  } catch (error) {
    reportError(error);
  }
}
