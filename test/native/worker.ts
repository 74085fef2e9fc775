// The tasks of the worker threads of the tests. `workerData.task` selects one.

import { spawnSync } from "node:child_process";
import { parentPort, workerData } from "node:worker_threads";
import { AF_UNIX, pump, SOCK_DGRAM, Socket, socketpair } from "berkeley";

const { task, rounds = 0 } = workerData as { task: string; rounds?: number };
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of worker threads has no origin
const report = (message: unknown): void => parentPort!.postMessage(message);

async function connectedPair(): Promise<[Socket, Socket, Socket]> {
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  const client = new Socket();
  await client.connect(server.getsockname());
  const [conn] = await server.accept();
  return [server, client, conn];
}

/** Echoes messages over TCP. Reports how many were returned correctly. */
async function echo(): Promise<void> {
  const [server, client, conn] = await connectedPair();
  const serving = (async () => {
    for (;;) {
      const data = await conn.recv(1024);
      if (data.length === 0) return conn.close();
      await conn.sendAll(data);
    }
  })();
  let good = 0;
  for (let i = 0; i < rounds; i++) {
    const text = `${i} of ${rounds}`;
    await client.sendAll(text);
    if ((await client.recv(1024)).toString() === text) good++;
  }
  client.close();
  await serving;
  server.close();
  report(good);
}

/** Opens descriptors of every kind, makes waiting calls of every kind, and then posts a message. */
async function hold(): Promise<void> {
  const held: unknown[] = [];
  for (let i = 0; i < 5; i++) {
    const [server, client, conn] = await connectedPair();
    const [left, right] = socketpair(AF_UNIX, SOCK_DGRAM);
    held.push(server, client, conn, left, right, client.dup());
    const waiting = [
      server.accept(),
      server.accept(),
      client.recv(10),
      conn.recvInto(Buffer.alloc(10), { timeout: 3_600_000 }),
      conn.sendAll(Buffer.alloc(32 << 20)),
      left.recvfrom(10, { signal: new AbortController().signal }),
      right.readable(),
    ];
    for (let k = 0; k < 10; k++) {
      const socket = new Socket();
      held.push(socket);
      waiting.push(socket.bind(["localhost", 0]));
    }
    for (const promise of waiting) promise.catch(() => {});
    held.push(waiting);
  }
  report("holding");
  setInterval(() => held.length, 1000);
}

/** Makes socket calls in a loop, without a turn of the event loop. */
function spin(): void {
  report("spinning");
  for (;;) {
    const [left, right] = socketpair();
    void left.send("x");
    void right.recv(1);
    left.close();
    right.close();
  }
}

/** Sends bytes continuously through a pump, for which the poller relays them. */
async function flood(): Promise<void> {
  const [server, client, conn] = await connectedPair();
  const [left, right] = socketpair();
  pump(conn, left).catch(() => {});
  const data = Buffer.alloc(1 << 20);
  const drain = async (socket: Socket): Promise<void> => {
    for (;;) await socket.recvInto(data);
  };
  const send = async (socket: Socket): Promise<void> => {
    for (;;) await socket.sendAll(data);
  };
  for (const endless of [drain(client), drain(right), send(client), send(right)]) endless.catch(() => {});
  report("flooding");
  setInterval(() => server.closed, 1000);
}

/** Makes socket calls in a loop, in turns of the event loop. */
async function churn(): Promise<void> {
  report("churning");
  for (;;) {
    const [server, client, conn] = await connectedPair();
    const received = conn.recv(10);
    await client.sendAll("x");
    await received;
    for (const socket of [server, client, conn]) socket.close();
  }
}

/** Ends by process.exit() or by an error, with open sockets. */
async function leave(how: string): Promise<void> {
  const [server, client] = await connectedPair();
  server.accept().catch(() => {});
  client.recv(1).catch(() => {});
  if (how === "exit") process.exit(0);
  if (how === "throw") throw new Error("thrown in a worker");
}

/** Ends because no call waits, with open sockets. */
async function finish(): Promise<void> {
  const open = await connectedPair();
  report(open.length);
}

/** Takes over a connection by its descriptor, and answers on it. */
async function adopt(): Promise<void> {
  const { fd } = workerData as { fd: number };
  const conn = Socket.fromfd(fd);
  const data = await conn.recv(100);
  await conn.sendAll(`worker had ${data.toString()}`);
  conn.close();
}

/** Accepts from a listener that another process has made blocking. */
async function alarm(): Promise<void> {
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  server.listen();
  const client = new Socket();
  await client.connect(server.getsockname());
  const set = spawnSync("python3", ["-c", "import os; os.set_blocking(3, True)"], {
    stdio: ["ignore", "ignore", "ignore", server.fileno()],
  });
  const [conn] = await server.accept();
  for (const socket of [conn, client, server]) socket.close();
  report(set.status === 0 ? "accepted" : set.status);
}

const tasks: Readonly<Record<string, () => unknown>> = {
  echo,
  hold,
  spin,
  churn,
  flood,
  finish,
  adopt,
  alarm,
  exit: () => leave("exit"),
  throw: () => leave("throw"),
};
await tasks[task]!();
