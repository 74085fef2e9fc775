// Copies of thrown values, which a worker sends to its server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { copyOfError, errorOfCopy } from "#berkeley/server/workerMessages.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

const arrive = (thrown: unknown): unknown => errorOfCopy(structuredClone(copyOfError(thrown)));

test("an error arrives as an Error with its name, message, stack and code", () => {
  const error = Object.assign(new RangeError("too many"), { code: "ERR_MANY" });
  const copy = arrive(error) as RangeError & { code: string };
  assert.ok(copy instanceof Error);
  assert.deepEqual(
    [copy.name, copy.message, copy.stack, copy.code],
    ["RangeError", "too many", error.stack, "ERR_MANY"],
  );
});

test("any other value arrives as itself, or as a text if it can't be copied", () => {
  for (const value of ["text", 7, null, undefined, { code: 1 }]) assert.deepEqual(arrive(value), value);
  const withoutPrototype: unknown = Object.assign(Object.create(null), { run: () => undefined });
  const throwing = { run: () => undefined, toString: () => assert.fail("toString() was called") };
  for (const value of [() => undefined, Symbol("sign"), withoutPrototype, throwing]) {
    assert.equal(typeof arrive(value), "string");
  }
});
