// The example broadcast.ts: clients that do not read cost a bounded number of bytes, and the others lose nothing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../../examples/broadcast.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

test("clients that read get every message, and what waits for silent ones is bounded", async () => {
  const { received, missed, longestOutbox } = await run(30, 3, 1000, 10_000);
  assert.deepEqual(
    received,
    Array.from({ length: 27 }, () => 1000),
  );
  assert.ok(missed > 0, "the outboxes of the silent clients were full");
  assert.ok(longestOutbox <= 1_048_576, `${longestOutbox} bytes`);
});
