// The other process of the tests that pass descriptors. It uses the UNIX socket that it inherits as descriptor 3.
//
//   peer.js receive   receives a file, a listening and a connected socket, and uses each
//   peer.js send      makes these three, and sends them
import { closeSync, openSync, readFileSync } from "node:fs";
import { AF_INET, recv_fds, send_fds, SOCK_STREAM, Socket } from "berkeley";

const channel = Socket.fromfd(3);
const [task, path] = process.argv.slice(2);

async function receive(): Promise<void> {
  const [data, descriptors] = await recv_fds(channel, 100, 3);
  const [file, listening, connected] = descriptors.take() as [number, number, number];
  const text = readFileSync(file, "utf8");
  closeSync(file);
  await using server = Socket.fromfd(listening);
  await using peer = Socket.fromfd(connected);
  await peer.sendAll(`got ${data.toString()} and ${text}`);
  const [conn] = await server.accept();
  await conn.sendAll("accepted by the other process");
  conn.close();
}

async function send(): Promise<void> {
  const file = openSync(path!, "r");
  await using server = new Socket(AF_INET, SOCK_STREAM);
  await server.bind("127.0.0.1:0");
  server.listen(2);
  await using client = new Socket(AF_INET, SOCK_STREAM);
  await client.connect(server.getsockname());
  const [accepted] = await server.accept();
  await send_fds(channel, "three", [file, server, client]);
  closeSync(file);
  const text = (await accepted.recv(100)).toString();
  accepted.close();
  await channel.sendAll(`read ${text}`);
}

await (task === "send" ? send() : receive());
channel.close();
