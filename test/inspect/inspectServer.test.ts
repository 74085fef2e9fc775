// The server of the inspector: access control, and misbehaving clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { connect as connectNode, type Socket as NodeSocket } from "node:net";
import { test } from "node:test";
import { setTimeout as after } from "node:timers/promises";
import { connect, listen, socketpair } from "berkeley";
import {
  type Inspector,
  type SocketDetail,
  type SocketReport,
  startInspector,
  type TableUpdate,
} from "berkeley/inspect";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const token = (inspector: Inspector): string => new URL(inspector.url!).searchParams.get("token")!;
const port = (inspector: Inspector): number => Number(new URL(inspector.url!).port);

async function ask(
  inspector: Inspector,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  method: string = "GET",
): Promise<Reply> {
  const sentRequest = request({ host: "127.0.0.1", port: port(inspector), path, headers, method, agent: false });
  sentRequest.end();
  const [response] = (await once(sentRequest, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode!, headers: response.headers, body };
}

test("only requests of this machine with the token are answered, and all others get 403", async () => {
  await using inspector = await startInspector();
  const secret = token(inspector);
  const own = `127.0.0.1:${port(inspector)}`;
  const path = `/api/sockets?token=${secret}`;
  const refused: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ["/", {}],
    ["/api/sockets", {}],
    ["/events", {}],
    ["/assets/page.js", {}],
    ["/api/sockets?token=", {}],
    [`/api/sockets?token=${secret}x`, {}],
    [`/api/sockets?token=${secret.slice(1)}`, {}],
    [`/api/sockets?token=${"\u0000".repeat(3)}`.replaceAll("\u0000", "%00"), {}],
    [path, { host: "evil.example" }],
    [path, { host: "127.0.0.1" }],
    [path, { host: `127.0.0.1.evil.example:${port(inspector)}` }],
    [path, { host: `127.0.0.1:${port(inspector) + 1}` }],
    [path, { origin: "http://evil.example" }],
    [path, { origin: "null" }],
    [path, { origin: `https://${own}` }],
    [path, { origin: `http://${own}0` }],
    [path, { "sec-fetch-site": "cross-site" }],
    ["/api/sockets", { cookie: `berkeley-inspect-${port(inspector)}=${secret}` }],
    [`/${secret}x/api/sockets`, {}],
    [`//${secret}/api/sockets`, {}],
    [`/api/sockets/${secret}`, {}],
    [`http://evil.example${path}`, {}],
    ["//", {}],
    ["//a:b@c:99999", {}],
    ["http://[", {}],
    ["*", {}],
  ];
  for (const [target, headers] of refused) {
    const { status, body } = await ask(inspector, target, headers);
    assert.equal(status, 403, `${target} ${JSON.stringify(headers)}`);
    assert.ok(!body.includes(secret));
  }
  const allowed: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    [path, {}],
    [path, { host: `localhost:${port(inspector)}` }],
    [path, { host: `[::1]:${port(inspector)}` }],
    [path, { origin: `http://${own}` }],
    [`/${secret}/api/sockets`, {}],
    [`http://${own}${path}`, {}],
  ];
  for (const [target, headers] of allowed) assert.equal((await ask(inspector, target, headers)).status, 200);
  assert.equal((await ask(inspector, path, {}, "POST")).status, 405);
});

test("answers forbid scripts of others, set no cookie, and have no token for a Referer", async () => {
  await using inspector = await startInspector();
  const secret = token(inspector);
  for (const path of [`/?token=${secret}`, `/${secret}/`, `/${secret}`]) {
    const { status, headers, body } = await ask(inspector, path);
    assert.equal(status, 200);
    const policy = String(headers["content-security-policy"]);
    assert.match(policy, /default-src 'none'; script-src 'self'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    // The cookies of a host go to all of its ports.
    assert.equal(headers["set-cookie"], undefined);
    const links = [...body.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link!);
    assert.equal(links.length, 3);
    for (const link of links) assert.equal((await ask(inspector, link)).status, 200, link);
  }
  const missing = [
    "/assets/..%2f..%2fpackage.json",
    "/assets/../../package.json",
    "/assets/%00",
    "/nothing",
    "//",
    "/%",
  ];
  for (const path of missing) {
    assert.equal((await ask(inspector, `${path}?token=${secret}`)).status, 404, path);
    assert.equal((await ask(inspector, `/${secret}${path}`)).status, 404, path);
  }
  const { status, body } = await ask(inspector, `/events?token=${secret}`, {}, "HEAD");
  assert.deepEqual([status, body], [200, ""]);
});

/** Reads events until one passes. */
async function event<T>(inspector: Inspector, query: string, passes: (name: string, data: T) => boolean): Promise<T> {
  const sentRequest = get({
    host: "127.0.0.1",
    port: port(inspector),
    path: `/events?token=${token(inspector)}${query}`,
    agent: false,
  });
  const [response] = (await once(sentRequest, "response")) as [IncomingMessage];
  assert.equal(response.headers["content-type"], "text/event-stream; charset=utf-8");
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end))!;
      text = text.slice(end + 2);
      const value = JSON.parse(data!) as T;
      if (!passes(name!, value)) continue;
      sentRequest.destroy();
      return value;
    }
  }
  return assert.fail("the events have ended");
}

test("a page gets all rows first, and then the changed and the removed ones", async () => {
  await using inspector = await startInspector();
  const [left, right] = socketpair();
  const [first] = inspector.sockets();
  const seen: TableUpdate[] = [];
  await event<TableUpdate>(inspector, "", (_, update) => {
    seen.push(update);
    if (seen.length === 1) right.close();
    return update.removed.length > 0;
  });
  assert.equal(seen[0]!.whole, true);
  assert.equal(seen[0]!.changed.length, 2);
  assert.equal(seen[0]!.process.pid, process.pid);
  assert.equal(seen.at(-1)!.whole, false);
  assert.equal(seen.at(-1)!.removed.length, 1);
  assert.equal(first!.line !== null, true);
  left.close();
});

test("the page of a socket has its calls, its other end, its samples and its changed options", async () => {
  await using inspector = await startInspector({ payloads: true });
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address);
  await using server = await listener.accept();
  client.socket.setsockopt(6, 1, 1);
  await client.write("<script>\u0000\u00ff");
  await server.read();
  const rows = inspector.sockets();
  const row = rows.find(({ peer, state }) => state === "ESTABLISHED" && peer === String(listener.address))!;
  const detail = await event<SocketDetail>(
    inspector,
    `&socket=${encodeURIComponent(row.id)}`,
    (name) => name === "detail",
  );
  assert.equal(detail.other?.local, row.peer);
  const calls = detail.calls.filter(({ call }) => call !== "setsockopt").map(({ call }) => call);
  // Those that made the listener come first.
  assert.deepEqual(calls, ["socket", "bind", "listen", "socket", "connect", "connect", "accept", "send", "recv"]);
  const ends = detail.calls.filter(({ socket }) => socket === detail.socket.id || socket === detail.other?.id);
  for (const call of ends) assert.match(call.line ?? "", /inspectServer\.test\.(js|ts):\d+:\d+$/, call.call);
  assert.equal(detail.calls[1 + detail.calls.findIndex(({ call }) => call === "connect") - 1]!.errno, "EINPROGRESS");
  const sent = detail.calls.find(({ call }) => call === "send")!;
  assert.equal(Buffer.from(sent.payload!.base64, "base64").toString(), "<script>\u0000\u00ff");
  assert.equal(sent.result, 11);
  assert.ok(detail.samples[0]!.rtt! > 0 && detail.samples[0]!.congestionWindow! > 0);
  assert.ok(
    detail.options.some(
      ({ name, value, initial }) => name === "TCP_NODELAY" && value === "true" && initial === "false",
    ),
  );
  assert.equal((await ask(inspector, `/api/sockets/0:99999?token=${token(inspector)}`)).status, 404);
  assert.equal((await ask(inspector, `/api/sockets/%ff?token=${token(inspector)}`)).status, 404);
});

test("a change that one reader has seen first reaches the pages as well", async () => {
  await using inspector = await startInspector();
  const [left, right] = socketpair();
  const id = inspector.sockets().find(({ fd }) => fd === right.fileno())!.id;
  let updates = 0;
  await event<TableUpdate>(inspector, "", (_, { changed }) => {
    if (updates++ === 0) {
      // The kernel has the bytes at once, and the detail is read between two looks.
      void left.sendAll("hello").then(async () => inspector.socket(id));
      return false;
    }
    assert.ok(updates < 5, "the queue of the socket is in no update");
    return changed.some((row) => row.id === id && row.receiveQueue === 5);
  });
  left.close();
  right.close();
});

test("payloads are off by default, and pass the hook that redacts; a hook that throws is reported", async () => {
  const payloads = async (opts: Parameters<typeof startInspector>[0]): Promise<(string | null)[]> => {
    await using inspector = await startInspector(opts);
    const [left, right] = socketpair();
    await left.sendAll("secret");
    await right.recv(100);
    const { calls } = (await inspector.socket(inspector.sockets()[0]!.id))!;
    left.close();
    right.close();
    return calls
      .filter(({ call }) => call === "send" || call === "recv")
      .map(({ payload }) => (payload === null ? null : Buffer.from(payload.base64, "base64").toString()));
  };
  assert.deepEqual(await payloads({}), [null, null]);
  assert.deepEqual(await payloads({ payloads: 3 }), ["sec", "sec"]);
  assert.deepEqual(
    await payloads({ payloads: true, redact: (bytes, { call }) => (call === "send" ? null : bytes.fill("x")) }),
    [null, "xxxxxx"],
  );
  const warned = once(process, "warning");
  const thrown = await payloads({
    payloads: true,
    redact: () => {
      throw new Error("no");
    },
  });
  assert.deepEqual(thrown, [null, null]);
  const [warning] = (await warned) as [Error & { code: string }];
  assert.equal(warning.code, "ERR_CALLBACK");
});

test("clients that never read get no more than one event, and a thousand clients leave the server usable", async () => {
  await using inspector = await startInspector();
  const pairs = Array.from({ length: 200 }, () => socketpair()).flat();
  const silent: NodeSocket[] = [];
  const open = async (line: string): Promise<NodeSocket> => {
    const socket = connectNode(port(inspector), "127.0.0.1");
    socket.on("error", () => {});
    silent.push(socket);
    await once(socket, "connect");
    socket.pause();
    socket.write(line);
    return socket;
  };
  const events = `GET /events?token=${token(inspector)} HTTP/1.1\r\nHost: 127.0.0.1:${port(inspector)}\r\n\r\n`;
  for (let turn = 0; turn < 19; turn++) await open(events);
  const update = await event<TableUpdate>(inspector, "", () => true);
  assert.equal(update.changed.length, 400);
  await Promise.all(Array.from({ length: 1000 }, () => open("")));
  // The program itself is not disturbed.
  await pairs[0]!.sendAll("x");
  assert.equal(String(await pairs[1]!.recv(1)), "x");
  for (const socket of silent) socket.destroy();
  let rows: SocketReport[] = [];
  for (let turn = 0; turn < 100 && rows.length === 0; turn++) {
    rows = await ask(inspector, `/api/sockets?token=${token(inspector)}`).then(
      ({ body }) => JSON.parse(body) as SocketReport[],
      async () => after(20, []),
    );
  }
  assert.equal(rows.length, 400);
  for (const socket of pairs) socket.close();
});

test("the port can be chosen, and a port in use is refused and leaves nothing open", async () => {
  await using inspector = await startInspector();
  await assert.rejects(startInspector(), /^Error: Cannot start the inspector: it runs in this thread/);
  const taken = port(inspector);
  await inspector.close();
  await using again = await startInspector({ port: taken });
  assert.equal(port(again), taken);
  await again.close();
  const { createServer } = await import("node:http");
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  await assert.rejects(startInspector({ port: (other.address() as { port: number }).port }), { code: "EADDRINUSE" });
  other.close();
  await using third = await startInspector();
  assert.notEqual(third.url, undefined);
});
