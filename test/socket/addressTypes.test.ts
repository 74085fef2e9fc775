// The types of addresses, which follow from the family of a socket. The compiler checks them; the calls below check the
// values.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Address,
  AF_INET,
  AF_INET6,
  AF_LOCAL,
  AF_NETLINK,
  AF_PACKET,
  AF_UNIX,
  AF_VSOCK,
  create_connection,
  create_server,
  type Inet6Address,
  InetAddress,
  type NetlinkAddress,
  type PacketAddress,
  poll,
  pump,
  recv_fds,
  send_fds,
  SOCK_DGRAM,
  Socket,
  SocketConn,
  socketpair,
  splice,
  Stream,
  UnixAddress,
  type VsockAddress,
} from "berkeley";
import * as sync from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the comparison of two functions needs both
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the type of the value is exactly `T`. It is never called. */
type Has<T> = <V>(value: V, same: Same<V, T>) => void;

type Inet = InetAddress | Inet6Address;

/** Only compiled. */
export async function types(family: number, text: string, six: boolean): Promise<void> {
  const inet: Has<Socket<InetAddress>> = () => undefined;
  inet(new Socket(), true);
  inet(new Socket(AF_INET, SOCK_DGRAM), true);
  inet(new Socket(undefined, SOCK_DGRAM), true);
  inet(new Socket().dup(), true);
  inet((await new Socket().accept())[0], true);
  inet(new Socket(AF_INET6), false);
  const inet6: Has<Socket<Inet6Address>> = () => undefined;
  inet6(new Socket(AF_INET6), true);
  const unix: Has<Socket<UnixAddress>> = () => undefined;
  unix(new Socket(AF_UNIX), true);
  unix(new Socket(AF_LOCAL), true);
  unix(socketpair()[0], true);
  unix(socketpair(undefined, SOCK_DGRAM)[0], true);
  unix(socketpair(AF_UNIX, SOCK_DGRAM)[1], true);
  unix(await create_server("unix:/path"), true);
  unix(await create_server({ path: "/path" }), true);
  unix(await create_connection(new UnixAddress("\0name")), true);
  const netlink: Has<Socket<NetlinkAddress>> = () => undefined;
  netlink(new Socket(AF_NETLINK), true);
  const packet: Has<Socket<PacketAddress>> = () => undefined;
  packet(new Socket(AF_PACKET), true);
  const vsock: Has<Socket<VsockAddress>> = () => undefined;
  vsock(new Socket(AF_VSOCK), true);
  vsock(await create_connection({ cid: 2, port: 1 }), true);
  vsock(await create_server("vsock:1:1024"), true);
  const ip: Has<Socket<Inet>> = () => undefined;
  ip(new Socket(six ? AF_INET6 : AF_INET), true);
  ip(await create_server(["", 1]), true);
  ip(await create_server({ host: "", port: 1 }, { family: AF_INET6 }), true);
  ip(await create_connection("localhost:1"), true);
  ip(await create_connection("[::1]:1"), true);
  const any: Has<Socket> = () => undefined;
  any(new Socket(family), true);
  any(new Socket(31), true);
  any(socketpair(family)[0], true);
  any(await create_server(text), true);
  any(Socket.fromfd(3), true);
  // A variable takes each family.
  let variable = AF_INET;
  variable = AF_INET6;
  any(new Socket(variable), true);

  const socket = new Socket();
  const address: Has<InetAddress> = () => undefined;
  address(socket.getsockname(), true);
  address(socket.getpeername(), true);
  address((await socket.recvfrom(1))[1], true);
  address((await socket.recvfromInto(Buffer.alloc(1)))[1], true);
  const given: Has<InetAddress | undefined> = () => undefined;
  given((await socket.recvmsg(1)).address, true);
  given((await socket.recvmsgInto(Buffer.alloc(1))).address, true);
  for await (const [conn, peer] of socket) {
    inet(conn, true);
    address(peer, true);
  }
  const [conn, { host, port }] = await socket.accept();
  const named: { host: string; port: number } = { host, port };
  const flow: number = new Socket(AF_INET6).getsockname().flowinfo;
  const union: Address = new Socket(family).getsockname();
  if (conn instanceof Socket) inet(conn, true);
  void [named, flow, union];

  // A socket of each family is a Socket.
  const all: Socket[] = [socket, new Socket(AF_INET6), ...socketpair()];
  for (const one of all) {
    void [
      poll([{ socket: one, events: 1 }]),
      pump(one, socket),
      splice(one, socket),
      recv_fds(one, 1, 1),
      send_fds(one, "", []),
    ];
    void [new SocketConn(one), new Stream(new SocketConn(socket)), socket.bind(one.getsockname())];
  }
  void [
    poll([{ socket, events: 1 }]),
    pump(socket, new Socket(AF_INET6)),
    splice(socket, socket),
    send_fds(socketpair()[0], "", []),
  ];

  // @ts-expect-error The address of a UNIX socket has no port.
  void new Socket(AF_UNIX).getsockname().port;
  // @ts-expect-error An IPv4 address has no path.
  void (await new Socket().accept())[1].path;
  // @ts-expect-error The family is known only at run time.
  void new Socket(family).getsockname().port;
  // @ts-expect-error The form of the address is known only at run time.
  void (await create_server(text)).getsockname().port;
  // @ts-expect-error A pair has the addresses of UNIX sockets.
  void socketpair()[0].getpeername().host;
  // @ts-expect-error A datagram of an IPv6 socket comes from an IPv6 address.
  void ((await new Socket(AF_INET6).recvfrom(1))[1] satisfies InetAddress);
  // @ts-expect-error A message may come without an address.
  void (await socket.recvmsg(1)).address.port;
  // @ts-expect-error A socket of any family is not one of IPv4.
  void (new Socket(family) satisfies Socket<InetAddress>);
  // @ts-expect-error A family is a number.
  void new Socket("AF_INET");
}

/** Only compiled. */
export function blockingTypes(family: number): void {
  const inet: Has<sync.Socket<InetAddress>> = () => undefined;
  inet(new sync.Socket(), true);
  inet(new sync.Socket().accept()[0], true);
  inet(new sync.Socket().dup(), true);
  inet(new sync.Socket(AF_INET6), false);
  const unix: Has<sync.Socket<UnixAddress>> = () => undefined;
  unix(new sync.Socket(AF_UNIX), true);
  unix(sync.socketpair()[0], true);
  unix(sync.create_server("unix:/path"), true);
  const ip: Has<sync.Socket<Inet>> = () => undefined;
  ip(sync.create_server(["", 1]), true);
  ip(sync.create_connection("localhost:1"), true);
  const any: Has<sync.Socket> = () => undefined;
  any(new sync.Socket(family), true);
  const address: Has<InetAddress> = () => undefined;
  const socket = new sync.Socket();
  address(socket.getsockname(), true);
  address(socket.getpeername(), true);
  address(socket.recvfrom(1)[1], true);
  address(socket.recvfromInto(Buffer.alloc(1))[1], true);
  for (const [conn, peer] of socket) {
    inet(conn, true);
    address(peer, true);
  }
  const given: Has<InetAddress | undefined> = () => undefined;
  given(socket.recvmsg(1).address, true);
  const all: sync.Socket[] = [socket, new sync.Socket(AF_INET6), ...sync.socketpair()];
  for (const one of all) {
    void [
      sync.poll([{ socket: one, events: 1 }]),
      sync.pump(one, socket),
      sync.splice(one, socket),
      sync.send_fds(one, "", []),
    ];
  }
  // @ts-expect-error The address of a UNIX socket has no port.
  void new sync.Socket(AF_UNIX).getsockname().port;
  // @ts-expect-error A blocking socket is not an awaitable one.
  void (socket satisfies Socket);
}

test("the port of a socket and the address of a peer need no cast", async () => {
  await using server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  await using client = await create_connection(["127.0.0.1", server.getsockname().port]);
  const [conn, { host, port }] = await server.accept();
  assert.equal(host, "127.0.0.1");
  assert.equal(port, client.getsockname().port);
  assert.ok(conn instanceof Socket && conn.getpeername() instanceof InetAddress);
  conn.close();
});

test("the class is called Socket and makes sockets of subclasses", () => {
  class Named extends Socket {
    readonly label = "named";
  }
  using socket = new Named();
  assert.ok(socket instanceof Socket);
  assert.equal(socket.label, "named");
  assert.equal(Socket.name, "Socket");
  assert.equal(socket.getsockname().port, 0);
  assert.equal(sync.Socket.name, "Socket");
});
