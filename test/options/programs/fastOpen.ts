// TCP Fast Open between two sockets of this process. It prints the events of each connection as one line of JSON. The
// test runs it with the server's side of the kernel on, and as it is.
import {
  IPV6_JOIN_ANYCAST,
  IPV6_LEAVE_ANYCAST,
  AF_INET6,
  MSG_FASTOPEN,
  Socket,
  SocketError,
  SOCK_DGRAM,
  TCP_FASTOPEN,
  TCP_FASTOPEN_CONNECT,
  TCP_INFO,
  TCPI_OPT_SYN_DATA,
} from "berkeley";
import type { Address, TcpInfo } from "berkeley";

const inSyn = (info: TcpInfo): boolean => (info.tcpi_options & TCPI_OPT_SYN_DATA) !== 0;

/** One exchange: the client speaks first, the server answers. */
async function exchange(client: Socket, server: Socket, text: string): Promise<object> {
  const [peer] = await server.accept({ timeout: 10_000 });
  const received = String(await peer.recv(100, { timeout: 10_000 }));
  await peer.sendAll(text.toUpperCase());
  const answer = String(await client.recv(100, { timeout: 10_000 }));
  const early = { client: inSyn(client.getsockopt(TCP_INFO)), server: inSyn(peer.getsockopt(TCP_INFO)) };
  peer.close();
  return { received, answer, early };
}

async function byConnect(server: Socket, address: Address, text: string): Promise<object> {
  await using client = new Socket();
  client.setsockopt(TCP_FASTOPEN_CONNECT, true);
  await client.connect(address);
  const state = client.getsockopt(TCP_INFO).tcpi_state;
  const sent = await client.send(text);
  return { state, sent, ...(await exchange(client, server, text)) };
}

async function bySendto(server: Socket, address: Address, text: string): Promise<object> {
  await using client = new Socket();
  const sent = await client.sendto([text.slice(0, 1), text.slice(1)], address, {
    flags: MSG_FASTOPEN,
    timeout: 10_000,
  });
  return { sent, ...(await exchange(client, server, text)) };
}

async function bySendmsg(server: Socket, address: Address, text: string): Promise<object> {
  await using client = new Socket();
  const sent = await client.sendmsg([text], { address, flags: MSG_FASTOPEN, timeout: 10_000 });
  return { sent, ...(await exchange(client, server, text)) };
}

/** A server that is gone: whose error is it? */
async function refused(address: Address): Promise<object> {
  await using client = new Socket();
  try {
    await client.sendto("anybody there?", address, { flags: MSG_FASTOPEN, timeout: 10_000 });
    await client.recv(1, { timeout: 10_000 });
    return { code: "none" };
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    return { code: error.code };
  }
}

async function listener(): Promise<Socket> {
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.setsockopt(TCP_FASTOPEN, 16);
  server.listen(5);
  return server;
}

function anycast(): string {
  using socket = new Socket(AF_INET6, SOCK_DGRAM);
  const membership = { address: "2001:db8:77::77", interface: "lo" };
  try {
    socket.setsockopt(IPV6_JOIN_ANYCAST, membership);
    socket.setsockopt(IPV6_LEAVE_ANYCAST, membership);
    return "joined and left";
  } catch (error) {
    return (error as SocketError).code;
  }
}

const server = await listener();
const address = server.getsockname();
const connects = [await byConnect(server, address, "one"), await byConnect(server, address, "two")];
// Cookies belong to addresses without ports: a new address has none.
const other = new Socket();
await other.bind("127.0.0.2:0");
other.setsockopt(TCP_FASTOPEN, 16);
other.listen(5);
const messages = [
  await bySendto(other, other.getsockname(), "three"),
  await bySendto(other, other.getsockname(), "four"),
  await bySendmsg(other, other.getsockname(), "five"),
];
server.close();
const late = await refused(address);
const gone = other.getsockname();
other.close();
process.stdout.write(
  `${JSON.stringify({ connects, messages, late, never: await refused(gone), anycast: anycast() })}\n`,
);
