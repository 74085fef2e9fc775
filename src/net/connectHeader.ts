// The header of the PROXY protocol that connect() sends before all other data.

import { encodeProxyHeader, type ProxyHeaderToSend } from "../proxyProtocol/index.js";
import type { Stream } from "../stream/index.js";
import { type CheckedWait, remainingWait } from "./endpointOptions.js";

/** Sends the header of a call of connect(), if it has one. Returns the stream. */
export type SendHeader = (stream: Stream) => Stream | Promise<Stream>;

/** Encodes the header, and returns the function that sends it. */
export function headerSender(header: ProxyHeaderToSend, wait: CheckedWait): SendHeader {
  const bytes = encodeProxyHeader(header);
  return (stream) => sendHeader(stream, bytes, wait);
}

/** Sends a header on a new connection. If the write fails, the connection is aborted. */
async function sendHeader(stream: Stream, header: Buffer, wait: CheckedWait): Promise<Stream> {
  try {
    await stream.write(header, remainingWait(wait));
    return stream;
  } catch (error) {
    stream.abort();
    throw error;
  }
}
