// The events of servers: the channels of node:diagnostics_channel, and the option log.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { connect, type EndpointLike, forward, listen, type Stream } from "berkeley";
import { serve, type ServerEvent } from "berkeley/server";
import { MemoryListener } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { connectTo, deferred, endpointOf, readToEnd } from "./support.js";

checkLeaks();

const LOCAL = "tcp://127.0.0.1:0";
const NAMES = ["listening", "connection", "refused", "closed", "error", "shortage", "drain", "end"] as const;
const echo = async (stream: Stream): Promise<void> => {
  for await (const line of stream.lines()) await stream.write(`${line}\n`);
};

/** Events as they come, from the channels or from the option log. */
class Events {
  readonly all: ServerEvent[] = [];
  #arrived = deferred();

  readonly add = (event: unknown): void => {
    this.all.push(event as ServerEvent);
    this.#arrived.resolve();
    this.#arrived = deferred();
  };

  /** The event of this name, as soon as there are `count` of them. */
  async next<Name extends ServerEvent["event"]>(name: Name, count = 1): Promise<ServerEvent & { event: Name }> {
    for (;;) {
      const found = this.all.filter(({ event }) => event === name);
      if (found.length >= count) return found[count - 1] as ServerEvent & { event: Name };
      await this.#arrived.promise;
    }
  }

  get names(): string[] {
    return this.all.map(({ event }) => event);
  }
}

/** Subscribes to all channels until it is disposed. */
class Subscribed extends Events implements Disposable {
  constructor() {
    super();
    for (const name of NAMES) subscribe(`berkeley:server:${name}`, this.add);
  }

  [Symbol.dispose](): void {
    for (const name of NAMES) unsubscribe(`berkeley:server:${name}`, this.add);
  }
}

/** Connects, and returns how the connection went; see `readToEnd()`. */
async function visit(to: EndpointLike, localAddress = "127.0.0.1"): Promise<string> {
  await using client = await connect(to, { localAddress: [localAddress, 0] });
  return await readToEnd(client);
}

/** Checks that an event is of numbers and strings alone, so that JSON keeps all of it. */
function assertPlain(event: ServerEvent): void {
  assert.deepEqual(JSON.parse(JSON.stringify(event)), event);
}

test("the life of a server of serve() is on the channels, in order", async () => {
  using events = new Subscribed();
  const before = Date.now();
  await using server = await serve(LOCAL, echo, { deny: ["127.0.0.9"] });
  const local = String(server.address);
  const client = await connectTo(server);
  await client.write("hello\n");
  await client.readLine();
  const ends = { client: String(client.localAddress), peer: String(client.localAddress) };
  await client.close();
  const closed = await events.next("closed");
  assert.equal(await visit(endpointOf(server), "127.0.0.9"), "ECONNRESET");
  const refused = await events.next("refused");
  await server.drain();
  await events.next("end");
  assert.deepEqual(events.names, ["listening", "connection", "closed", "refused", "drain", "end"]);
  for (const event of events.all) {
    assertPlain(event);
    assert.deepEqual([event.call, event.local], ["serve", local]);
    assert.ok(event.time >= before && event.time <= Date.now());
  }
  const { time, duration, ...rest } = closed;
  assert.deepEqual(rest, {
    event: "closed",
    call: "serve",
    local,
    id: 1,
    ...ends,
    reason: "ended",
    bytesReceived: 6,
    bytesSent: 6,
  });
  assert.ok(duration >= 0 && duration <= time - before + 1);
  assert.deepEqual([refused.reason, refused.client?.split(":")[0]], ["deny", "127.0.0.9"]);
  const { accepted, refused: total } = await events.next("end");
  assert.deepEqual([accepted, total], [1, 1]);
  assert.equal((await events.next("connection")).id, 1);
});

test("the life of a forwarder is on the same channels", async () => {
  using events = new Subscribed();
  await using target = await listen(LOCAL);
  await using forwarder = await forward(LOCAL, target.address);
  const client = await connect(forwarder.address);
  const served = await target.accept();
  await client.write("12345");
  await served.write("123");
  const local = String(client.localAddress);
  await served.readExactly(5);
  await client.readExactly(3);
  await Promise.all([client.end(), served.end()]);
  const closed = await events.next("closed");
  const { duration: _, time: __, ...rest } = closed;
  assert.deepEqual(rest, {
    event: "closed",
    call: "forward",
    local: String(forwarder.address),
    id: 1,
    client: local,
    peer: local,
    reason: "ended",
    bytesReceived: 5,
    bytesSent: 3,
  });
  await target.close();
  assert.equal(await visit(forwarder.address), "ECONNRESET");
  const failed = await events.next("closed", 2);
  assert.deepEqual([failed.reason, failed.error?.code, failed.id], ["failed", "ECONNREFUSED", 2]);
  assert.equal(forwarder.stats().state, "listening");
  await forwarder.drain();
  assert.equal(forwarder.stats().state, "closed");
  await events.next("end");
  assert.deepEqual(events.names, ["listening", "connection", "closed", "connection", "closed", "drain", "end"]);
  for (const event of events.all) assertPlain(event);
});

test("log gets the same records, without the begin of connections", async () => {
  const logged = new Events();
  using events = new Subscribed();
  await using server = await serve(LOCAL, echo, { log: logged.add });
  await using client = await connectTo(server);
  await client.write("x\n");
  await client.readLine();
  await client.end();
  await logged.next("closed");
  await server.drain();
  await logged.next("end");
  assert.deepEqual(logged.names, ["listening", "closed", "drain", "end"]);
  assert.deepEqual(
    logged.all,
    events.all.filter(({ event }) => event !== "connection"),
  );
});

test("log of forward() has the address of the client without any other option", async () => {
  const logged = new Events();
  await using target = await listen("unix:@berkeley-events");
  await using forwarder = await forward(LOCAL, "unix:@berkeley-events", { log: logged.add });
  await using client = await connect(forwarder.address);
  await using served = await target.accept();
  await forwarder.close();
  const { client: address, reason, error } = await logged.next("closed");
  assert.deepEqual([address, reason, error?.code], [String(client.localAddress), "failed", "ECANCELED"]);
  await logged.next("end");
  assert.deepEqual(logged.names, ["listening", "closed", "end"]);
  assert.equal(served.stats().bytesSent, 0);
});

test("an error of a handler has a record with its connection, and any value can be thrown", async () => {
  const logged = new Events();
  const hostile = Object.create(null) as object;
  const failures: unknown[] = [Object.assign(new TypeError("wrong"), { code: "E_WRONG" }), "text", undefined, hostile];
  await using server = await serve(
    LOCAL,
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- any value can be a reason
    (_stream, { id }) => Promise.reject(failures[id - 1]),
    { log: logged.add, onError: () => undefined },
  );
  for (const _ of failures) assert.equal(await visit(endpointOf(server)), "end:");
  await logged.next("closed", failures.length);
  const errors = logged.all.filter((event) => event.event === "error");
  assert.deepEqual(
    errors.map(({ id, error }) => [id, error]),
    [
      [1, { name: "TypeError", message: "wrong", code: "E_WRONG" }],
      [2, { name: "string", message: "text" }],
      [3, { name: "undefined", message: "undefined" }],
      [4, { name: "object", message: "" }],
    ],
  );
  for (const event of logged.all) assertPlain(event);
  const reasons = logged.all.filter((event) => event.event === "closed").map(({ reason }) => reason);
  assert.deepEqual(reasons, ["failed", "failed", "failed", "failed"]);
});

test("the reason of a cut connection is the limit, or aborted", async () => {
  const logged = new Events();
  const forever = (): Promise<never> => new Promise(() => undefined);
  await using idle = await serve(LOCAL, forever, { idleTimeout: 40, log: logged.add });
  assert.equal(await visit(endpointOf(idle)), "ECONNRESET");
  assert.equal((await logged.next("closed")).reason, "idleTimeout");
  await using server = await serve(LOCAL, forever, { log: logged.add });
  await using client = await connectTo(server);
  while (server.stats().connections === 0) await new Promise((resolve) => setImmediate(resolve));
  await server.close();
  assert.equal((await logged.next("closed", 2)).reason, "aborted");
  assert.equal(await readToEnd(client), "ECONNRESET");
  // The end comes after the last connection.
  await logged.next("end");
  assert.deepEqual(logged.names, ["listening", "closed", "listening", "closed", "end"]);
});

test("a failed listener has an error without a connection, and then the end", async () => {
  const logged = new Events();
  const listener = new MemoryListener();
  const failing = {
    accept: () => Promise.reject(Object.assign(new Error("no more"), { code: "EIO" })),
    close: () => listener.close(),
    address: undefined,
  };
  const server = await serve(failing as never, echo, { log: logged.add });
  await assert.rejects(server.closed, { code: "EIO" });
  await logged.next("end");
  assert.deepEqual(logged.names, ["listening", "error", "end"]);
  const event = await logged.next("error");
  assert.deepEqual(
    [event.id, event.local, event.error],
    [undefined, null, { name: "Error", message: "no more", code: "EIO" }],
  );
});

test("a forwarder whose listener is closed by its signal has no error", async () => {
  const logged = new Events();
  const controller = new AbortController();
  const forwarder = await forward(LOCAL, LOCAL, { log: logged.add, listen: { signal: controller.signal } });
  controller.abort();
  await forwarder.closed;
  await logged.next("end");
  assert.deepEqual(logged.names, ["listening", "end"]);
});

test("a log that throws or rejects is reported, and the server goes on", async () => {
  const warnings: string[] = [];
  const listener = (warning: Error): void => void warnings.push(warning.message);
  process.on("warning", listener);
  let count = 0;
  await using server = await serve(LOCAL, echo, {
    log: () => {
      count++;
      // An async function is no error of types.
      if (count === 2) return Promise.reject(new Error("rejected")) as unknown as void;
      throw new Error("thrown");
    },
  });
  for (let connection = 0; connection < 2; connection++) {
    await using client = await connectTo(server);
    await client.write("x\n");
    assert.equal(await client.readLine(), "x");
    await client.end();
  }
  await server.drain();
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listener);
  assert.equal(count, 5);
  const thrown = "log threw Error: thrown";
  assert.deepEqual(warnings, [thrown, "log threw Error: rejected", thrown, thrown, thrown]);
});

const THROWING = `
  import { subscribe } from "node:diagnostics_channel";
  import { connect } from "berkeley";
  import { serve } from "berkeley/server";
  for (const name of ["listening", "connection", "closed"]) {
    subscribe("berkeley:server:" + name, () => { throw new Error("a bad subscriber of " + name); });
  }
  const server = await serve("tcp://127.0.0.1:0", async (stream) => {
    for await (const line of stream.lines()) await stream.write(line + "\\n");
  });
  for (let count = 0; count < 2; count++) {
    const client = await connect(server.address);
    await client.write("x\\n");
    await client.readLine();
    await client.end();
  }
  await server.drain();
  console.log(JSON.stringify(server.stats()));
`;

test("a subscriber that throws does not disturb the server: Node reports it as an uncaught exception", async () => {
  const handled = `process.on("uncaughtException", ({ message }) => console.log(message)); ${THROWING}`;
  await using program = Program.node(["--input-type=module", "--eval", handled]);
  const { status, stdout } = await program.ended;
  assert.equal(status, 0);
  const lines = stdout.trim().split("\n");
  const { accepted, connections, failed, state } = JSON.parse(lines.pop()!) as Record<string, unknown>;
  assert.deepEqual(
    { accepted, connections, failed, state },
    { accepted: 2, connections: 0, failed: 0, state: "closed" },
  );
  assert.equal(lines.filter((line) => line === "a bad subscriber of closed").length, 2);
});

test("without a listener for uncaught exceptions, the error of a subscriber ends the process, as on every channel", async () => {
  await using program = Program.node(["--input-type=module", "--eval", THROWING]);
  const { status, stderr } = await program.ended;
  assert.equal(status, 1);
  assert.match(stderr, /Error: a bad subscriber of listening/);
});

test("without subscribers and without log no event is made", async () => {
  // Date.now() is called for each event and nowhere else.
  const program = `
    import { connect, forward } from "berkeley";
    import { serve } from "berkeley/server";
    import { subscribe } from "node:diagnostics_channel";
    let made = 0;
    const now = Date.now;
    Date.now = () => (made++, now());
    async function visit() {
      const server = await serve("tcp://127.0.0.1:0", async (stream) => void (await stream.readLine()), { deny: ["127.0.0.9"] });
      const forwarder = await forward("tcp://127.0.0.1:0", server.address);
      const client = await connect(forwarder.address);
      await client.end();
      await forwarder.drain();
      await server.drain();
    }
    await visit();
    console.log(made);
    subscribe("berkeley:server:closed", () => undefined);
    await visit();
    console.log(made);
  `;
  await using run = Program.node(["--input-type=module", "--eval", program]);
  assert.deepEqual(await run.ended, { status: 0, stdout: "0\n2\n", stderr: "" });
});

test("a shortage of descriptors has a record at its begin and at its end, with serve() and with forward()", () => {
  const program = `
    import { openSync, closeSync } from "node:fs";
    import { connect, forward } from "berkeley";
    import { serve } from "berkeley/server";
    const events = [];
    const log = (event) => event.event === "shortage" && events.push(event.call + " " + event.state + " " + event.code);
    const server = await serve("tcp://127.0.0.1:0", (stream) => stream.readLine(), { log });
    const forwarder = await forward("tcp://127.0.0.1:0", server.address, { log });
    const client = await connect(server.address);
    const taken = [];
    try { for (;;) taken.push(openSync("/dev/null")); } catch {}
    closeSync(taken.pop());
    const second = await connect(server.address);
    while (server.stats().shortages === 0) await new Promise((resolve) => setImmediate(resolve));
    for (const fd of taken) closeSync(fd);
    while (events.length < 4) await new Promise((resolve) => setTimeout(resolve, 1));
    console.log(events.sort().join("\\n"));
    process.exit();
  `;
  const command = `ulimit -n 200; exec "$0" --input-type=module --eval "$1"`;
  const { stdout, stderr } = spawnSync("sh", ["-c", command, process.execPath, program], {
    cwd: new URL("..", import.meta.url),
    encoding: "utf8",
    timeout: 30_000,
  });
  const expected = ["forward begin EMFILE", "forward end EMFILE", "serve begin EMFILE", "serve end EMFILE"];
  assert.equal(stdout, `${expected.join("\n")}\n`, stderr);
});

test("the records are JSON lines of a structured log", async () => {
  const program = `
    import { connect } from "berkeley";
    import { serve } from "berkeley/server";
    const server = await serve("tcp://127.0.0.1:0", (stream) => stream.write("bye\\n"), {
      log(event) {
        process.stdout.write(JSON.stringify({ level: event.event === "error" ? 50 : 30, ...event }) + "\\n");
        if (event.event === "closed") void server.drain();
      },
    });
    const client = await connect(server.address);
    await client.readLine();
    await client.close();
  `;
  await using run = Program.node(["--input-type=module", "--eval", program]);
  const { stdout, stderr, status } = await run.ended;
  assert.deepEqual([status, stderr], [0, ""]);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ServerEvent);
  assert.deepEqual(
    lines.map(({ event }) => event),
    ["listening", "closed", "drain", "end"],
  );
});

test("log is checked, and the channels have no subscribers after these tests", async () => {
  await assert.rejects(serve(LOCAL, echo, { log: true as never }), /log is true, required a function/);
  await assert.rejects(forward(LOCAL, LOCAL, { log: 5 as never }), /log is 5, required a function/);
  for (const name of NAMES) assert.equal(channel(`berkeley:server:${name}`).hasSubscribers, false, name);
});
