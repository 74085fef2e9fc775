// Help, man pages and completions, which are made from the descriptions of the commands.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkLeaks } from "../support/leaks.js";
import { checkGolden } from "./golden.js";
import { commands, missing, run } from "./support.js";

checkLeaks();

const folder = mkdtempSync(join(tmpdir(), "berkeley-help-"));
after(() => rmSync(folder, { recursive: true }));

const has = (command: string): string | false => missing(command);

test("the help of every command is that of its golden file", async () => {
  checkGolden("help/berkeley.txt", (await run([])).stdout);
  for (const { name } of await commands()) checkGolden(`help/${name}.txt`, (await run([name, "--help"])).stdout);
});

test(
  "every command has a man page with its options, that mandoc finds no error in",
  { skip: has("mandoc") },
  async () => {
    for (const { name } of [{ name: "" }, ...(await commands())]) {
      const { status, stdout, stderr } = await run(["man", ...(name === "" ? [] : [name])]);
      assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
      const lint = spawnSync("mandoc", ["-T", "lint", "-W", "warning"], { input: stdout, encoding: "utf8" });
      // A page is the same on every day that it is made, so it has no date.
      assert.equal(lint.stdout.replace(/^.*missing date.*\n/gm, ""), "", name);
      const page = spawnSync("mandoc", ["-T", "ascii", "-O", "width=200"], { input: stdout, encoding: "utf8" });
      const plain = page.stdout.replaceAll(/.[\b]/g, "");
      if (name === "") continue;
      const help = (await run([name, "--help"])).stdout;
      for (const [, flags = ""] of help.matchAll(/^ {2,6}((?:-\w, )?--[\w-]+)/gm)) {
        assert.ok(plain.includes(flags), `${name}: ${flags}`);
      }
    }
  },
);

test("the completion of bash offers commands, options, words of values and files", async () => {
  const { stdout } = await run(["completion", "bash"]);
  const script = join(folder, "completion.bash");
  writeFileSync(script, stdout);
  const complete = (...words: string[]): string[] => {
    const program = `source ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _berkeley; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = spawnSync("bash", ["-c", program, "bash", ...words], { encoding: "utf8", cwd: folder });
    assert.equal(result.stderr, "");
    return result.stdout.trim().split("\n");
  };
  assert.deepEqual(complete("berkeley", "ec"), ["echo"]);
  assert.deepEqual(complete("berkeley", "echo", "--cou"), ["--count"]);
  assert.deepEqual(complete("berkeley", "echo", "--color", ""), ["auto", "always", "never"]);
  assert.deepEqual(complete("berkeley", "echo", "--cert", ""), ["completion.bash"]);
  assert.deepEqual(complete("berkeley", "completion", "z"), ["zsh"]);
});

test("the completion of zsh is loaded, and offers commands", { skip: has("zsh") }, async () => {
  const { stdout } = await run(["completion", "zsh"]);
  const script = join(folder, "_berkeley");
  writeFileSync(script, stdout);
  // _describe and _arguments need a terminal; here they print what they get.
  const program = `autoload -Uz compinit; compinit -D -u; source ${script}
    _describe() { print -l -- $commands }; _arguments() { print -l -- "$@" }
    words=(berkeley ec); CURRENT=2; _berkeley
    words=(berkeley echo --c); CURRENT=3; _berkeley`;
  const result = spawnSync("zsh", ["-f", "-c", program], { encoding: "utf8", env: { ...process.env, HOME: folder } });
  assert.equal(result.stderr, "");
  assert.match(result.stdout, /^echo:a server that sends received data back$/m);
  assert.match(result.stdout, /^--cert\[.*\]:FILE:_files$/m);
  assert.match(result.stdout, /^--color\[.*\]:WHEN:\(auto always never\)$/m);
});

test("the completion of fish offers commands, options and words of values", { skip: has("fish") }, async () => {
  const { stdout } = await run(["completion", "fish"]);
  const script = join(folder, "completion.fish");
  writeFileSync(script, stdout);
  const complete = (line: string): string[] => {
    const result = spawnSync("fish", ["--no-config", "-c", `source ${script}; complete -C ${JSON.stringify(line)}`], {
      encoding: "utf8",
      env: { ...process.env, HOME: folder },
    });
    assert.equal(result.stderr, "");
    return result.stdout.trim().split("\n");
  };
  assert.deepEqual(complete("berkeley ec"), ["echo\ta server that sends received data back"]);
  assert.match(complete("berkeley echo --cou").join("\n"), /^--count\t/);
  const colors = complete("berkeley echo --color ").map((line) => line.replace(/\t.*/, ""));
  assert.deepEqual(colors.toSorted(), ["always", "auto", "never"]);
});
