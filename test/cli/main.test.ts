// The command line: help, version, and the errors of wrong ones.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../support/program.js";
import { checkLeaks } from "../support/leaks.js";
import { commands, MAIN, run } from "./support.js";

checkLeaks();

const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
  [["nonsense"], /^berkeley: unknown command "nonsense" \(see berkeley --help\)/],
  [["constructor"], /^berkeley: unknown command "constructor" /],
  [["ehco"], /^berkeley: unknown command "ehco"; did you mean "echo"\? /],
  [["--nonsense"], /^berkeley: unknown option "--nonsense"; other options stand after a command /],
  [["--versoin"], /^berkeley: unknown option "--versoin"; did you mean "--version"\?/],
  [["steps", "--nonsense"], /^berkeley: unknown option "--nonsense" \(see berkeley steps --help\)/],
  [["steps", "--prot", "1"], /^berkeley: unknown option "--prot"; did you mean "--port"\? /],
  [["steps", "more"], /^berkeley: there are too many arguments, required none /],
  [["echo"], /^berkeley: ENDPOINT is missing: where to listen /],
  [["echo", "1", "2"], /^berkeley: there are too many arguments, required ENDPOINT /],
  [["steps", "--port"], /^berkeley: --port is without a value, required N /],
  [["steps", "--port", "65536"], /^berkeley: --port is "65536", required a whole number from 0 to 65535 /],
  [["steps", "--port", "0x50"], /^berkeley: --port is "0x50", required /],
  [["steps", "--port", ""], /^berkeley: --port is "", required /],
  [["steps", "--max-visitors", "0"], /^berkeley: --max-visitors is "0", required a whole number from 1 /],
  [["steps", "--visitor-timeout", "1.5"], /^berkeley: --visitor-timeout is "1\.5", required /],
  [["steps", "--host", "127.1"], /^berkeley: --host is "127\.1": host is "127\.1", which looks like a number, /],
  [["steps", "--host", "[::1]"], /^berkeley: --host is "\[::1\]": /],
  [["steps", "--host", ""], /^berkeley: --host is "", required a text that is not empty /],
  [
    ["echo", "0", "--color", "alwasy"],
    /^berkeley: --color is "alwasy", required auto, always or never; did you mean always\?/,
  ],
  [
    ["echo", "0", "--idle", "5 minutes"],
    /^berkeley: --idle is "5 minutes", required a time of at most 24 days such as /,
  ],
  [
    ["echo", "tpc://localhost:1"],
    /^berkeley: ENDPOINT is "tpc:\/\/localhost:1": scheme "tpc" is unknown, .*; did you mean "tcp"\? /,
  ],
  [["echo", "127.1:80"], /^berkeley: ENDPOINT is "127\.1:80": host is "127\.1", which looks like a number, required /],
  [["echo", "tcp://localhost"], /^berkeley: ENDPOINT is "tcp:\/\/localhost": port is missing/],
  [["echo", "localhost:70000"], /^berkeley: ENDPOINT is "localhost:70000": port /],
  [["echo", "tls://127.0.0.1:0", "--key", "x"], /^berkeley: --key is given without --cert /],
  [["echo", "0", "--cert", "x"], /^berkeley: --cert is given without --tls or a tls:\/\/ endpoint /],
  [["echo", "0", "--tls", "--cert", "/nowhere"], /^berkeley: --cert is "\/nowhere", which can't be read: ENOENT/],
  [["echo", "0", "--tls", "--udp"], /^berkeley: --udp and --tls are given together /],
  [["man", "ehco"], /^berkeley: COMMAND is "ehco", required the name of a command; did you mean "echo"\? /],
  [["completion", "fihs"], /^berkeley: SHELL is "fihs", required bash, zsh or fish; did you mean "fish"\? /],
];

for (const [args, says] of wrong) {
  test(`berkeley ${args.join(" ")} prints one error line and ends with 2`, async () => {
    const { status, stdout, stderr } = await run(args);
    assert.match(stderr, says);
    assert.match(stderr, /^[^\n]+\n$/);
    assert.equal(stdout, "");
    assert.equal(status, 2);
  });
}

test("an error is one object on standard error with --json", async () => {
  const usage = await run(["echo", "tpc://x:1", "--json"]);
  assert.equal(usage.status, 2);
  const { error, status } = JSON.parse(usage.stderr) as { error: { message: string }; status: number };
  assert.match(error.message, /^ENDPOINT is "tpc:/);
  assert.equal(status, 2);
  // 192.0.2.0/24 is for documentation (RFC 5737).
  const refused = await run(["echo", "192.0.2.1:0", "--json"]);
  assert.deepEqual(JSON.parse(refused.stderr), {
    error: {
      message: "bind EADDRNOTAVAIL 192.0.2.1:0: address not available",
      code: "EADDRNOTAVAIL",
      syscall: "bind",
      address: "192.0.2.1",
      port: 0,
    },
    status: 1,
  });
  assert.deepEqual({ status: refused.status, stdout: refused.stdout }, { status: 1, stdout: "" });
});

test("berkeley alone lists the commands with a line each, as --help does", async () => {
  const alone = await run([]);
  assert.deepEqual(alone, await run(["--help"]));
  assert.match(alone.stdout, /^Commands:\n {2}\S+ {2,}\S/m);
  assert.deepEqual({ status: alone.status, stderr: alone.stderr }, { status: 0, stderr: "" });
});

test("each command has the summary of the list, and --help names every option", async () => {
  for (const { name, summary } of await commands()) {
    const { status, stdout, stderr } = await run([name, "--help"]);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, name);
    assert.ok(stdout.startsWith(`berkeley ${name}: ${summary}\n\nUsage: berkeley ${name} `), name);
    for (const option of ["--json", "--color WHEN", "--quiet", "--verbose", "--help"]) {
      assert.match(stdout, new RegExp(`^ {2}(-\\w, | {4})${option} `, "m"), `${name} ${option}`);
    }
    for (const line of stdout.split("\n")) {
      // Commands of examples are not broken.
      if (!line.includes("berkeley ")) assert.ok(line.length <= 100, line);
    }
  }
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

test("help, man pages and completions need no addon, and a command that needs it reports that it is missing", async () => {
  const env = { BERKELEY_ADDON: "/nowhere/berkeley.node" };
  for (const args of [["--help"], ["echo", "--help"], ["man", "connect"], ["completion", "bash"], ["--version"]]) {
    const { status, stderr } = await run(args, { env });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" }, args.join(" "));
  }
  const { status, stderr } = await run(["echo", "0"], { env });
  assert.equal(status, 1);
  assert.match(stderr, /^berkeley: [^\n]*\/nowhere\/berkeley\.node[^\n]*\n$/);
});

test("a command file has at most 200 lines", () => {
  const folder = join(root, "src", "cli", "commands");
  for (const name of readdirSync(folder)) {
    assert.ok(readFileSync(join(folder, name), "utf8").split("\n").length <= 200, name);
  }
});
