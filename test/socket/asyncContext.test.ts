// AsyncLocalStorage: a callback runs in the context in which it was passed, and code after an await keeps its context.

import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  AF_INET,
  AF_UNIX,
  bindUdp,
  connect,
  DatagramQueue,
  delimited,
  forward,
  listen,
  SOCK_DGRAM,
  Socket,
  socketpair,
  TlsContext,
  TlsListener,
  wrapTls,
} from "berkeley";
import { memoryPair, MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { inMemory, overTcp, serving, trusting } from "../tls/support.js";

checkLeaks();

const storage = new AsyncLocalStorage<string>();
const here = (): string | undefined => storage.getStore();

test("forward() calls onEnd and the resolver in the context of forward()", async () => {
  const seen: [string, string | undefined][] = [];
  await using target = await listen("tcp://127.0.0.1:0");
  const { port } = target.address as { port: number };
  let ended!: () => void;
  const over = new Promise<void>((resolve) => (ended = resolve));
  const forwarder = await storage.run("given", () =>
    forward("tcp://127.0.0.1:0", `tcp://target.test:${port}`, {
      connect: {
        resolver: (_host: string, family: number) => {
          seen.push(["resolver", here()]);
          return Promise.resolve(family === AF_INET ? ["127.0.0.1"] : []);
        },
      },
      onEnd: () => {
        seen.push(["onEnd", here()]);
        ended();
      },
    }),
  );
  await storage.run("client", async () => {
    await using client = await connect(forwarder.address);
    await client.closeWrite();
    await using peer = await target.accept();
    await peer.closeWrite();
    await over;
    assert.equal(here(), "client");
  });
  await forwarder.close();
  assert.ok(seen.length >= 2);
  assert.deepEqual([...new Set(seen.map(([, context]) => context))], ["given"]);
});

for (const [name, make] of Object.entries({ "in memory": inMemory, "over TCP": overTcp })) {
  test(`TLS ${name} calls sniCallback and checkServerIdentity in the contexts in which they were given`, async () => {
    const seen: Record<string, string | undefined> = {};
    const other = new TlsContext(serving());
    const context = storage.run(
      "context",
      () =>
        new TlsContext({
          ...serving(),
          sniCallback: (asked) => {
            seen[asked] = here();
            return other;
          },
        }),
    );
    const [a, b] = await storage.run("pair", () => make());
    const accepted = storage.run("server", () => wrapTls(a, { isServer: true, context }));
    const connected = storage.run("client", () =>
      wrapTls(b, {
        ...trusting(),
        checkServerIdentity: () => {
          seen["check"] = here();
          return undefined;
        },
      }),
    );
    for (const conn of await Promise.all([accepted, connected])) await conn.close();
    assert.deepEqual(seen, { localhost: "context", check: "client" });
  });
}

test("a TlsListener calls onHandshakeError in the context in which it was given", async () => {
  const below = new MemoryListener();
  const listeners: TlsListener[] = [];
  const callbackContext = new Promise<string | undefined>((resolve) => {
    storage.run("listener", () => {
      const listener = new TlsListener(below, { tls: serving(), onHandshakeError: () => resolve(here()) });
      void storage.run("accept", () => listener.accept().catch(() => undefined));
      listeners.push(listener);
    });
  });
  const client = await storage.run("client", () => below.connect());
  await client.write("this is no TLS\n");
  assert.equal(await callbackContext, "listener");
  await client.close();
  for (const listener of listeners) await listener.close();
});

test("a DatagramQueue calls onRefused in the context of its making", async () => {
  await using socket = new Socket(AF_INET, SOCK_DGRAM);
  const seen: (string | undefined)[] = [];
  const queue = storage.run(
    "made",
    () => new DatagramQueue(socket, { size: 65_536, onRefused: () => seen.push(here()) }),
  );
  await storage.run("sender", async () => {
    await queue.send(Buffer.alloc(65_536), "127.0.0.1:9");
    await queue.flush();
    assert.equal(here(), "sender");
  });
  assert.deepEqual(seen, ["made"]);
  queue.close();
});

test("sendfile() calls onProgress in the context of the call, also when events carry it on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "context-"));
  writeFileSync(join(folder, "file"), Buffer.alloc(4 << 20));
  const file = openSync(join(folder, "file"), "r");
  const [left, right] = socketpair();
  const seen = new Set<string | undefined>();
  const sending = storage.run("sender", () => left.sendfile(file, { onProgress: () => seen.add(here()) }));
  await storage.run("reader", async () => {
    for (let rest = 4 << 20; rest > 0;) rest -= (await right.recv(rest)).length;
  });
  await sending;
  assert.deepEqual([...seen], ["sender"]);
  closeSync(file);
  left.close();
  right.close();
  rmSync(folder, { recursive: true });
});

test("a decoder of frames runs in the context of the loop that reads them", async () => {
  const [a, b] = socketpair();
  const stream = b.stream();
  const seen = new Set<string | undefined>();
  const codec = delimited("\n");
  const spied = {
    ...codec,
    decoder: () => {
      const decoder = codec.decoder();
      return (bytes: Buffer, ended: boolean) => {
        seen.add(here());
        return decoder(bytes, ended);
      };
    },
  };
  const reading = storage.run("reader", async () => {
    for await (const frame of stream.frames(spied)) {
      assert.ok(frame.length > 0);
      assert.equal(here(), "reader");
    }
  });
  await storage.run("writer", async () => {
    for (const part of ["on", "e\n", "two\nth", "ree\n"]) {
      await a.send(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  a.close();
  await reading;
  assert.deepEqual([...seen], ["reader"]);
  await stream.close();
});

test("the events of a Duplex have the context of the listener, and the callback of a write has that of the write", async () => {
  const [a, b] = socketpair();
  const seen: Record<string, string | undefined> = {};
  const duplex = storage.run("made", () => b.stream().toDuplex());
  const closed = new Promise<void>((resolve) => {
    storage.run("listens", () => {
      duplex.on("data", () => (seen["data"] = here()));
      duplex.on("end", () => (seen["end"] = here()));
      duplex.on("close", () => resolve());
    });
  });
  await storage.run("sends", () => a.send("x"));
  await storage.run(
    "writes",
    () => new Promise<void>((resolve) => duplex.write("y", () => resolve((seen["write"] = here()) as never))),
  );
  await a.recv(1);
  a.close();
  duplex.end();
  await closed;
  assert.deepEqual(seen, { data: "listens", end: "listens", write: "writes" });
});

test("every call that waits goes on in the context in which it was made", async () => {
  const [a, b] = socketpair();
  const [grams, others] = socketpair(AF_UNIX, SOCK_DGRAM);
  const [memory, far] = memoryPair();
  await using listener = await listen("tcp://127.0.0.1:0");
  await using udp = await bindUdp("udp://127.0.0.1:0");
  const stream = b.stream();
  const calls: Record<string, () => Promise<unknown>> = {
    recv: () => a.recv(1),
    readLine: () => stream.readLine(),
    recvfrom: () => grams.recvfrom(1).catch(() => undefined),
    memory: () => memory.read(Buffer.alloc(1)),
    accept: () => listener.accept().then((accepted) => accepted.close()),
    receive: () => udp.receive(),
    timeout: () => listener.accept({ timeout: 1 }).catch(() => undefined),
    aborted: () => listener.accept({ signal: AbortSignal.timeout(1) }).catch(() => undefined),
  };
  const contexts: Record<string, string | undefined> = {};
  const waiting = Object.entries(calls).map(([name, call]) =>
    storage.run(name, async () => {
      await call();
      contexts[name] = here();
    }),
  );
  await storage.run("other", async () => {
    await stream.write("x");
    await a.send("line\n");
    await others.send("x");
    await far.write("x");
    await using client = await connect(listener.address);
    await using sender = await bindUdp("udp://127.0.0.1:0");
    await sender.send("x", udp.address);
    await Promise.all(waiting);
    assert.equal(client.buffered, 0);
  });
  assert.deepEqual(contexts, Object.fromEntries(Object.keys(calls).map((name) => [name, name])));
  await stream.close();
  for (const one of [a, grams, others]) one.close();
  await memory.close();
});
