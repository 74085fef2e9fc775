// Lookups that no server answers, in namespaces of the test: they delay neither other work nor lookups without a
// server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { inResolverNamespace, noResolverNamespace as skip } from "../support/resolverNamespace.js";

checkLeaks();

/**
 * A thread pool that is full, or a place in a queue behind a silent server, costs seconds. Wide, because machines are
 * busy.
 */
const MOST = 500;
const HOSTS = "127.0.0.1 localhost\n192.0.2.9 listed.example # of this test";

interface Line {
  readonly count?: number;
  readonly state?: string;
  readonly alone?: Readonly<Record<string, number>>;
  readonly beside?: Readonly<Record<string, number>>;
  readonly codes?: readonly string[];
  readonly shared?: number;
}

test(
  "lookups that a silent server holds up delay neither Node's thread pool nor the names of this machine",
  { skip },
  async (t) => {
    await using program = inResolverNamespace(new URL("silentDns.js", import.meta.url), { hosts: HOSTS });
    const { status, stdout, stderr } = await program.ended;
    assert.equal(status, 0, stderr);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Line);
    assert.equal(lines.length, 10, stdout);
    const [{ shared }] = lines as [Line];
    // For A and AAAA, and again if the C library repeats the query in that time.
    assert.ok(shared! > 0 && shared! <= 4, `${shared} questions for 50 equal ones`);
    for (const { count, state, alone, beside, codes } of lines.slice(1, 9)) {
      assert.ok(Object.keys(beside!).length > 0, stdout);
      for (const [name, took] of Object.entries(beside!)) {
        const text = `${name} beside ${count} ${state}: ${took} ms, alone ${alone![name]} ms`;
        t.diagnostic(text);
        assert.ok(took < alone![name]! + MOST, text);
      }
      if (codes !== undefined) assert.deepEqual(codes, ["ETIMEDOUT"]);
    }
  },
);

test("a worker ends at once while its lookups run, and they end safely after it", { skip }, async () => {
  // The C library stops after a second. Only the worker has loaded the addon.
  const options = "timeout:1 attempts:1";
  await using program = inResolverNamespace(new URL("silentDnsWorkers.js", import.meta.url), { options });
  const { status, stdout, stderr } = await program.ended;
  assert.equal(status, 0, stderr);
  const { took, left } = JSON.parse(stdout) as { took: number[]; left: number };
  assert.equal(took.length, 4, stdout);
  for (const one of took) assert.ok(one < MOST, `a worker took ${one} ms to end`);
  assert.equal(left, 0, "threads of lookups are left");
});
