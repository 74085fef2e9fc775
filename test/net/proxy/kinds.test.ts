// Proxies of all kinds: over TLS, on UNIX sockets, with tokens and headers, their refusals, and real proxies if
// installed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { on } from "node:events";
import { rmSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { test } from "node:test";
import {
  connect,
  type ConnectOptions,
  type InetAddress,
  LimitError,
  listen,
  ProxyError,
  type ProxyOptions,
  SocketError,
  type Stream,
} from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { freePort } from "../../support/freePort.js";
import { Program } from "../../support/program.js";
import { certificates, serving } from "../../tls/support.js";
import { join } from "./fakeProxy.js";

checkLeaks();

const missing = (command: string): string | false =>
  spawnSync("sh", ["-c", `command -v ${command}`]).status === 0 ? false : `${command} is not installed`;

const folder = mkdtempSync(joinPath(tmpdir(), "berkeley-proxy-"));
test.after(() => rmSync(folder, { recursive: true }));

/** Reads a request and returns its lines. */
async function requestOf(client: Stream): Promise<string[]> {
  const lines: string[] = [];
  for (let line = await client.readLine(); line !== null && line !== ""; line = await client.readLine())
    lines.push(line);
  return lines;
}

/**
 * Connects through a proxy that only sends `answer`. Returns the request that the proxy got, and the result of
 * connect().
 */
async function tryProxy(
  answer: string | Buffer,
  opts: Partial<ProxyOptions> = {},
  more: ConnectOptions = {},
): Promise<{ request: string[]; stream?: Stream; error?: unknown }> {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const via: ProxyOptions = { protocol: "http", host: "127.0.0.1", port, ...opts };
  const connecting = connect("tcp://target.test:443", { timeout: 5_000, ...more, via }).then(
    (stream) => ({ stream }),
    (error: unknown) => ({ error }),
  );
  const accepted = await Promise.race([listener.accept(), connecting]);
  if ("error" in accepted || !("readLine" in accepted)) return { request: [], ...accepted };
  await using client = accepted;
  const request = await requestOf(client);
  await client.write(answer);
  const outcome = await connecting;
  return { request, ...outcome };
}

test("a token, another scheme and further headers go out with the request", async () => {
  const ok = "HTTP/1.1 200 OK\r\n\r\n";
  for (const [opts, line] of [
    [{ token: "abc.DEF-123~+/==" }, "Proxy-Authorization: Bearer abc.DEF-123~+/=="],
    [{ authorization: "Negotiate YII=" }, "Proxy-Authorization: Negotiate YII="],
    [{ username: "me", password: "secret" }, "Proxy-Authorization: Basic bWU6c2VjcmV0"],
    [{ headers: { "proxy-authorization": "Custom x" } }, "proxy-authorization: Custom x"],
    [{ headers: { "User-Agent": "mine", "X-Many": ["1", "2"] } }, "User-Agent: mine|X-Many: 1|X-Many: 2"],
  ] as const) {
    const { request, stream } = await tryProxy(ok, opts);
    assert.deepEqual(request, ["CONNECT target.test:443 HTTP/1.1", "Host: target.test:443", ...line.split("|")]);
    await stream!.close();
  }
});

test("options that a proxy cannot be sent, or has no use for, are refused without their secrets", async () => {
  for (const via of [
    { token: "a b" },
    { token: "" },
    { token: "secret\r\nX: y" },
    { token: 1 },
    { authorization: "secret\r\nX: y" },
    { authorization: "" },
    { authorization: "Bad\nscheme" },
    { token: "secret", username: "me" },
    { token: "secret", authorization: "Negotiate secret" },
    { username: "me", headers: { "Proxy-Authorization": "x" } },
    { headers: { Host: "x" } },
    { headers: { "Content-Length": "1" } },
    { headers: { "transfer-encoding": "chunked" } },
    { headers: { "a b": "x" } },
    { headers: { x: "secret\r\n" } },
    { headers: { x: 5 } },
    { headers: { x: "\u20ac" } },
    { headers: ["x"] },
    { headers: null },
    { maxHeaders: -1 },
    { tls: {} },
    { path: "/x" },
    { protocol: "socks5", token: "secret" },
    { protocol: "socks5", headers: {} },
    { protocol: "socks5h", maxHeader: 5 },
    { protocol: "socks4" },
    { protocol: "https", tls: { ca: 5 } },
    { protocol: "https", tls: { unknown: 5 } },
    { protocol: "http", host: undefined, port: undefined, path: "" },
    { protocol: "https", host: undefined, port: undefined, path: "/x" },
  ]) {
    const opts = { via: { protocol: "http", host: "127.0.0.1", port: 1, ...via } as never };
    await assert.rejects(connect("tcp://target.test:1", opts), (error: Error) => {
      assert.ok(
        error instanceof TypeError || error instanceof RangeError,
        `${String(error)} of ${JSON.stringify(via)}`,
      );
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
});

test("the error has the refusal of the proxy", async () => {
  const answer =
    "HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm=x\r\nproxy-authenticate: Negotiate\r\n__proto__: y\r\n\r\nbody";
  const { error } = await tryProxy(answer);
  assert.ok(error instanceof ProxyError && error instanceof SocketError);
  assert.equal(error.name, "ProxyError");
  assert.equal(error.code, "EACCES");
  assert.equal(error.status, 407);
  assert.equal(error.statusText, "Who are you?");
  assert.equal(error.headers!["proxy-authenticate"], "Basic realm=x, Negotiate");
  assert.deepEqual(Object.keys(error.headers!), ["proxy-authenticate", "__proto__"]);
  assert.equal(error.address, "target.test");
  assert.equal(error.reply, undefined);
});

test("a response header can have either line end, and the bytes after it are those of the destination", async () => {
  for (const answer of [
    "HTTP/1.1 200 OK\n\n",
    "HTTP/1.1 200 OK\nVia: x\n\n",
    "HTTP/1.1 200 OK\r\nVia: x\n\r\n",
    "HTTP/1.1 200 OK\nVia: x\r\n\n",
    "HTTP/1.0 200\r\n\r\n",
    "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\n\r\n",
  ]) {
    const { stream, error } = await tryProxy(`${answer}first words\n`);
    assert.equal(error, undefined, answer);
    assert.equal(await stream!.readLine(), "first words");
    await stream!.close();
  }
  const { error } = await tryProxy("HTTP/1.1 403 No\nWhy: so\n\n");
  assert.equal((error as ProxyError).status, 403);
  assert.equal((error as ProxyError).headers!["why"], "so");
});

test("a wrong response header is refused after its first bytes or lines, without waiting for more", async () => {
  for (const [answer, opts] of [
    [Buffer.of(5, 0, 0, 0, 0), {}],
    ["SSH-2.0-x\r\n", {}],
    ["HTTP/2 200\r\n", {}],
    ["HTTP/1.1 2000 OK\n", {}],
    ["HTTP/1.1 200 OK\nno field\n", {}],
    ["HTTP/1.1 200 OK\n folded: x\n", {}],
    ["HTTP/1.1 200 OK\na\rb: x\n", {}],
    ["HTTP/1.1 200 OK\na: b\rc\n", {}],
    ["HTTP/1.1 200 OK\r\na: 1\r\nb: 2\r\nc: 3\r\n", { maxHeaders: 2 }],
    [`HTTP/1.1 200 OK\r\na: ${"x".repeat(100)}`, { maxHeader: 60 }],
    [`HTTP/1.1 200 OK\r\n${"a: 1\r\n".repeat(20)}`, { maxHeader: 60 }],
    ["HTTP/1.1 100 a\n\n".repeat(20), { maxHeader: 60 }],
  ] as const) {
    const { error } = await tryProxy(answer, opts);
    assert.ok(error instanceof SocketError, String(answer));
    assert.equal(error.code, "EPROTO", String(answer));
    const [limit] = Object.entries(opts)[0] ?? [];
    if (limit === undefined) continue;
    assert.ok(error.cause instanceof LimitError);
    const unit = limit === "maxHeader" ? "bytes" : "header fields";
    assert.match(error.cause.message, new RegExp(`^Cannot take \\d+ ${unit}: ${limit} allows at most \\d+$`));
    assert.ok(error.cause.found > error.cause.max);
  }
});

test("an answer that ends early is ECONNRESET", async () => {
  for (const answer of ["HTTP/1.1 200", "HTTP/1.1 200 OK\r\n", "HTT"]) {
    await using listener = await listen("tcp://127.0.0.1:0");
    const connecting = assert.rejects(
      connect("tcp://target.test:1", { via: `http://127.0.0.1:${(listener.address as InetAddress).port}` }),
      { code: "ECONNRESET" },
    );
    await using client = await listener.accept();
    await requestOf(client);
    await client.write(answer);
    await client.end();
    await connecting;
  }
});

/** A small HTTP proxy that connects the client with `target` for every request. */
async function serveOnce(listener: { accept(): Promise<Stream> }, target: InetAddress): Promise<void> {
  await using client = await listener.accept();
  await requestOf(client);
  await client.write("HTTP/1.1 200 OK\r\n\r\n");
  await join(client, `tcp://127.0.0.1:${target.port}`);
}

async function echoOnce(listener: { accept(): Promise<Stream> }): Promise<void> {
  await using stream = await listener.accept();
  await stream.pipeTo(stream);
}

async function echoes(stream: Stream): Promise<void> {
  await stream.write("through it\n");
  assert.equal(await stream.readLine(), "through it");
  await stream.closeWrite();
  assert.equal(await stream.read(), null);
}

for (const inner of ["tcp", "tls"] as const) {
  test(`a proxy over TLS, with options of its own, to a ${inner} destination`, async () => {
    await using target =
      inner === "tcp"
        ? await listen("tcp://127.0.0.1:0")
        : await listen("tls://127.0.0.1:0", { tls: serving(certificates().selfSigned) });
    await using proxy = await listen("tls://127.0.0.1:0", { tls: serving() });
    const { port } = proxy.address as InetAddress;
    const working = Promise.all([serveOnce(proxy, target.address as InetAddress), echoOnce(target)]);
    const endpoint = `${inner}://localhost:${(target.address as InetAddress).port}`;
    await using stream = await connect(endpoint, {
      timeout: 5_000,
      via: { protocol: "https", host: "localhost", port, tls: { ca: certificates().ca.cert } },
      ...(inner === "tls" ? { tls: { ca: certificates().selfSigned.cert } } : {}),
    });
    await echoes(stream);
    await stream.close();
    await working;
    // What the destination is verified by is nothing to the proxy.
    const accepting = proxy.accept({ timeout: 5_000, signal: AbortSignal.timeout(500) }).catch(() => undefined);
    await assert.rejects(connect(endpoint, { timeout: 5_000, via: `https://localhost:${port}` }), /localhost/);
    await (await accepting)?.close();
  });
}

test("proxies on UNIX sockets, HTTP and SOCKS, with a path and an abstract name", async () => {
  const path = joinPath(folder, "proxy.sock");
  for (const [endpoint, via] of [
    [`unix:${path}`, { protocol: "http", path }],
    [`unix:${path}`, { protocol: "http", path: `unix:${path}` }],
    [`unix:${path}`, `http+unix:${path}`],
    [`unix:@proxy-${process.pid}`, { protocol: "http", path: `@proxy-${process.pid}` }],
    [`unix:@proxy-${process.pid}`, { protocol: "http", path: `\0proxy-${process.pid}` }],
  ] as const) {
    await using target = await listen("tcp://127.0.0.1:0");
    await using proxy = await listen(endpoint);
    const working = Promise.all([serveOnce(proxy, target.address as InetAddress), echoOnce(target)]);
    await using stream = await connect("tcp://target.test:1", { timeout: 5_000, via });
    await echoes(stream);
    await stream.close();
    await working;
  }
  {
    await using proxy = await listen(`unix:${path}`);
    const connecting = connect("tcp://target.test:1", { timeout: 5_000, via: `socks5h+unix:${path}` });
    await using client = await proxy.accept();
    assert.deepEqual(await client.readExactly(3), Buffer.of(5, 1, 0));
    await client.write(Uint8Array.of(5, 0));
    assert.deepEqual(await client.readExactly(18), Buffer.from("\x05\x01\0\x03\x0btarget.test\0\x01", "latin1"));
    await client.write(Uint8Array.of(5, 2, 0, 1, 0, 0, 0, 0, 0, 0));
    await assert.rejects(connecting, (error) => error instanceof ProxyError && error.reply === 2);
  }
  await assert.rejects(connect("tcp://target.test:1", { via: `http+unix:${folder}/none` }), { code: "ENOENT" });
  await assert.rejects(connect("tcp://target.test:1", { via: `http+unix:${path}`, noDelay: true }), TypeError);
});

test("a proxy over TLS on a UNIX socket needs a name, and then works", async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  const path = joinPath(folder, "tls.sock");
  await using listener = await listen(`unix:${path}`);
  const { wrapTls, Stream: Buffered } = await import("berkeley");
  const accept = async (): Promise<Stream> =>
    new Buffered(await wrapTls(await listener.accept(), { ...serving(), isServer: true }));
  const working = Promise.all([serveOnce({ accept }, target.address as InetAddress), echoOnce(target)]);
  const via = { protocol: "https", path, tls: { ca: certificates().ca.cert, servername: "localhost" } } as const;
  await using stream = await connect("tcp://target.test:1", { timeout: 5_000, via });
  await echoes(stream);
  await stream.close();
  await working;
});

test("ncat as an HTTP proxy, and its refusal of a wrong user", { skip: missing("ncat") }, async () => {
  await using target = await listen("tcp://127.0.0.1:0");
  const port = await freePort();
  await using ncat = new Program("ncat", [
    "-v",
    "-k",
    "-l",
    "127.0.0.1",
    String(port),
    "--proxy-type",
    "http",
    "--proxy-auth",
    "me:secret",
  ]);
  await waitForStderr(ncat, /Listening on (0\.0\.0\.0|127)/);
  const endpoint = `tcp://127.0.0.1:${(target.address as InetAddress).port}`;
  await assert.rejects(connect(endpoint, { timeout: 5_000, via: `http://me:wrong@127.0.0.1:${port}` }), (error) => {
    return error instanceof ProxyError && error.status === 407 && "proxy-authenticate" in error.headers!;
  });
  const echoing = echoOnce(target);
  await using stream = await connect(endpoint, { timeout: 5_000, via: `http://me:secret@127.0.0.1:${port}` });
  await stream.write("through it\n");
  assert.equal(await stream.readLine(), "through it");
  await stream.close();
  await echoing;
});

const PYTHON_PROXY = `
import http.server, socket, ssl, sys, threading
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        if self.headers.get("Proxy-Authorization") != "Bearer t0ken":
            return self.send_error(407)
        host, port = self.path.rsplit(":", 1)
        there = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        def copy(a, b):
            while data := a.recv(65536): b.sendall(data)
            try: b.shutdown(socket.SHUT_WR)
            except OSError: pass
        back = threading.Thread(target=copy, args=(there, self.connection))
        back.start()
        copy(self.connection, there)
        back.join()
        there.close()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("port", server.server_address[1], flush=True)
server.serve_forever()
`;

test("a proxy of Python's http.server over TLS, with a token", async () => {
  const script = joinPath(folder, "proxy.py");
  writeFileSync(script, PYTHON_PROXY);
  const { certFile, keyFile } = certificates().server;
  await using python = new Program("python3", [script, certFile, keyFile]);
  const [, port] = await python.line(/^port (\d+)$/);
  await using target = await listen("tls://127.0.0.1:0", { tls: serving() });
  const endpoint = `tls://localhost:${(target.address as InetAddress).port}` as const;
  const tls = { ca: certificates().ca.cert };
  const via = { protocol: "https", host: "localhost", port: Number(port), tls } as const;
  await assert.rejects(connect(endpoint, { timeout: 5_000, tls, via }), (error) => {
    return error instanceof ProxyError && error.status === 407 && /Python/.test(error.headers!["server"]!);
  });
  const echoing = echoOnce(target);
  await using stream = await connect(endpoint, { timeout: 5_000, tls, via: { ...via, token: "t0ken" } });
  await stream.write("through it\n");
  assert.equal(await stream.readLine(), "through it");
  await stream.close();
  await echoing;
});

/** Waits for text on standard error. */
async function waitForStderr(program: Program, pattern: RegExp): Promise<void> {
  let text = "";
  for await (const [chunk] of on(program.child.stderr!, "data")) {
    text += String(chunk);
    if (pattern.test(text)) return;
  }
}
