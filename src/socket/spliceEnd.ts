// The arguments of splice() and pump(): sockets or streams. For a stream over a socket, splice() and pump() use the
// socket, and first send the bytes that the stream has read ahead.

import { quoteNonInstance } from "../check/index.js";
import { closedError } from "../sys/errno.js";
import { checkStreamSocket } from "../ops/spliceOptions.js";
import { Stream } from "../stream/index.js";
import { type BufferedReader } from "../stream/bufferedReader.js";
import { readerOf } from "../stream/stream.js";
import { isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";
import { SocketConn } from "./socketConn.js";

/** A source or a destination of bytes. */
export interface SpliceEnd {
  /** The socket below; undefined for a stream that is not directly on a socket, such as one over TLS. */
  readonly socket: Socket | undefined;
  readonly stream: Stream | undefined;
}

/** The checked argument of a call as a SpliceEnd. `name` is the name of the argument in error messages. */
export function spliceEndOf(value: unknown, name: string, action: string): SpliceEnd {
  if (!(value instanceof Stream)) {
    if (isSocket(value)) {
      checkStreamSocket(value, isSocket, name, action);
      return { socket: value, stream: undefined };
    }
    throw new TypeError(
      `Cannot ${action}: ${name} is ${quoteNonInstance(value, "Socket")}, required a Socket or a Stream`,
    );
  }
  const stream: Stream = value;
  if (readerOf(stream).closed) throw closedError(action);
  const { conn } = layersOf(stream).at(-1)!;
  if (!(conn instanceof SocketConn)) return { socket: undefined, stream };
  checkStreamSocket(conn.socket, isSocket, name, action);
  return { socket: conn.socket, stream };
}

/** The stream, and the streams below it: the connection of a stream may be another stream. The lowest comes last. */
function layersOf(stream: Stream): Stream[] {
  const layers = [stream];
  let { conn } = stream;
  while (conn instanceof Stream) {
    layers.push(conn);
    ({ conn } = conn);
  }
  return layers;
}

/** Locks the reading sides of the streams, and of the streams below them. Returns the function that unlocks them. */
export function lockStreams(...ends: readonly SpliceEnd[]): () => void {
  const locked: BufferedReader[] = [];
  const unlock = (): void => {
    for (const reader of locked) reader.unlock();
  };
  try {
    for (const { stream } of ends) {
      for (const layer of stream === undefined ? [] : layersOf(stream)) {
        const reader = readerOf(layer);
        reader.lockForTransfer();
        locked.push(reader);
      }
    }
  } catch (error) {
    unlock();
    throw error;
  }
  return unlock;
}
