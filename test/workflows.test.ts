// The workflows for GitHub run the commands of .ci/run, and those exist in package.json.
//
// The files are read line by line, as text: the project has no parser for YAML. A step that runs a command is one line,
// `- run: COMMAND`, and a job begins at a name with an indent of two spaces.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "./support/leaks.js";

checkLeaks();

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(fileURLToPath(new URL(path, root)), "utf8");

interface Job {
  readonly name: string;
  readonly text: string;
  readonly commands: readonly string[];
}

const isNpm = (command: string): boolean => /^npm\b/.test(command);

function jobsOf(path: string): Job[] {
  const [, text = ""] = read(path).split(/^jobs:\n/m);
  const parts = text.split(/^ {2}([\w-]+):\n/m).slice(1);
  return parts.flatMap((name, index) => {
    if (index % 2 === 1) return [];
    const body = parts[index + 1] ?? "";
    const commands = [...body.matchAll(/^ +- run: (.*)$/gm)].map(([, command = ""]) => command);
    return [{ name, text: body, commands }];
  });
}

/** The numbers of `node: [20, 22]` or `node-version: 24`. */
function nodesOf({ name, text }: Job): number[] {
  const [, list] = /^ +node: \[(.*)\]$/m.exec(text) ?? [];
  const [, one] = /^ +node-version: (\d+)$/m.exec(text) ?? [];
  return (list ?? one ?? assert.fail(`${name} has no version of Node.js`)).split(",").map(Number);
}

function job(jobs: readonly Job[], name: string): Job {
  return jobs.find((one) => one.name === name) ?? assert.fail(`there is no job ${name}`);
}

const gate = read(".ci/run").split("\n").filter(isNpm);
const ci = jobsOf(".github/workflows/ci.yml");
const nightly = jobsOf(".github/workflows/nightly.yml");

test("the jobs of ci.yml run the npm commands of .ci/run, in its order", () => {
  const perVersion = /^npm (test$|run test:nodes\b)/;
  assert.ok(gate.length > 5, `.ci/run has ${gate.length} npm commands`);
  assert.equal(gate.filter((command) => perVersion.test(command)).length, 2);
  assert.deepEqual(
    job(ci, "gate").commands.filter(isNpm),
    gate.filter((command) => !perVersion.test(command)),
  );
  assert.deepEqual(job(ci, "tests").commands.filter(isNpm), ["npm test"]);
});

test("ci.yml runs the tests under each version that scripts/nodes.mjs and .ci/run name", () => {
  const [, supported = ""] = /^export const VERSIONS = \[(.*)\];$/m.exec(read("scripts/nodes.mjs")) ?? [];
  const versions = [...supported.matchAll(/\d+/g)].map(Number);
  assert.ok(versions.length > 1);
  assert.deepEqual(nodesOf(job(ci, "tests")), versions);
  const [, named = ""] = /^for version in (.*); do$/m.exec(read(".ci/run")) ?? [];
  const tested = named.split(" ").map(Number);
  for (const version of [...tested, ...[...ci, ...nightly].flatMap(nodesOf)]) assert.ok(versions.includes(version));
});

test("every job installs the programs as .ci/run does, and ends after a limit", () => {
  for (const { name, commands, text } of [...ci, ...nightly]) {
    assert.equal(commands[0], ".ci/run programs", name);
    assert.match(text, /^ {4}timeout-minutes: \d+$/m, name);
  }
  assert.match(read(".ci/run"), /^\[ "\$\{1:-\}" != programs \] \|\| exit 0$/m);
});

test("an arm64 processor runs the tests, in both workflows", () => {
  for (const jobs of [ci, nightly]) assert.match(job(jobs, "arm64").text, /^ {4}runs-on: ubuntu-[\d.]+-arm$/m);
});

test("each npm command of the workflows names a script, and each step of the nightly run exists", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  const steps = [...read("scripts/nightly.mjs").matchAll(/\bname: "(\w+)"/g)].map(([, name]) => name);
  assert.ok(steps.length > 3);
  const commands = [...ci, ...nightly].flatMap((one) => one.commands).filter(isNpm);
  assert.ok(commands.includes("npm run nightly"));
  for (const command of commands) {
    const [, name = ""] = /^npm (?:run )?([\w:]+)/.exec(command) ?? [];
    assert.ok(name in scripts, `${command}: package.json has no script ${name}`);
    const [, given = ""] = /^npm run nightly -- (.*)$/.exec(command) ?? [];
    for (const step of given.split(" ").filter((one) => one !== "")) assert.ok(steps.includes(step), command);
  }
});

test("the workflows may only read, and every action is of the forge itself, with a version", () => {
  const files = readdirSync(fileURLToPath(new URL(".github/workflows/", root)));
  assert.deepEqual(files.toSorted(), ["ci.yml", "nightly.yml"]);
  for (const file of files) {
    const text = read(`.github/workflows/${file}`);
    assert.match(text, /^permissions:\n {2}contents: read\n\n/m, file);
    assert.equal(text.match(/\bpermissions:/g)?.length, 1, file);
    assert.doesNotMatch(text, /\bsecrets\b|pull_request_target|: write\b/, file);
    const actions = [...text.matchAll(/\buses: (.*)$/gm)].map(([, action]) => action ?? "");
    assert.ok(actions.length > 0, file);
    for (const action of actions) assert.match(action, /^actions\/[\w-]+@(v\d+|[0-9a-f]{40})$/, file);
    assert.equal(text.match(/persist-credentials: false/g)?.length, text.match(/actions\/checkout@/g)?.length, file);
  }
});
