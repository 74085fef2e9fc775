// The types of connect() and listen() for each scheme. The compiler checks them; the calls below check the values.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BufferedError,
  connect,
  type Inet6Address,
  type InetAddress,
  listen,
  type Socket,
  type SocketConn,
  type SocketListener,
  type SocketSettings,
  type Stream,
  type TlsConn,
  type TlsSocketListener,
  type UnixAddress,
  type VsockAddress,
} from "berkeley";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the comparison of two functions needs both
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the type of the promise's value is exactly `T`. It is never called. */
type Gives<T> = <P>(value: Promise<P>, same: Same<P, T>) => void;

type Inet = InetAddress | Inet6Address;

/** Only compiled. */
export async function types(text: string, url: URL): Promise<void> {
  const socket: Gives<Stream<SocketConn>> = () => undefined;
  socket(connect("tcp://localhost:1"), true);
  socket(connect("tcp4://localhost:1"), true);
  socket(connect("tcp6://localhost:1"), true);
  socket(connect("unix:/path"), true);
  socket(connect("vsock://2:1"), true);
  socket(connect("fd:3"), true);
  socket(connect(1), true);
  socket(connect({ port: 1 }), true);
  socket(connect({ host: "localhost", port: 1 }), true);
  socket(connect({ path: "/path" }), true);
  socket(connect(["localhost", 1], { timeout: 1 }), true);
  socket(connect("tls://localhost:1"), false);
  const tls: Gives<Stream<TlsConn>> = () => undefined;
  tls(connect("tls://localhost:1"), true);
  tls(connect({ scheme: "tls", host: "localhost", port: 1 }), true);
  tls(connect("tcp://localhost:1"), false);
  const either: Gives<Stream<SocketConn | TlsConn>> = () => undefined;
  either(connect(text), true);
  either(connect(url), true);
  // The connection to a proxy may be one of TLS.
  either(connect("tcp://localhost:1", { via: text }), true);

  const inet: Gives<SocketListener<SocketConn, Inet>> = () => undefined;
  inet(listen("tcp://localhost:1"), true);
  inet(listen("tcp4://localhost:1"), true);
  inet(listen(1), true);
  inet(listen({ port: 1, host: "localhost" }), true);
  inet(listen("unix:/path"), false);
  const unix: Gives<SocketListener<SocketConn, UnixAddress>> = () => undefined;
  unix(listen("unix:/path"), true);
  unix(listen({ path: "/path" }), true);
  const vsock: Gives<SocketListener<SocketConn, VsockAddress>> = () => undefined;
  vsock(listen("vsock://2:1"), true);
  const secure: Gives<TlsSocketListener> = () => undefined;
  secure(listen("tls://localhost:1", { tls: {} }), true);
  const fd: Gives<SocketListener<SocketConn>> = () => undefined;
  fd(listen("fd:3"), true);
  fd(listen("systemd:web"), true);
  const any: Gives<SocketListener<SocketConn | TlsConn>> = () => undefined;
  any(listen(text), true);

  const below: Socket = (await connect("tcp://localhost:1")).socket;
  const settings: SocketSettings | undefined = (await connect("tls://localhost:1")).socket;
  void [below, settings];
  // @ts-expect-error A UNIX address has no port.
  void (await listen("unix:/path")).address.port;
  // @ts-expect-error TLS has no Socket to read from.
  void (await connect("tls://localhost:1")).socket?.recv(1);
  // @ts-expect-error A plain connection has no results of a handshake.
  void (await connect("tcp://localhost:1")).conn.authorized;
  // @ts-expect-error The endpoint may be one of TLS, whose socket has no reads.
  void (await connect(text)).socket?.recv(1);
  // @ts-expect-error A port is a number.
  void listen({ port: "1" });
  // @ts-expect-error A bigint is no endpoint.
  void connect(1n);
}

test("the port of a listener and the socket of its streams need no cast", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  await using stream = await connect(`tcp://127.0.0.1:${listener.address.port}`);
  await using peer = await listener.accept();
  assert.equal(peer.socket, peer.conn.socket);
  assert.equal(String(stream.socket.getsockname()), String(peer.remoteAddress));
  await stream.write("one\ntwo\n");
  assert.equal(await peer.readLine(), "one");
  await assert.rejects(peer.socket.recv(1), (error) => error instanceof BufferedError && error.code === "ERR_BUFFERED");
  assert.equal(await peer.readLine(), "two");
});
