// The end of a TLS connection: close_notify is an end, the end of the connection below is not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as netConnect, type Socket as NetSocket } from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import {
  AF_INET,
  SOCK_STREAM,
  Socket,
  SocketConn,
  type SocketError,
  Stream,
  TlsContext,
  TlsError,
  type TlsConn,
  wrapTls,
} from "berkeley";
import { pattern, readFully, readToEnd } from "berkeley/testing";
import { memoryPair } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { certificates, overTcp, overUnix, serving, tlsPair, withoutDescriptor } from "./support.js";

checkLeaks();

const context = new TlsContext(serving());

interface Visited {
  /** The plain socket of a client of node:tls. */
  readonly raw: NetSocket;
  readonly client: tls.TLSSocket;
  readonly server: TlsConn;
}

/** A connection whose client is node:tls, of which the socket below is at hand. */
async function visited(allowTruncation = false, native = true, maxVersion?: "TLSv1.2"): Promise<Visited> {
  using listener = new Socket(AF_INET, SOCK_STREAM);
  await listener.bind("127.0.0.1:0");
  listener.listen(1);
  const { port } = listener.getsockname() as { port: number };
  const raw = netConnect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [socket] = await listener.accept();
  const conn = new SocketConn(socket);
  if (!native) Object.defineProperty(conn, "detachNative", { value: undefined });
  const wrapping = wrapTls(conn, { isServer: true, context, allowTruncation });
  const ca = certificates().ca.cert;
  const client = tls.connect({ socket: raw, ca, servername: "localhost", ...(maxVersion ? { maxVersion } : {}) });
  for (const side of [raw, client]) side.on("error", () => undefined);
  const [server] = await Promise.all([wrapping, once(client, "secureConnect")]);
  return { raw, client, server };
}

async function leave({ raw, client, server }: Visited): Promise<void> {
  client.destroy();
  raw.destroy();
  await server.close();
  if (!raw.closed) await once(raw, "close");
}

async function outcome(server: TlsConn): Promise<string> {
  try {
    return `end after ${(await readToEnd(server)).toString()}`;
  } catch (error) {
    assert.ok(error instanceof TlsError === (error as { code: string }).code.startsWith("ERR_TLS"));
    return (error as { code: string }).code;
  }
}

for (const native of [true, false]) {
  const name = native ? "with the descriptor" : "through JavaScript";

  for (const version of [undefined, "TLSv1.2"] as const) {
    test(`close_notify is the end: ${name}, ${version ?? "TLSv1.3"}`, async () => {
      const pair = await visited(false, native, version);
      pair.client.end("bye");
      assert.equal(await outcome(pair.server), "end after bye");
      assert.equal(await pair.server.read(Buffer.alloc(1)), 0);
      await leave(pair);
    });

    test(`an end below without close_notify is ERR_TLS_TRUNCATED, after the received bytes: ${name}, ${version ?? "TLSv1.3"}`, async () => {
      for (const waits of [true, false]) {
        const pair = await visited(false, native, version);
        pair.client.write("half");
        assert.equal((await readFully(pair.server, 4)).toString(), "half");
        const early = waits ? outcome(pair.server) : undefined;
        // The socket below ends; the TLS above it has not said so.
        if (!waits) pair.client.write("more", () => pair.raw.end());
        else pair.raw.end();
        assert.equal(await (early ?? outcome(pair.server)), "ERR_TLS_TRUNCATED");
        assert.equal(await outcome(pair.server), "ERR_TLS_TRUNCATED");
        await leave(pair);
      }
    });
  }

  test(`allowTruncation takes it for the end: ${name}`, async () => {
    const pair = await visited(true, native);
    pair.client.write("all", () => pair.raw.end());
    assert.equal(await outcome(pair.server), "end after all");
    await leave(pair);
  });

  test(`a reset is ECONNRESET, allowed truncation or not: ${name}`, async () => {
    for (const allowTruncation of [true, false]) {
      const pair = await visited(allowTruncation, native);
      pair.client.write("x");
      assert.equal((await readFully(pair.server, 1)).toString(), "x");
      const ending = outcome(pair.server);
      pair.raw.resetAndDestroy();
      assert.equal(await ending, "ECONNRESET");
      await leave(pair);
    }
  });

  test(`a reset after the last bytes is never an end: ${name}`, async () => {
    for (let round = 0; round < 20; round++) {
      const pair = await visited(false, native);
      const ending = outcome(pair.server);
      pair.client.write("x", () => pair.raw.resetAndDestroy());
      assert.equal(await ending, "ECONNRESET");
      await leave(pair);
    }
  });

  test(`close_notify that arrives without a waiting read is still the end: ${name}`, async () => {
    const pair = await visited(false, native);
    pair.client.write(pattern(100_000));
    pair.client.end();
    await once(pair.client, "finish");
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await readToEnd(pair.server)).length, 100_000);
    await leave(pair);
  });
}

test("in memory an end below without close_notify is ERR_TLS_TRUNCATED", async () => {
  const [a, b] = memoryPair();
  const [client, server] = await tlsPair(() => [a, b]);
  await a.close();
  await assert.rejects(server.read(Buffer.alloc(1)), { code: "ERR_TLS_TRUNCATED" });
  await Promise.all([client.close(), server.close()]);
});

test("after a reset each call fails with its own name, over a descriptor and over a Duplex", async () => {
  for (const pair of [overTcp, withoutDescriptor(overTcp), () => tlsPair(overTcp)]) {
    const [client, server] = await tlsPair(pair);
    const reading = client.read(Buffer.alloc(1));
    server.abort();
    await assert.rejects(reading, { code: "ECONNRESET", syscall: "read", name: "SocketError" });
    await assert.rejects(client.write("x"), (error: SocketError) => {
      assert.ok(["EPIPE", "ECONNRESET"].includes(error.code), error.code);
      assert.equal(error.syscall, "write");
      return true;
    });
    await Promise.all([client.close(), server.close()]);
  }
});

test("close() gives up on a peer that takes nothing after closeTimeout", async () => {
  for (const pair of [overTcp, withoutDescriptor(overTcp)]) {
    const [a, b] = await pair();
    const settings = { ca: certificates().ca.cert, servername: "localhost", closeTimeout: 30 };
    const [client, server] = await tlsPair(() => [a, b], settings);
    const filling = client.write(Buffer.alloc(64_000_000)).catch((error: unknown) => error);
    const began = performance.now();
    await assert.rejects(client.write("x", { timeout: 20 }), { code: "ETIMEDOUT" });
    await client.close();
    assert.equal(((await filling) as { code?: string }).code, "ECANCELED");
    assert.ok(performance.now() - began < 4000);
    server.abort();
    await server.close();
  }
});

test("abort() ends a close(), or an end of writing, that waits for the peer", async () => {
  for (const pair of [overTcp, overUnix, withoutDescriptor(overTcp)]) {
    for (const call of ["close", "closeWrite"] as const) {
      const [client, server] = await tlsPair(pair);
      // Fill all there is, the last piece being taken, so that close_notify is what waits.
      const filling = client.write(Buffer.alloc(64_000_000), { timeout: 50 });
      await assert.rejects(filling, { code: "ETIMEDOUT" });
      const waiting = client[call]().catch((error: unknown) => error);
      for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
      const began = performance.now();
      client.abort();
      await waiting;
      await client.close();
      assert.ok(performance.now() - began < 2000);
      // Cut, unless the kernel had taken everything by then.
      const ending = await readToEnd(server).then(
        () => "end",
        (error: { code: string }) => error.code,
      );
      assert.ok(["end", "ECONNRESET", "ERR_TLS_TRUNCATED"].includes(ending), ending);
      await server.close();
    }
  }
});

test("abort() in the turn of the handshake, of a read or of a session is safe", async () => {
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const older = new TlsContext({ ...serving(), maxVersion });
    const client = { ca: certificates().ca.cert, servername: "localhost" };
    for (let round = 0; round < 10; round++) {
      const [a, b] = await overTcp();
      const both = [
        wrapTls(a, client).then(async (conn) => {
          if (round % 3 === 1) await conn.read(Buffer.alloc(1));
          if (round % 3 === 2) await conn.nextSession();
          conn.abort();
          await conn.close();
        }),
        wrapTls(b, { isServer: true, context: older }).then(
          async (conn) => {
            await conn.write("x").catch(() => undefined);
            await assert.rejects(readFully(conn, 1));
            conn.abort();
            await conn.close();
          },
          // With TLS 1.3 the client is through before the server is.
          (error: { code?: string }) => assert.equal(error.code, "ECONNRESET"),
        ),
      ];
      await Promise.all(both);
    }
  }
});

test("an idle connection does not keep the process alive, a read that waits does", async () => {
  const script = (wait: string): string => `
    import { readFileSync } from "node:fs";
    import { Socket, SocketConn, wrapTls } from "berkeley";
    const [cert, key, ca] = process.argv.slice(1).map((file) => readFileSync(file, "utf8"));
    const listener = new Socket();
    await listener.bind("127.0.0.1:0");
    listener.listen();
    const socket = new Socket();
    const accepting = listener.accept();
    await socket.connect(listener.getsockname());
    const [accepted] = await accepting;
    listener.close();
    const [a, b] = await Promise.all([
      wrapTls(new SocketConn(socket), { ca, servername: "localhost" }),
      wrapTls(new SocketConn(accepted), { isServer: true, cert, key }),
    ]);
    await a.write("x");
    await b.read(Buffer.alloc(1));
    process.on("beforeExit", () => console.log("nothing waits"));
    ${wait}
    console.log("at the end");`;
  const { server, ca } = certificates();
  const run = async (wait: string): Promise<string> => {
    const args = ["--input-type=module", "-e", script(wait), server.certFile, server.keyFile, ca.certFile];
    await using program = Program.node(args);
    if (wait !== "") {
      await program.line(/^reading$/);
      // A listener for a signal keeps no process alive.
      program.kill("SIGUSR2");
    }
    const { status, stdout, stderr } = await program.ended;
    assert.equal(stderr, "");
    return `${status} ${stdout}`;
  };
  assert.equal(await run(""), "0 at the end\nnothing waits\n");
  const waits = `
    process.on("SIGUSR2", () => void a.write("y"));
    const reading = b.read(Buffer.alloc(1));
    console.log("reading");
    console.log(await reading);`;
  assert.equal(await run(waits), "0 reading\n1\nat the end\nnothing waits\n");
});

for (const [kind, pair] of Object.entries({ "over TCP": overTcp, "in memory": () => memoryPair() })) {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    for (const ending of ["closeWrite", "end", "close"] as const) {
      test(`${ending}() right after the handshake sends close_notify, ${kind}, ${version}`, async () => {
        const [a, b] = await pair();
        const ca = certificates().ca.cert;
        const both = { minVersion: version, maxVersion: version } as const;
        const connecting = wrapTls(a, { ca, servername: "localhost", ...both });
        const accepting = wrapTls(b, { isServer: true, ...serving(), ...both });
        // No turn of the event loop between the handshake and the end: these calls may run below OpenSSL on the stack.
        const served = accepting.then(async (conn) => {
          const stream = new Stream(conn);
          const writing = stream.write("last words");
          const ended = stream[ending]();
          await Promise.all([writing.catch(() => undefined), ended]);
          return stream;
        });
        const client = await connecting;
        const received = await readToEnd(client);
        // close() cuts a write that the kernel has not taken.
        if (ending !== "close") assert.equal(received.toString(), "last words");
        await client.close();
        await (await served).close();
      });
    }
  }
}
