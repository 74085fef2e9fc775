// The conformance suite on everything that is a Conn without a kernel.

import { test } from "node:test";
import { fromDuplex, fromWeb, Stream, toDuplex, toWeb } from "berkeley";
import { connConformance, memoryPair, seededChunks, type ConnTraits } from "berkeley/testing";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

// In memory a write that waits waits for the peer alone: a moment is enough to know.
const traits: ConnTraits = { maxHeld: 2_000_000, patience: 10, bulk: 1_000_000 };

const kinds = [
  ...connConformance("memory pair", () => memoryPair(), traits),
  ...connConformance(
    "memory pair in small pieces",
    () => memoryPair({ capacity: 5000, chunking: seededChunks(1, 3000) }),
    traits,
  ),
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
