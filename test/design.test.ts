// The table of layers in docs/design.md is that of test/support/layers.ts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { policy } from "./support/layers.js";

test("docs/design.md has the table of layers that the sources are checked against", () => {
  const text = readFileSync(fileURLToPath(new URL("../../docs/design.md", import.meta.url)), "utf8");
  const [, table = ""] =
    /\n\| layer \| values of \| types of \|\n\|[-|]+\n((?:\|.*\n)+)/.exec(text) ?? assert.fail("no table");
  const rows = Object.entries(policy).map(([layer, { values, types = [], packages = [] }]) => {
    const all = [...values, ...packages.map((name) => `the package "${name}"`)];
    return `| ${layer} | ${all.join(", ")} | ${types.join(", ")} |`;
  });
  assert.deepEqual(table.trimEnd().split("\n"), rows);
});
