// The seven steps when another client connects in between.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket } from "berkeley";
import { Output } from "#berkeley/cli/frame/output.js";
import { exchange } from "#berkeley/cli/steps/exchange.js";
import { Narrator } from "#berkeley/cli/steps/narrator.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** Says nothing, and lets the test act at a certain call. */
class Listening extends Narrator {
  readonly notes: string[] = [];
  readonly #at: string;
  readonly #act: (views: readonly string[]) => void;

  constructor(at: string, act: (views: readonly string[]) => void) {
    super(new Output());
    this.#at = at;
    this.#act = act;
  }

  override heading(): void {}
  override step(): void {}
  override note(text: string): void {
    this.notes.push(text);
  }
  override call(_who: string, code: string, _returned: string, views: readonly string[] = []): void {
    if (code.startsWith(this.#at)) this.#act(views);
  }
}

test("exchange() distinguishes a visitor from its own client, and passes it on", async () => {
  const stranger = new Socket();
  let port = 0;
  const connected: Promise<void>[] = [];
  const narrator = new Listening("server.listen", () => {
    // Stands in the accept queue before the call returns: the kernel answers on loopback at once.
    connected.push(stranger.connect(["127.0.0.1", port]));
  });
  const probe = new Socket();
  await probe.bind("127.0.0.1:0");
  port = (probe.getsockname() as { port: number }).port;
  probe.close();
  const { server, early } = await exchange(narrator, "127.0.0.1", port);
  try {
    await Promise.all(connected);
    assert.equal(early.length, 1);
    const [conn, address] = early[0]!;
    assert.equal(String(address), String(stranger.getsockname()));
    assert.deepEqual(narrator.notes, [`another program connected first: ${String(stranger.getsockname())}`]);
    await conn.sendAll("hello, stranger");
    assert.equal((await stranger.recv(100)).toString(), "hello, stranger");
  } finally {
    for (const [conn] of early) conn.close();
    server.close();
    stranger.close();
  }
});

test("exchange() closes all that it opened when a step fails", async () => {
  for (const at of [
    "const server",
    "server.listen",
    "const client",
    "await client.connect",
    "const [conn",
    "client.close",
  ]) {
    const narrator = new Listening(at, () => {
      throw new Error(`stop at ${at}`);
    });
    await assert.rejects(exchange(narrator, "127.0.0.1", 0), { message: `stop at ${at}` });
  }
});
