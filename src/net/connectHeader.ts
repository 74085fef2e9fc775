// connect() with a header of the PROXY protocol, which it sends before all other data.

import type { Stream } from "../stream/index.js";
import { type CheckedWait, remaining } from "./endpointOptions.js";

/** Sends the header of a call of connect(), if it has one. */
export type SendHeader = (stream: Stream) => Stream | Promise<Stream>;

/** Sends a header on a new connection. If that fails, it aborts the connection. */
export async function sendHeader(stream: Stream, header: Buffer, wait: CheckedWait): Promise<Stream> {
  try {
    await stream.write(header, remaining(wait));
    return stream;
  } catch (error) {
    stream.abort();
    throw error;
  }
}
