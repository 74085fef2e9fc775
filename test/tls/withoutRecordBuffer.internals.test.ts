// TLS in a Node that can't decrypt into our memory: each record has a Buffer of its own, and all else is the same.

import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { TLSSocket } from "node:tls";
import { TlsContext } from "berkeley";
import { connConformance } from "berkeley/testing";
import { useRecordBuffer } from "#berkeley/tls/recordBuffer.js";
import { checkLeaks } from "../support/leaks.js";
import { certificates, inMemory, type MakePair, overTcp, serving, tlsPair } from "./support.js";

checkLeaks();

/** Takes away, for this process, what a version of Node may not have. */
function withoutUserBuffers(): void {
  const socket = new TLSSocket(new Socket());
  const { _handle: handle } = socket as unknown as { readonly _handle: object };
  for (let owner: object | null = handle; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    Reflect.deleteProperty(owner, "useUserBuffer");
  }
  socket.destroy();
}

withoutUserBuffers();

const server = new TlsContext(serving());
const client = new TlsContext({ ca: certificates().ca.cert });
const over =
  (pair: MakePair): MakePair =>
  () =>
    tlsPair(pair, { context: client, servername: "localhost" }, { context: server });

test("this Node can't decrypt into memory of ours", () => {
  const socket = new TLSSocket(new Socket());
  assert.equal(
    useRecordBuffer(socket, () => true),
    false,
  );
  socket.destroy();
});

const inTheWay = { maxHeld: 4_000_000, patience: 30, bulk: 1_000_000 };
for (const check of [
  ...connConformance("TLS over TCP, without the record buffer", over(overTcp)),
  ...connConformance("TLS in memory, without the record buffer", over(inMemory), inTheWay),
]) {
  test(check.name, check.run);
}
