// Opens a tunnel through a proxy, and converts a refusal of the proxy into an error of connect().
//
// The response of the proxy is read into the stream's buffer. If bytes of the destination follow the response, they
// stay in this buffer for the first read. The proxy gets the name of the destination, and resolves it.

import type { HostPort } from "../addr/index.js";
import { IncompleteReadError, LimitError, ProxyError, SocketError, restateError } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { localError } from "../wait/localError.js";
import { addressDetails } from "../sys/sockaddr.js";
import { httpConnect } from "./httpConnect.js";
import type { CheckedWait } from "./endpointOptions.js";
import { type CheckedProxy, ProxyRefusal } from "./proxy.js";
import type { HostAddress } from "./resolveHost.js";
import { socks5Connect } from "./socks5.js";

export { checkDestination, checkProxy } from "./proxy.js";

/** Makes the proxy at the other end of `stream` connect to `target`. If that fails, the stream is closed. */
export async function openTunnel(
  stream: Stream,
  proxy: CheckedProxy,
  target: HostAddress | HostPort,
  wait: CheckedWait,
): Promise<void> {
  const handshake = proxy.protocol === "socks5" ? socks5Connect : httpConnect;
  try {
    await handshake(stream, proxy, target, wait);
  } catch (error) {
    stream.abort();
    // After an abort the error of the handshake may be another one than the reason.
    throw wait.signal?.aborted === true ? wait.signal.reason : tunnelError(error, target);
  }
}

/** Converts an error of the handshake with the proxy into the error of connect(). Any other error stays as it is. */
function tunnelError(error: unknown, target: HostAddress | HostPort): unknown {
  const details = { ...addressDetails(target), cause: error };
  if (error instanceof ProxyRefusal) {
    // localError() finds the errno of the code.
    const { code, errno } = localError(error.code, "connect");
    return new ProxyError(code, errno, "connect", { ...details, ...error.answer });
  }
  if (error instanceof IncompleteReadError) return localError("ECONNRESET", "connect", details);
  if (error instanceof LimitError) return localError("EPROTO", "connect", details);
  if (error instanceof SocketError) return restateError(error, "connect", details);
  return error;
}
