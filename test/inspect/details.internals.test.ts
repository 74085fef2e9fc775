// The details of records and of a socket's page, in states that only internals can make.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import * as berkeley from "berkeley";
import { connect, listen, Socket, TlsListener, wrapTls } from "berkeley";
import { readFully } from "berkeley/testing";
import { startInspector } from "berkeley/inspect";
import { Access, readTarget } from "#berkeley/inspect/access.js";
import { EventStream } from "#berkeley/inspect/eventStream.js";
import { declaredOptions } from "#berkeley/options/option.js";
import { calls } from "#berkeley/sys/calls.js";
import { EMFILE } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";
import { TestClock } from "../support/clock.js";
import { serving, trusting } from "../tls/support.js";

checkLeaks();

test("the inspector has the names of all socket options of the package", () => {
  const exported = Object.entries(berkeley)
    .filter(([, value]) => typeof value === "object" && value !== null && "optname" in value)
    // An alias has the name of its option.
    .map(([, value]) => (value as unknown as { readonly name: string }).name);
  assert.ok(exported.length > 200);
  assert.deepEqual(
    exported.filter((name) => declaredOptions.get(name) === undefined),
    [],
  );
});

test("an option that of() returns does not replace the declared option", () => {
  const { IP_MSFILTER, MCAST_MSFILTER } = berkeley;
  const declared = [IP_MSFILTER, MCAST_MSFILTER].map(({ name }) => declaredOptions.get(name));
  IP_MSFILTER.of("239.1.2.3");
  MCAST_MSFILTER.of("ff15::1", "lo");
  assert.equal(declaredOptions.get("IP_MSFILTER"), declared[0]);
  assert.equal(declaredOptions.get("MCAST_MSFILTER"), declared[1]);
});

test("a stream of events whose client does not read gets nothing more, and is cut off after 30 seconds", async () => {
  using clock = new TestClock();
  const written: string[] = [];
  let destroyed = false;
  const response = Object.assign(new EventEmitter(), {
    write: (text: string) => (written.push(text), false),
    destroy: () => (destroyed = true),
  });
  const stream = new EventStream(response as unknown as ServerResponse);
  assert.equal(stream.isReady, true);
  stream.send("table", { text: "a\nb" });
  assert.deepEqual(written, ['event: table\ndata: {"text":"a\\nb"}\n\n']);
  assert.equal(stream.isReady, false);
  response.emit("drain");
  assert.equal(stream.isReady, true);
  stream.send("table", {});
  await clock.advance(29_000);
  assert.equal(stream.isReady, false);
  assert.equal(destroyed, false);
  await clock.advance(2_000);
  assert.equal(stream.isReady, false);
  assert.equal(destroyed, true);
});

test("the details of a call have no secret, and an option is shown by its name and value", async () => {
  await using inspector = await startInspector();
  using socket = new Socket();
  socket.setsockopt(berkeley.SO_REUSEADDR, true);
  socket.setsockopt(berkeley.TCP_FASTOPEN_KEY, Buffer.alloc(16, 7));
  socket.setsockopt(berkeley.SOL_SOCKET, berkeley.SO_RCVBUF, 10_000);
  const { calls: seen } = (await inspector.socket(inspector.sockets()[0]!.id))!;
  assert.deepEqual(
    seen.map(({ detail }) => detail),
    ["AF_INET, SOCK_STREAM", "SO_REUSEADDR = true", "TCP_FASTOPEN_KEY", "SO_RCVBUF = 10000"],
  );
});

test("an option for groups has its name with groups of IPv4 and IPv6", async () => {
  await using inspector = await startInspector();
  using socket = new Socket(berkeley.AF_INET6, berkeley.SOCK_DGRAM);
  socket.setsockopt(berkeley.MCAST_JOIN_GROUP, { group: "ff15::1", interface: "lo" });
  using socket4 = new Socket(berkeley.AF_INET, berkeley.SOCK_DGRAM);
  socket4.setsockopt(berkeley.MCAST_JOIN_GROUP, { group: "239.1.2.3", interface: "lo" });
  assert.equal(inspector.sockets().length, 2);
  for (const { id } of inspector.sockets()) {
    const { calls: seen } = (await inspector.socket(id))!;
    assert.match(seen.at(-1)!.detail ?? "", /^MCAST_JOIN_GROUP/);
  }
});

test("options that could not be compared, because no descriptor was free, are compared later", async () => {
  const original = calls.socket;
  let full = false;
  calls.socket = (...args) => (full ? EMFILE : original(...args));
  try {
    await using inspector = await startInspector();
    using socket = new Socket();
    socket.setsockopt(berkeley.SO_REUSEADDR, true);
    const { id } = inspector.sockets()[0]!;
    const names = async (): Promise<string[]> => (await inspector.socket(id))!.options.map(({ name }) => name);
    full = true;
    assert.deepEqual(await names(), []);
    full = false;
    assert.ok((await names()).includes("SO_REUSEADDR"));
  } finally {
    calls.socket = original;
  }
});

test("the Host of a server on port 80 has no port", () => {
  const access = new Access();
  access.port = 80;
  const path = (headers: object): string | undefined =>
    access.allowedPath({ headers } as IncomingMessage, readTarget(`/api/sockets?token=${access.token}`));
  assert.equal(path({ host: "127.0.0.1" }), "/api/sockets");
  assert.equal(path({ host: "localhost:80", origin: "http://localhost" }), "/api/sockets");
  assert.equal(path({ host: "[::1]" }), "/api/sockets");
  assert.equal(path({ host: "127.0.0.1:81" }), undefined);
  assert.equal(path({ host: "127.0.0.1", origin: "http://evil.example" }), undefined);
  assert.equal(path({}), undefined);
  access.port = 8080;
  assert.equal(path({ host: "127.0.0.1" }), undefined);
});

test("both ends of a TLS connection are in the table, with the bytes of the program", async () => {
  await using inspector = await startInspector();
  await using listener = new TlsListener(await listen("tcp://127.0.0.1:0"), { tls: serving() });
  const accepting = listener.accept();
  await using client = await wrapTls(await connect(`tcp://${String(listener.address)}`), trusting());
  await using server = await accepting;
  await client.write("hello");
  await readFully(server, 5);
  const rows = inspector.sockets().filter(({ state }) => state === "ESTABLISHED");
  assert.equal(rows.length, 2);
  assert.deepEqual(
    rows.map(({ received, sent, fd, family }) => [received.bytes + sent.bytes, fd >= 0, family]),
    [
      [5, true, "AF_INET"],
      [5, true, "AF_INET"],
    ],
  );
  assert.equal(rows[0]!.peer, rows[1]!.local);
  // A handshake that the network began has no line of the program.
  assert.ok(rows.some(({ line }) => /details\.internals\.test\.(js|ts):\d+:\d+$/.test(line ?? "")));
});
