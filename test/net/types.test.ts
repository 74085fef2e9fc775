// The types of connect() and listen() for each scheme. The compiler checks them; the calls below check the values.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Address,
  AF_INET6,
  BufferedError,
  connect,
  Inet6Address,
  InetAddress,
  listen,
  Socket,
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
  socket(connect("fd:3"), true);
  const tcp: Gives<Stream<SocketConn<Inet>>> = () => undefined;
  tcp(connect("tcp://localhost:1"), true);
  tcp(connect(1), true);
  tcp(connect({ port: 1 }), true);
  tcp(connect({ host: "localhost", port: 1 }), true);
  tcp(connect(["localhost", 1], { timeout: 1 }), true);
  const tcp4: Gives<Stream<SocketConn<InetAddress>>> = () => undefined;
  tcp4(connect("tcp4://localhost:1"), true);
  tcp4(connect(new InetAddress("127.0.0.1", 1)), true);
  tcp4(connect({ scheme: "tcp4", host: "localhost", port: 1 }), true);
  tcp4(connect("tcp6://localhost:1"), false);
  const tcp6: Gives<Stream<SocketConn<Inet6Address>>> = () => undefined;
  tcp6(connect("tcp6://localhost:1"), true);
  tcp6(connect(new Inet6Address("::1", 1)), true);
  const path: Gives<Stream<SocketConn<UnixAddress>>> = () => undefined;
  path(connect("unix:/path"), true);
  path(connect({ path: "/path" }), true);
  const virtual: Gives<Stream<SocketConn<VsockAddress>>> = () => undefined;
  virtual(connect("vsock://2:1"), true);
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

  const inet: Gives<SocketListener<SocketConn<Inet>, Inet>> = () => undefined;
  inet(listen("tcp://localhost:1"), true);
  inet(listen(1), true);
  inet(listen({ port: 1, host: "localhost" }), true);
  inet(listen("unix:/path"), false);
  const inet4: Gives<SocketListener<SocketConn<InetAddress>, InetAddress>> = () => undefined;
  inet4(listen("tcp4://localhost:1"), true);
  const inet6: Gives<SocketListener<SocketConn<Inet6Address>, Inet6Address>> = () => undefined;
  inet6(listen("tcp6://localhost:1"), true);
  const unix: Gives<SocketListener<SocketConn<UnixAddress>, UnixAddress>> = () => undefined;
  unix(listen("unix:/path"), true);
  unix(listen({ path: "/path" }), true);
  const vsock: Gives<SocketListener<SocketConn<VsockAddress>, VsockAddress>> = () => undefined;
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
  // The addresses of a stream have the type of its family.
  const port: number | undefined = (await connect("tcp://localhost:1")).remoteAddress?.port;
  const four: InetAddress | undefined = (await connect("tcp4://localhost:1")).localAddress;
  const zone: number | undefined = (await (await listen("tcp6://[::1]:1")).accept()).remoteAddress?.scopeid;
  const file: string | undefined = (await connect("unix:/path")).remoteAddress?.path;
  const same: InetAddress = (await connect("tcp4://localhost:1")).socket.getpeername();
  const made: Inet6Address | undefined = new Socket(AF_INET6).stream().remoteAddress;
  // Every stream is a Stream, and a function for any stream over a socket accepts each of them.
  const general: Stream = await connect("tcp4://localhost:1");
  const plain: Stream<SocketConn> = await connect("unix:/path");
  const unknown: Address | undefined = plain.remoteAddress;
  void [port, four, zone, file, same, made, general, plain, unknown];
  // @ts-expect-error A UNIX address has no port.
  void (await connect("unix:/path")).remoteAddress?.port;
  // @ts-expect-error An address of IPv4 has no scope.
  void (await connect("tcp4://localhost:1")).localAddress?.scopeid;
  // @ts-expect-error The family of a descriptor is not known.
  void (await connect("fd:3")).localAddress?.port;
  // @ts-expect-error The family of a string is not known.
  void (await connect(text)).localAddress?.port;
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
  assert.equal(stream.remoteAddress?.port, listener.address.port);
  assert.equal(stream.localAddress?.port, peer.remoteAddress?.port);
  assert.equal(String(stream.socket.getsockname()), String(peer.remoteAddress));
  await stream.write("one\ntwo\n");
  assert.equal(await peer.readLine(), "one");
  await assert.rejects(peer.socket.recv(1), (error) => error instanceof BufferedError && error.code === "ERR_BUFFERED");
  assert.equal(await peer.readLine(), "two");
});

test("the addresses of a stream are of the family that its type has", async () => {
  await using four = await listen("tcp4://127.0.0.1:0");
  await using left = await connect(`tcp4://127.0.0.1:${four.address.port}`);
  await using right = await four.accept();
  for (const address of [left.localAddress, left.remoteAddress, right.localAddress, right.remoteAddress]) {
    assert.ok(address instanceof InetAddress);
  }
  await using unix = await listen("unix:@berkeley-types");
  await using client = await connect("unix:@berkeley-types");
  await using accepted = await unix.accept();
  assert.deepEqual([client.remoteAddress?.path, accepted.localAddress?.path], Array(2).fill("\0berkeley-types"));
  // A socket at IPv6 has addresses of IPv6 for clients of IPv4 too.
  await using six = await listen("tcp6://[::]:0");
  await using mapped = await connect(`tcp4://127.0.0.1:${six.address.port}`);
  await using peer = await six.accept();
  assert.ok(peer.remoteAddress instanceof Inet6Address);
  assert.equal(peer.remoteAddress.port, mapped.localAddress?.port);
});
