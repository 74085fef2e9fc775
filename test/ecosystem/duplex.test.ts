// node:http and node:https on the result of toDuplex(): timeouts, addresses, TLS, keep-alive; curl and node:http are
// the clients.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import { test } from "node:test";
import type { PeerCertificate } from "node:tls";
import { connect, listen, type ListenOptions, type Stream } from "berkeley";
import { certificates, serving } from "../tls/support.js";
import { checkLeaks } from "../support/leaks.js";
import { missing, run } from "./support.js";

checkLeaks();

const withoutCurl = missing("curl", "curl");

/** A server of Node's on a listener of ours, by way of a Duplex. */
class Served implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #listener: Awaited<ReturnType<typeof listen>>;
  readonly #accepting: Promise<void>;

  private constructor(server: http.Server, listener: Awaited<ReturnType<typeof listen>>, event: string) {
    this.#server = server;
    this.#listener = listener;
    // From here on Node looks after its timeouts for headers and requests.
    server.emit("listening");
    this.#accepting = (async () => {
      for await (const stream of listener) server.emit(event, stream.toDuplex());
    })();
  }

  static async start(
    server: http.Server,
    endpoint = "tcp://127.0.0.1:0",
    opts: ListenOptions = {},
    event = "connection",
  ): Promise<Served> {
    return new Served(server, await listen(endpoint, opts), event);
  }

  get port(): number {
    return (this.#listener.address as unknown as { readonly port: number }).port;
  }

  visit(): Promise<Stream> {
    return connect(`tcp://127.0.0.1:${this.port}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener.close();
    await this.#accepting;
    this.#server.close(() => undefined);
    this.#server.closeAllConnections();
  }
}

const ASK = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async function readAnswer(stream: Stream): Promise<string> {
  let length = 0;
  const head: string[] = [];
  for (let line = await stream.readLine(); line !== ""; line = await stream.readLine()) {
    if (line === null) break;
    head.push(line);
    const [, digits] = /^content-length: (\d+)/i.exec(line) ?? [];
    if (digits !== undefined) length = Number(digits);
  }
  return `${head[0]} ${String(await stream.readExactly(length))}`;
}

test("keepAliveTimeout ends a connection that is idle between requests, and not before", async () => {
  const server = http.createServer((_, response) => response.end("answer"));
  server.keepAliveTimeout = 50;
  await using served = await Served.start(server);
  await using client = await served.visit();
  for (let asked = 0; asked < 3; asked++) {
    await client.write(ASK);
    assert.equal(await readAnswer(client), "HTTP/1.1 200 OK answer");
  }
  assert.equal(await client.read({ timeout: 20_000 }), null);
});

test("headersTimeout answers 408 to headers that do not end", async () => {
  const limits = { headersTimeout: 50, requestTimeout: 100, connectionsCheckingInterval: 20 };
  const server = http.createServer(limits, (_, response) => response.end("never"));
  await using served = await Served.start(server);
  await using client = await served.visit();
  await client.write("GET / HTTP/1.1\r\nHost: local");
  assert.equal(await client.readLine({ timeout: 20_000 }), "HTTP/1.1 408 Request Timeout");
});

test("requestTimeout answers 408 to a body that does not end", async () => {
  const limits = { headersTimeout: 50, requestTimeout: 100, connectionsCheckingInterval: 20 };
  const server = http.createServer(limits, (request) => request.resume());
  await using served = await Served.start(server);
  await using client = await served.visit();
  await client.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123");
  assert.equal(await client.readLine({ timeout: 20_000 }), "HTTP/1.1 408 Request Timeout");
});

const UNFINISHED = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123";

const timeouts: readonly [of: string, ask: string, set: (server: http.Server, late: () => void) => http.Server][] = [
  ["a request", UNFINISHED, (server, late) => server.on("request", (request) => request.setTimeout(30, late))],
  ["a response", ASK, (server, late) => server.on("request", (_, response) => response.setTimeout(30, late))],
  ["a server", ASK, (server, late) => server.setTimeout(30, late)],
];

for (const [of, ask, set] of timeouts) {
  test(`the timeout of ${of} is emitted where Node emits it`, async () => {
    const server = http.createServer();
    const responses: http.ServerResponse[] = [];
    server.on("request", (_, response) => responses.push(response));
    await using served = await Served.start(set(server, () => responses[0]?.end("late")));
    await using client = await served.visit();
    await client.write(ask);
    assert.equal(await readAnswer(client), "HTTP/1.1 200 OK late");
  });
}

test("a server's timeout without a listener ends the connection", async () => {
  const server = http.createServer(() => undefined);
  server.timeout = 30;
  await using served = await Served.start(server);
  await using client = await served.visit();
  await client.write(ASK);
  assert.equal(await client.read({ timeout: 20_000 }), null);
});

test("an answer that says Connection: close ends the connection, all of it sent", async () => {
  const body = Buffer.alloc(1_000_000, "0123456789");
  const server = http.createServer((_, response) => {
    response.setHeader("Connection", "close");
    response.end(body);
  });
  await using served = await Served.start(server);
  await using client = await served.visit();
  await client.write(ASK);
  const answer = await readAnswer(client);
  assert.equal(answer.length, "HTTP/1.1 200 OK ".length + body.length);
  assert.equal(await client.read(), null);
});

test("a request has the addresses of its connection, and is not encrypted", async () => {
  const server = http.createServer(({ socket }, response) => {
    const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket;
    const encrypted = "encrypted" in socket ? socket.encrypted : undefined;
    response.end(JSON.stringify([remoteAddress, remotePort, remoteFamily, localAddress, localPort, encrypted ?? null]));
  });
  await using served = await Served.start(server);
  await using client = await served.visit();
  await client.write(ASK);
  const { port } = client.localAddress as unknown as { readonly port: number };
  const expected = ["127.0.0.1", port, "IPv4", "127.0.0.1", served.port, null];
  assert.equal(await readAnswer(client), `HTTP/1.1 200 OK ${JSON.stringify(expected)}`);
});

test("curl keeps its connection", { skip: withoutCurl }, async () => {
  const server = http.createServer((request, response) => response.end(`you asked for ${request.url}\n`));
  await using served = await Served.start(server);
  const url = `http://127.0.0.1:${served.port}`;
  const { status, stdout, stderr } = await run("curl", ["-sS", "-w", "%{num_connects}\n", `${url}/a`, `${url}/b`]);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "you asked for /a\n1\nyou asked for /b\n0\n");
});

for (const [what, make, event] of [
  ["node:http", (listener: http.RequestListener) => http.createServer(listener), "connection"],
  ["node:https", (listener: http.RequestListener) => https.createServer(listener), "secureConnection"],
] as const) {
  test(
    `${what} on streams over TLS says encrypted, who the client is, and keeps curl's connection`,
    { skip: withoutCurl },
    async () => {
      const { ca, client } = certificates();
      const server = make(({ socket }, response) => {
        const secured = socket as typeof socket & {
          readonly encrypted?: boolean;
          readonly authorized?: boolean;
          getPeerCertificate(detailed?: boolean): PeerCertificate;
        };
        const { CN } = secured.getPeerCertificate().subject;
        response.end(`${secured.encrypted} ${secured.authorized} ${CN} ${secured.remoteAddress}\n`);
      });
      server.keepAliveTimeout = 50;
      const tls = { ...serving(), requestCert: true, ca: ca.cert, alpnProtocols: ["http/1.1"] };
      await using served = await Served.start(server, "tls://127.0.0.1:0", { tls }, event);
      const url = `https://localhost:${served.port}`;
      const trust = ["--cacert", ca.certFile, "--cert", client.certFile, "--key", client.keyFile];
      const args = ["-4", "-sS", ...trust, "-w", "%{num_connects}\n", `${url}/a`, `${url}/b`];
      const { status, stdout, stderr } = await run("curl", args);
      assert.equal(status, 0, stderr);
      assert.equal(stdout, "true true client 127.0.0.1\n1\ntrue true client 127.0.0.1\n0\n");
      const visitor = { ca: ca.cert, cert: client.cert, key: client.key };
      await using stream = await connect(`tls://localhost:${served.port}`, { tls: visitor });
      await stream.write(ASK);
      assert.match(await readAnswer(stream), /true true client 127.0.0.1\n$/);
      assert.equal(await stream.read({ timeout: 20_000 }), null);
    },
  );
}

test("node:https does its TLS on a Duplex of ours", { skip: withoutCurl }, async () => {
  const { ca } = certificates();
  const server = https.createServer(serving() as https.ServerOptions, (_, response) => response.end("by Node\n"));
  await using served = await Served.start(server);
  const args = ["-4", "-sS", "--cacert", ca.certFile, `https://localhost:${served.port}/`];
  const { status, stdout, stderr } = await run("curl", args);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "by Node\n");
});

for (const secure of [false, true]) {
  test(`an Agent of node:http with keep-alive makes two requests over one Duplex${secure ? " with TLS" : ""}`, async () => {
    let connections = 0;
    const server = http.createServer((request, response) => response.end(`you asked for ${request.url}`));
    server.on("connection", () => connections++);
    const opts = secure ? { tls: serving() } : {};
    await using served = await Served.start(server, secure ? "tls://127.0.0.1:0" : "tcp://127.0.0.1:0", opts);
    const agent = new http.Agent({ keepAlive: true, keepAliveMsecs: 2000, timeout: 10_000 });
    const stream = secure
      ? await connect(`tls://localhost:${served.port}`, { tls: { ca: certificates().ca.cert } })
      : await served.visit();
    const duplex = stream.toDuplex();
    Object.assign(agent, { createConnection: () => duplex });
    for (const path of ["/a", "/b"]) {
      const request = http.get({ agent, host: "localhost", path });
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
      assert.equal(text, `you asked for ${path}`);
      // The agent puts it away in the next turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(connections, 1);
    agent.destroy();
    await once(duplex, "close");
  });
}
