// Many relays of the poller at the same time. Each has more bytes than the poller may move at once, and all together
// more than a turn of the loop may move. The rest is moved in the next turns, and every byte arrives at the right
// place.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setImmediate as immediate } from "node:timers/promises";
import {
  AF_UNIX,
  pump,
  SHUT_WR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  Socket,
  socketpair,
} from "berkeley";
import { calls } from "#berkeley/sys/calls.js";
import { pattern } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";

checkLeaks();

const FLOWS = 48;
/** More than a note may move at a time (1 MiB in native/relay.c); four of them are more than a turn may. */
const SIZE = 1_300_000;
const ROOM = 2 << 20;

function canForce(): boolean {
  using socket = new Socket(AF_UNIX);
  try {
    socket.setsockopt(SO_SNDBUFFORCE, ROOM);
    return true;
  } catch (error) {
    assert.equal((error as { code?: string }).code, "EPERM");
    return false;
  }
}

const skip = canForce() ? undefined : "SO_SNDBUFFORCE takes privileges";
if (skip !== undefined && process.env["CI"] === "true" && process.getuid?.() === 0) throw new Error(skip);

/** Two connected sockets whose buffers can hold all sent bytes without a reader. */
async function roomy(index: number): Promise<[Socket, Socket]> {
  let pair: [Socket, Socket];
  if (index % 2 === 0) {
    pair = socketpair();
  } else {
    await using server = new Socket();
    server.setsockopt(SO_RCVBUFFORCE, ROOM);
    await server.bind("127.0.0.1:0");
    server.listen();
    const client = new Socket();
    client.setsockopt(SO_RCVBUFFORCE, ROOM);
    await client.connect(server.getsockname());
    pair = [client, (await server.accept())[0]];
  }
  for (const socket of pair) socket.setsockopt(SO_SNDBUFFORCE, ROOM);
  return pair;
}

function digest(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

async function digestOf(socket: Socket): Promise<string> {
  const sum = createHash("sha256");
  const buffer = Buffer.alloc(1 << 17);
  for (;;) {
    const count = await socket.recvInto(buffer, { timeout: 30_000 });
    if (count === 0) return sum.digest("hex");
    sum.update(buffer.subarray(0, count));
  }
}

/** Writes as many bytes as the send buffer takes at once, without the budget of the turn. Returns the rest. */
function put(socket: Socket, data: Buffer): Buffer {
  while (data.length > 0) {
    const sent = calls.send(socket.fileno(), data);
    if (sent < 0) break;
    data = data.subarray(sent);
  }
  return data;
}

interface Scene {
  readonly client: Socket;
  readonly server: Socket;
  readonly pumping: Promise<unknown>;
  readonly controller: AbortController;
  readonly request: Buffer;
  readonly answer: Buffer;
  readonly middle: readonly Socket[];
}

async function scene(index: number): Promise<Scene> {
  const [client, near] = await roomy(index);
  const [far, server] = await roomy(index + (index % 3));
  // Some destinations are full long before the end, so that flows stop in the middle of a piece.
  if (index % 5 === 0 && far.family === AF_UNIX) {
    far.setsockopt(SO_SNDBUF, 20_000);
    server.setsockopt(SO_RCVBUF, 20_000);
  }
  const controller = new AbortController();
  const pumping = pump(near, far, { signal: controller.signal, pipeSize: index % 2 === 0 ? 1 << 16 : 1 << 18 });
  // The way to the poller: each direction has waited once.
  for (const [from, to] of [
    [client, server],
    [server, client],
  ] as const) {
    for (let i = 0; i < 3; i++) {
      await from.sendAll("x");
      assert.equal(String(await to.recv(1)), "x");
    }
  }
  const middle = [near, far];
  return {
    client,
    server,
    pumping,
    controller,
    request: pattern(SIZE + index, index + 1),
    answer: pattern(SIZE / 2, index),
    middle,
  };
}

test(
  `${FLOWS} flows with more than fits into a turn go on one after the other, and every byte arrives`,
  { skip },
  async () => {
    const scenes: Scene[] = [];
    for (let i = 0; i < FLOWS; i++) scenes.push(await scene(i));
    // All of it is there before the poller sees any of it.
    const rests = scenes.map(({ client, request }) => put(client, request));
    const back = scenes.map(({ server, answer }) => put(server, answer));
    // Some flows move all of it while nothing else happens; others stop at a full destination. Then come ends, and
    // further events.
    for (let turns = 0; turns < 100; turns++) await immediate();
    const finishing = scenes.flatMap(({ client, server }, index) => [
      client.sendAll(rests[index]!).then(() => client.shutdown(SHUT_WR)),
      server.sendAll(back[index]!).then(() => server.shutdown(SHUT_WR)),
    ]);
    await immediate();
    await Promise.all(
      scenes.map(async ({ client, server, pumping, request, answer }, index) => {
        const [there, here] = await Promise.all([digestOf(server), digestOf(client)]);
        assert.equal(there, digest(request), `request ${index}`);
        assert.equal(here, digest(answer), `answer ${index}`);
        assert.deepEqual(await pumping, { aToB: request.length + 3, bToA: answer.length + 3 });
      }),
    );
    await Promise.all(finishing);
    for (const { client, server, middle } of scenes) for (const one of [client, server, ...middle]) one.close();
  },
);

test("flows that are aborted or closed while they are queued take nothing from the others", { skip }, async () => {
  const scenes: Scene[] = [];
  for (let i = 0; i < 12; i++) scenes.push(await scene(2 * i + 1));
  for (const { client, request } of scenes) assert.equal(put(client, request).length, 0);
  // After the first turn of the loop most are queued.
  await immediate();
  const ended = scenes.map(({ pumping }) => pumping.catch((error: unknown) => error));
  for (const [index, { controller, middle }] of scenes.entries()) {
    if (index % 3 === 1) controller.abort(new Error("enough"));
    if (index % 3 === 2) middle[0]!.close();
  }
  for (const [index, { client }] of scenes.entries()) if (index % 3 === 0) client.shutdown(SHUT_WR);
  await Promise.all(
    scenes.map(async ({ server, request, middle }, index) => {
      if (index % 3 === 0) {
        assert.equal(await digestOf(server), digest(request), `request ${index}`);
        server.shutdown(SHUT_WR);
        assert.deepEqual(await ended[index], { aToB: request.length + 3, bToA: 3 });
        return;
      }
      const error = (await ended[index]) as Error & { aToB: { transferred: number; undelivered: Buffer } };
      middle[1]!.close();
      const { transferred, undelivered } = error.aToB;
      const buffer = Buffer.alloc(request.length);
      let got = 0;
      for (let count = -1; count !== 0; got += count)
        count = await server.recvInto(buffer.subarray(got)).catch(() => 0);
      assert.equal(got, transferred - 3);
      assert.ok(buffer.subarray(0, got).equals(request.subarray(0, got)));
      assert.ok(undelivered.equals(request.subarray(got, got + undelivered.length)));
    }),
  );
  for (const { client, server, middle } of scenes) for (const one of [client, server, ...middle]) one.close();
});
