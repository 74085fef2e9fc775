// HTTP proxies: the request, the response header, and the errors for statuses.

import assert from "node:assert/strict";
import http from "node:http";
import { connect as netConnect, type AddressInfo } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { connect, type ConnectOptions, listen, type InetAddress, type ProxyOptions } from "berkeley";
import { checkLeaks } from "../../support/leaks.js";
import { rejection } from "../support.js";
import { FakeProxy } from "./fakeProxy.js";

checkLeaks();

const through = (proxy: FakeProxy): ConnectOptions => ({ via: `http://127.0.0.1:${proxy.port}` });

/** A proxy that notes the request, sends these texts, and ends. */
async function answering(...texts: readonly string[]): Promise<FakeProxy & { requests: string[] }> {
  const requests: string[] = [];
  const proxy = await FakeProxy.open(async (client) => {
    requests.push((await client.readUntil("\r\n\r\n"))!.toString());
    for (const text of texts) {
      await client.write(text);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  return Object.assign(proxy, { requests });
}

test("connect() goes to a host through HTTP's CONNECT of node:http", async () => {
  await using listener = await listen("tcp://127.0.0.1:0");
  const { port } = listener.address as InetAddress;
  const proxy = http.createServer();
  const seen: string[] = [];
  proxy.on("connect", (request, client, head) => {
    seen.push(`${request.url} ${request.headers.host} ${String(request.headers["proxy-authorization"])}`);
    const server = netConnect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 Connection Established\r\nX-Via: node\r\n\r\n");
      server.write(head);
      server.pipe(client).pipe(server);
    });
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const via: ProxyOptions = {
    protocol: "http",
    host: "127.0.0.1",
    port: (proxy.address() as AddressInfo).port,
    username: "Aladdin",
    password: "open sesame",
  };
  const stream = await connect("tcp://some.example:443", { via });
  const server = await listener.accept();
  await stream.write("question\n");
  assert.equal(await server.readLine(), "question");
  await server.write("answer\n");
  assert.equal(await stream.readLine(), "answer");
  await Promise.all([stream.close(), server.close()]);
  // The token is that of RFC 7617, section 2.
  assert.deepEqual(seen, ["some.example:443 some.example:443 Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]);
  await new Promise((resolve) => proxy.close(resolve));
});

test("connect() writes addresses and names as HTTP has them", async () => {
  const cases: [endpoint: string, authority: string][] = [
    ["tcp://some.example:80", "some.example:80"],
    ["tcp://192.0.2.1:80", "192.0.2.1:80"],
    ["tcp://[2001:db8::1]:80", "[2001:db8::1]:80"],
    ["tcp://bücher.example:80", "xn--bcher-kva.example:80"],
  ];
  for (const [endpoint, authority] of cases) {
    await using proxy = await answering("HTTP/1.1 200 OK\r\n\r\n");
    await using stream = await connect(endpoint, through(proxy));
    assert.deepEqual(proxy.requests, [`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`]);
    assert.ok(stream);
  }
});

test("connect() loses no byte that follows the header, and takes no body for one of a 2xx answer", async () => {
  for (const texts of [
    ["HTTP/1.1 200 OK\r\n\r\nfirst bytes"],
    ["HTTP/1.0 200\r\n\r\nfirst", " bytes"],
    ["HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r", "\n\r\nfirst bytes"],
    ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfirst bytes"],
  ]) {
    await using proxy = await answering(...texts);
    await using stream = await connect("tcp://some.example:80", through(proxy));
    assert.equal((await stream.readExactly(11)).toString(), "first bytes");
  }
});

test("the error of connect() explains the status, and quotes the text of the proxy", async () => {
  const statuses: [status: string, code: string][] = [
    ["400 Bad Request", "EPROTO"],
    ["401 Unauthorized", "EACCES"],
    ["403 Forbidden", "EACCES"],
    ["404 Not Found", "EHOSTUNREACH"],
    ["405 Method Not Allowed", "EOPNOTSUPP"],
    ["407 Proxy Authentication Required", "EACCES"],
    ["429 Too Many Requests", "EBUSY"],
    ["500 Internal Server Error", "EPROTO"],
    ["502 Bad Gateway", "EHOSTUNREACH"],
    ["503 Service Unavailable", "EHOSTUNREACH"],
    ["504 Gateway Timeout", "ETIMEDOUT"],
    ["302 Found", "EPROTO"],
  ];
  for (const [status, code] of statuses) {
    await using proxy = await answering(`HTTP/1.1 ${status}\r\nProxy-Authenticate: Basic\r\n\r\n`);
    const error = await rejection(connect("tcp://some.example:80", through(proxy)));
    assert.ok(error.message.startsWith(`connect ${code} some.example:80: `), error.message);
    const [number, ...words] = status.split(" ");
    assert.equal((error.cause as Error).message, `the proxy answered ${number} "${words.join(" ")}"`);
  }
});

test("connect() refuses a response that is not HTTP/1.1, or has no end", async () => {
  const answers: [text: string, code: string][] = [
    ["SSH-2.0-OpenSSH\r\n\r\n", "EPROTO"],
    ["HTTP/2 200 OK\r\n\r\n", "EPROTO"],
    ["HTTP/1.1 2000 OK\r\n\r\n", "EPROTO"],
    ["HTTP/1.1 20 OK\r\n\r\n", "EPROTO"],
    ["\r\n\r\n", "EPROTO"],
    ["", "ECONNRESET"],
    ["HTTP/1.1 200 OK\r\n", "ECONNRESET"],
  ];
  for (const [text, code] of answers) {
    await using proxy = await answering(text);
    assert.equal((await rejection(connect("tcp://some.example:80", through(proxy)))).code, code, text);
  }
});

test("connect() reads no header beyond its limit, interim answers included", async () => {
  const cases: [text: string, maxHeader: number | undefined][] = [
    [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, undefined],
    [`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100)}\r\n\r\n`, 100],
    ["HTTP/1.1 100 Continue\r\n\r\n".repeat(1000), undefined],
  ];
  for (const [text, maxHeader] of cases) {
    await using proxy = await FakeProxy.open(async (client) => {
      await client.readUntil("\r\n\r\n");
      await client.write(text);
      await client.read().catch(() => undefined);
    });
    const via: ProxyOptions = { protocol: "http", host: "127.0.0.1", port: proxy.port, maxHeader };
    const error = await rejection(connect("tcp://some.example:80", { via, timeout: 10_000 }));
    assert.equal(error.message, "connect EPROTO some.example:80: protocol error");
    assert.equal((error.cause as Error).name, "LimitError");
  }
  await using proxy = await answering(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(60_000)}\r\n\r\n`);
  const via: ProxyOptions = { protocol: "http", host: "127.0.0.1", port: proxy.port, maxHeader: 70_000 };
  await using stream = await connect("tcp://some.example:80", { via });
  assert.equal(await stream.read(), null);
});
