// The conformance suite on everything that is a Conn without a kernel.

import { test } from "node:test";
import { fromDuplex, fromWeb, Stream, toDuplex, toWeb } from "berkeley";
import { connConformance, memoryPair, seededChunks, type ConnTraits, type MemoryConn } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";
import { seedsFor, withSeed } from "../support/random.js";

checkLeaks();

// In memory a write waits for nothing but the peer, so a short patience is enough.
const traits: ConnTraits = { maxHeld: 2_000_000, patience: 10, bulk: 1_000_000 };

const kinds = [
  ...connConformance("memory pair", () => memoryPair(), traits),
  ...connConformance("memory pair with latency", () => memoryPair({ latency: 1 }), { ...traits, bulk: 400_000 }),
  ...connConformance(
    "stream",
    () => {
      const [a, b] = memoryPair();
      return [new Stream(a), new Stream(b, { readSize: 1000 })];
    },
    traits,
  ),
  ...connConformance(
    "duplex round trip",
    () => {
      const [a, b] = memoryPair();
      return [fromDuplex(toDuplex(a)), fromDuplex(toDuplex(b))];
    },
    traits,
  ),
  ...connConformance(
    "web stream round trip",
    () => {
      const [a, b] = memoryPair();
      return [fromWeb(toWeb(a)), fromWeb(toWeb(b))];
    },
    traits,
  ),
];

for (const { name, run } of kinds) test(name, run);

for (const seed of seedsFor([1])) {
  const pieces = `memory pair in pieces of ${seed === 1 ? "seed 1" : "a fresh seed"}`;
  const pair = (): [MemoryConn, MemoryConn] => memoryPair({ capacity: 5000, chunking: seededChunks(seed, 3000) });
  for (const { name, run } of connConformance(pieces, pair, traits)) {
    test(name, async (t) => {
      t.diagnostic(`seed ${seed}`);
      await withSeed(seed, run);
    });
  }
}
