// The command line itself: help, version, and what is wrong with a wrong one.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";
import { MAIN, run } from "./support.js";

checkLeaks();

const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [[], /^berkeley: a command is missing; /],
  [["nonsense"], /^berkeley: unknown command "nonsense"; /],
  [["constructor"], /^berkeley: unknown command "constructor"; /],
  [["--nonsense"], /^berkeley: unknown option "--nonsense"; /],
  [["steps", "--nonsense"], /^berkeley: unknown option '--nonsense'; berkeley steps --help /],
  [["steps", "more"], /^berkeley: unexpected argument 'more'; /],
  [["steps", "--once=yes"], /^berkeley: option '--once' does not take an argument; /],
  [["steps", "--port"], /^berkeley: option '--port <value>' argument missing; /],
  [["steps", "--port", "65536"], /^berkeley: --port is "65536", required a whole number from 0 to 65535; /],
  [["steps", "--port", "0x50"], /^berkeley: --port is "0x50", required /],
  [["steps", "--port", ""], /^berkeley: --port is "", required /],
  [["steps", "--max-visitors", "0"], /^berkeley: --max-visitors is "0", required a whole number from 1 /],
  [["steps", "--visitor-timeout", "1.5"], /^berkeley: --visitor-timeout is "1\.5", required /],
  [["steps", "--host", "127.1"], /^berkeley: --host is "127\.1": host is "127\.1", which looks like a number, /],
  [["steps", "--host", "[::1]"], /^berkeley: --host is "\[::1\]": /],
  [["steps", "--host", ""], /^berkeley: --host is "": host is missing/],
];

for (const [args, says] of wrong) {
  test(`berkeley ${args.join(" ")} says in one line what is wrong and ends with 2`, async () => {
    const { status, stdout, stderr } = await run(args);
    assert.match(stderr, says);
    assert.match(stderr, /^[^\n]+\n$/);
    assert.equal(stdout, "");
    assert.equal(status, 2);
  });
}

test("berkeley --help names every command and ends with 0", async () => {
  const { status, stdout, stderr } = await run(["--help"]);
  assert.match(stdout, /^Commands:\n {2}steps /m);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("berkeley steps --help names every option and ends with 0", async () => {
  const { status, stdout, stderr } = await run(["steps", "--help"]);
  for (const option of ["--once", "--port N", "--host HOST", "--max-visitors N", "--visitor-timeout MS"]) {
    assert.ok(stdout.includes(`\n  ${option} `), option);
  }
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("berkeley --version prints the version of package.json", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  assert.deepEqual(await run(["--version"]), { status: 0, stdout: `berkeley ${version}\n`, stderr: "" });
});

test("package.json has the command", () => {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin: Record<string, string> };
  assert.deepEqual(bin, { berkeley: "./dist/cli/main.js" });
  assert.ok(readFileSync(MAIN, "utf8").startsWith("#!/usr/bin/env node\n"));
});
