// Servers and clients that the tests of tls:// share.

import { connect, type ConnectOptions, type InetAddress, listen, type ListenOptions, type Stream } from "berkeley";
import type { TlsConn, TlsConnectOptions, TlsListenOptions, TlsSocketListener } from "berkeley";
import { certificates, serving } from "../../tls/support.js";

export const portOf = ({ address }: { readonly address: unknown }): number => (address as InetAddress).port;

/** A listener on a free port of 127.0.0.1. */
export function serve(tls: TlsListenOptions = serving(), opts: ListenOptions = {}): Promise<TlsSocketListener> {
  return listen("tls://127.0.0.1:0", { ...opts, tls });
}

/** Connects to "localhost" and trusts the authority of these tests. */
export function visit(
  listener: { readonly address: unknown },
  tls: TlsConnectOptions = {},
  opts: ConnectOptions = {},
): Promise<Stream<TlsConn>> {
  return connect(`tls://localhost:${portOf(listener)}`, { ...opts, tls: { ca: certificates().ca.cert, ...tls } });
}

/** Both ends of a connection: client, server. */
export async function tlsStreams(
  client: TlsConnectOptions = {},
  server: TlsListenOptions = serving(),
): Promise<[Stream<TlsConn>, Stream<TlsConn>]> {
  const listener = await serve(server);
  try {
    return await Promise.all([visit(listener, client), listener.accept()]);
  } finally {
    await listener.close();
  }
}
