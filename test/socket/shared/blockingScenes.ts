// All calls that can wait, on sockets whose O_NONBLOCK another process has cleared.
//
//   blockingScenes.js awaitable|sync       prints a line for each call: its name, its error code, and whether it was in time
//
// It is a program of its own, because a call that blocks would block the test.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as awaitable from "berkeley";
import {
  AF_INET,
  AF_UNIX,
  DatagramBatch,
  MSG_ERRQUEUE,
  MSG_PEEK,
  MSG_WAITALL,
  POLLIN,
  type Socket as AwaitableSocket,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
} from "berkeley";

const kind = process.argv[2];
const library = (await import(kind === "sync" ? "berkeley/sync" : "berkeley")) as typeof awaitable;
const { poll, pump, Socket, socketpair, splice } = library;

const TIMEOUT = 100;
const opts = { timeout: TIMEOUT };

const folder = mkdtempSync(join(tmpdir(), "berkeley-blocking-"));
const file = join(folder, "file");
const content = Buffer.alloc(3_000_000, "the content of a file that is longer than any buffer ");
writeFileSync(file, content);

const fd = openSync(file, "r");
const all: AwaitableSocket[] = [];

function keep(...sockets: AwaitableSocket[]): void {
  all.push(...sockets);
}

async function listener(backlog?: number): Promise<AwaitableSocket> {
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen(backlog);
  keep(server);
  return server;
}

async function tcp(): Promise<[AwaitableSocket, AwaitableSocket]> {
  const server = await listener();
  const client = new Socket();
  await client.connect(server.getsockname());
  const [conn] = await server.accept();
  keep(client, conn);
  return [client, conn];
}

function pair(type?: number): [AwaitableSocket, AwaitableSocket] {
  const [a, b] = socketpair(AF_UNIX, type);
  keep(a, b);
  return [a, b];
}

async function udp(): Promise<AwaitableSocket> {
  const socket = new Socket(AF_INET, SOCK_DGRAM);
  await socket.bind("127.0.0.1:0");
  keep(socket);
  return socket;
}

/** Sends until there is no room, and none comes of what the kernel hands on to the receiver. */
async function fill(socket: AwaitableSocket, size: number = 1 << 16): Promise<void> {
  const data = Buffer.alloc(size);
  for (;;) {
    while (socket.trySend(data) !== undefined);
    try {
      await socket.writable({ timeout: 50 });
    } catch {
      return;
    }
  }
}

/** Has another process make them blocking, or say whether they are. */
function elsewhere(program: string): string {
  const { stdout, stderr, status } = spawnSync(
    "python3",
    ["-c", `import os\nfds = range(3, ${3 + all.length})\n${program}`],
    { stdio: ["ignore", "pipe", "pipe", ...all.map((socket) => socket.fileno())], encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

const waiting: [name: string, call: () => unknown][] = [];

async function prepare(): Promise<void> {
  const [, idle] = await tcp();
  const [one] = pair();
  const [another] = pair();
  waiting.push(
    ["recv", () => idle.recv(10, opts)],
    ["recv of all", () => idle.recv(10, { ...opts, flags: MSG_WAITALL })],
    ["recv to peek", () => idle.recv(10, { ...opts, flags: MSG_PEEK })],
    ["recv of more than the slab", () => idle.recv(1 << 20, opts)],
    ["recvInto", () => idle.recvInto(Buffer.alloc(10), opts)],
    ["recvmsg", () => idle.recvmsg(10, opts)],
    ["recvmsg of all", () => idle.recvmsg(10, { ...opts, flags: MSG_WAITALL })],
    ["recvmsgInto", () => idle.recvmsgInto(Buffer.alloc(10), opts)],
    ["readable", () => idle.readable(opts)],
    ["splice from", () => splice(idle, one, opts)],
    ["pump", () => pump(idle, another, opts)],
  );
  const datagrams = await udp();
  waiting.push(
    ["recvfrom", () => datagrams.recvfrom(10, opts)],
    ["recvfromInto", () => datagrams.recvfromInto(Buffer.alloc(10), opts)],
    ["recvmmsg", () => datagrams.recvmmsg(new DatagramBatch({ capacity: 4, size: 100 }), opts)],
    ["recv of an error", () => datagrams.recv(10, { ...opts, flags: MSG_ERRQUEUE })],
    [
      "poll",
      async () => {
        const ready = await poll([{ socket: datagrams, events: POLLIN }], opts);
        throw Object.assign(new Error(), { code: ready.length === 0 ? "ETIMEDOUT" : "READY" });
      },
    ],
  );
  const [full] = await tcp();
  await fill(full);
  // The kernel may make room for a byte on TCP at any time; a UNIX socket stays full.
  const [stuffed] = pair();
  await fill(stuffed);
  waiting.push(
    ["send", () => stuffed.send("x", opts)],
    ["send of parts", () => stuffed.send(["x", "y"], opts)],
    ["sendmsg", () => stuffed.sendmsg("x", opts)],
    ["sendAll", () => full.sendAll(Buffer.alloc(10_000_000), opts)],
    ["sendfile", () => full.sendfile(fd, opts)],
    ["writable", () => full.writable(opts)],
  );
  const [target] = await tcp();
  await fill(target);
  const [far, near] = await tcp();
  await far.sendAll(Buffer.alloc(100_000));
  waiting.push(["splice to", () => splice(near, target, opts)]);
  const [unixFull] = pair(SOCK_DGRAM);
  await fill(unixFull, 1000);
  const batch = new DatagramBatch({ capacity: 4, size: 100 });
  for (let i = 0; i < 4; i++) batch.add("x");
  waiting.push(["sendmmsg", () => unixFull.sendmmsg(batch, opts)]);
  const [packets] = pair(SOCK_SEQPACKET);
  await fill(packets, 1000);
  waiting.push(["send of a packet", () => packets.send("x", opts)]);
  const receiver = new Socket(AF_UNIX, SOCK_DGRAM);
  await receiver.bind("");
  const sender = new Socket(AF_UNIX, SOCK_DGRAM);
  await sender.bind("");
  keep(receiver, sender);
  const filler = new Socket(AF_UNIX, SOCK_DGRAM);
  await filler.connect(receiver.getsockname());
  await fill(filler, 100);
  filler.close();
  waiting.push(["sendto", () => sender.sendto("x", receiver.getsockname(), opts)]);
  const quiet = await listener();
  waiting.push(["accept", () => quiet.accept(opts)]);
  const named = new Socket(AF_UNIX);
  await named.bind("");
  named.listen(0);
  keep(named);
  const local = new Socket(AF_UNIX);
  const first = new Socket(AF_UNIX);
  await first.connect(named.getsockname());
  keep(first, local);
  waiting.push(["connect to a full UNIX listener", () => local.connect(named.getsockname(), opts)]);
  // The kernel drops a connection that does not fit into the accept queue, so it is never established.
  const busy = await listener(0);
  const others = [new Socket(), new Socket(), new Socket(), new Socket()];
  keep(...others);
  const connects = others.map(async (socket) => socket.connect(busy.getsockname(), { timeout: 50 }));
  await Promise.allSettled(connects);
  const last = new Socket();
  keep(last);
  waiting.push(["connect", () => last.connect(busy.getsockname(), opts)]);
}

async function measure(name: string, call: () => unknown): Promise<string> {
  const start = performance.now();
  let code: string;
  try {
    await call();
    code = "none";
  } catch (error) {
    code = String((error as { code: unknown }).code);
  }
  return `${name}: ${code} ${performance.now() - start < 20 * TIMEOUT ? "in time" : "late"}`;
}

/** Bytes of a file to a socket, through two sockets and back to us, all of them blocking. */
async function throughAll(): Promise<string> {
  const [client, conn] = await tcp();
  const [far, near] = await tcp();
  const [left, right] = pair();
  elsewhere("[os.set_blocking(fd, True) for fd in fds]");
  const sum = createHash("sha256");
  if (kind === "sync") {
    // One thread: as much at a time as the buffers of all sockets hold.
    let offset = 0;
    while (offset < content.length) {
      const count = Math.min(50_000, content.length - offset);
      await client.sendfile(fd, { offset, count, timeout: 5_000 });
      await splice(conn, far, { count, timeout: 5_000 });
      await splice(near, left, { count, timeout: 5_000 });
      for (let got = 0; got < count;) {
        const bytes = await right.recv(1 << 16, { timeout: 5_000 });
        sum.update(bytes);
        got += bytes.length;
      }
      offset += count;
    }
  } else {
    const flows = [splice(conn, far), splice(near, left)];
    const sending = client.sendfile(fd, { timeout: 20_000 }).then(() => client.close());
    for (;;) {
      const bytes = await right.recv(1 << 16, { timeout: 20_000 });
      if (bytes.length === 0) break;
      sum.update(bytes);
    }
    await Promise.all([...flows, sending]);
  }
  return sum.digest("hex") === createHash("sha256").update(content).digest("hex") ? "the same" : "not the same";
}

try {
  await prepare();
  console.log(elsewhere("[os.set_blocking(fd, True) for fd in fds]; print(all(map(os.get_blocking, fds)))"));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  if (kind === "sync") for (const [name, call] of waiting) console.log(await measure(name, call));
  else for (const line of await Promise.all(waiting.map(([name, call]) => measure(name, call)))) console.log(line);
  clearInterval(timer);
  if (kind !== "sync") console.log(ticks > 0 ? "the timer ticked" : "the timer never ticked");
  console.log(elsewhere("print(all(map(os.get_blocking, fds)))"));
  console.log(await throughAll());
} finally {
  for (const socket of all) socket.close();
  closeSync(fd);
  rmSync(folder, { recursive: true });
}
