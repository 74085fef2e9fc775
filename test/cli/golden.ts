// Golden files with the reviewed output of the program. GOLDEN=update in the environment writes them.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "../support/program.js";

/** Compares a text with the file of this name in test/cli/golden/. */
export function checkGolden(name: string, text: string): void {
  const path = join(root, "test", "cli", "golden", name);
  if (process.env["GOLDEN"] === "update") {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return;
  }
  assert.ok(existsSync(path), `${path} is missing: run the test with GOLDEN=update in the environment`);
  assert.equal(
    text,
    readFileSync(path, "utf8"),
    `${name} differs; if that is meant, run with GOLDEN=update and read the diff`,
  );
}
