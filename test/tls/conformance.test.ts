// The conformance suite on TLS over every kind of connection.

import { test } from "node:test";
import { TlsContext } from "berkeley";
import { connConformance, type ConnTraits } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import {
  certificates,
  inMemory,
  type MakePair,
  overTcp,
  overUnix,
  serving,
  tlsPair,
  withoutDescriptor,
} from "./support.js";

checkLeaks();

const server = new TlsContext(serving());
const client = new TlsContext({ ca: certificates().ca.cert });
const settings = [{ context: client, servername: "localhost" }, { context: server }] as const;

const over =
  (pair: MakePair): MakePair =>
  () =>
    tlsPair(pair, ...settings);

const kinds: readonly [string, MakePair, ConnTraits][] = [
  ["TLS in memory", over(inMemory), { maxHeld: 4_000_000, patience: 30, bulk: 1_000_000 }],
  ["TLS over TLS in memory", over(over(inMemory)), { maxHeld: 4_000_000, patience: 50, bulk: 500_000 }],
  ["TLS over TCP", over(overTcp), {}],
  ["TLS over TCP without a descriptor", over(withoutDescriptor(overTcp)), {}],
  ["TLS over a UNIX socket", over(overUnix), { reset: false }],
];

for (const [name, pair, traits] of kinds) {
  for (const check of connConformance(name, pair, traits)) test(check.name, check.run);
}

const older = new TlsContext({ ...serving(), maxVersion: "TLSv1.2" });
const pair12: MakePair = () => tlsPair(overTcp, settings[0], { context: older });
for (const check of connConformance("TLS 1.2 over TCP", pair12)) test(check.name, check.run);
