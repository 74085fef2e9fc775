// Reconnector: one connection after the other, the pauses between them, and the state after close().
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  type DisconnectEvent,
  isRetryable,
  listen,
  Reconnector,
  type ReconnectorOptions,
  type RetryEvent,
  type SocketError,
  type SocketListener,
  type Stream,
} from "berkeley";
import { FakeClock } from "berkeley/testing";
import { checkLeaks } from "../../support/leaks.js";
import { serving, trusting } from "../../tls/support.js";
import { Program } from "../../support/program.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-reconnector-"));
after(() => rmSync(folder, { recursive: true }));

const code = (error: unknown): unknown => (error as { readonly code?: unknown } | undefined)?.code;

/** A fake clock that passes each pause at once, and the events. Pauses are as long as their bounds. */
function recorded(): { clock: FakeClock; delays: number[]; opts: ReconnectorOptions; disconnects: DisconnectEvent[] } {
  const clock = new FakeClock();
  const delays: number[] = [];
  const disconnects: DisconnectEvent[] = [];
  const onRetry = ({ delay }: RetryEvent): void => {
    delays.push(delay);
    void clock.advance(delay);
  };
  const onDisconnect = (event: DisconnectEvent): void => {
    disconnects.push(event);
    void clock.advance(event.delay);
  };
  return { clock, delays, disconnects, opts: { onDisconnect, retry: { clock, onRetry, random: () => 1 } } };
}

async function closedPort(): Promise<readonly [string, number]> {
  const listener = await listen("tcp://127.0.0.1:0");
  await listener.close();
  const { host, port } = listener.address as { readonly host: string; readonly port: number };
  return [host, port];
}

/** Accepts, sends a line, and ends the connection, for each client. */
async function greetAndEnd(listener: SocketListener): Promise<void> {
  for await (const stream of listener) {
    await stream.write("hello\n");
    await stream.end();
  }
}

test("for await gives one connection after the other, and closes the last one", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  void greetAndEnd(listener);
  const { opts, disconnects } = recorded();
  const fourth = withResolvers();
  const onDisconnect = (event: DisconnectEvent): void => {
    opts.onDisconnect!(event);
    if (disconnects.length === 4) fourth.resolve();
  };
  await using reconnector = new Reconnector(listener.address, { ...opts, onDisconnect });
  const streams: Stream[] = [];
  for await (const stream of reconnector) {
    if (streams.length > 0) await assert.rejects(streams.at(-1)!.read(), { code: "EBADF" });
    streams.push(stream);
    assert.equal(await stream.readLine(), "hello");
    assert.equal(await stream.readLine(), null);
    if (streams.length === 4) break;
  }
  assert.equal(new Set(streams).size, 4);
  await fourth.promise;
  // A server that ends every connection at once: the pauses get longer.
  assert.deepEqual(
    disconnects.map(({ delay, error }) => [delay, error]),
    [100, 200, 400, 800].map((delay) => [delay, undefined]),
  );
  assert.deepEqual(reconnector.stats(), {
    connected: false,
    waiting: 0,
    connections: 4,
    failures: 0,
    failuresInRow: 4,
    lastError: undefined,
  });
});

test("a connection that has lasted for stableAfter makes the pauses short again", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  // A server that ends a connection when the client requests it.
  void (async () => {
    for await (const stream of listener) {
      await stream.write("hello\n");
      await stream.readLine();
      await stream.end();
    }
  })();
  const { clock, opts, disconnects } = recorded();
  await using reconnector = new Reconnector(listener.address, { ...opts, stableAfter: 5000 });
  const lasting = [0, 0, 4999, 5000, 0, 60_000, 0];
  for await (const stream of reconnector) {
    assert.equal(await stream.readLine(), "hello");
    const time = lasting[disconnects.length];
    if (time === undefined) break;
    await clock.advance(time);
    await stream.write("enough\n");
    assert.equal(await stream.readLine(), null);
  }
  assert.deepEqual(
    disconnects.map(({ lasted, delay }) => [lasted, delay]),
    [
      [0, 100],
      [0, 200],
      [4999, 400],
      [5000, 100],
      [0, 100],
      [60_000, 100],
      [0, 100],
    ],
  );
});

test("connection() gives all callers the same stream, and a new one when that is broken", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { opts, disconnects } = recorded();
  const connected: Stream[] = [];
  const broken = withResolvers();
  const onDisconnect = (event: DisconnectEvent): void => {
    opts.onDisconnect!(event);
    broken.resolve();
  };
  const onConnect = (stream: Stream): void => void connected.push(stream);
  await using reconnector = new Reconnector(listener.address, { ...opts, onConnect, onDisconnect });
  const [one, two] = await Promise.all([reconnector.connection(), reconnector.connection()]);
  assert.equal(one, two);
  assert.equal(await reconnector.connection(), one);
  const peer = await listener.accept();
  peer.abort();
  // whenBroken() does not keep the process alive. The read does.
  await assert.rejects(one.read(), { code: "ECONNRESET" });
  await broken.promise;
  assert.equal(reconnector.stats().connected, false);
  assert.equal(disconnects.length, 1);
  assert.ok(disconnects[0]!.error instanceof Error);
  const next = await reconnector.connection();
  assert.notEqual(next, one);
  assert.deepEqual(connected, [one, next]);
  // The Reconnector has closed the broken stream.
  await assert.rejects(one.read(), { code: "EBADF" });
  await (await listener.accept()).close();
});

for (const [how, end, reason] of [
  ["ended", (peer: Stream) => peer.close(), "ended"],
  ["ended after last bytes", (peer: Stream) => peer.end(), "ended"],
  ["reset", (peer: Stream) => Promise.resolve(peer.abort()), "broken"],
] as const) {
  for (const scheme of ["tcp", "tls"] as const) {
    test(`an idle connection that the peer has ${how} is reported at once, and replaced, ${scheme}`, async () => {
      await using listener =
        scheme === "tcp" ? await listen("tcp://127.0.0.1:0") : await listen("tls://127.0.0.1:0", { tls: serving() });
      const { opts, disconnects } = recorded();
      const broken = withResolvers();
      const onDisconnect = (event: DisconnectEvent): void => {
        opts.onDisconnect!(event);
        broken.resolve();
      };
      const tls = scheme === "tls" ? { tls: trusting() } : {};
      const options = { ...opts, ...tls, onDisconnect };
      await using reconnector = new Reconnector(`${scheme}://127.0.0.1:${listener.address.port}`, options);
      const [idle, peer] = await Promise.all([reconnector.connection(), listener.accept()]);
      await new Promise((resolve) => setImmediate(resolve));
      if (how === "ended after last bytes") await peer.write("last words\n");
      // No call of the program reads or writes, and only this timer keeps the process alive.
      const alive = setTimeout(() => undefined, 20_000);
      const ending = end(peer);
      await broken.promise;
      clearTimeout(alive);
      assert.equal(reconnector.stats().connected, false);
      const [event] = disconnects;
      assert.equal(event!.reason, reason);
      if (reason === "broken") {
        const error = event!.error as SocketError;
        assert.deepEqual([error.code, error.syscall], ["ECONNRESET", scheme === "tcp" ? "poll" : "read"]);
        assert.deepEqual([error.local, error.peer], [String(idle.localAddress), String(idle.remoteAddress)]);
      } else {
        assert.equal(event!.error, undefined);
      }
      const [next, other] = await Promise.all([reconnector.connection(), listener.accept()]);
      assert.notEqual(next, idle);
      // The unread bytes stay in the stream.
      if (how === "ended after last bytes") {
        assert.equal(await idle.readLine(), "last words");
        assert.equal(await idle.readLine(), null);
        await idle.close();
        await ending;
      }
      assert.equal(disconnects.length, 1);
      await other.close();
      await ending;
      await peer.close();
    });
  }
}

test("a stream with unread bytes is closed with the stream after the next one, and by close()", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { opts } = recorded();
  const ended = [withResolvers(), withResolvers(), withResolvers()];
  let count = 0;
  const onDisconnect = (event: DisconnectEvent): void => {
    opts.onDisconnect!(event);
    ended[count++]?.resolve();
  };
  const reconnector = new Reconnector(listener.address, { ...opts, onDisconnect });
  const alive = setTimeout(() => undefined, 20_000);
  const streams: Stream[] = [];
  for (const { promise } of ended) {
    const [stream, peer] = await Promise.all([reconnector.connection(), listener.accept()]);
    streams.push(stream);
    await peer.write("unread\n");
    await peer.close();
    await promise;
  }
  clearTimeout(alive);
  assert.equal(new Set(streams).size, 3);
  const [first, second, third] = streams;
  await assert.rejects(first!.read(), { code: "EBADF" });
  assert.equal(await second!.readLine(), "unread");
  assert.equal(await third!.peek(3).then(String), "unr");
  // The buffer has bytes of the peer, so callers still get this stream.
  assert.equal(await reconnector.connection(), third);
  await reconnector.close();
  await assert.rejects(second!.read(), { code: "EBADF" });
  await assert.rejects(third!.read(), { code: "EBADF" });
});

test("onDisconnect reports which side has ended a connection", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { opts, disconnects } = recorded();
  const reconnector = new Reconnector(listener.address, opts);
  const peers: Stream[] = [];
  const connected = async (): Promise<Stream> => {
    const [stream, peer] = await Promise.all([reconnector.connection(), listener.accept()]);
    peers.push(peer);
    return stream;
  };
  await (await connected()).close(); // closed by this program
  const read = await connected();
  await peers[1]!.close();
  assert.equal(await read.read(), null); // a call has read the end
  await read.close();
  await connected();
  await reconnector.close(); // the Reconnector has closed it
  assert.deepEqual(
    disconnects.map(({ reason, error }) => [reason, error]),
    ["closed", "ended", "closed"].map((reason) => [reason, undefined]),
  );
  for (const peer of peers) await peer.close();
});

test("connection() gives a new stream when a call has read the end of the last one, and its last bytes", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  void greetAndEnd(listener);
  const { opts } = recorded();
  await using reconnector = new Reconnector(listener.address, opts);
  const stream = await reconnector.connection();
  assert.equal((await stream.peek(100))?.length, 6);
  assert.equal(String(await stream.peek(7)), "hello\n");
  // The stream has seen the end, and has bytes for its readers.
  assert.equal(await reconnector.connection(), stream);
  assert.equal(await stream.readLine(), "hello");
  const next = await reconnector.connection();
  assert.notEqual(next, stream);
  assert.equal(await next.readLine(), "hello");
  await assert.rejects(stream.read(), { code: "EBADF" });
});

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

test("the pauses hold for callers that give up and come again", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const resolver = (): Promise<[]> => (
    tries++,
    Promise.reject(Object.assign(new Error("away"), { code: "EAI_AGAIN" }))
  );
  const retry = { clock, random: () => 1, minDelay: 1000, retryOn: () => true };
  await using reconnector = new Reconnector("tcp://server.test:1", { resolver, family: 2, retry });
  for (let call = 0; call < 5; call++) {
    const waiting = assert.rejects(reconnector.connection({ timeout: 100 }), { code: "ETIMEDOUT", syscall: "connect" });
    await clock.advance(100);
    await waiting;
    // No call waits, so no timer is left.
    assert.equal(clock.pending, 0);
    assert.equal(reconnector.stats().waiting, 0);
  }
  assert.equal(tries, 1);
  const later = reconnector.connection({ timeout: 10_000 }).catch(code);
  await clock.advance(600);
  assert.equal(tries, 2);
  await clock.advance(2000);
  assert.equal(tries, 3);
  await reconnector.close();
  assert.equal(await later, "ECANCELED");
  assert.equal(clock.pending, 0);
});

test("a signal ends the call that has it, and the other calls go on waiting", async () => {
  const endpoint = await closedPort();
  const { clock, opts } = recorded();
  const patience = new AbortController();
  let listener: SocketListener | undefined;
  const onRetry = (event: RetryEvent): void => {
    if (event.tries === 2) patience.abort("enough");
    void (async () => {
      if (event.tries === 3) listener = await listen(endpoint);
      await clock.advance(event.delay);
    })();
  };
  await using reconnector = new Reconnector(endpoint, { ...opts, retry: { ...opts.retry, onRetry } });
  const [aborted, connected] = await Promise.all([
    reconnector.connection({ signal: patience.signal }).catch((reason: unknown) => reason),
    reconnector.connection(),
  ]);
  assert.equal(aborted, "enough");
  assert.equal(await reconnector.connection(), connected);
  assert.equal(reconnector.stats().failures, 3);
  await listener!.close();
});

test("an error that is not to be retried, and the last of maxTries, reach the callers; a later call starts again", async () => {
  const { delays, opts } = recorded();
  const endpoint = await closedPort();
  await using reconnector = new Reconnector(endpoint, { ...opts, retry: { ...opts.retry, maxTries: 3 } });
  await assert.rejects(reconnector.connection(), { code: "ECONNREFUSED" });
  assert.deepEqual(delays, [100, 200]);
  assert.equal(code(reconnector.stats().lastError), "ECONNREFUSED");
  const { clock } = opts.retry as { clock: FakeClock };
  const again = assert.rejects(reconnector.connection(), { code: "ECONNREFUSED" });
  await clock.advance(400);
  await again;
  assert.deepEqual(delays, [100, 200, 800, 1600]);

  await using other = new Reconnector("tcp://nowhere.test:1", { ...opts, resolver: () => Promise.resolve([]) });
  await assert.rejects(
    (async () => {
      for await (const stream of other) assert.fail(`a connection from ${String(stream.localAddress)}`);
    })(),
    { code: "EAI_NODATA" },
  );
});

test("prepare runs before any caller gets the connection, and its failure is a failed try", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const served = (async () => {
    for await (const stream of listener) {
      const line = await stream.readLine();
      if (line === "LOGIN 3") {
        await stream.write("welcome\n");
        await stream.readLine();
      }
      await stream.close();
    }
  })();
  const { opts } = recorded();
  let logins = 0;
  const prepare = async (stream: Stream): Promise<void> => {
    await stream.write(`LOGIN ${++logins}\n`);
    if ((await stream.readLine()) === null) throw Object.assign(new Error("no welcome"), { again: true });
  };
  const retry = {
    ...opts.retry,
    retryOn: (error: unknown) => isRetryable(error) || Object.hasOwn(error as object, "again"),
  };
  await using reconnector = new Reconnector(listener.address, { ...opts, prepare, retry });
  const stream = await reconnector.connection();
  assert.equal(logins, 3);
  assert.deepEqual([reconnector.stats().connections, reconnector.stats().failures], [1, 2]);
  await stream.close();

  const wrong = new TypeError("a fault of the function");
  await using other = new Reconnector(listener.address, { prepare: () => Promise.reject(wrong) });
  await assert.rejects(other.connection(), (error) => error === wrong);
  await listener.close();
  await served;
});

test("after close() calls are cancelled, loops end, and no timer and no connection is left", async () => {
  const clock = new FakeClock();
  const paused = withResolvers();
  const retry = { clock, onRetry: paused.resolve };
  const reconnector = new Reconnector(await closedPort(), { retry });
  const call = reconnector.connection().catch(code);
  const loop = (async () => {
    for await (const stream of reconnector) assert.fail(`a connection from ${String(stream.localAddress)}`);
    return "ended";
  })();
  await paused.promise;
  assert.equal(clock.pending, 1);
  await reconnector.close();
  assert.equal(clock.pending, 0);
  assert.deepEqual([await call, await loop], ["ECANCELED", "ended"]);
  await assert.rejects(reconnector.connection(), { code: "EBADF" });
  await reconnector.close();

  await using listener = await listen("tcp://127.0.0.1:0");
  const other = new Reconnector(listener.address);
  const stream = await other.connection();
  await other.close();
  await assert.rejects(stream.read(), { code: "EBADF" });
});

test("a close() during a try or during prepare ends it", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const started = withResolvers();
  const prepare = async (stream: Stream): Promise<void> => {
    started.resolve();
    await stream.read();
  };
  const reconnector = new Reconnector(listener.address, { prepare });
  const call = reconnector.connection().catch(code);
  await started.promise;
  await reconnector.close();
  assert.equal(await call, "ECANCELED");
  assert.equal(reconnector.stats().connections, 0);
  const resolving = withResolvers();
  const resolver = (): Promise<never> => (resolving.resolve(), new Promise(() => undefined));
  const other = new Reconnector("tcp://server.test:1", { resolver });
  const waiting = other.connection().catch(code);
  await resolving.promise;
  await other.close();
  assert.equal(await waiting, "ECANCELED");
});

test("the signal of a Reconnector closes it", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const over = new AbortController();
  const reconnector = new Reconnector(listener.address, { signal: over.signal });
  const stream = await reconnector.connection();
  over.abort();
  await assert.rejects(reconnector.connection(), { code: "EBADF" });
  await assert.rejects(stream.read(), { code: "EBADF" });
  assert.throws(
    () => new Reconnector(listener.address, { signal: AbortSignal.abort("over") }),
    (reason) => reason === "over",
  );
});

test("wrong arguments of a Reconnector are refused before any try", () => {
  const wrong: [unknown, unknown, RegExp][] = [
    ["tcp://127.0.0.1:1", { timeout: 5 }, /option "timeout" is unknown for a tcp endpoint/],
    ["tcp://127.0.0.1:1", { stable: 5 }, /option "stable" is unknown/],
    ["tcp://127.0.0.1:1", { stableAfter: -5 }, /stableAfter is -5, required milliseconds/],
    ["tcp://127.0.0.1:1", { prepare: 1 }, /prepare is 1, required a function/],
    ["tcp://127.0.0.1:1", { retry: { maxTries: 0 } }, /retry\.maxTries is 0/],
    ["tcp://127.0.0.1:1", { family: 99 }, /family is 99/],
    ["fd:0", {}, /a descriptor is one connection/],
    ["udp://127.0.0.1:1", {}, /UDP has no connections/],
    ["tcp://127.0.0.1", {}, /./],
  ];
  for (const [endpoint, opts, text] of wrong) {
    const make = (): Reconnector => new Reconnector(endpoint as string, opts as ReconnectorOptions);
    assert.throws(make, (error: Error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
      assert.match(error.message, text);
      return true;
    });
  }
});

test("a Reconnector without a waiting call does not keep the process alive, nor does a closed one", async () => {
  const program = `
    import { listen, Reconnector } from "berkeley";
    const listener = await listen("tcp://127.0.0.1:0");
    const idle = new Reconnector(listener.address);
    await idle.connection();
    await listener.close();
    const gone = listener.address;
    const paused = new Promise((resolve) => {
      const reconnector = new Reconnector(gone, { retry: { minDelay: 60_000, random: () => 1, onRetry: () => resolve(reconnector) } });
      reconnector.connection().catch((error) => console.log(error.code));
    });
    await (await paused).close();
    console.log("end");`;
  await using child = new Program(process.execPath, ["--input-type=module", "--eval", program]);
  const { status, stdout, stderr } = await child.ended;
  // The order of the two lines is no promise.
  assert.deepEqual([status, stdout.trim().split("\n").toSorted(), stderr], [0, ["ECANCELED", "end"], ""]);
});

test("a client of redis-server goes on after the server was killed and started again", async () => {
  const path = join(folder, "redis.sock");
  const start = (): ReturnType<typeof spawn> =>
    spawn("redis-server", ["--port", "0", "--unixsocket", path, "--save", "", "--dir", folder], { stdio: "ignore" });
  let server = start();
  try {
    const retry = { minDelay: 5, maxDelay: 100, retryOn: (error: unknown) => isRetryable(error) || error === LOADING };
    const prepare = async (stream: Stream): Promise<void> => {
      await stream.write("PING\r\n");
      if ((await stream.readLine()) !== "+PONG") throw LOADING;
    };
    await using reconnector = new Reconnector(`unix:${path}`, { retry, prepare });
    for (let life = 0; life < 3; life++) {
      const stream = await reconnector.connection({ timeout: 20_000 });
      await stream.write("INCR lives\r\n");
      // Each server begins with nothing.
      assert.equal(await stream.readLine(), ":1");
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
      assert.equal(await stream.readLine().catch(code), null);
      await stream.close();
      server = start();
    }
    assert.equal(reconnector.stats().connections, 3);
  } finally {
    const ended = server.exitCode === null && server.signalCode === null ? once(server, "exit") : undefined;
    server.kill("SIGKILL");
    await ended;
  }
});

const LOADING = new Error("the server is not ready");
