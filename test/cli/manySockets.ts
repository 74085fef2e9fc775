// Makes two hundred sockets in different states, and writes the output of ss(8) and of our command to files in a
// folder. It runs in a network namespace, where other programs have no sockets.
import { spawnSync } from "node:child_process";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  IPV6_V6ONLY,
  SHUT_WR,
  SO_BINDTODEVICE,
  SO_KEEPALIVE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  type SocketOption,
} from "berkeley";

const [main = "", folder = ""] = process.argv.slice(2);
const open: Socket[] = [];

async function bound(
  family: number,
  type: number,
  address: [string, number],
  ...options: SocketOption<boolean, boolean>[]
) {
  const socket = new Socket(family, type);
  for (const option of options) socket.setsockopt(option, true);
  await socket.bind(address);
  open.push(socket);
  return socket;
}

async function connected(to: Socket): Promise<[Socket, Socket]> {
  const client = new Socket(to.family, SOCK_STREAM);
  const [[server]] = await Promise.all([to.accept(), client.connect(to.getsockname())]);
  open.push(client, server);
  return [client, server];
}

const server = await bound(AF_INET, SOCK_STREAM, ["127.0.0.1", 0]);
server.listen(64);
const server6 = await bound(AF_INET6, SOCK_STREAM, ["::1", 0]);
server6.listen(64);
// Of the IPv6 wildcard alone, of both families, and on one interface.
(await bound(AF_INET6, SOCK_STREAM, ["::", 0], IPV6_V6ONLY)).listen();
(await bound(AF_INET6, SOCK_STREAM, ["::", 0])).listen();
const device = new Socket(AF_INET, SOCK_STREAM);
device.setsockopt(SO_BINDTODEVICE, "lo");
await device.bind(["0.0.0.0", 0]);
device.listen(7);
open.push(device);
for (let i = 0; i < 10; i++) (await bound(AF_INET, SOCK_STREAM, ["127.0.0.2", 0])).listen(i);

// ESTAB with and without data in the queues, with a timer, and with two descriptors.
for (let i = 0; i < 20; i++) {
  const [client, peer] = await connected(i % 2 === 0 ? server : server6);
  if (i % 3 === 0) await client.sendAll(Buffer.alloc(100 * i + 1));
  if (i % 5 === 0) peer.setsockopt(SO_KEEPALIVE, true);
  if (i % 7 === 0) open.push(peer.dup());
}
// A full receive buffer leaves data in the send queue: `persist`.
for (let i = 0; i < 3; i++) {
  const [client] = await connected(server);
  await client.sendAll(Buffer.alloc(32 << 20), { timeout: 300 }).catch(() => undefined);
}
// CLOSE-WAIT and FIN-WAIT-2.
for (let i = 0; i < 15; i++) (await connected(server))[0].shutdown(SHUT_WR);
// TIME-WAIT.
for (let i = 0; i < 20; i++) {
  const [client, peer] = await connected(server);
  client.shutdown(SHUT_WR);
  await peer.recv(1);
  peer.close();
  await client.recv(1);
  client.close();
}
// FIN-WAIT-1 without a process: closed with data that the peer's window has no room for.
for (let i = 0; i < 2; i++) {
  const [client] = await connected(server);
  await client.sendAll(Buffer.alloc(32 << 20), { timeout: 300 }).catch(() => undefined);
  client.close();
}
// SYN-SENT: the accept queue of the listener is full, and the kernel drops each further SYN.
const full = await bound(AF_INET, SOCK_STREAM, ["127.0.0.3", 0]);
full.listen(0);
const waiting: Promise<unknown>[] = [];
const stop = new AbortController();
for (let i = 0; i < 6; i++) {
  const client = new Socket(AF_INET, SOCK_STREAM);
  open.push(client);
  waiting.push(client.connect(full.getsockname(), { signal: stop.signal }).catch(() => undefined));
}
// UNCONN of TCP: bound and no more.
for (let i = 0; i < 5; i++) await bound(AF_INET, SOCK_STREAM, ["127.0.0.4", 0]);
// UDP, bound and connected, with unread datagrams.
for (let i = 0; i < 30; i++) {
  const receiver = await bound(i % 2 === 0 ? AF_INET : AF_INET6, SOCK_DGRAM, [i % 2 === 0 ? "127.0.0.1" : "::1", 0]);
  const sender = new Socket(receiver.family, SOCK_DGRAM);
  await sender.connect(receiver.getsockname());
  open.push(sender);
  for (let n = 0; n < i; n++) await sender.send(Buffer.alloc(100));
}
for (let i = 0; i < 10; i++) {
  open.push(...Socket.pair(AF_UNIX, i % 2 === 0 ? SOCK_STREAM : SOCK_SEQPACKET, 0));
  const named = new Socket(AF_UNIX, i % 2 === 0 ? SOCK_STREAM : SOCK_DGRAM);
  await named.bind(i % 3 === 0 ? `unix:${folder}/socket${i}` : `unix:@berkeley-${i}`);
  if (i % 2 === 0) named.listen(i);
  open.push(named);
}
// To files: a pipe of a child would be two more UNIX sockets.
const script = `cd "$1"; ss -Htanp > ss-t; "$NODE" "$2" sockets -t --json > ours-t; "$NODE" "$2" sockets -t > table
  ss -Huanp > ss-u; "$NODE" "$2" sockets -u --json > ours-u; ss -Hxanp > ss-x; "$NODE" "$2" sockets -x --json > ours-x
  ss -Htiomn state established > ss-i
  "$NODE" "$2" sockets -t --state listen --json > listen
  "$NODE" "$2" sockets -tu --port "$3" --json > port
  "$NODE" "$2" sockets -tux --process "$4" --json > process
  "$NODE" "$2" sockets -tux --process nobody --json > nobody
  ss -Htanp > ss-t2`;
const { port } = server.getsockname() as { port: number };
const ran = spawnSync("sh", ["-euc", script, "sh", folder, main, String(port), String(process.pid)], {
  stdio: "ignore",
  env: { ...process.env, NODE: process.execPath },
});
stop.abort();
await Promise.all(waiting);
for (const socket of open) socket.close();
console.log(JSON.stringify({ status: ran.status, sockets: open.length, port, pid: process.pid }));
