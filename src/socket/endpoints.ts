// What splice and pump take: a socket, or a stream. A stream over a socket is that socket, with what it has read ahead.

import { quoteOther } from "../check/index.js";
import { EBADF, socketError } from "../sys/errno.js";
import { checkStream } from "../ops/spliceOptions.js";
import { Stream } from "../stream/index.js";
import { type BufferedReader } from "../stream/bufferedReader.js";
import { readerOf } from "../stream/stream.js";
import { isSocket } from "./promiseRunner.js";
import type { Socket } from "./socket.js";
import { SocketConn } from "./socketConn.js";

/** One end of what moves bytes. */
export interface MovingEnd {
  /** The socket below; undefined where there is something else, such as TLS. */
  readonly socket: Socket | undefined;
  readonly stream: Stream | undefined;
}

export function endOf(value: unknown, name: string, action: string): MovingEnd {
  if (!(value instanceof Stream)) {
    if (isSocket(value)) {
      checkStream(value, isSocket, name, action);
      return { socket: value, stream: undefined };
    }
    throw new TypeError(`Cannot ${action}: ${name} is ${quoteOther(value, "Socket")}, required a Socket or a Stream`);
  }
  const stream: Stream = value;
  if (readerOf(stream).closed) throw socketError(EBADF, action);
  const below = layersOf(stream).at(-1)!.conn;
  if (!(below instanceof SocketConn)) return { socket: undefined, stream };
  checkStream(below.socket, isSocket, name, action);
  return { socket: below.socket, stream };
}

function layersOf(stream: Stream): Stream[] {
  const layers = [stream];
  for (let { conn } = stream; conn instanceof Stream; { conn } = conn) layers.push(conn);
  return layers;
}

/** Takes the reading side of the streams for as long as their bytes are moved; returns what gives them back. */
export function hold(...ends: readonly MovingEnd[]): () => void {
  const held: BufferedReader[] = [];
  const release = (): void => {
    for (const reader of held) reader.unlock();
  };
  try {
    for (const { stream } of ends) {
      for (const layer of stream === undefined ? [] : layersOf(stream)) {
        const reader = readerOf(layer);
        reader.lockForTransfer();
        held.push(reader);
      }
    }
  } catch (error) {
    release();
    throw error;
  }
  return release;
}
