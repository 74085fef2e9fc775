// A TLS server on berkeley: KIND CERT KEY [chunks], where KIND is what it does with each connection: "echo", "receive",
// "send". It receives into a buffer that it keeps; with "chunks", a new one for each record, as node:tls does.

import { readFileSync } from "node:fs";
import { listen, TlsContext, type TlsConn, TlsListener } from "berkeley";

import { ignoreDisconnect } from "../lib/serving.js";

const [, , kind, cert = "", key = "", way] = process.argv;
const blob = Buffer.alloc(65_536, 7);

async function echo(conn: TlsConn): Promise<void> {
  const buffer = Buffer.allocUnsafe(4096);
  // Messages are mostly as long as the one before: then its view does.
  let data = buffer;
  for (;;) {
    const count = await conn.read(buffer);
    if (count === 0) return;
    if (data.length !== count) data = buffer.subarray(0, count);
    const taken = conn.tryWrite(data);
    if (taken < count) await conn.write(data.subarray(taken));
  }
}

async function receive(conn: TlsConn): Promise<void> {
  const buffer = Buffer.allocUnsafe(65_536);
  while ((await conn.read(buffer)) > 0);
}

async function receiveChunks(conn: TlsConn): Promise<void> {
  while ((await conn.readChunk()) !== null);
}

async function send(conn: TlsConn): Promise<void> {
  for (;;) await conn.write(blob);
}

const serve = { echo, receive: way === "chunks" ? receiveChunks : receive, send }[kind as "echo" | "receive" | "send"];
const context = new TlsContext({ cert: readFileSync(cert), key: readFileSync(key) });
const listener = new TlsListener(await listen("tcp://127.0.0.1:0", { backlog: 511 }), { tls: context });
const { address } = listener;
if (address === undefined || !("port" in address)) {
  throw new Error(`an address with a port is required, found ${String(address)}`);
}
console.log(JSON.stringify({ port: address.port }));
for await (const conn of listener) {
  serve(conn)
    .catch(ignoreDisconnect) // The load ends with messages in flight.
    .finally(() => void conn.close());
}
