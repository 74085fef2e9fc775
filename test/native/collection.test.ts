// Garbage collection of sockets: an idle one is closed with a warning, one with a waiting call stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket, socketpair } from "berkeley";
import { Socket as BlockingSocket } from "berkeley/sync";
import { checkLeaks, openDescriptors } from "../support/leaks.js";

checkLeaks();

const gc: () => void = (globalThis as { gc?: () => void }).gc ?? (() => assert.fail("run with --expose-gc"));

/** Milliseconds after which leak detection has registered a socket. */
const LONGER_THAN_YOUNG = 500;

/**
 * Collects until `done`, for some time at most: leak detection holds a new socket for a while, see
 * sys/leakDetection.ts.
 */
async function collect(done: () => boolean, longest: number = 10_000): Promise<boolean> {
  for (const end = performance.now() + longest; performance.now() < end;) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
    if (done()) return true;
  }
  return false;
}

/** Runs `body` and returns the warnings of the process meanwhile. */
async function warnings(body: () => Promise<void>): Promise<Error[]> {
  const emitted: Error[] = [];
  const listen = (warning: Error): void => void emitted.push(warning);
  process.on("warning", listen);
  await body();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listen);
  return emitted;
}

for (const [what, Made] of [
  ["a socket", Socket],
  ["a blocking socket", BlockingSocket],
] as const) {
  test(`${what} that is collected while open is closed, with a ResourceWarning that names the descriptor`, async () => {
    let fd = -1;
    const emitted = await warnings(async () => {
      (() => {
        fd = new Made().fileno();
      })();
      assert.ok(openDescriptors().has(fd));
      assert.ok(await collect(() => !openDescriptors().has(fd)), "it was not closed");
    });
    assert.deepEqual(
      emitted.map(({ name }) => name),
      ["ResourceWarning"],
    );
    assert.match(emitted[0]!.message, new RegExp(`descriptor ${fd} `));
  });
}

test("a socket that has waited before and is dropped is collected too, and its registration with it", async () => {
  const [left, right] = socketpair();
  let fd = -1;
  let dropped: WeakRef<Socket>;
  const emitted = await warnings(async () => {
    await (async () => {
      const copy = right.dup();
      fd = copy.fileno();
      dropped = new WeakRef(copy);
      const received = copy.recv(10);
      await left.sendAll("x");
      await received;
      await assert.rejects(copy.recv(10, { timeout: 1 }), { code: "ETIMEDOUT" });
    })();
    assert.ok(await collect(() => !openDescriptors().has(fd)), "it was not closed");
    assert.equal(dropped.deref(), undefined);
  });
  assert.deepEqual(
    emitted.map(({ name }) => name),
    ["ResourceWarning"],
  );
  // An event for the other end calls nothing, and does no harm.
  await left.sendAll("y");
  assert.equal((await right.recv(10)).toString(), "y");
  left.close();
  right.close();
});

test("a socket with a waiting call is not collected, even without another reference", async () => {
  const [left, right] = socketpair();
  let weak: WeakRef<Socket>;
  const received = (() => {
    const copy = right.dup();
    weak = new WeakRef(copy);
    return copy.recv(10).then((data) => {
      const socket = weak.deref();
      assert.ok(socket, "collected while it waited");
      socket.close();
      return data;
    });
  })();
  const emitted = await warnings(async () => {
    assert.equal(await collect(() => weak.deref() === undefined, LONGER_THAN_YOUNG), false);
  });
  await left.sendAll("still here");
  assert.equal((await received).toString(), "still here");
  assert.deepEqual(emitted, []);
  left.close();
  right.close();
});

test("a listener in a for-await loop is not collected, nor is a socket whose call waits for the resolver", async () => {
  const server = new Socket();
  await server.bind("127.0.0.1:0");
  const address = server.getsockname();
  server.listen();
  let accepted = 0;
  // The loop alone holds this duplicate.
  const loop = ((listener: Socket) =>
    (async () => {
      for await (const [conn] of listener) {
        conn.close();
        accepted++;
        return listener.close();
      }
    })())(server.dup());
  server.close();
  const resolving = ((socket: Socket) => socket.bind(["localhost", 0]).then(() => socket.close()))(new Socket());
  const emitted = await warnings(async () => {
    for (let i = 0; i < 10; i++) gc();
    await resolving;
    await using client = new Socket();
    await client.connect(address);
    await loop;
  });
  assert.equal(accepted, 1);
  assert.deepEqual(emitted, []);
});

test("more open sockets than leak detection has pending places for are collected too, in any order of closing", async () => {
  const many = 1200;
  let detached = -1;
  const emitted = await warnings(async () => {
    const open = openDescriptors().size;
    detached = (() => {
      const made = Array.from({ length: many }, () => new Socket());
      // Every third is closed, from the middle of the list: the others move up.
      for (let i = 0; i < many; i += 3) made[i]!.close();
      return made[1]!.detach();
    })();
    // The detached one stays.
    assert.ok(await collect(() => openDescriptors().size === open + 1), "some were not closed");
  });
  assert.equal(emitted.length, many - many / 3 - 1);
  Socket.fromfd(detached).close();
});

test("a closed or detached socket is collected without a warning, and its number is left alone", async () => {
  const emitted = await warnings(async () => {
    const fd = (() => {
      const closed = new Socket();
      closed.close();
      return new Socket().detach();
    })();
    for (let i = 0; i < 10; i++) {
      gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(openDescriptors().has(fd), "a detached descriptor stays open");
    Socket.fromfd(fd).close();
  });
  assert.deepEqual(emitted, []);
});
