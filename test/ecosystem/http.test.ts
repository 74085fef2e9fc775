// curl and wrk against node:http, and curl and nghttp against node:http2, on listeners of ours.

import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { listen, type Stream } from "berkeley";
import { greet, HttpServer } from "../../examples/http.js";
import { checkLeaks } from "../support/leaks.js";
import { missing, run } from "./support.js";

checkLeaks();

const withoutCurl = missing("curl", "curl");
const withoutWrk = missing("wrk", "wrk");
const withoutNghttp = missing("nghttp2-client", "nghttp");

const start = (endpoint = "tcp://127.0.0.1:0"): Promise<HttpServer> => HttpServer.start(endpoint, greet);

test("curl gets, several times over one connection", { skip: withoutCurl }, async () => {
  await using server = await start();
  const url = `http://${String(server.address)}`;
  const form = ["-sS", "-w", "%{http_code} %{num_connects}\n"];
  const { status, stdout, stderr } = await run("curl", [...form, `${url}/a`, `${url}/b`]);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "hello, you asked for /a\n200 1\nhello, you asked for /b\n200 0\n");
});

test("curl posts a megabyte, and gets it back whole", { skip: withoutCurl }, async () => {
  await using server = await start();
  const body = "0123456789abcdef".repeat(65_536);
  const args = ["-sS", "--data-binary", "@-", `http://${String(server.address)}/`];
  const { status, stdout, stderr } = await run("curl", args, body);
  assert.equal(status, 0, stderr);
  assert.ok(stdout === body, `it came back with ${stdout.length} bytes, or with others`);
});

test("curl gets over a UNIX socket", { skip: withoutCurl }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "berkeley-ecosystem-"));
  const path = join(folder, "http.sock");
  try {
    await using server = await start(`unix:${path}`);
    assert.equal(String(server.address), `unix:${path}`);
    const { status, stdout, stderr } = await run("curl", ["-sS", "--unix-socket", path, "http://localhost/unix"]);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "hello, you asked for /unix\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("wrk gets over many connections at once, without an error", { skip: withoutWrk }, async () => {
  await using server = await start();
  const url = `http://${String(server.address)}/`;
  const { status, stdout, stderr } = await run("wrk", ["-t", "1", "-c", "32", "-d", "1s", url]);
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stdout, /Socket errors|Non-2xx/);
  const [, count] = /(\d+) requests in/.exec(stdout) ?? [];
  assert.ok(Number(count) >= 32, stdout);
});

/** A server of node:http2 without TLS, on a listener of ours; each stream goes there as `put` says. */
class Http2 implements AsyncDisposable {
  readonly #server = createHttp2Server();
  readonly #listener: Awaited<ReturnType<typeof listen>>;
  readonly #accepting: Promise<void>;
  readonly #sessions = new Set<{ destroy(): void }>();

  private constructor(listener: Awaited<ReturnType<typeof listen>>, put: (stream: Stream) => unknown) {
    this.#listener = listener;
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
    this.#server.on("request", (request, response) => {
      if (request.method === "POST") request.pipe(response);
      else response.end(`hello, you asked for ${request.url}\n`);
    });
    this.#accepting = (async () => {
      for await (const stream of listener) this.#server.emit("connection", put(stream));
    })();
  }

  static async start(put: (stream: Stream) => unknown): Promise<Http2> {
    return new Http2(await listen("tcp://127.0.0.1:0"), put);
  }

  get url(): string {
    return `http://${String(this.#listener.address)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
    for (const session of this.#sessions) session.destroy();
    await this.#accepting;
  }
}

const ways: readonly [name: string, put: (stream: Stream) => unknown][] = [
  ["its descriptor", (stream) => stream.toNetSocket()],
  ["a Duplex", (stream) => stream.toDuplex()],
];

for (const [name, put] of ways) {
  test(`curl uses HTTP/2 with prior knowledge over ${name}`, { skip: withoutCurl }, async () => {
    await using server = await Http2.start(put);
    const args = ["-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}\n", `${server.url}/a`];
    const { status, stdout, stderr } = await run("curl", args);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, "hello, you asked for /a\n2 200\n");
  });

  test(`curl posts a megabyte by HTTP/2 over ${name}`, { skip: withoutCurl }, async () => {
    await using server = await Http2.start(put);
    const body = "0123456789abcdef".repeat(65_536);
    const args = ["-sS", "--http2-prior-knowledge", "--data-binary", "@-", `${server.url}/`];
    const { status, stdout, stderr } = await run("curl", args, body);
    assert.equal(status, 0, stderr);
    assert.ok(stdout === body, `it came back with ${stdout.length} bytes, or with others`);
  });

  test(`nghttp gets many streams of HTTP/2 over ${name}`, { skip: withoutNghttp }, async () => {
    await using server = await Http2.start(put);
    const paths = Array.from({ length: 20 }, (_, index) => `${server.url}/${index}`);
    const { status, stdout, stderr } = await run("nghttp", paths);
    assert.equal(status, 0, stderr);
    assert.deepEqual(
      stdout.trim().split("\n").toSorted(),
      paths.map((_, index) => `hello, you asked for /${index}`).toSorted(),
    );
  });
}
