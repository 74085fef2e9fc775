// Descriptors passed between two processes: ours and ours, ours and Python's, in both directions.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { AF_INET, recv_fds, send_fds, SOCK_STREAM, Socket, socketpair } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-passing-"));
const path = join(folder, "file");
writeFileSync(path, "what the file holds");
after(() => rmSync(folder, { recursive: true }));

const RECEIVE = `
import os, socket
channel = socket.socket(fileno=3)
data, fds, flags, address = socket.recv_fds(channel, 100, 3)
text = os.fdopen(fds[0]).read()
server, peer = socket.socket(fileno=fds[1]), socket.socket(fileno=fds[2])
for one in server, peer: one.setblocking(True)
peer.sendall(f"got {data.decode()} and {text}".encode())
conn, address = server.accept()
conn.sendall(b"accepted by the other process")
`;

const SEND = `
import socket, sys
channel = socket.socket(fileno=3)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, address = server.accept()
with open(sys.argv[1]) as file: socket.send_fds(channel, [b"th", b"ree"], [file.fileno(), server.fileno(), client.fileno()])
server.close(); client.close()
channel.sendall(b"read " + accepted.recv(100))
`;

const ours = (task: string): readonly string[] => [
  process.execPath,
  fileURLToPath(new URL("peer.js", import.meta.url)),
  task,
];
const pythons = (script: string): readonly string[] => ["python3", "-c", script];

/** Starts a program with one end of a pair of UNIX sockets as its descriptor 3; the other is ours. */
function start(command: readonly string[]): [child: ChildProcess, channel: Socket] {
  const [here, there] = socketpair();
  const fd = there.detach();
  const child = spawn(command[0]!, [...command.slice(1), path], { stdio: ["ignore", "inherit", "inherit", fd] });
  closeSync(fd);
  return [child, here];
}

async function end(child: ChildProcess): Promise<void> {
  const [status] = (await once(child, "close")) as [number | null];
  assert.equal(status, 0);
}

for (const [name, command] of [
  ["another process", ours("receive")],
  ["Python", pythons(RECEIVE)],
] as const) {
  test(`${name} uses a file, a listening and a connected socket that it was passed`, async () => {
    const [child, channel] = start(command);
    const listening = new Socket(AF_INET, SOCK_STREAM);
    await listening.bind("127.0.0.1:0");
    listening.listen(2);
    const address = listening.getsockname();
    const client = new Socket(AF_INET, SOCK_STREAM);
    await client.connect(address);
    const [accepted] = await listening.accept();
    const file = openSync(path, "r");
    await send_fds(channel, "three", [file, listening, client]);
    // From now on the other process is the only one that has them.
    closeSync(file);
    listening.close();
    client.close();
    assert.equal((await accepted.recv(100)).toString(), "got three and what the file holds");
    accepted.close();
    const visitor = new Socket(AF_INET, SOCK_STREAM);
    await visitor.connect(address);
    assert.equal((await visitor.recv(100)).toString(), "accepted by the other process");
    visitor.close();
    await end(child);
    channel.close();
  });
}

for (const [name, command] of [
  ["another process", ours("send")],
  ["Python", pythons(SEND)],
] as const) {
  test(`a file, a listening and a connected socket that ${name} passed can be used`, async () => {
    const [child, channel] = start(command);
    const [data, descriptors, flags] = await recv_fds(channel, 100, 3);
    assert.equal(data.toString(), "three");
    assert.equal(flags, 0);
    const [file, listening, connected] = descriptors.take() as [number, number, number];
    assert.equal(readFileSync(file, "utf8"), "what the file holds");
    closeSync(file);
    const server = Socket.fromfd(listening);
    const client = Socket.fromfd(connected);
    assert.deepEqual(client.getpeername(), server.getsockname());
    await client.sendAll("passed on");
    assert.equal((await channel.recv(100)).toString(), "read passed on");
    const visitor = new Socket(AF_INET, SOCK_STREAM);
    await visitor.connect(server.getsockname());
    const [conn] = await server.accept();
    for (const socket of [conn, visitor, server, client]) socket.close();
    await end(child);
    channel.close();
  });
}
