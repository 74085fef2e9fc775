// Objects with waiting calls, and a worker with one of them. unref.test.ts checks whether the worker ends.

import { once } from "node:events";
import { connect as netConnect, createServer, type Server } from "node:net";
import { isMainThread, workerData } from "node:worker_threads";
import {
  AF_INET,
  bindUdp,
  connect,
  forward,
  type IoOptions,
  listen,
  MSG_ERRQUEUE,
  SOCK_DGRAM,
  Socket,
  socketpair,
  splice,
  Stream,
  type TlsConn,
  TlsListener,
  toDuplex,
} from "berkeley";
import { memoryPair, MemoryListener } from "berkeley/testing";

interface Refs {
  ref?(): unknown;
  unref?(): unknown;
}

export interface Scene {
  readonly one: Refs;
  /** A call that never settles by itself. */
  readonly wait: (opts?: IoOptions) => Promise<unknown>;
  /** Kept for as long as the scene is. */
  readonly rest?: unknown;
}

interface Credentials {
  readonly cert: string;
  readonly key: string;
}

const FAR: IoOptions = { timeout: 60_000 };

function fill(socket: Socket): void {
  while (socket.trySend(Buffer.alloc(65_536)) !== undefined);
}

async function tlsPair(tls: Credentials): Promise<{ client: Stream<TlsConn>; peer: Stream<TlsConn>; rest: unknown }> {
  const listener = await listen("tls://127.0.0.1:0", { tls });
  const accepting = listener.accept();
  const { port } = listener.address as { port: number };
  const client = await connect(`tls://localhost:${port}`, { tls: { rejectUnauthorized: false } });
  return { client, peer: await accepting, rest: listener };
}

const never = (): Promise<never> => new Promise<never>(() => undefined);

export const SCENES: Readonly<Record<string, (tls: Credentials) => Promise<Scene> | Scene>> = {
  "a listening socket": async () => {
    const one = new Socket();
    await one.bind("127.0.0.1:0");
    one.listen();
    return { one, wait: (opts) => one.accept(opts) };
  },
  "a connected socket": () => {
    const [one, rest] = socketpair();
    return { one, rest, wait: (opts) => one.recv(1, opts) };
  },
  "a socket whose error queue is read": async () => {
    const one = new Socket(AF_INET, SOCK_DGRAM);
    await one.bind("127.0.0.1:0");
    return { one, wait: (opts) => one.recvmsg(1, { ...opts, flags: MSG_ERRQUEUE }) };
  },
  "a socket that writes": () => {
    const [one, rest] = socketpair();
    fill(one);
    return { one, rest, wait: (opts) => one.sendAll(Buffer.alloc(65_536), opts) };
  },
  "a socket whose bytes are spliced": () => {
    const [one, peer] = socketpair();
    const [to, far] = socketpair();
    return { one, rest: [peer, far], wait: (opts) => splice(one, to, opts) };
  },
  "a stream of a socket": () => {
    const [socket, rest] = socketpair();
    const one = socket.stream();
    return { one, rest, wait: (opts) => one.readLine(opts) };
  },
  "a stream that ends its writing": () => {
    const [socket, rest] = socketpair();
    fill(socket);
    const one = socket.stream();
    const wait = (opts?: IoOptions): Promise<unknown> => {
      one.write(Buffer.alloc(65_536)).catch(() => undefined);
      return one.closeWrite(opts);
    };
    return { one, rest, wait };
  },
  "a stream that is piped": () => {
    const [socket, peer] = socketpair();
    const [to, far] = socketpair();
    const one = socket.stream();
    return { one, rest: [peer, far], wait: (opts) => one.pipeTo(to.stream(), opts) };
  },
  "a Duplex of a stream": () => {
    const [socket, rest] = socketpair();
    const one = socket.stream().toDuplex() as Refs & { resume(): void };
    return {
      one,
      rest,
      wait: () => {
        one.resume();
        return never();
      },
    };
  },
  "a stream of a net.Socket": async () => {
    const server: Server = createServer((socket) => socket.unref()).listen(0, "127.0.0.1");
    await once(server, "listening");
    server.unref();
    const duplex = netConnect((server.address() as { port: number }).port, "127.0.0.1");
    await once(duplex, "connect");
    const one = Stream.fromDuplex(duplex);
    return { one, rest: server, wait: (opts) => one.read(opts ?? {}) };
  },
  "a listener": async () => {
    const one = await listen("tcp://127.0.0.1:0");
    return { one, wait: (opts) => one.accept(opts) };
  },
  "a loop over a listener": async () => {
    const one = await listen("tcp://127.0.0.1:0");
    const wait = async (): Promise<void> => {
      for await (const stream of one) await stream.close();
    };
    return { one, wait };
  },
  "a listener of TLS": async (tls) => {
    const one = await listen("tls://127.0.0.1:0", { tls });
    return { one, wait: (opts) => one.accept(opts) };
  },
  "a TlsListener in memory": (tls) => {
    const one = new TlsListener(new MemoryListener(), { tls });
    return { one, wait: (opts = FAR) => one.accept(opts) };
  },
  "a connection over TLS": async (tls) => {
    const { client, peer, rest } = await tlsPair(tls);
    return { one: client, rest: [peer, rest], wait: (opts) => client.read(opts ?? {}) };
  },
  "the server's end of a connection over TLS": async (tls) => {
    const { client, peer, rest } = await tlsPair(tls);
    const wait = (opts?: IoOptions): Promise<unknown> => peer.conn.readChunk(opts);
    return { one: peer.conn, rest: [client, rest], wait };
  },
  "a UDP socket": async () => {
    const one = await bindUdp("udp://127.0.0.1:0");
    return { one, wait: (opts) => one.receive(opts) };
  },
  "a forwarder": async () => {
    const one = await forward("tcp://127.0.0.1:0", "tcp://127.0.0.1:9");
    return { one, wait: never };
  },
  "a forwarder with a connection": async () => {
    const target = await listen("tcp://127.0.0.1:0");
    const accepting = target.accept();
    const one = await forward("tcp://127.0.0.1:0", target.address);
    const client = await connect(one.address);
    const peer = await accepting;
    return { one, rest: [target, client, peer], wait: never };
  },
  "a connection in memory": () => {
    const [one, rest] = memoryPair();
    return { one, rest, wait: (opts = FAR) => one.read(Buffer.alloc(1), opts) };
  },
  "a Conn over a Duplex in memory": () => {
    const [memory, rest] = memoryPair();
    const one = Stream.fromDuplex(toDuplex(memory)).conn;
    return { one, rest, wait: (opts = FAR) => one.read(Buffer.alloc(1), opts) };
  },
  "a listener in memory": () => {
    const one = new MemoryListener();
    return { one, wait: (opts = FAR) => one.accept(opts) };
  },
};

interface Acting {
  readonly one: Required<Refs>;
  readonly wait: Scene["wait"];
  readonly start: (opts?: IoOptions) => void;
}

function same(one: unknown, returned: unknown): void {
  if (returned !== one) throw new Error("it did not return the object");
}

/** What is done with the object, and whether the process is to live on. */
export const WAYS: Readonly<Record<string, { readonly lives: boolean; run(acting: Acting): Promise<void> | void }>> = {
  "is idle": { lives: false, run: () => undefined },
  "waits after unref()": {
    lives: false,
    run: ({ one, start }) => {
      same(one, one.unref());
      start(FAR);
    },
  },
  "is unreferenced while it waits": {
    lives: false,
    run: ({ one, start }) => {
      start(FAR);
      same(one, one.unref());
      same(one, one.unref());
    },
  },
  "is referenced again while it waits": {
    lives: true,
    run: ({ one, start }) => {
      start(FAR);
      one.unref();
      same(one, one.ref());
      same(one, one.ref());
    },
  },
  "waits when an earlier call has timed out": {
    lives: false,
    run: async ({ one, wait, start }) => {
      one.unref();
      const timed = wait({ timeout: 0 }).catch(() => undefined);
      await Promise.race([timed, new Promise((resolve) => setTimeout(resolve, 20))]);
      start(FAR);
      await new Promise((resolve) => setImmediate(resolve));
    },
  },
};

/** The status of a worker that something kept alive. */
export const ALIVE = 7;

const kept: Scene[] = [];

async function act(scene: string, way: string, tls: Credentials): Promise<void> {
  const made = await SCENES[scene]!(tls);
  kept.push(made);
  const { one, wait } = made;
  const start = (opts?: IoOptions): void => void wait(opts).catch(() => undefined);
  await WAYS[way]!.run({ one: one as Required<Refs>, wait, start });
  // Fires only while something else keeps the process alive.
  setTimeout(() => process.exit(ALIVE), 300).unref();
}

if (!isMainThread) {
  const { scene, way, tls } = workerData as { scene: string; way: string; tls: Credentials };
  process.exitCode = 9;
  act(scene, way, tls).then(
    () => (process.exitCode = 0),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
}
