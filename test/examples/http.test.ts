// The example http.ts: clients of node:http and fetch() on our listener, over TCP and UNIX.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, request, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { connect, listen } from "berkeley";
import { greet, HttpServer } from "../../examples/http.js";
import { checkLeaks } from "../support/leaks.js";
import { example, interrupted, portOf } from "./support.js";

checkLeaks();

/** The port of a server's address. */
function port({ address }: HttpServer): number {
  if (!("port" in address)) throw new Error(`an address with a port is required, found ${String(address)}`);
  return address.port;
}

test("node:http serves on our listener, several requests a connection", async () => {
  await using server = await HttpServer.start("tcp://127.0.0.1:0", greet);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ports = new Set<number | undefined>();
  for (const path of ["/a", "/b"]) {
    const asking = request({ agent, host: "127.0.0.1", path, port: port(server) }).end();
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    ports.add(response.socket.localPort);
    assert.equal(await text(response), `hello, you asked for ${path}\n`);
  }
  assert.equal(ports.size, 1);
  agent.destroy();
});

test("a body goes there and back, in chunks and whole", async () => {
  await using server = await HttpServer.start("tcp://127.0.0.1:0", greet);
  const asking = request({ agent: false, host: "127.0.0.1", method: "POST", port: port(server) });
  const body = "x".repeat(1 << 20);
  asking.write(body);
  asking.end("end");
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  assert.equal(await text(response), `${body}end`);
});

test("a client that ends its side right after the request gets the answer", async () => {
  await using server = await HttpServer.start("tcp://127.0.0.1:0", (_, response) => {
    setImmediate(() => response.end("late"));
  });
  await using client = await connect(server.address);
  await client.write("GET / HTTP/1.0\r\n\r\n");
  await client.closeWrite();
  assert.match(await text(client.toDuplex()), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\nlate$/);
});

test("node:http is the client over a stream of ours", async () => {
  await using server = await HttpServer.start("unix:@berkeley-http-test", greet);
  const stream = await connect(server.address);
  const asking = request({ createConnection: () => stream.toNetSocket(), host: "localhost", path: "/unix" }).end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  assert.equal(await text(response), "hello, you asked for /unix\n");
});

test("bytes that our stream has read before are part of the request", async () => {
  const server = await HttpServer.start("tcp://127.0.0.1:0", greet);
  await using listener = await listen("tcp://127.0.0.1:0");
  await using client = await connect(listener.address);
  await client.write("PREAMBLE\nGET /after HTTP/1.0\r\n\r\n");
  const stream = await listener.accept();
  assert.equal(await stream.readLine(), "PREAMBLE");
  server.http.emit("connection", stream.toNetSocket({ allowHalfOpen: true }));
  assert.match(await text(client.toDuplex()), /you asked for \/after/);
  await server.close();
});

test("close() cuts a connection that is open", async () => {
  const server = await HttpServer.start("tcp://127.0.0.1:0", greet);
  await using client = await connect(server.address);
  await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal(await client.readLine(), "HTTP/1.1 200 OK");
  await server.close();
  for await (const chunk of client) assert.ok(chunk.length > 0);
  await assert.rejects(connect(server.address), { code: "ECONNREFUSED" });
});

test("http.ts is a program that answers fetch()", async () => {
  await using server = example("http", "0");
  const response = await fetch(`http://127.0.0.1:${await portOf(server)}/tea`, { headers: { connection: "close" } });
  assert.equal(await response.text(), "hello, you asked for /tea\n");
  await interrupted(server);
});
