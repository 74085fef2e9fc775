// Socket.end(): an orderly end, through the buffer of the socket's stream.

import type { EndOptions, EndResult } from "../io.js";
import { BufferedReader } from "../stream/bufferedReader.js";
import type { PromiseRunner } from "./promiseRunner.js";
import type { Socket } from "./socket.js";
import { SocketConn } from "./socketConn.js";

export function endSocket(
  socket: Socket,
  { readAhead }: PromiseRunner,
  opts: EndOptions | undefined,
): Promise<EndResult> {
  try {
    // The stream may be one that the user has made.
    if (readAhead instanceof BufferedReader) return readAhead.end(new SocketConn(socket), opts);
    return socket.stream().end(opts);
  } catch (error) {
    return Promise.reject(error);
  }
}
