// The end of serve() when its listener ends: the program closes it, it fails, or its close() fails.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Conn, listen, type Listener, SHUT_RD, TlsContext, TlsListener } from "berkeley";
import { serve, type ServerEvent } from "berkeley/server";
import { turn } from "../support/clock.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates } from "../tls/support.js";

checkLeaks();

test("a listener that the program closes ends the server without an error", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const events: ServerEvent["event"][] = [];
  const server = await serve(listener, () => undefined, { log: ({ event }) => void events.push(event) });
  await listener.close();
  await server.closed;
  await turn();
  assert.deepEqual(events, ["listening", "end"]);
  const { cert, key } = certificates().server;
  const tls = new TlsContext({ cert, key });
  const secured = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls });
  const other = await serve(secured, () => undefined);
  await secured.close();
  await other.closed;
});

test("an abort of the signal of listen() ends the server without an error", async () => {
  const controller = new AbortController();
  const server = await serve("tcp://127.0.0.1:0", () => undefined, { listen: { signal: controller.signal } });
  controller.abort();
  await server.closed;
  assert.equal(server.stats().state, "closed");
});

test("a listener that fails ends the server with its error", async () => {
  const listener = await listen("tcp://127.0.0.1:0");
  const server = await serve(listener, () => undefined);
  // accept(2) of a socket that was shut down fails with EINVAL.
  listener.socket.shutdown(SHUT_RD);
  await assert.rejects(server.closed, { code: "EINVAL" });
});

test("a listener whose close() fails is reported, and the server ends all the same", async () => {
  const warnings: (Error & { cause?: unknown })[] = [];
  const warned = (warning: Error): void => void warnings.push(warning);
  process.on("warning", warned);
  const error = new Error("can't close");
  const broken = (close: () => Promise<void>): Listener => ({
    address: undefined,
    accept: () => new Promise<Conn>(() => undefined),
    close,
    [Symbol.asyncIterator]: () => {
      throw new Error("serve() calls accept()");
    },
    [Symbol.asyncDispose]: close,
  });
  const throws = await serve(
    broken(() => {
      throw error;
    }),
    () => undefined,
  );
  await throws.close();
  await throws.closed;
  const rejects = await serve(
    broken(() => Promise.reject(error)),
    () => undefined,
  );
  await rejects.drain();
  await turn();
  process.off("warning", warned);
  assert.deepEqual(
    warnings.map(({ name, cause }) => [name, cause]),
    [
      ["CallbackWarning", error],
      ["CallbackWarning", error],
    ],
  );
});
