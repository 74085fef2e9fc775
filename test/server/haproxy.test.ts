// A real HAProxy before serve() and forward(): the address of the client arrives in each version of the header.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { connect, forward, type InetAddress, type Stream } from "berkeley";
import { type ConnectionContext, PP2_TYPE_SSL, PP2_TYPE_UNIQUE_ID, serve, type Server } from "berkeley/server";
import { certificates, serving } from "../tls/support.js";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";
import { freePort } from "../support/freePort.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-haproxy-"));
after(() => rmSync(folder, { recursive: true }));
const proxyProtocol = { from: ["127.0.0.0/30"] };
const portOf = ({ address }: { readonly address: unknown }): number => (address as InetAddress).port;
let files = 0;

/** HAProxy in front of a port, whose `server` line has these options. */
async function haproxyTo(port: number, options: string, bind = ""): Promise<{ port: number } & AsyncDisposable> {
  const front = await freePort();
  const file = join(folder, `${++files}.cfg`);
  writeFileSync(
    file,
    `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n` +
      `listen all\n  bind 127.0.0.1:${front} ${bind}\n  unique-id-format %[uuid()]\n` +
      `  server one 127.0.0.1:${port} ${options}\n`,
  );
  const program = new Program("haproxy", ["-db", "-q", "-f", file]);
  return { port: front, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** A server that answers each line with the address of its client. */
async function whoServer(
  endpoint: string,
  opts: Parameters<typeof serve>[2] = {},
): Promise<{
  server: Server;
  contexts: ConnectionContext[];
}> {
  const contexts: ConnectionContext[] = [];
  const server = await serve(
    endpoint,
    async (stream: Stream, context) => {
      contexts.push(context);
      for await (const line of stream.lines()) await stream.write(`${line} from ${String(context.client)}\n`);
    },
    { proxyProtocol, ...opts },
  );
  return { server, contexts };
}

const visit = (port: number): Promise<Stream> =>
  connect(
    { host: "127.0.0.1", port },
    { localAddress: ["127.0.0.7", 0], retry: { maxTries: 100, minDelay: 10, maxDelay: 50 } },
  );

async function check(port: number): Promise<void> {
  await using client = await visit(port);
  await client.write("hello\n");
  assert.equal(await client.readLine(), `hello from ${String(client.localAddress)}`);
  await client.end();
}

for (const option of ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"]) {
  test(`serve() gets the client's address from HAProxy with ${option}`, async () => {
    const { server, contexts } = await whoServer("tcp://127.0.0.1:0");
    await using closing = server;
    await using haproxy = await haproxyTo(portOf(server), option);
    await check(haproxy.port);
    const [context] = contexts;
    assert.match(String(context!.peer), /^127\.0\.0\.1:/);
    assert.equal((context!.proxyHeader!.destination as InetAddress).port, haproxy.port);
    const types = context!.proxyHeader!.tlvs.map(({ type }) => type);
    assert.equal(types.includes(PP2_TYPE_UNIQUE_ID), option.includes("unique-id"));
    await closing.drain();
  });
}

test("HAProxy sends the header before TLS to a server of TLS", async () => {
  const { server, contexts } = await whoServer("tls://127.0.0.1:0", { listen: { tls: serving() } });
  await using closing = server;
  const ca = certificates().ca.certFile;
  await using haproxy = await haproxyTo(
    portOf(server),
    `send-proxy-v2 ssl verify required ca-file ${ca} verifyhost localhost`,
  );
  await check(haproxy.port);
  assert.equal(contexts[0]!.proxyHeader!.version, 2);
  await closing.drain();
});

test("HAProxy that ends TLS itself says so in a TLV", async () => {
  const { server, contexts } = await whoServer("tcp://127.0.0.1:0");
  await using closing = server;
  const { cert, key, ca } = { ...certificates().server, ca: certificates().ca.cert };
  const pem = join(folder, "server.pem");
  writeFileSync(pem, cert + key);
  await using haproxy = await haproxyTo(portOf(server), "send-proxy-v2-ssl", `ssl crt ${pem}`);
  await (await visit(haproxy.port)).close();
  await using client = await connect(`tls://localhost:${haproxy.port}`, { tls: { ca } });
  await client.write("hello\n");
  assert.equal(await client.readLine(), `hello from ${String(client.localAddress)}`);
  const { tlvs } = contexts.at(-1)!.proxyHeader!;
  assert.equal(
    tlvs.some(({ type }) => type === PP2_TYPE_SSL),
    true,
  );
  await client.close();
  await closing.drain();
});

test("health checks of HAProxy (LOCAL) are clients at the address of HAProxy", async () => {
  const { server, contexts } = await whoServer("tcp://127.0.0.1:0");
  await using closing = server;
  await using haproxy = await haproxyTo(portOf(server), "send-proxy-v2 check-send-proxy check inter 100");
  assert.ok(haproxy.port > 0);
  while (contexts.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const [context] = contexts;
  assert.equal(context!.proxyHeader!.local, true);
  assert.equal(context!.client, context!.peer);
  await closing.close();
});

test("HAProxy, forward() and serve() in a row keep the client's address", async () => {
  const { server } = await whoServer("tcp://127.0.0.1:0");
  await using closing = server;
  for (const [option, version] of [
    ["send-proxy", 2],
    ["send-proxy-v2", 1],
  ] as const) {
    await using forwarder = await forward("tcp://127.0.0.1:0", server.address as InetAddress, {
      proxyProtocol,
      sendProxyProtocol: { version },
    });
    await using haproxy = await haproxyTo(portOf(forwarder), option);
    await check(haproxy.port);
    await forwarder.drain();
  }
  await closing.drain();
});

test("HAProxy without a header gets no answer", async () => {
  const { server, contexts } = await whoServer("tcp://127.0.0.1:0");
  await using closing = server;
  await using haproxy = await haproxyTo(portOf(server), "");
  await using client = await visit(haproxy.port);
  await client.write("hello\n");
  const line = await client.readLine().catch((error: unknown) => (error as { code: string }).code);
  assert.match(String(line), /^(null|ECONNRESET)$/);
  assert.equal(contexts.length, 0);
  assert.ok(closing.stats().proxyRefused >= 1);
});
