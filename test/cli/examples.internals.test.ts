// The program accepts every command line in help, docs/cli.md and README.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { COMMANDS } from "#berkeley/cli/commands.js";
import { type Command, longOf, shortOf } from "#berkeley/cli/frame/command.js";
import { COMMON_OPTIONS } from "#berkeley/cli/frame/common.js";
import { readEndpoint } from "#berkeley/cli/frame/endpoints.js";
import { parse } from "#berkeley/cli/frame/parse.js";
import { root } from "../support/program.js";

const loaded: ReadonlyMap<string, Command> = new Map(
  await Promise.all(COMMANDS.map(async ({ name, load }) => [name, (await load()).command] as const)),
);

/** Splits a command line into words, as a shell does. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? "",
  );
}

/** The calls of ours in a line of a shell, with what redirections and pipes leave of them. */
function callsIn(line: string): string[][] {
  return line
    .split(/\s(?:\||&|;)\s|\s[<>]\s|\)/)
    .map((part) => /(?:^|[\s(])berkeley\s(.*)$/.exec(part)?.[1])
    .flatMap((rest) => (rest === undefined ? [] : [words(rest)]));
}

function check(call: readonly string[], line: string): void {
  const [name = "", ...args] = call;
  const command = loaded.get(name);
  assert.ok(command !== undefined, line);
  const parsed = parse(command, args);
  for (const [index, { name: argument }] of (command.arguments ?? []).entries()) {
    const given = parsed.args[index];
    if (["ENDPOINT", "LISTEN", "TARGET"].includes(argument)) readEndpoint(given ?? "");
  }
}

test("the examples of every help are command lines", () => {
  for (const { examples, name } of loaded.values()) {
    assert.ok(examples.length > 0, name);
    for (const { command } of examples) {
      const calls = callsIn(command);
      assert.ok(calls.length > 0, command);
      for (const call of calls) check(call, command);
    }
  }
});

test("the command lines of docs/cli.md are taken", () => {
  const text = readFileSync(join(root, "docs", "cli.md"), "utf8");
  const lines = [...text.matchAll(/`berkeley ([^`]*)`/g)].map(([, line = ""]) => line);
  assert.ok(lines.length > 30);
  for (const line of lines) {
    if (/^(?:COMMAND|man COMMAND|proxy --record FILE)/.test(line)) continue;
    for (const call of callsIn(`berkeley ${line}`)) check(call, line);
  }
});

test("the descriptions are well formed: names, summaries, options and values of every command", () => {
  for (const entry of COMMANDS) {
    const command = loaded.get(entry.name)!;
    assert.equal(command.name, entry.name);
    assert.equal(command.summary, entry.summary);
    const specs = [...Object.values(command.options), ...Object.values(COMMON_OPTIONS)];
    const names = specs.flatMap((spec) => [longOf(spec), ...(shortOf(spec) === undefined ? [] : [shortOf(spec)!])]);
    assert.deepEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      [],
      `${command.name} has options of one name`,
    );
    for (const { flags, about, kind, parser } of specs) {
      assert.match(flags, /^(?:-\w, )?--[a-z][a-z0-9-]*(?: [A-Z][A-Z=]*)?$/, command.name);
      assert.equal(parser === undefined, kind === "flag", flags);
      assert.equal(/ [A-Z][A-Z=]*$/.test(flags), kind !== "flag", flags);
      assert.doesNotMatch(about, /\.$/, flags);
    }
  }
});
