// The union ErrnoCode names exactly the errnos of the addon.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as constants from "#berkeley/sys/constants.js";
import { addon } from "#berkeley/sys/addon.js";

const source = readFileSync(new URL("../../../src/errors/codes.ts", import.meta.url), "utf8");

function membersOf(type: string): string[] {
  const [, body = ""] = new RegExp(`export type ${type} =\\n([^;]*);`).exec(source) ?? [];
  return [...body.matchAll(/"(\w+)"/g)].map(([, name = ""]) => name).sort();
}

test("ErrnoCode has the name of each errno of the addon, and no other", () => {
  assert.deepEqual(membersOf("ErrnoCode"), Object.keys(addon.errnos).sort());
});

test("ResolverCode has the name of each error of the resolver, and no other", () => {
  const names = Object.keys(constants).filter((name) => name.startsWith("EAI_"));
  assert.ok(names.length > 10);
  assert.deepEqual(membersOf("ResolverCode"), names.sort());
});
