// The conformance table, run through the awaitable and the blocking socket.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as awaitable from "berkeley";
import * as blocking from "berkeley/sync";
import { checkLeaks } from "../support/leaks.js";
import { outcomeOf } from "./scene.js";
import { apis, type Outcome } from "./row.js";
import { pages, rows } from "./table.js";

checkLeaks();

const LEAST = 180;

/** Public functions that are no calls: they make or read values of ours, and reach no kernel and no library. */
const notCalls = new Set(["isAddress", "parseAddress", "segments"]);

/** Members that are no calls. */
const notMembers = new Set(["constructor", "stats", "closed", "family", "type", "protocol"]);

/** What becomes of the rows that take a process of their own: few descriptors, no privileges. */
async function runApart(): Promise<Map<string, Outcome>> {
  const program = fileURLToPath(new URL("apart.js", import.meta.url));
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const command = 'ulimit -n 200 && exec "$0" "$1"';
  const { stdout } = await promisify(execFile)("sh", ["-c", command, process.execPath, program], { env });
  const outcomes = JSON.parse(stdout) as [number, string, Outcome][];
  return new Map(outcomes.map(([index, name, outcome]) => [`${index} ${name}`, outcome]));
}

const apart = await runApart();

for (const [name, api] of apis) {
  for (const page of pages) {
    describe(`${page.page}, ${name}`, () => {
      for (const row of page.rows) {
        const expected = typeof row.gives === "string" ? row.gives : "result";
        const skip = row.unless?.() ?? false;
        test(`${row.call}: ${row.when}: ${expected}`, { skip }, async () => {
          const key = `${rows.indexOf(row)} ${name}`;
          assert.deepEqual(row.apart === true ? apart.get(key) : await outcomeOf(row, api), row.gives);
        });
      }
    });
  }
}

test("the table is long enough, and no row stands in it twice", (t) => {
  const titles = rows.map((row) => `${row.call}: ${row.when}`);
  assert.deepEqual(
    titles.filter((title, index) => titles.indexOf(title) !== index),
    [],
  );
  assert.ok(rows.length >= LEAST, `${rows.length} rows`);
  t.diagnostic(`conformance: ${rows.length} rows x ${apis.length} sockets`);
});

test("every public call of both sockets has a row", () => {
  const have = new Set(rows.map((row) => row.call));
  const wanted = new Set<string>();
  for (const [name, value] of Object.entries(blocking)) {
    if (typeof value === "function" && !/^[A-Z][a-z]/.test(name) && !notCalls.has(name)) wanted.add(name);
  }
  for (const { Socket } of [awaitable, blocking]) {
    for (const name of Object.getOwnPropertyNames(Socket)) {
      if (!["length", "name", "prototype", "pair", "fromNetSocket"].includes(name)) wanted.add(name);
    }
    for (const name of Object.getOwnPropertyNames(Socket.prototype)) if (!notMembers.has(name)) wanted.add(name);
  }
  // What makes other things of a connection is no call of the kernel's, nor is what keeps the process alive.
  for (const name of ["stream", "toNetSocket", "buffered", "ref", "unref", "datagrams", "attachFilter"])
    wanted.delete(name);
  assert.deepEqual(
    [...wanted].filter((name) => !have.has(name)),
    [],
  );
});
