// Lookups without a free descriptor. The C library then reports an unknown name or a busy resource.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { Program } from "../support/program.js";

checkLeaks();

const skip = !existsSync("/usr/bin/prlimit") && "prlimit(1) is missing";

/** Prints the outcome of each lookup with no descriptor free, and then with a few. */
const program = (first: string): string => `
  import { execFileSync } from "node:child_process";
  import { closeSync, openSync } from "node:fs";
  import { getaddrinfo, gethostbyname, getnameinfo, NI_NAMEREQD } from "berkeley";
  import * as sync from "berkeley/sync";
  execFileSync("prlimit", ["--pid", String(process.pid), "--nofile=64"]);
  const calls = {
    getaddrinfo: () => getaddrinfo("localhost", 80),
    unknown: () => getaddrinfo("unknown.invalid", 80),
    gethostbyname: () => gethostbyname("localhost"),
    getnameinfo: () => getnameinfo(["127.0.0.1", 80], NI_NAMEREQD),
    sync: () => sync.getaddrinfo("localhost", 80),
  };
  const outcomes = async () => {
    for (const [name, call] of Object.entries(calls)) {
      try {
        await call();
        console.log(name, "found");
      } catch (error) {
        console.log(name, error.code);
      }
    }
  };
  // The C library reads nsswitch.conf(5) once, at the first lookup.
  ${first}
  const held = [];
  try {
    for (;;) held.push(openSync("/dev/null"));
  } catch {}
  await outcomes();
  for (const fd of held.splice(0, 8)) closeSync(fd);
  await outcomes();
`;

for (const [when, first] of [
  ["the first lookups of a process", ""],
  ["later lookups", 'await getaddrinfo("localhost", 80);'],
] as const) {
  test(`${when} fail with EMFILE if no descriptor is free, and find names when some are`, { skip }, async () => {
    await using child = new Program(process.execPath, ["--input-type=module", "--eval", program(first)]);
    const { status, stdout, stderr } = await child.ended;
    assert.deepEqual([status, stderr], [0, ""]);
    const lines = stdout.trim().split("\n");
    assert.deepEqual(lines.slice(0, 5), [
      "getaddrinfo EMFILE",
      "unknown EMFILE",
      "gethostbyname EMFILE",
      "getnameinfo EMFILE",
      "sync EMFILE",
    ]);
    assert.deepEqual(lines.slice(5, 6), ["getaddrinfo found"]);
    assert.match(lines[6]!, /^unknown EAI_/);
    assert.deepEqual(lines.slice(7), ["gethostbyname found", "getnameinfo found", "sync found"]);
  });
}
