// The tunnel through a proxy: the handshake of its protocol, and what a refusal is to who wanted a connection.
//
// What the proxy has to say comes out of the stream's buffer, so that bytes of the destination that follow at once are there
// for the first read. The name of the destination goes to the proxy as it is, which resolves it where it stands.

import type { HostPort } from "../addr/index.js";
import { IncompleteReadError, LimitError, ProxyError, SocketError, restated } from "../errors/index.js";
import type { Stream } from "../stream/index.js";
import { localError } from "../wait/localError.js";
import { addressDetails } from "../sys/sockaddr.js";
import { httpConnect } from "./httpConnect.js";
import type { CheckedWait } from "./endpointOptions.js";
import { type CheckedProxy, ProxyRefusal } from "./proxy.js";
import type { HostAddress } from "./customResolver.js";
import { socks5Connect } from "./socks5.js";

/** Has the proxy at the other end of `stream` connect it to `target`. When it does not, the stream is closed. */
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
    throw wait.signal?.aborted === true ? wait.signal.reason : tunnelError(error, target);
  }
}

function tunnelError(error: unknown, target: HostAddress | HostPort): unknown {
  const details = { ...addressDetails(target), cause: error };
  if (error instanceof ProxyRefusal) {
    const { code, errno } = localError(error.code, "connect");
    return new ProxyError(code, errno, "connect", { ...details, ...error.answer });
  }
  if (error instanceof IncompleteReadError) return localError("ECONNRESET", "connect", details);
  if (error instanceof LimitError) return localError("EPROTO", "connect", details);
  if (error instanceof SocketError) return restated(error, "connect", details);
  return error;
}
