// serveMetrics(): its pages, read with curl, and their texts, read with the parsers of Prometheus.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type EndpointLike, forward, type Stream } from "berkeley";
import { formatMetrics, type MetricFamily, serve, serveMetrics, serverMetrics } from "berkeley/server";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { curl, lacking, parse, valueOf } from "./metricsSupport.js";
import { connectTo, deferred, readToEnd } from "./support.js";

checkLeaks();

const skip = lacking();
const LOCAL = "tcp://127.0.0.1:0";
const OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN = "text/plain; version=0.0.4; charset=utf-8";
const echo = async (stream: Stream): Promise<void> => {
  for await (const line of stream.lines()) await stream.write(`${line}\n`);
};

/** Collects the warnings of the process while `work` runs. */
async function warningsOf(work: () => Promise<void>): Promise<string[]> {
  const warnings: string[] = [];
  const listener = (warning: Error): void => void warnings.push(warning.message);
  process.on("warning", listener);
  await work();
  // Warnings are emitted in the next tick.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", listener);
  return warnings;
}

test(
  "/metrics has the counters of each server in OpenMetrics, which the parser of Prometheus reads",
  { skip },
  async () => {
    await using chat = await serve(LOCAL, echo, { deny: ["127.0.0.9"] });
    await using other = await serve(LOCAL, () => Promise.reject(new Error("no")), { onError: () => undefined });
    await using forwarder = await forward(LOCAL, chat.address as EndpointLike);
    await using metrics = await serveMetrics(0, { servers: { chat, other, forwarder } });
    await using client = await connectTo(chat);
    await client.write("hello\n");
    assert.equal(await client.readLine(), "hello");
    await using denied = await connectTo(chat, { localAddress: "127.0.0.9" });
    assert.equal(await readToEnd(denied), "ECONNRESET");
    await using failing = await connectTo(other);
    assert.equal(await readToEnd(failing), "end:");
    await using through = await connect(forwarder.address);
    await through.write("12345\n");
    await through.readLine();
    await through.end();

    const { body, status, type } = await curl(metrics, "/metrics");
    assert.equal(status, 200);
    assert.equal(type, OPEN);
    assert.match(body, /\n# EOF\n$/);
    const samples = await parse(body, "openmetrics");
    const figures = (server: string): Record<string, number> =>
      Object.fromEntries(
        samples
          .filter(
            (one) => one.labels["server"] === server && one.type !== "stateset" && one.labels["reason"] === undefined,
          )
          .map(({ name, value }) => [name.replace("berkeley_server_", ""), value]),
      );
    const { accepted, bytesReceived, bytesSent, refused } = chat.stats();
    const expected = {
      connections: chat.stats().connections,
      accepted_total: accepted,
      refused_total: refused,
      failed_total: 0,
      shortages_total: 0,
      received_bytes_total: bytesReceived,
      sent_bytes_total: bytesSent,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(figures("chat")[name], value, name);
    assert.deepEqual([accepted, refused, bytesReceived, bytesSent], [2, 1, 12, 12]);
    assert.equal(figures("other")["failed_total"], 1);
    assert.equal(figures("forwarder")["to_target_bytes_total"], 6);
    assert.equal(figures("forwarder")["to_client_bytes_total"], 6);
    for (const reason of ["aborted", "idleTimeout", "maxLifetime", "minReadRate"]) {
      assert.equal(valueOf(samples, "berkeley_server_cut_total", { server: "chat", reason }), 0);
    }
    const states = { listening: 1, draining: 0, closed: 0 };
    for (const [state, value] of Object.entries(states)) {
      const labels = { server: "chat", berkeley_server_state: state };
      assert.equal(valueOf(samples, "berkeley_server_state", labels), value);
    }
    assert.ok(valueOf(samples, "berkeley_process_open_descriptors", {})! > 3);
    assert.ok(valueOf(samples, "berkeley_event_loop_seconds_total", { state: "active" })! > 0);
    assert.equal(samples.find(({ name }) => name === "berkeley_server_sent_bytes_total")?.unit, "bytes");
  },
);

test("/metrics has the same counters in the text format 0.0.4 for a client that prefers it", { skip }, async () => {
  await using chat = await serve(LOCAL, echo);
  await using metrics = await serveMetrics(0, { servers: { chat } });
  await using client = await connectTo(chat);
  await client.write("hello\n");
  await client.readLine();
  const { body, type } = await curl(metrics, "/metrics", "-H", "Accept: text/plain");
  assert.equal(type, PLAIN);
  const samples = await parse(body, "prometheus");
  assert.equal(valueOf(samples, "berkeley_server_received_bytes_total", { server: "chat" }), 6);
  assert.equal(samples.find(({ name }) => name === "berkeley_server_received_bytes_total")?.type, "counter");
  assert.equal(samples.find(({ name }) => name === "berkeley_server_state")?.type, "gauge");
});

test("the header Accept chooses the format by its qualities", { skip }, async () => {
  await using metrics = await serveMetrics(0);
  const prometheus =
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
  for (const [accept, expected] of [
    [undefined, OPEN],
    ["*/*", OPEN],
    [prometheus, OPEN],
    ["application/openmetrics-text", OPEN],
    ["image/png", OPEN],
    ["text/plain", PLAIN],
    ["text/*;q=0.1", PLAIN],
    ["text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.1", PLAIN],
    ["application/openmetrics-text;version=0.0.1, text/plain;q=0.2", PLAIN],
    ["application/openmetrics-text;version=1.0.0;q=0, text/plain;q=0.2", PLAIN],
    ["APPLICATION/OPENMETRICS-TEXT; Version=1.0.0, text/plain", OPEN],
  ] as const) {
    const header = accept === undefined ? "Accept:" : `Accept: ${accept}`;
    assert.equal((await curl(metrics, "/metrics", "-H", header)).type, expected, accept);
  }
});

test("/readyz is 503 before a server listens, while one drains and when one is closed", { skip }, async () => {
  await using metrics = await serveMetrics(0);
  const ready = async (): Promise<[number, string]> => {
    const { body, status } = await curl(metrics, "/readyz");
    return [status, body];
  };
  assert.deepEqual(await ready(), [503, "not ready: no server is listening\n"]);
  const released = deferred();
  await using server = await serve(LOCAL, () => released.promise);
  metrics.add("chat", server);
  assert.deepEqual(await ready(), [200, "ready\n"]);
  await using client = await connectTo(server);
  while (server.stats().connections === 0) await new Promise((resolve) => setImmediate(resolve));
  const drained = server.drain();
  assert.deepEqual(await ready(), [503, "not ready: chat is draining\n"]);
  assert.equal((await curl(metrics, "/healthz")).status, 200);
  released.resolve();
  assert.equal(await readToEnd(client), "end:");
  await client.close();
  await drained;
  assert.deepEqual(await ready(), [503, "not ready: chat is closed\n"]);
  assert.deepEqual((await curl(metrics, "/metrics")).status, 200);
  metrics.remove("chat");
  assert.deepEqual(await ready(), [503, "not ready: no server is listening\n"]);
});

test("/readyz and the state show the drain of a forwarder, too", { skip }, async () => {
  await using target = await serve(LOCAL, (stream) => stream.readLine());
  await using forwarder = await forward(LOCAL, target.address as EndpointLike);
  await using metrics = await serveMetrics(0, { servers: { forwarder } });
  assert.equal((await curl(metrics, "/readyz")).status, 200);
  const client = await connect(forwarder.address);
  while (forwarder.stats().connections === 0) await new Promise((resolve) => setImmediate(resolve));
  const drained = forwarder.drain();
  assert.equal((await curl(metrics, "/readyz")).body, "not ready: forwarder is draining\n");
  const samples = await parse((await curl(metrics, "/metrics")).body, "openmetrics");
  const labels = { server: "forwarder", berkeley_server_state: "draining" };
  assert.equal(valueOf(samples, "berkeley_server_state", labels), 1);
  await client.end();
  await drained;
  assert.equal((await curl(metrics, "/readyz")).body, "not ready: forwarder is closed\n");
});

test("/readyz is 503 when the check of the program returns anything but true, or fails", { skip }, async () => {
  await using server = await serve(LOCAL, echo);
  let check: () => unknown = () => true;
  await using metrics = await serveMetrics(0, { servers: { server }, ready: () => check() as boolean });
  assert.equal((await curl(metrics, "/readyz")).status, 200);
  check = () => Promise.resolve(true);
  assert.equal((await curl(metrics, "/readyz")).status, 200);
  for (const result of [false, undefined, 1, Promise.resolve(false)]) {
    check = () => result;
    assert.equal((await curl(metrics, "/readyz")).status, 503);
  }
  const warnings = await warningsOf(async () => {
    check = () => {
      throw new Error("the password is wrong");
    };
    const { body, status } = await curl(metrics, "/readyz");
    assert.equal(status, 503);
    assert.doesNotMatch(body, /password/);
  });
  assert.deepEqual(warnings, ["ready threw Error: the password is wrong"]);
  check = () => true;
  assert.equal((await curl(metrics, "/readyz")).status, 200);
});

test("only GET and HEAD are allowed, and only three pages exist", { skip }, async () => {
  await using server = await serve(LOCAL, echo);
  await using metrics = await serveMetrics(0, { servers: { server } });
  for (const path of ["/metrics", "/healthz", "/readyz"]) {
    const head = await curl(metrics, path, "--head");
    const get = await curl(metrics, path);
    assert.deepEqual([head.status, head.body, head.type], [200, "", get.type]);
    const post = await curl(metrics, path, "-d", "x=1");
    assert.equal(post.status, 405);
    assert.match(post.headers, /^allow: GET, HEAD/im);
    assert.match(post.headers, /^connection: close/im);
    assert.equal((await curl(metrics, path, "-X", "DELETE")).status, 405);
  }
  for (const path of ["/", "/metrics/", "/toString", "/__proto__", "/%6detrics"]) {
    assert.equal((await curl(metrics, path)).status, 404, path);
  }
  assert.equal((await curl(metrics, "/healthz?probe=1")).status, 200);
});

test("requests are bounded: headers that are too long, and more connections than 64", { skip }, async () => {
  await using metrics = await serveMetrics(0);
  assert.equal((await curl(metrics, "/healthz", "-H", `X-Long: ${"x".repeat(9000)}`)).status, 431);
  await using connections = new OpenStreams();
  let closed = 0;
  const one = deferred();
  for (let count = 0; count < 65; count++) {
    const stream = await connect(metrics.address as EndpointLike);
    connections.add(stream);
    void readToEnd(stream).then(() => (closed++, one.resolve()));
  }
  await one.promise;
  assert.equal(closed, 1);
});

/** Closes streams at its end. */
class OpenStreams implements AsyncDisposable {
  readonly #streams: Stream[] = [];

  add(stream: Stream): void {
    this.#streams.push(stream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#streams) stream.abort();
    await Promise.resolve();
  }
}

test("a name of a server may have any character, and is escaped", { skip }, async () => {
  const names = ['a "quoted" \\ name', "line\nfeed", "tab\tand\rreturn", "{label=}", "ü 好 😀", "\\n"];
  const servers = Object.fromEntries(names.map((name) => [name, { stats: () => ({ accepted: 7 }) }]));
  for (const format of ["openmetrics", "prometheus"] as const) {
    const samples = await parse(formatMetrics(await serverMetrics(servers), format), format);
    for (const server of names) {
      assert.equal(valueOf(samples, "berkeley_server_accepted_total", { server }), 7, JSON.stringify(server));
    }
  }
});

test("counters of datagrams, of proxies and of workers have metrics of their own", { skip }, async () => {
  const udp = {
    accepted: 5,
    ratePerAddress: 4,
    amplification: 2,
    pending: 1,
    handlerTimeout: 3,
    bytesReceived: 9,
    state: "draining",
  };
  const workers = [1, 2].map((worker) => ({ worker, restarts: worker - 1, connections: 10 * worker, state: "ready" }));
  const pool = { accepted: 40, proxyRefused: 4, lost: 6, connections: 30, workers, state: "listening" };
  const servers = { udp: { stats: () => udp }, pool: { stats: () => Promise.resolve(pool) } };
  for (const format of ["openmetrics", "prometheus"] as const) {
    const samples = await parse(formatMetrics(await serverMetrics(servers), format), format);
    const expected: [string, Record<string, string>, number | undefined][] = [
      ["berkeley_udp_server_accepted_total", { server: "udp" }, 5],
      ["berkeley_udp_server_rate_refused_total", { server: "udp" }, 4],
      ["berkeley_udp_server_amplification_total", { server: "udp" }, 2],
      ["berkeley_udp_server_pending", { server: "udp" }, 1],
      ["berkeley_udp_server_cut_total", { server: "udp", reason: "handlerTimeout" }, 3],
      ["berkeley_udp_server_received_bytes_total", { server: "udp" }, 9],
      ["berkeley_server_accepted_total", { server: "udp" }, undefined],
      ["berkeley_server_state", { server: "udp", berkeley_server_state: "draining" }, 1],
      ["berkeley_server_accepted_total", { server: "pool" }, 40],
      ["berkeley_server_proxy_refused_total", { server: "pool" }, 4],
      ["berkeley_server_lost_total", { server: "pool" }, 6],
      ["berkeley_server_worker_connections", { server: "pool", worker: "2" }, 20],
      ["berkeley_server_worker_restarts_total", { server: "pool", worker: "2" }, 1],
    ];
    for (const [name, labels, value] of expected) assert.equal(valueOf(samples, name, labels), value, name);
  }
});

test("families of the program are formatted strictly", { skip }, async () => {
  const family: MetricFamily = {
    name: "app_wait_seconds",
    type: "gauge",
    unit: "seconds",
    help: 'With a "quote", a \\ and\na line',
    samples: [
      { labels: { kind: "a" }, value: 0.1 },
      { labels: { kind: "b" }, value: Infinity },
      { labels: { kind: "c" }, value: -1e-21 },
      { labels: { kind: "d" }, value: 1e300 },
    ],
  };
  for (const format of ["openmetrics", "prometheus"] as const) {
    const samples = await parse(formatMetrics([family], format), format);
    assert.deepEqual(
      samples.map(({ value }) => value),
      [0.1, Infinity, -1e-21, 1e300],
    );
    assert.equal(samples[0]?.help, family.help);
  }
  const wrong =
    (change: Partial<MetricFamily>): (() => string) =>
    () =>
      formatMetrics([{ ...family, ...change }]);
  assert.throws(wrong({ name: "1x" }), /^TypeError: Cannot format metrics: the name of a family is "1x", required/);
  assert.throws(wrong({ name: "x" }), /required a name that ends with its unit _seconds/);
  assert.throws(wrong({ samples: [{ labels: { "a-b": "" }, value: 1 }] }), /a label of app_wait_seconds is "a-b"/);
  assert.throws(wrong({ samples: [{ labels: {}, value: "1" as never }] }), /a value of app_wait_seconds is "1"/);
  assert.throws(() => formatMetrics([], "json" as never), /format is "json", required "openmetrics" or "prometheus"/);
});

test("collect adds the metrics of another registry before the end marker", { skip }, async () => {
  await using metrics = await serveMetrics(0, {
    collect: (format) =>
      format === "openmetrics"
        ? Promise.resolve("# TYPE app_jobs counter\napp_jobs_total 3\n# EOF\n")
        : "# TYPE app_jobs_total counter\napp_jobs_total 3",
  });
  const open = await parse((await curl(metrics, "/metrics")).body, "openmetrics");
  const plain = await parse((await curl(metrics, "/metrics", "-H", "Accept: text/plain")).body, "prometheus");
  assert.deepEqual(
    [open, plain].map((samples) => valueOf(samples, "app_jobs_total", {})),
    [3, 3],
  );
});

test("counters that can't be read make /metrics fail, are reported, and leave /healthz", { skip }, async () => {
  let stats: () => unknown = () => {
    throw new Error("secret");
  };
  await using metrics = await serveMetrics(0, { servers: { one: { stats: () => stats() as object } } });
  const warnings = await warningsOf(async () => {
    const { body, status } = await curl(metrics, "/metrics");
    assert.equal(status, 500);
    assert.doesNotMatch(body, /secret/);
    assert.equal((await curl(metrics, "/readyz")).status, 503);
    stats = () => 5;
    assert.equal((await curl(metrics, "/metrics")).status, 500);
  });
  assert.equal(warnings.length, 3);
  assert.match(warnings[2]!, /stats\(\) of "one" is 5, required an object/);
  assert.equal((await curl(metrics, "/healthz")).status, 200);
  stats = () => Promise.resolve({ accepted: 2, connections: Number.NaN, refused: "x" });
  const samples = await parse((await curl(metrics, "/metrics")).body, "openmetrics");
  assert.equal(valueOf(samples, "berkeley_server_accepted_total", { server: "one" }), 2);
  assert.equal(valueOf(samples, "berkeley_server_refused_total", { server: "one" }), undefined);
});

test(
  "a request waits 5 seconds at most: for its header, for stats() and for the check of the program",
  { skip },
  async () => {
    const never = (): Promise<never> => new Promise(() => undefined);
    await using stuck = await serveMetrics(0, { servers: { worker: { stats: never } } });
    await using checking = await serveMetrics(0, { servers: { one: { stats: () => ({}) } }, ready: never });
    await using slow = await connect(stuck.address as EndpointLike);
    await slow.write("GET /healthz HTTP/1.1\r\nHost:");
    const warnings = await warningsOf(async () => {
      const [metrics, ready, check, header] = await Promise.all([
        curl(stuck, "/metrics"),
        curl(stuck, "/readyz"),
        curl(checking, "/readyz"),
        readToEnd(slow),
      ]);
      assert.deepEqual([metrics.status, ready.status, check.status], [500, 503, 503]);
      assert.match(header, /^end:HTTP\/1.1 408 Request Timeout/);
    });
    const late = "took longer than 5000 ms";
    const stats = `the metrics server threw Error: stats() of "worker" ${late}`;
    assert.deepEqual(warnings.toSorted(), [`ready threw Error: ready ${late}`, stats, stats]);
  },
);

test("a port alone is one of 127.0.0.1, and a UNIX socket has a path", { skip }, async () => {
  await using metrics = await serveMetrics({ port: 0 });
  assert.match(String(metrics.address), /^127\.0\.0\.1:\d+$/);
  await using six = await serveMetrics("tcp://[::1]:0");
  assert.match(String(six.address), /^\[::1\]:\d+$/);
  assert.equal((await curl(six, "/healthz")).body, "ok\n");
  const path = join(tmpdir(), `berkeley-metrics-${process.pid}.sock`);
  try {
    await using unix = await serveMetrics({ path });
    assert.equal((await curl(unix, "/healthz")).body, "ok\n");
  } finally {
    rmSync(path, { force: true });
  }
});

test("close() ends idle connections and releases the port; a signal closes too", async () => {
  const controller = new AbortController();
  await using metrics = await serveMetrics(0, { signal: controller.signal });
  const endpoint = metrics.address as EndpointLike;
  await using client = await connect(endpoint);
  await client.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  await client.readUntil("ok\n");
  controller.abort();
  assert.equal(await readToEnd(client), "end:");
  await metrics.close();
  await using again = await serveMetrics(endpoint);
  assert.equal(String(again.address), String(metrics.address));
});

test("it does not keep the process alive", async () => {
  const source = `
    import { serveMetrics } from "berkeley/server";
    import { connect } from "node:net";
    const metrics = await serveMetrics(0);
    const client = connect(metrics.address.port, "127.0.0.1");
    await new Promise((resolve) => client.once("connect", resolve));
    await fetch("http://" + metrics.address + "/healthz");
    client.unref();
    console.log("end");
  `;
  await using program = Program.node(["--input-type=module", "--eval", source]);
  assert.deepEqual(await program.ended, { status: 0, stdout: "end\n", stderr: "" });
});

test("wrong arguments are refused before anything listens", async () => {
  const refused = (from: unknown, opts: unknown, message: RegExp): Promise<void> =>
    assert.rejects(serveMetrics(from as EndpointLike, opts as object), message);
  await refused("udp://127.0.0.1:1", {}, /^TypeError: Cannot serve metrics at "udp:.*required a tcp endpoint, or unix/);
  await refused("tls://127.0.0.1:1", {}, /required a tcp endpoint/);
  await refused("unix:@abstract", {}, /required a tcp endpoint/);
  await refused("fd:3", {}, /required a tcp endpoint/);
  await refused(0, { server: {} }, /option "server" is unknown.*did you mean "servers"/);
  await refused(0, { servers: { a: {} } }, /server "a" is an object|server "a" is \{\}.*required an object with stats/);
  await refused(0, { servers: { "": { stats: () => ({}) } } }, /the name of a server is ""/);
  await refused(0, { servers: 5 }, /servers are 5, required an object of servers by name/);
  await refused(0, { ready: true }, /ready is true, required a function/);
  await refused(0, { collect: "x" }, /collect is "x", required a function/);
  await refused(0, { signal: AbortSignal.abort(new Error("before")) }, /before/);
  await using metrics = await serveMetrics(0);
  await assert.rejects(serveMetrics(metrics.address as EndpointLike), { code: "EADDRINUSE" });
  assert.throws(() => metrics.add("x", null as never), /server "x" is null, required an object with stats/);
});

test("prometheus keeps its connection between scrapes", async () => {
  await using metrics = await serveMetrics(0);
  await using client = await connect(metrics.address as EndpointLike);
  for (let count = 0; count < 3; count++) {
    await client.write("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.readUntil("no server is listening\n");
  }
});
