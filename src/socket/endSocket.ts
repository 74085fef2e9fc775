// Socket.end(): calls end() of the stream on the socket, and makes that stream if there is none.

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
    // The program may have made the stream itself: `new Stream(new SocketConn(socket))`. Then `readAhead` is the
    // reader of that stream, and socket.stream() would make a second stream.
    if (readAhead instanceof BufferedReader) return readAhead.end(new SocketConn(socket), opts);
    return socket.stream().end(opts);
  } catch (error) {
    return Promise.reject(error);
  }
}
